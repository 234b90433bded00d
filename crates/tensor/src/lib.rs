//! TensorFlow graphs and ONNX files as runnable graphs.
