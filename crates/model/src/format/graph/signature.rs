use std::sync::Arc;

use tensor::{Port, Tensor};

use super::reading::Reading;
use super::stack::{Layout, Stack};
use crate::{Detail, Record, Refusal, Schema, Score, ScoreError};

/// The inputs and outputs of a graph that runs elsewhere, held against records of a schema: which
/// tensors to send of records, and what those that come back say of each.
///
/// The rules are those of graphs that run here.
pub struct Signature {
    layout: Arc<Layout>,
    reading: Reading,
    names: Vec<Arc<str>>,
}

/// Records on their way to a graph that runs elsewhere: those that can be fed to it at once.
pub struct Feed {
    stack: Stack,
    names: Vec<Arc<str>>,
}

impl Signature {
    /// The signature with these inputs and outputs. Where the first axis of each input is open, it
    /// is that of the records.
    ///
    /// # Errors
    /// When the inputs need what the schema lacks.
    pub fn new(
        inputs: &[Port],
        outputs: &[Port],
        schema: &Schema,
        detail: Detail,
    ) -> Result<Self, Refusal> {
        let layout = Layout::of(inputs, schema)?;
        let classes = vec![None; outputs.len()];
        Ok(Self {
            reading: Reading::new(outputs, &classes, layout.batch, detail, schema.name()),
            names: inputs
                .iter()
                .map(|port| port.name.as_str().into())
                .collect(),
            layout: Arc::new(layout),
        })
    }

    /// Whether several records can be fed at once.
    #[must_use]
    pub fn takes_batches(&self) -> bool {
        self.layout.batch
    }

    /// Room for records.
    #[must_use]
    pub fn feed(&self) -> Feed {
        Feed {
            stack: Stack::new(Arc::clone(&self.layout)),
            names: self.names.clone(),
        }
    }

    /// What the outputs, in the order of the signature's, say of the `row`th of `rows` records that
    /// were fed at once.
    ///
    /// # Errors
    /// When they say nothing of it, or that the prediction is not a number.
    pub fn score(&self, outputs: &[Tensor], row: usize, rows: usize) -> Result<Score, ScoreError> {
        self.reading.score(outputs, row, rows)
    }
}

impl Feed {
    /// Adds a record. `false`: it cannot be fed together with those that are there.
    ///
    /// # Errors
    /// When the record does not fit the graph's inputs; what is there stays as it is.
    pub fn push(&mut self, record: &Record) -> Result<bool, ScoreError> {
        self.stack.push(record)
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stack.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What to feed, by the names of the inputs.
    pub fn tensors(&mut self) -> impl Iterator<Item = (&str, &Tensor)> {
        let names = self.names.iter().map(|name| &**name);
        names.zip(self.stack.tensors())
    }
}

#[cfg(test)]
mod tests {
    use tensor::{Data, Element};

    use super::*;
    use crate::Value;

    fn port(name: &str, shape: &[Option<usize>]) -> Port {
        Port {
            name: name.to_owned(),
            shape: shape.to_vec(),
            element: Element::Float,
        }
    }

    #[test]
    fn records_become_the_tensors_of_a_request_and_outputs_their_scores() {
        let decoder = crate::decoder("wine").unwrap();
        let inputs = [port("acidity_in", &[None, Some(11)])];
        let outputs = [port("classes", &[None, Some(3)])];
        let schema = decoder.schema();
        let signature = Signature::new(&inputs, &outputs, schema, Detail::Value).unwrap();
        let mut feed = signature.feed();
        let mut record = Record {
            values: (0..11).map(|n| Value::Number(n.into())).collect(),
            ..Record::default()
        };
        assert!(feed.push(&record).unwrap());
        record.values[0] = Value::Missing;
        assert!(feed.push(&record).is_err());
        record.values[0] = Value::Number(7.0);
        assert!(feed.push(&record).unwrap());
        let (name, tensor) = feed.tensors().next().unwrap();
        assert_eq!((name, &tensor.shape[..]), ("acidity_in", &[2, 11][..]));
        let Data::Float(values) = &tensor.data else {
            panic!("{tensor:?}")
        };
        assert_eq!((values[0], values[1], values[11]), (0.0, 1.0, 7.0));
        let data = Data::Float(vec![0.1, 0.7, 0.2, 0.5, 0.3, 0.2]);
        let shape = vec![2, 3];
        let outputs = [Tensor { shape, data }];
        let value = |row| signature.score(&outputs, row, 2).unwrap().value;
        assert_eq!((value(0), value(1)), (Some(1.0), Some(0.0)));
        assert!(signature.score(&[], 0, 2).is_err());
    }
}
