//! Scores the rows of a table: `cargo run -p pmml --example evaluate -- MODEL.pmml INPUT.csv`.
//!
//! The input's first line names the fields, which are matched exactly; an empty cell is a missing
//! value, a number is a number, and everything else is text. Printed are, for every row, value,
//! label, probabilities, output fields, and why the row could not be scored.

use std::error::Error;
use std::io::{BufWriter, Write};

use pmml::{Detail, Model, OutputValue, Prediction};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, table] = &arguments[..] else {
        return Err("usage: score MODEL.pmml INPUT.csv".into());
    };
    let model = Model::load(&std::fs::read(model)?)?;
    let table = std::fs::read_to_string(table)?;
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let columns = model
        .inputs()
        .iter()
        .map(|input| {
            let place = header.iter().position(|name| *name == input.name);
            place.ok_or_else(|| format!("the table has no column `{}`", input.name))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut row = model.row();
    let mut prediction = Prediction {
        detail: Detail::All,
        ..Prediction::default()
    };
    let mut output = BufWriter::new(std::io::stdout().lock());
    for (number, line) in lines.enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        for (input, column) in columns.iter().enumerate() {
            match cells.get(*column) {
                None | Some(&"") => row.set_missing(input),
                Some(cell) => match cell.parse() {
                    Ok(value) => row.set_number(input, value),
                    Err(_) => row.set_text(input, cell),
                },
            }
        }
        let result = model.score(&mut row, &mut prediction);
        if number == 0 {
            let mut names = vec!["value".to_owned(), "label".to_owned(), "error".to_owned()];
            names.extend(
                prediction
                    .probabilities
                    .iter()
                    .map(|(c, _)| format!("probability_{c}")),
            );
            names.extend(prediction.outputs.iter().map(|(name, _)| name.to_string()));
            writeln!(output, "{}", names.join(","))?;
        }
        if let Err(error) = result {
            writeln!(output, ",,{}", error.to_string().replace(',', ";"))?;
            continue;
        }
        let value = prediction
            .value
            .map(|value| value.to_string())
            .unwrap_or_default();
        write!(
            output,
            "{value},{},",
            prediction.label.as_deref().unwrap_or_default()
        )?;
        for (_, probability) in &prediction.probabilities {
            write!(output, ",{probability}")?;
        }
        for (_, value) in &prediction.outputs {
            match value {
                OutputValue::Missing => write!(output, ",")?,
                OutputValue::Number(value) => write!(output, ",{value}")?,
                OutputValue::Text(value) => write!(output, ",{value}")?,
                OutputValue::Boolean(value) => write!(output, ",{value}")?,
            }
        }
        writeln!(output)?;
    }
    Ok(output.flush()?)
}
