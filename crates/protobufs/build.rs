//! Compiles the files in `proto` to Rust, with protox in the place of protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo::rerun-if-changed={root}");
    let files = [
        "servingresult.proto",
        "tensorrecord.proto",
        "winerecord.proto",
        "tensorflow/core/protobuf/saved_model.proto",
        "tensorflow_serving/apis/model_service.proto",
        "tensorflow_serving/apis/prediction_service.proto",
    ];
    let descriptors = protox::compile(files, [root])?;
    let mut config = prost_build::Config::new();
    // A model may be 16 MB: hand its bytes on, do not copy them.
    config
        .bytes(["."])
        // What is written comes out in one order.
        .btree_map([".tensorflow"])
        .compile_fds(descriptors)?;
    Ok(())
}
