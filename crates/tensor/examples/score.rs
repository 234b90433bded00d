//! Scores the rows of a CSV file with a model file, and prints the outputs as CSV.
//!
//! `cargo run -p tensor --example score -- MODEL INPUT.csv [--input NAME]... [--output NAME]...`
//!
//! MODEL ends in `.pb` (a frozen TensorFlow graph) or in `.onnx`. The input has a row of numbers
//! for each record, separated by `,` or `;`; a first row that is not numbers is skipped. A graph
//! of several inputs gets the columns in order: as many for each input as its last axis is long.
//! Columns beyond those are left aside.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use tensor::{Data, Element, Graph, Options, Port, Tensor};

const USAGE: &str = "usage: score MODEL INPUT.csv [--input NAME]... [--output NAME]...";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let mut options = Options::default();
    let mut files = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--input" => options.inputs.push(arguments.next().ok_or(USAGE)?),
            "--output" => options.outputs.push(arguments.next().ok_or(USAGE)?),
            _ => files.push(argument),
        }
    }
    let [model, input] = files.as_slice() else {
        return Err(USAGE.into());
    };
    let bytes = fs::read(model)?;
    let graph = if model.ends_with(".onnx") {
        Graph::from_onnx(&bytes, &options)?
    } else {
        Graph::from_graphdef(&bytes, &options)?
    };
    let rows = rows(&fs::read_to_string(input)?)?;
    // A graph without an open axis takes one record at a time.
    let batched = graph.inputs().iter().any(|port| port.shape.contains(&None));
    let mut scratch = graph.scratch();
    for (number, rows) in rows
        .chunks(if batched { rows.len().max(1) } else { 1 })
        .enumerate()
    {
        let outputs = graph.run(&tensors(&graph, rows)?, &mut scratch)?;
        print(&graph, &outputs, rows.len(), number == 0)?;
    }
    Ok(())
}

fn rows(text: &str) -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let cells = line.split([',', ';']).map(|cell| cell.trim().parse());
        match cells.collect::<Result<Vec<f64>, _>>() {
            Ok(row) => rows.push(row),
            Err(_) if number == 0 => {}
            Err(cause) => return Err(format!("line {}: {cause}", number + 1).into()),
        }
    }
    Ok(rows)
}

fn tensors(graph: &Graph, rows: &[Vec<f64>]) -> Result<Vec<Tensor>, Box<dyn Error>> {
    let mut tensors = Vec::new();
    let mut first = 0;
    for port in graph.inputs() {
        let width = match port.shape.as_slice() {
            [] | [None] => 1,
            [Some(width)] | [None | Some(1), Some(width)] => *width,
            _ => return Err(format!("cannot feed rows to `{}`", port.name).into()),
        };
        let mut values = Vec::with_capacity(rows.len() * width);
        for row in rows {
            values.extend(row.get(first..first + width).ok_or("too few columns")?);
        }
        first += width;
        let shape = port
            .shape
            .iter()
            .map(|axis| axis.unwrap_or(rows.len()))
            .collect();
        tensors.push(Tensor::new(shape, data(port, values)?)?);
    }
    Ok(tensors)
}

fn data(port: &Port, values: Vec<f64>) -> Result<Data, Box<dyn Error>> {
    Ok(match port.element {
        Element::Float => Data::Float(values.into_iter().map(|value| value as f32).collect()),
        Element::Double => Data::Double(values),
        Element::Int32 => Data::Int32(values.into_iter().map(|value| value as i32).collect()),
        Element::Int64 => Data::Int64(values.into_iter().map(|value| value as i64).collect()),
        Element::Bool => Data::Bool(values.into_iter().map(|value| value != 0.0).collect()),
        Element::Text => return Err(format!("cannot feed numbers to `{}`", port.name).into()),
    })
}

/// A column for each output of one value a row, `name_0`, `name_1` and so on for one of several.
fn print(graph: &Graph, outputs: &[Tensor], count: usize, with_header: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let widths: Vec<usize> = outputs
        .iter()
        .map(|output| output.data.len() / count.max(1))
        .collect();
    let mut header = Vec::new();
    for (port, width) in graph.outputs().iter().zip(&widths) {
        match width {
            1 => header.push(port.name.clone()),
            _ => header.extend((0..*width).map(|column| format!("{}_{column}", port.name))),
        }
    }
    if with_header {
        writeln!(out, "{}", header.join(","))?;
    }
    for row in 0..count {
        let mut cells = Vec::new();
        for (output, width) in outputs.iter().zip(&widths) {
            cells.extend((row * width..(row + 1) * width).map(|index| cell(&output.data, index)));
        }
        writeln!(out, "{}", cells.join(","))?;
    }
    Ok(())
}

fn cell(data: &Data, index: usize) -> String {
    match data {
        Data::Float(values) => values[index].to_string(),
        Data::Double(values) => values[index].to_string(),
        Data::Int32(values) => values[index].to_string(),
        Data::Int64(values) => values[index].to_string(),
        Data::Bool(values) => values[index].to_string(),
        Data::Text(values) => values[index].clone(),
    }
}
