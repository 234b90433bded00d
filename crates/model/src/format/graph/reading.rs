use std::ops::Range;
use std::sync::Arc;

use tensor::{Data, Element, Graph, Port, Tensor};

use crate::{Detail, Score, ScoreError};

/// What the outputs of a graph say of a record.
///
/// One output decides on value and label. It is the first, unless the graph is a classifier that
/// has its labels elsewhere: in an output called `label` or `output_label`, as exports to ONNX-ML
/// have it, or, if the probabilities of named classes are among the outputs, in the first of
/// integers or texts.
pub(super) struct Reading {
    names: Vec<Arc<str>>,
    value: usize,
    /// The output of probabilities, and the names of its classes.
    probabilities: Option<(usize, Vec<Arc<str>>)>,
    detail: Detail,
    /// Whether the graph takes several records at once.
    batch: bool,
    schema: &'static str,
}

impl Reading {
    pub(super) fn of(graph: &Graph, batch: bool, detail: Detail, schema: &'static str) -> Self {
        let classes: Vec<_> = (0..graph.outputs().len())
            .map(|output| graph.classes(output))
            .collect();
        Self::new(graph.outputs(), &classes, batch, detail, schema)
    }

    /// `classes`: of each output, the names of those whose probabilities it holds.
    pub(super) fn new(
        ports: &[Port],
        classes: &[Option<&[String]>],
        batch: bool,
        detail: Detail,
        schema: &'static str,
    ) -> Self {
        let mut named = classes.iter().enumerate();
        let probabilities = named.find_map(|(output, classes)| {
            let names = (*classes)?.iter().map(|name| name.as_str().into());
            Some((output, names.collect()))
        });
        let called = |name: &str| ports.iter().position(|p| p.name == name && is_label(p));
        let first = || ports.iter().position(is_label);
        let value = called("label")
            .or_else(|| called("output_label"))
            .or_else(|| probabilities.is_some().then(first)?);
        Self {
            names: ports.iter().map(|port| port.name.as_str().into()).collect(),
            value: value.unwrap_or(0),
            probabilities,
            detail,
            batch,
            schema,
        }
    }

    /// What the outputs say of the record that is the `row`th of `rows`.
    pub(super) fn score(
        &self,
        outputs: &[Tensor],
        row: usize,
        rows: usize,
    ) -> Result<Score, ScoreError> {
        let output = outputs.get(self.value);
        let (output, part, _) = output
            .and_then(|output| self.part(output, row, rows))
            .ok_or_else(|| ScoreError::Output {
                output: self
                    .names
                    .get(self.value)
                    .map_or_else(String::new, ToString::to_string),
                schema: self.schema,
            })?;
        let mut score = interpret(&output.data, part)?;
        if self.detail == Detail::Value {
            return Ok(score);
        }
        if let Some((output, classes)) = &self.probabilities
            && let Some(output) = outputs.get(*output)
            && let Some((output, part, _)) = self.part(output, row, rows)
            && part.len() == classes.len()
        {
            let class = |(class, place)| Some((Arc::clone(class), number(&output.data, place)?));
            score.probabilities = classes.iter().zip(part).filter_map(class).collect();
        }
        let named = self.names.iter().zip(outputs);
        score.outputs = named
            .filter_map(|(name, output)| {
                let (output, part, shape) = self.part(output, row, rows)?;
                let data = slice(&output.data, part)?;
                let shape = shape.to_vec();
                Some((Arc::clone(name), Tensor { shape, data }))
            })
            .collect();
        Ok(score)
    }

    /// The elements of an output that belong to a record, and their shape: without the first axis,
    /// which is that of the records. A graph that takes one record at a time may have no such axis.
    fn part<'a>(
        &self,
        output: &'a Tensor,
        row: usize,
        rows: usize,
    ) -> Option<(&'a Tensor, Range<usize>, &'a [usize])> {
        match output.shape.split_first() {
            Some((&first, shape)) if first == rows => {
                let width = shape.iter().product::<usize>();
                Some((output, row * width..(row + 1) * width, shape))
            }
            // Labels side by side, as scikit-learn's quadratic discriminant analysis has them.
            Some((1, &[count])) if count == rows => Some((output, row..row + 1, &[])),
            _ if !self.batch => Some((output, 0..output.data.len(), &output.shape)),
            _ => None,
        }
    }
}

/// Whether an output has an integer or a text for each record.
fn is_label(port: &Port) -> bool {
    matches!(port.element, Element::Int64 | Element::Text)
        && matches!(port.shape[..], [] | [_] | [_, Some(1)])
}

fn number(data: &Data, place: usize) -> Option<f64> {
    match data {
        Data::Float(values) => values.get(place).map(|&value| value.into()),
        Data::Double(values) => values.get(place).copied(),
        _ => None,
    }
}

fn slice(data: &Data, part: Range<usize>) -> Option<Data> {
    Some(match data {
        Data::Float(values) => Data::Float(values.get(part)?.to_vec()),
        Data::Double(values) => Data::Double(values.get(part)?.to_vec()),
        Data::Int32(values) => Data::Int32(values.get(part)?.to_vec()),
        Data::Int64(values) => Data::Int64(values.get(part)?.to_vec()),
        Data::Bool(values) => Data::Bool(values.get(part)?.to_vec()),
        Data::Text(values) => Data::Text(values.get(part)?.to_vec()),
    })
}

/// What a part of an output says of a record: a number, or a label, or a vector whose largest
/// element names the class.
fn interpret(output: &Data, part: Range<usize>) -> Result<Score, ScoreError> {
    // An integer is a class; of other numbers nobody knows.
    let mut label = None;
    let value = match output {
        Data::Float(values) => predicted(of(values, part)?)?,
        Data::Double(values) => predicted(of(values, part)?)?,
        Data::Int32(values) => predicted(of(values, part)?)?,
        Data::Int64(values) => {
            let values = of(values, part)?;
            if let [value] = values {
                label = Some(value.to_string().into());
            }
            predicted(values)?
        }
        Data::Bool(values) => {
            let numbers = of(values, part)?.iter().map(|&truth| i32::from(truth));
            predicted(&numbers.collect::<Vec<_>>())?
        }
        Data::Text(values) => {
            let label = of(values, part)?.first().ok_or(ScoreError::NotANumber)?;
            let number = label.trim().parse().ok();
            return Ok(Score {
                // A class called `nan` or `infinity` is no number.
                value: number.filter(|number: &f64| number.is_finite()),
                label: Some(label.as_str().into()),
                ..Score::default()
            });
        }
    };
    Ok(Score {
        value: Some(value),
        label,
        ..Score::default()
    })
}

fn of<T>(values: &[T], part: Range<usize>) -> Result<&[T], ScoreError> {
    values.get(part).ok_or(ScoreError::NotANumber)
}

/// The number, or the index of the largest of several, the first of equals.
pub(super) fn predicted<T: Copy + PartialOrd + ToNumber>(values: &[T]) -> Result<f64, ScoreError> {
    let number = |value: f64| {
        if value.is_nan() {
            Err(ScoreError::NotANumber)
        } else {
            Ok(value)
        }
    };
    match values {
        [] => Err(ScoreError::NotANumber),
        [value] => number(value.to_number()),
        values => {
            let mut largest = 0;
            for (i, value) in values.iter().enumerate() {
                number(value.to_number())?;
                if *value > values[largest] {
                    largest = i;
                }
            }
            Ok(largest as f64)
        }
    }
}

/// Numbers that models predict.
pub(super) trait ToNumber {
    fn to_number(self) -> f64;
}

macro_rules! to_number {
    ($($number:ty),*) => {$(impl ToNumber for $number {
        fn to_number(self) -> f64 {
            self as f64
        }
    })*};
}
to_number!(f32, f64, i32, i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_means_the_index_of_its_largest_element_the_first_of_equals() {
        assert_eq!(predicted(&[0.1_f32, 0.9, 0.9, 0.2]).ok(), Some(1.0));
        assert_eq!(predicted(&[-0.5_f64]).ok(), Some(-0.5));
        assert_eq!(predicted(&[f32::NEG_INFINITY, f32::MIN]).ok(), Some(1.0));
    }

    #[test]
    fn nan_is_no_prediction_wherever_it_stands() {
        for values in [&[f32::NAN][..], &[f32::NAN, 1.0], &[1.0, f32::NAN], &[]] {
            assert!(
                matches!(predicted(values), Err(ScoreError::NotANumber)),
                "{values:?}"
            );
        }
    }

    fn port(name: &str, element: Element, shape: &[Option<usize>]) -> Port {
        Port {
            name: name.to_owned(),
            shape: shape.to_vec(),
            element,
        }
    }

    #[test]
    fn probabilities_have_the_names_of_classes() {
        let classes = ["5".to_owned(), "good".to_owned()];
        let ports = [
            port("scores", Element::Float, &[None, Some(2)]),
            port("class", Element::Text, &[None]),
        ];
        let outputs = [
            Tensor::new(vec![2, 2], Data::Float(vec![0.25, 0.75, 1.0, 0.0])).unwrap(),
            Tensor::new(vec![2], Data::Text(vec!["good".to_owned(), "5".to_owned()])).unwrap(),
        ];
        let named = [Some(&classes[..]), None];
        let reading = Reading::new(&ports, &named, true, Detail::All, "tensor");
        let score = reading.score(&outputs, 0, 2).unwrap();
        assert_eq!((score.value, score.label.as_deref()), (None, Some("good")));
        let probabilities = [("5".into(), 0.25), ("good".into(), 0.75)];
        assert_eq!(score.probabilities, probabilities);
        assert_eq!(score.outputs.len(), 2);
        assert_eq!(&*score.outputs[0].0, "scores");
        assert_eq!(score.outputs[0].1.data, Data::Float(vec![0.25, 0.75]));
        let brief = Reading::new(&ports, &named, true, Detail::Value, "tensor");
        let score = brief.score(&outputs, 1, 2).unwrap();
        assert_eq!(
            (score.value, score.label.as_deref()),
            (Some(5.0), Some("5"))
        );
        assert!(score.probabilities.is_empty() && score.outputs.is_empty());
        // Without names of classes nobody knows that it is a classifier, and the first output counts.
        let unnamed = Reading::new(&ports, &[None, None], true, Detail::All, "tensor");
        let score = unnamed.score(&outputs, 0, 2).unwrap();
        assert_eq!((score.value, score.label), (Some(1.0), None));
        assert!(score.probabilities.is_empty());
    }

    #[test]
    fn labels_may_stand_side_by_side() {
        let ports = [port("label", Element::Int64, &[Some(1), None])];
        let outputs = [Tensor::new(vec![1, 3], Data::Int64(vec![5, 6, 7])).unwrap()];
        let reading = Reading::new(&ports, &[None], true, Detail::Value, "wine");
        let values = (0..3).map(|row| reading.score(&outputs, row, 3).unwrap().value);
        assert_eq!(
            values.collect::<Vec<_>>(),
            [Some(5.0), Some(6.0), Some(7.0)]
        );
    }

    #[test]
    fn an_output_without_a_row_for_each_record_says_nothing_of_one() {
        let ports = [port("total", Element::Float, &[])];
        let outputs = [Tensor::new(vec![], Data::Float(vec![3.0])).unwrap()];
        let score = |batch: bool| {
            let reading = Reading::new(&ports, &[None], batch, Detail::All, "tensor");
            reading.score(&outputs, 0, 1)
        };
        let error = score(true).unwrap_err().to_string();
        let why = "the graph's output `total` has no row for each tensor record";
        assert_eq!(error, why);
        // Fed one record at a time, it is that record's.
        assert_eq!(score(false).unwrap().value, Some(3.0));
    }

    #[test]
    fn a_label_is_a_value_too_where_it_reads_as_a_number() {
        for (label, value) in [
            ("5", Some(5.0)),
            (" -2.5", Some(-2.5)),
            ("good", None),
            ("nan", None),
            ("inf", None),
        ] {
            let output = Data::Text(vec!["other".to_owned(), label.to_owned()]);
            let score = interpret(&output, 1..2).unwrap();
            assert_eq!((score.value, score.label.as_deref()), (value, Some(label)));
        }
        let score = interpret(&Data::Int64(vec![3, -1]), 1..2).unwrap();
        assert_eq!(
            (score.value, score.label.as_deref()),
            (Some(-1.0), Some("-1"))
        );
        let score = interpret(&Data::Int64(vec![3, 7]), 0..2).unwrap();
        assert_eq!((score.value, score.label), (Some(1.0), None));
    }
}
