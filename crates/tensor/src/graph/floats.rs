//! Rows of 32-bit numbers, fed as they are.

use super::{Engine, Graph};
use crate::{Element, Error, Scratch};

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
        let result = match &self.engine {
            Engine::Native(native) => native.run_floats(rows, count, form, scratch, outputs),
            #[cfg(any(feature = "libtensorflow", feature = "onnxruntime"))]
            _ => {
                let rows: Vec<f64> = rows.iter().map(|number| f64::from(*number)).collect();
                return self.run_rows(&rows, count, scratch, outputs);
            }
        };
        if result.is_err() {
            outputs.clear();
        }
        result
    }
}
