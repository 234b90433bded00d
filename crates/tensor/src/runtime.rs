//! What runs graphs: this crate itself, or an optional library that is loaded when it is needed.
//!
//! A library is code of this process: it is looked for where the environment and the system say,
//! loaded once, and stays. Nothing of it is needed to build.

#[cfg(feature = "libtensorflow")]
pub(crate) mod libtensorflow;
#[cfg(any(feature = "libtensorflow", feature = "onnxruntime"))]
mod numbers;
#[cfg(feature = "onnxruntime")]
pub(crate) mod onnxruntime;
#[cfg(any(feature = "libtensorflow", feature = "onnxruntime"))]
mod places;

use crate::Error;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What runs a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    /// This crate, with tract: always there.
    Native,
    /// TensorFlow's library, for GraphDefs and SavedModels: the feature `libtensorflow`.
    LibTensorflow,
    /// ONNX Runtime's library, for ONNX files: the feature `onnxruntime`.
    OnnxRuntime,
}

impl Runtime {
    /// All of them.
    pub const ALL: [Runtime; 3] = [
        Runtime::Native,
        Runtime::LibTensorflow,
        Runtime::OnnxRuntime,
    ];

    /// The name in settings, which is that of the feature, too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Runtime::Native => "native",
            Runtime::LibTensorflow => "libtensorflow",
            Runtime::OnnxRuntime => "onnxruntime",
        }
    }

    /// Whether this program was built with it.
    #[must_use]
    pub fn is_compiled(self) -> bool {
        match self {
            Runtime::Native => true,
            Runtime::LibTensorflow => cfg!(feature = "libtensorflow"),
            Runtime::OnnxRuntime => cfg!(feature = "onnxruntime"),
        }
    }

    /// Looks for the runtime's library, and loads it unless it is loaded already.
    ///
    /// # Errors
    /// [`Error::NoRuntime`] if this program was built without it, or if its library is not there,
    /// is something else, or is too old.
    pub fn find(self) -> Result<Found, Error> {
        match self {
            Runtime::Native => Ok(Found {
                path: None,
                version: env!("CARGO_PKG_VERSION").to_owned(),
            }),
            #[cfg(feature = "libtensorflow")]
            Runtime::LibTensorflow => libtensorflow::library(),
            #[cfg(feature = "onnxruntime")]
            Runtime::OnnxRuntime => onnxruntime::library(),
            #[cfg(not(all(feature = "libtensorflow", feature = "onnxruntime")))]
            other => Err(Error::NoRuntime {
                runtime: other,
                reason: format!("this program was built without the feature `{other}`"),
            }),
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no runtime has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no runtime `{0}`, there are: native, libtensorflow, onnxruntime")]
pub struct UnknownRuntime(String);

impl FromStr for Runtime {
    type Err = UnknownRuntime;

    fn from_str(name: &str) -> Result<Runtime, UnknownRuntime> {
        Runtime::ALL
            .into_iter()
            .find(|runtime| runtime.name() == name)
            .ok_or_else(|| UnknownRuntime(name.to_owned()))
    }
}

/// A runtime that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The library's file; `None` if there is no library.
    pub path: Option<PathBuf>,
    /// Its version, in its own words.
    pub version: String,
}

/// Every runtime, and whether it is there: its library is looked for and loaded.
#[must_use]
pub fn runtimes() -> Vec<(Runtime, Result<Found, Error>)> {
    Runtime::ALL
        .into_iter()
        .map(|runtime| (runtime, runtime.find()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Runtime;

    #[test]
    fn names_are_read_back() {
        for runtime in Runtime::ALL {
            assert_eq!(runtime.to_string().parse(), Ok(runtime));
        }
        let error = "tensorflow".parse::<Runtime>().unwrap_err().to_string();
        assert!(error.contains("`tensorflow`") && error.contains("libtensorflow"));
    }

    #[test]
    fn what_is_not_compiled_in_says_so() {
        for runtime in Runtime::ALL {
            match runtime.find() {
                Ok(found) => assert!(!found.version.is_empty() && runtime.is_compiled()),
                Err(error) if !runtime.is_compiled() => {
                    assert!(error.to_string().contains("without the feature"), "{error}");
                }
                Err(error) => assert!(!error.to_string().contains("feature"), "{error}"),
            }
        }
    }
}
