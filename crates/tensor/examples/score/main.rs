//! Scores the records of a CSV file with a model, and prints its outputs as CSV.
//!
//! ```text
//! cargo run -p tensor --example score -- data/models/winequality.pb data/winequality_red.csv
//! ```

mod columns;
mod records;

use clap::Parser;
use columns::Columns;
use records::Records;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tensor::{Data, Graph, Options, Runtime, Tensor};

/// The largest model that is read, in bytes.
const LARGEST: u64 = 2 << 30;
/// Records that are scored at once, at most.
const BATCH: usize = 1024;

/// Scores the records of a CSV file with a model, and prints its outputs as CSV.
///
/// Columns are taken in order, as many as the inputs of the model have values; or by name, where
/// the file has a header that names every input. One row is printed for each record, after a
/// header; an output of several values becomes columns that are named by class or numbered.
#[derive(Parser)]
struct Arguments {
    /// A SavedModel directory, a .onnx file, or a frozen GraphDef.
    model: PathBuf,
    /// A file of comma- or semicolon-separated values, with or without a header; `-` for standard
    /// input.
    records: PathBuf,
    /// A value of the graph to feed; repeat it in the order of the columns.
    #[arg(long, value_name = "NAME")]
    input: Vec<String>,
    /// A value of the graph to print; repeat it in the order wanted.
    #[arg(long, value_name = "NAME")]
    output: Vec<String>,
    /// The signature of a SavedModel.
    #[arg(long, value_name = "NAME")]
    signature: Option<String>,
    /// A tag of the graph of a SavedModel; repeat it for several.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// What runs the model: native, libtensorflow or onnxruntime; natively where that can be, if
    /// nothing is said.
    #[arg(long, value_name = "RUNTIME")]
    runtime: Option<Runtime>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever reads the output may have read enough.
            let cause = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if cause == Some(ErrorKind::BrokenPipe) {
                return ExitCode::SUCCESS;
            }
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let options = Options {
        inputs: arguments.input,
        outputs: arguments.output,
        signature: arguments.signature,
        tags: arguments.tag,
        runtime: arguments.runtime,
    };
    let graph = Graph::open(&arguments.model, LARGEST, &options).map_err(|cause| match cause {
        tensor::Error::Read { .. } => cause.to_string(),
        _ => format!("{}: {cause}{}", arguments.model.display(), hint(&cause)),
    })?;
    let name = arguments.records.display().to_string();
    let source: Box<dyn BufRead> = if name == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&arguments.records).map_err(|cause| format!("{name}: {cause}"))?;
        Box::new(BufReader::new(file))
    };
    let mut records = Records::new(name, source);
    let first = records.next().transpose()?;
    let Some(first) = first else {
        return Err(format!("{}: there are no records", records.name()).into());
    };
    let columns = Columns::new(&graph, &first, records.name())?;

    // A graph without an open axis takes one record at a time.
    let open = |port: &tensor::Port| port.shape.first() == Some(&None);
    let limit = if graph.inputs().iter().any(open) {
        BATCH
    } else {
        1
    };
    let mut batch = Vec::new();
    if !columns.first_is_header() {
        batch.push(first);
    }
    let mut scratch = graph.scratch();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut header = true;
    loop {
        while batch.len() < limit
            && let Some(record) = records.next()
        {
            batch.push(record?);
        }
        if batch.is_empty() {
            break;
        }
        let tensors = columns.tensors(&graph, &batch, records.name())?;
        let lines = (batch[0].line, batch[batch.len() - 1].line);
        let outputs = graph.run(&tensors, &mut scratch).map_err(|cause| {
            format!(
                "{}: lines {} to {}: {cause}",
                records.name(),
                lines.0,
                lines.1
            )
        })?;
        print(&mut out, &graph, &outputs, batch.len(), &mut header)?;
        batch.clear();
    }
    out.flush()?;
    Ok(())
}

/// What to do about an error.
fn hint(error: &tensor::Error) -> &'static str {
    match error {
        tensor::Error::Ambiguous {
            role: tensor::Role::Input,
            ..
        }
        | tensor::Error::Unbound { .. } => "; name them with --input",
        tensor::Error::Ambiguous {
            role: tensor::Role::Output,
            ..
        } => "; name them with --output",
        tensor::Error::Malformed { .. } => {
            "; a .onnx file, a frozen GraphDef or a SavedModel directory is expected"
        }
        _ => "",
    }
}

fn print(
    out: &mut impl Write,
    graph: &Graph,
    outputs: &[Tensor],
    count: usize,
    header: &mut bool,
) -> Result<(), Box<dyn Error>> {
    let mut widths = Vec::new();
    for (port, output) in graph.outputs().iter().zip(outputs) {
        let length = output.data.len();
        // One behind the other, or, as some labels of scikit-learn, side by side.
        let by_record =
            count == 1 || output.shape.first() == Some(&count) || output.shape == [1, count];
        if !by_record || length % count != 0 {
            return Err(format!(
                "output `{}` has no value for each record: it is {:?} for {count} of them; \
                 choose others with --output",
                port.name, output.shape
            )
            .into());
        }
        widths.push(length / count);
    }
    if std::mem::take(header) {
        let mut names = Vec::new();
        for (number, (port, width)) in graph.outputs().iter().zip(&widths).enumerate() {
            let classes = graph.classes(number).filter(|names| names.len() == *width);
            names.extend(match (classes, width) {
                (Some(classes), _) => classes
                    .iter()
                    .map(|class| quoted(&format!("{}_{class}", port.name)))
                    .collect(),
                (None, 1) => vec![quoted(&port.name)],
                (None, _) => (0..*width)
                    .map(|column| quoted(&format!("{}_{column}", port.name)))
                    .collect(),
            });
        }
        writeln!(out, "{}", names.join(","))?;
    }
    for row in 0..count {
        let mut first = true;
        for (output, width) in outputs.iter().zip(&widths) {
            for index in row * width..(row + 1) * width {
                if !std::mem::take(&mut first) {
                    out.write_all(b",")?;
                }
                out.write_all(cell(&output.data, index).as_bytes())?;
            }
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// An element as text that reads back as the same, in double precision: a number of single precision
/// may need more digits for that than it is known to.
fn cell(data: &Data, index: usize) -> String {
    match data {
        Data::Float(values) => number(values[index].into()),
        Data::Double(values) => number(values[index]),
        Data::Int32(values) => values[index].to_string(),
        Data::Int64(values) => values[index].to_string(),
        Data::Bool(values) => values[index].to_string(),
        Data::Text(values) => quoted(&values[index]),
    }
}

fn number(value: f64) -> String {
    let is_plain = !value.is_finite() || value == 0.0 || (1e-5..1e16).contains(&value.abs());
    if is_plain {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}

fn quoted(text: &str) -> String {
    let special = text.contains([',', ';', '"', '\n', '\r']) || text.trim() != text;
    if special {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
