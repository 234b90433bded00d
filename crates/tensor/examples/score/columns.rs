//! Which columns of a file are fed to which inputs.

use crate::records::Record;
use std::error::Error;
use tensor::{Data, Element, Graph, Port, Tensor};

/// For each input of a graph, the columns it takes.
pub(crate) struct Columns {
    of_inputs: Vec<Vec<usize>>,
    first_is_header: bool,
}

impl Columns {
    /// Looks at the first record, which may be a header.
    pub(crate) fn new(
        graph: &Graph,
        first: &Record,
        file: &str,
    ) -> Result<Columns, Box<dyn Error>> {
        let cells = &first.cells;
        for alike in [exactly as fn(&str) -> String, loosely] {
            if let Some(of_inputs) = by_name(graph, cells, alike) {
                return Ok(Columns {
                    of_inputs,
                    first_is_header: true,
                });
            }
        }
        let mut of_inputs = Vec::new();
        let mut start = 0;
        for (number, port) in graph.inputs().iter().enumerate() {
            let is_last = number + 1 == graph.inputs().len();
            let width = match width(port) {
                Some(width) => width,
                None if is_last => cells.len().saturating_sub(start),
                None => {
                    return Err(format!(
                        "{file}:{}: how many columns input `{}` takes is not known; name the \
                         columns in a header",
                        first.line, port.name
                    )
                    .into());
                }
            };
            of_inputs.push((start..start + width).collect::<Vec<usize>>());
            start += width;
        }
        if cells.len() < start {
            return Err(too_few(file, first, start).into());
        }
        // A name where a number is due.
        let is_name = |(port, columns): (&Port, &Vec<usize>)| {
            let is_number = |column: &usize| {
                let cell = cells.get(*column).map_or("", String::as_str);
                cell.is_empty() || number(cell).is_some()
            };
            port.element != Element::Text && !columns.iter().all(is_number)
        };
        let first_is_header = graph.inputs().iter().zip(&of_inputs).any(is_name);
        Ok(Columns {
            of_inputs,
            first_is_header,
        })
    }

    pub(crate) fn first_is_header(&self) -> bool {
        self.first_is_header
    }

    /// A tensor for each input, of all records.
    pub(crate) fn tensors(
        &self,
        graph: &Graph,
        records: &[Record],
        file: &str,
    ) -> Result<Vec<Tensor>, Box<dyn Error>> {
        let mut tensors = Vec::new();
        for (port, columns) in graph.inputs().iter().zip(&self.of_inputs) {
            let mut shape = port.shape.iter();
            let batch = shape.next().map(|axis| axis.unwrap_or(records.len()));
            let inner = shape.map(|axis| axis.unwrap_or(columns.len()));
            let shape: Vec<usize> = batch.into_iter().chain(inner).collect();
            let data = data(port, columns, records, file)?;
            let tensor = Tensor::new(shape, data)
                .map_err(|cause| format!("{file}: input `{}` cannot be fed: {cause}", port.name))?;
            tensors.push(tensor);
        }
        Ok(tensors)
    }
}

/// The values of an input for one record, where that is known.
fn width(port: &Port) -> Option<usize> {
    let inner = match port.shape.split_first() {
        Some((None, inner)) => inner,
        _ => &port.shape,
    };
    inner
        .iter()
        .try_fold(1usize, |volume, axis| volume.checked_mul((*axis)?))
}

fn exactly(name: &str) -> String {
    name.to_owned()
}

/// A name without what spreadsheets and exporters change.
fn loosely(name: &str) -> String {
    let name = name.rsplit_once(':').map_or(name, |(name, output)| {
        if output.chars().all(|c| c.is_ascii_digit()) {
            name
        } else {
            output
        }
    });
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// The columns of every input, if a header names them all: an input of several values by its name
/// and a number from zero on.
fn by_name(graph: &Graph, header: &[String], alike: fn(&str) -> String) -> Option<Vec<Vec<usize>>> {
    let find = |name: &str| header.iter().position(|cell| alike(cell) == alike(name));
    let of_input = |port: &Port| match width(port)? {
        1 => find(&port.name).map(|column| vec![column]),
        several => (0..several)
            .map(|number| find(&format!("{}_{number}", port.name)))
            .collect(),
    };
    graph.inputs().iter().map(of_input).collect()
}

fn too_few(file: &str, record: &Record, needed: usize) -> String {
    format!(
        "{file}:{}: there are {} columns, the model takes {needed}",
        record.line,
        record.cells.len()
    )
}

/// A number as files have it.
fn number(cell: &str) -> Option<f64> {
    match cell.parse() {
        Ok(number) => Some(number),
        Err(_) if cell.eq_ignore_ascii_case("true") => Some(1.0),
        Err(_) if cell.eq_ignore_ascii_case("false") => Some(0.0),
        Err(_) => None,
    }
}

/// The values of an input of all records, one record after the other.
fn data(
    port: &Port,
    columns: &[usize],
    records: &[Record],
    file: &str,
) -> Result<Data, Box<dyn Error>> {
    let mut cells = Vec::with_capacity(records.len() * columns.len());
    for record in records {
        for column in columns {
            let cell = record.cells.get(*column);
            let needed = columns.iter().max().map_or(0, |column| column + 1);
            let cell = cell.ok_or_else(|| too_few(file, record, needed))?;
            cells.push((record.line, *column, cell.as_str()));
        }
    }
    let wrong = |(line, column, cell): &(usize, usize, &str), what: &str| {
        format!(
            "{file}:{line}: column {}: `{cell}` is no {what}, which input `{}` takes",
            column + 1,
            port.name
        )
    };
    // A number that is not there is none.
    let real = |place: &(usize, usize, &str)| match place.2 {
        "" => Ok(f64::NAN),
        cell => number(cell).ok_or_else(|| wrong(place, "number")),
    };
    let whole = |place: &(usize, usize, &str)| {
        if let Ok(number) = place.2.parse::<i64>() {
            return Ok(number);
        }
        let limit = 2f64.powi(63);
        match number(place.2) {
            Some(n) if n.trunc() == n && n >= -limit && n < limit => Ok(n as i64),
            _ => Err(wrong(place, "integer")),
        }
    };
    Ok(match port.element {
        Element::Float => {
            // Rounded once: twice may be another number.
            let single = |place: &(usize, usize, &str)| match place.2.parse::<f32>() {
                Ok(number) => Ok(number),
                Err(_) => real(place).map(|number| number as f32),
            };
            Data::Float(cells.iter().map(single).collect::<Result<_, _>>()?)
        }
        Element::Double => Data::Double(cells.iter().map(real).collect::<Result<_, _>>()?),
        Element::Int64 => Data::Int64(cells.iter().map(whole).collect::<Result<_, _>>()?),
        Element::Int32 => {
            let small = |place| {
                let number = whole(place)?;
                i32::try_from(number).map_err(|_| wrong(place, "32-bit integer"))
            };
            Data::Int32(cells.iter().map(small).collect::<Result<_, _>>()?)
        }
        Element::Bool => {
            let truth = |place| match real(place)? {
                0.0 => Ok(false),
                1.0 => Ok(true),
                _ => Err(wrong(place, "truth value")),
            };
            Data::Bool(cells.iter().map(truth).collect::<Result<_, _>>()?)
        }
        Element::Text => Data::Text(cells.iter().map(|cell| cell.2.to_owned()).collect()),
    })
}
