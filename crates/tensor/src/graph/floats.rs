//! Rows of 32-bit numbers, fed as they are.

use super::{Graph, Scratch, append};
use crate::{Element, Error};
use tract_onnx::tract_hir::internal::{IntoTValue, Tensor as Value};

impl Graph {
    /// As [`Graph::run_rows`], of a graph whose input is [`Element::Float`]: the rows are copied,
    /// not converted.
    ///
    /// # Errors
    /// As of [`Graph::run_rows`]; [`Error::NotRows`] also if the input is of another type.
    pub fn run_floats(
        &self,
        rows: &[f32],
        count: usize,
        scratch: &mut Scratch,
        outputs: &mut Vec<f64>,
    ) -> Result<usize, Error> {
        outputs.clear();
        let form = self.rows.as_ref().map_err(|reason| Error::NotRows {
            reason: reason.clone(),
        })?;
        if let Some(input) = self.inputs.iter().find(|i| i.element != Element::Float) {
            return Err(Error::NotRows {
                reason: format!("its input `{}` is {}", input.name, input.describe()),
            });
        }
        if count.checked_mul(form.width) != Some(rows.len()) {
            return Err(Error::WrongRows {
                count,
                width: form.width,
                found: rows.len(),
            });
        }
        if count == 0 {
            return Ok(form.output.unwrap_or(0));
        }
        // All rows are one run, or each is one.
        let at_once = if form.batched { count } else { 1 };
        let shape = [at_once, form.width];
        let shape = if form.axis { &shape[..] } else { &shape[1..] };
        let result = scratch.guarded(&self.runnable, |state| {
            let mut values = 0;
            for rows in rows.chunks_exact(at_once * form.width) {
                let input = Value::from_shape(shape, rows)?.into_tvalue();
                let results = state.run([input].into_iter().collect())?;
                if let Some(result) = results.first() {
                    let before = outputs.len();
                    append(result, outputs)?;
                    values = (outputs.len() - before) / at_once;
                }
            }
            Ok(values)
        });
        if result.is_err() {
            outputs.clear();
        }
        result
    }
}
