//! `ModelVerification` (PMML 4.4, Model Verification): a document's own test.

use std::collections::HashMap;

use crate::document::Element;
use crate::expression_reader::is_column;
use crate::model::{Detail, Model, Prediction};
use crate::value::{Value, parse_number};
use crate::{Error, ScoreError};

/// A field of the verification records.
struct Field<'a> {
    name: &'a str,
    column: &'a str,
    precision: f64,
    zero: f64,
}

impl Field<'_> {
    /// Whether a result is as good as the expected one: numbers may differ a little.
    fn accepts(&self, expected: &str, found: &str) -> bool {
        let (Some(x), Some(y)) = (parse_number(expected), parse_number(found)) else {
            return expected.trim() == found;
        };
        if x.abs() <= self.zero && y.abs() <= self.zero || x.is_nan() && y.is_nan() {
            return true;
        }
        let (low, high) = (x * (1.0 - self.precision), x * (1.0 + self.precision));
        x == y || low.min(high) <= y && y <= low.max(high)
    }
}

/// Scores the records of a model's verification, if it has any, and compares.
///
/// # Errors
///
/// When a record cannot be scored, or the result differs from the document's.
pub(crate) fn verify(model: &Model, element: Element<'_>) -> Result<(), Error> {
    let Some(verification) = element.first("ModelVerification") else {
        return Ok(());
    };
    let mut fields = Vec::new();
    for field in verification
        .required_child("VerificationFields")?
        .all("VerificationField")
    {
        let name = field.required("field")?;
        fields.push(Field {
            name,
            column: field.attribute("column").unwrap_or(name),
            precision: field.number("precision")?.unwrap_or(1e-6),
            zero: field.number("zeroThreshold")?.unwrap_or(1e-16),
        });
    }
    let outputs: Vec<&str> = model
        .unit
        .outputs
        .iter()
        .map(|output| &*output.name)
        .collect();
    let target = model.target.as_deref();
    let by_output = fields.iter().any(|field| outputs.contains(&field.name));
    let mut row = model.row();
    let mut prediction = Prediction {
        detail: Detail::All,
        ..Prediction::default()
    };
    for (number, record) in verification
        .required_child("InlineTable")?
        .all("row")
        .enumerate()
    {
        let number = number + 1;
        let mut cells: HashMap<&str, String> = HashMap::new();
        for (name, cell) in record.cells() {
            for field in fields.iter().filter(|field| is_column(name, field.column)) {
                cells.insert(field.name, cell.text());
            }
        }
        cells.retain(|_, text| !text.is_empty());
        for (place, input) in model.inputs().iter().enumerate() {
            match cells.get(&*input.name) {
                Some(text) => row.set_text(place, text),
                None => row.set_missing(place),
            }
        }
        model
            .score(&mut row, &mut prediction)
            .map_err(|source| Error::VerificationFailed {
                record: number,
                source,
            })?;
        for field in &fields {
            let Some(expected) = cells.get(field.name) else {
                continue;
            };
            let found = if outputs.contains(&field.name) {
                output(model, &mut row, field.name).map_err(|source| Error::VerificationFailed {
                    record: number,
                    source,
                })?
            } else if !by_output && target == Some(field.name) {
                match (&prediction.label, prediction.value) {
                    (Some(label), _) => label.to_string(),
                    (None, Some(value)) => value.to_string(),
                    (None, None) => "missing".to_owned(),
                }
            } else {
                continue;
            };
            if !field.accepts(expected, &found) {
                return Err(Error::Verification {
                    record: number,
                    field: field.name.to_owned(),
                    expected: expected.clone(),
                    found,
                });
            }
        }
    }
    Ok(())
}

/// The text of an output field, final or not.
fn output(model: &Model, row: &mut crate::Row, name: &str) -> Result<String, ScoreError> {
    let Some(output) = model
        .unit
        .outputs
        .iter()
        .find(|output| *output.name == *name)
    else {
        return Ok("missing".to_owned());
    };
    let value: Value = model.program.value(&mut row.frame, output.slot)?;
    Ok(value.to_text(&row.frame.texts))
}
