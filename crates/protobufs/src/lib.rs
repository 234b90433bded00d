//! The wire contract, and the messages of TensorFlow Serving: generated from the files in `proto`,
//! and nothing else.
//!
//! Fields of type `bytes` are [`bytes::Bytes`]: decoding from `Bytes` shares, it does not copy.

include!(concat!(env!("OUT_DIR"), "/_.rs"));

/// Messages of TensorFlow, as far as they are used here.
#[expect(missing_docs, reason = "the files leave out TensorFlow's own comments")]
pub mod tensorflow {
    include!(concat!(env!("OUT_DIR"), "/tensorflow.rs"));

    /// Codes of errors.
    pub mod error {
        include!(concat!(env!("OUT_DIR"), "/tensorflow.error.rs"));
    }

    /// Messages of TensorFlow Serving, as far as they are used here.
    pub mod serving {
        include!(concat!(env!("OUT_DIR"), "/tensorflow.serving.rs"));
    }
}
