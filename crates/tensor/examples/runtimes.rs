//! Says which runtimes are there, where their libraries were found, and in which versions.
//!
//! `cargo run -p tensor --features libtensorflow,onnxruntime --example runtimes`

use std::io::{self, Write};
use tensor::Error;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (runtime, found) in tensor::runtimes() {
        let name = runtime.name();
        match found {
            Ok(found) => {
                let version = found.version;
                match found.path {
                    Some(path) => writeln!(out, "{name}: {version}, {}", path.display())?,
                    None => writeln!(out, "{name}: {version}, built in")?,
                }
            }
            Err(_) if !runtime.is_compiled() => {
                writeln!(out, "{name}: not built in, build with --features {name}")?;
            }
            Err(Error::NoRuntime { reason, .. }) => writeln!(out, "{name}: not found: {reason}")?,
            Err(error) => writeln!(out, "{name}: {error}")?,
        }
    }
    Ok(())
}
