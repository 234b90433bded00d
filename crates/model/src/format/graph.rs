use std::sync::Arc;

use tensor::{Data, Element, Graph, Options, Port, Scratch, Tensor};

use crate::record::FieldType;
use crate::{
    Content, Descriptor, Detail, Evaluator, Model, ModelFactory, Record, Refusal, Schema, Score,
    ScoreError, Value,
};

type Load = fn(&Descriptor, &Options) -> Result<Graph, Refusal>;

/// Files that hold a graph of tensors, by the crate `tensor`.
///
/// Options of the descriptor: `input` and `output`, names separated by commas, where the graph
/// leaves a choice; of a SavedModel, `signature` and `tags`.
pub(crate) struct Factory {
    load: Load,
}

impl Factory {
    pub(crate) fn tensorflow() -> Self {
        Self {
            load: |descriptor, options| {
                Graph::from_graphdef(descriptor.file()?, options).map_err(Refusal::Tensor)
            },
        }
    }

    pub(crate) fn saved_model() -> Self {
        Self {
            load: |descriptor, options| match &descriptor.content {
                Content::Directory(files) => {
                    Graph::from_saved_model(files, options).map_err(Refusal::Tensor)
                }
                Content::Bytes(_) => Err(Refusal::NoSavedModel {
                    found: "is one file".to_owned(),
                }),
            },
        }
    }

    pub(crate) fn onnx() -> Self {
        Self {
            load: |descriptor, options| {
                Graph::from_onnx(descriptor.file()?, options).map_err(Refusal::Tensor)
            },
        }
    }
}

impl ModelFactory for Factory {
    fn create(
        &self,
        descriptor: &Descriptor,
        schema: &Schema,
        detail: Detail,
    ) -> Result<Arc<dyn Model>, Refusal> {
        let names = |key: &str| {
            let names = descriptor.options.get(key).map(|names| names.split(','));
            names
                .into_iter()
                .flatten()
                .map(|name| name.trim().to_owned())
                .collect()
        };
        let options = Options {
            inputs: names("input"),
            outputs: names("output"),
            signature: descriptor.options.get("signature").cloned(),
            tags: names("tags"),
        };
        let graph = (self.load)(descriptor, &options)?;
        let layout = Layout::of(&graph, schema)?;
        let names = graph
            .outputs()
            .iter()
            .map(|port| port.name.as_str().into())
            .collect();
        Ok(Arc::new(Served {
            graph: Arc::new(graph),
            layout: Arc::new(layout),
            names,
            detail,
        }))
    }
}

/// Which fields of a record feed which input of the graph.
struct Layout {
    schema: &'static str,
    inputs: Vec<Feed>,
}

/// One input of the graph.
struct Feed {
    /// The fields, in the order of the input's last axis.
    fields: Vec<(usize, &'static str)>,
    element: Element,
    /// Whether the input has an axis for the fields: `[N, F]`, not `[N]`.
    axis: bool,
}

impl Layout {
    fn of(graph: &Graph, schema: &Schema) -> Result<Self, Refusal> {
        let feeds = match graph.inputs() {
            [port] if !is_field(port, schema) => vec![vector(port, schema)?],
            ports => ports
                .iter()
                .map(|port| field(port, schema))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            schema: schema.name(),
            inputs: feeds,
        })
    }

    /// The inputs of the graph for these records.
    fn tensors(&self, records: &[&Record]) -> Result<Vec<Tensor>, ScoreError> {
        let tensor = |feed: &Feed| {
            let mut numbers = Vec::with_capacity(records.len() * feed.fields.len());
            for record in records {
                feed.push(record, &mut numbers)?;
            }
            let data = match feed.element {
                Element::Double => Data::Double(numbers),
                Element::Int64 => Data::Int64(numbers.iter().map(|&n| n as i64).collect()),
                Element::Int32 => Data::Int32(numbers.iter().map(|&n| n as i32).collect()),
                _ => Data::Float(numbers.iter().map(|&n| n as f32).collect()),
            };
            let mut shape = vec![records.len()];
            if feed.axis {
                shape.push(feed.fields.len());
            }
            Ok(Tensor { shape, data })
        };
        self.inputs.iter().map(tensor).collect()
    }
}

impl Feed {
    fn push(&self, record: &Record, numbers: &mut Vec<f64>) -> Result<(), ScoreError> {
        for &(position, field) in &self.fields {
            match record.values.get(position) {
                Some(Value::Number(number)) => numbers.push(*number),
                Some(Value::Text(_)) => {
                    return Err(ScoreError::Unfit {
                        field,
                        why: "the model takes numbers",
                    });
                }
                Some(Value::Missing) | None => {
                    return Err(ScoreError::Unfit {
                        field,
                        why: "the value is missing",
                    });
                }
            }
        }
        Ok(())
    }
}

/// An input for a single number, called like a field.
fn is_field(port: &Port, schema: &Schema) -> bool {
    schema.position(&port.name).is_some() && matches!(port.shape[..], [_] | [_, Some(1)])
}

/// The one input of the graph: the numeric fields, in the order of the schema.
fn vector(port: &Port, schema: &Schema) -> Result<Feed, Refusal> {
    let fields: Vec<_> = schema
        .numeric()
        .into_iter()
        .map(|i| (i, schema.fields()[i].name))
        .collect();
    let [_, width] = port.shape[..] else {
        return Err(unfit(
            port,
            "has the wrong number of axes: [N, fields] is served",
        ));
    };
    if width.is_some_and(|width| width != fields.len()) {
        return Err(Refusal::Unfit(format!(
            "the graph's input `{}` takes {} numbers, a {} record has {}: {}",
            port.name,
            width.unwrap_or_default(),
            schema.name(),
            fields.len(),
            schema.field_names()
        )));
    }
    numeric(port)?;
    Ok(Feed {
        fields,
        element: port.element,
        axis: true,
    })
}

/// One of several inputs of the graph: the field of its name.
fn field(port: &Port, schema: &Schema) -> Result<Feed, Refusal> {
    let position = schema
        .position(&port.name)
        .ok_or_else(|| Refusal::MissingField {
            field: port.name.clone(),
            schema: schema.name(),
            fields: schema.field_names(),
        })?;
    let field = &schema.fields()[position];
    if field.field_type != FieldType::Number {
        return Err(unfit(port, "is fed by a field that is no number"));
    }
    let axis = match port.shape[..] {
        [_] => false,
        [_, Some(1) | None] => true,
        _ => {
            return Err(unfit(
                port,
                "has the wrong shape: [N] and [N, 1] are served",
            ));
        }
    };
    numeric(port)?;
    Ok(Feed {
        fields: vec![(position, field.name)],
        element: port.element,
        axis,
    })
}

fn numeric(port: &Port) -> Result<(), Refusal> {
    match port.element {
        Element::Float | Element::Double | Element::Int32 | Element::Int64 => Ok(()),
        Element::Bool | Element::Text => Err(unfit(port, "does not take numbers")),
    }
}

fn unfit(port: &Port, why: &str) -> Refusal {
    Refusal::Unfit(format!(
        "the graph's input `{}` of shape {:?} {why}",
        port.name,
        port.shape
            .iter()
            .map(|axis| axis.map_or("N".to_owned(), |n| n.to_string()))
            .collect::<Vec<_>>()
    ))
}

struct Served {
    graph: Arc<Graph>,
    layout: Arc<Layout>,
    names: Arc<[Arc<str>]>,
    detail: Detail,
}

impl Model for Served {
    fn evaluator(&self) -> Box<dyn Evaluator> {
        // One vector in, one array of numbers out: no tensor is made, nothing is allocated.
        let direct = self.detail == Detail::Value
            && matches!(
                self.graph.outputs(),
                [port] if matches!(port.element, Element::Float | Element::Double)
            )
            && self.graph.width().is_some();
        Box::new(ServedEvaluator {
            scratch: self.graph.scratch(),
            graph: Arc::clone(&self.graph),
            layout: Arc::clone(&self.layout),
            names: Arc::clone(&self.names),
            detail: self.detail,
            direct,
            numbers: Vec::new(),
            values: Vec::new(),
        })
    }
}

struct ServedEvaluator {
    graph: Arc<Graph>,
    layout: Arc<Layout>,
    names: Arc<[Arc<str>]>,
    detail: Detail,
    direct: bool,
    scratch: Scratch,
    numbers: Vec<f64>,
    values: Vec<f64>,
}

impl Evaluator for ServedEvaluator {
    fn score(&mut self, record: &Record) -> Result<Score, ScoreError> {
        let mut scores = Vec::with_capacity(1);
        self.run(&[record], &mut scores)?;
        scores.pop().unwrap_or_else(|| Err(self.short(0)))
    }

    fn score_batch(&mut self, records: &[&Record], scores: &mut Vec<Result<Score, ScoreError>>) {
        scores.clear();
        if records.is_empty() {
            return;
        }
        let whole = self.run(records, scores);
        // One record that does not fit must not fail its neighbours.
        if whole.is_err() || scores.len() != records.len() {
            scores.clear();
            for record in records {
                let score = self.score(record);
                scores.push(score);
            }
        }
    }
}

impl ServedEvaluator {
    fn run(
        &mut self,
        records: &[&Record],
        scores: &mut Vec<Result<Score, ScoreError>>,
    ) -> Result<(), ScoreError> {
        let failed = |error| ScoreError::Tensor(Arc::new(error));
        if let (true, [feed]) = (self.direct, &self.layout.inputs[..]) {
            self.numbers.clear();
            for record in records {
                feed.push(record, &mut self.numbers)?;
            }
            let width = self
                .graph
                .run_rows(
                    &self.numbers,
                    records.len(),
                    &mut self.scratch,
                    &mut self.values,
                )
                .map_err(failed)?;
            let rows = self.values.chunks_exact(width.max(1));
            scores.extend(rows.map(|row| {
                Ok(Score {
                    value: Some(predicted(row)?),
                    ..Score::default()
                })
            }));
            return Ok(());
        }
        let inputs = self.layout.tensors(records)?;
        let outputs = self.graph.run(&inputs, &mut self.scratch).map_err(failed)?;
        for row in 0..records.len() {
            let mut score = outputs
                .first()
                .and_then(|output| slice(output, row, records.len()))
                .ok_or_else(|| self.short(0))
                .and_then(|output| interpret(&output));
            if let (Ok(score), Detail::All) = (&mut score, self.detail) {
                let named = self.names.iter().zip(&outputs);
                score.outputs = named
                    .filter_map(|(name, output)| {
                        Some((Arc::clone(name), slice(output, row, records.len())?))
                    })
                    .collect();
            }
            scores.push(score);
        }
        Ok(())
    }

    fn short(&self, output: usize) -> ScoreError {
        ScoreError::Output {
            output: self
                .names
                .get(output)
                .map_or_else(String::new, ToString::to_string),
            schema: self.layout.schema,
        }
    }
}

/// The part of an output that belongs to one record: the output without its first axis.
fn slice(output: &Tensor, row: usize, rows: usize) -> Option<Tensor> {
    let (&first, shape) = output.shape.split_first()?;
    if first != rows {
        return None;
    }
    let width = shape.iter().product::<usize>();
    let range = row * width..(row + 1) * width;
    let data = match &output.data {
        Data::Float(values) => Data::Float(values.get(range)?.to_vec()),
        Data::Double(values) => Data::Double(values.get(range)?.to_vec()),
        Data::Int32(values) => Data::Int32(values.get(range)?.to_vec()),
        Data::Int64(values) => Data::Int64(values.get(range)?.to_vec()),
        Data::Bool(values) => Data::Bool(values.get(range)?.to_vec()),
        Data::Text(values) => Data::Text(values.get(range)?.to_vec()),
    };
    Some(Tensor {
        shape: shape.to_vec(),
        data,
    })
}

/// What the first output says of a record: a number, or a label, or a vector whose largest element
/// names the class.
fn interpret(output: &Tensor) -> Result<Score, ScoreError> {
    let value = match &output.data {
        Data::Float(values) => predicted(values)?,
        Data::Double(values) => predicted(values)?,
        Data::Int32(values) => predicted(values)?,
        Data::Int64(values) => {
            let value = predicted(values)?;
            // A classifier of ONNX-ML says its label so; a number is a label too.
            let label = (values.len() == 1).then(|| values[0].to_string().into());
            return Ok(Score {
                value: Some(value),
                label,
                ..Score::default()
            });
        }
        Data::Bool(values) => predicted(
            &values
                .iter()
                .map(|&truth| i32::from(truth))
                .collect::<Vec<_>>(),
        )?,
        Data::Text(values) => {
            let label = values.first().ok_or(ScoreError::NotANumber)?;
            let value = label.trim().parse().ok();
            return Ok(Score {
                value,
                label: Some(label.as_str().into()),
                ..Score::default()
            });
        }
    };
    Ok(Score {
        value: Some(value),
        ..Score::default()
    })
}

/// The number, or the index of the largest of several, the first of equals.
fn predicted<T: Copy + PartialOrd + ToNumber>(values: &[T]) -> Result<f64, ScoreError> {
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
trait ToNumber {
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
}
