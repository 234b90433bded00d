//! What the outputs of a model say as a classification, or as a regression.

use protobufs::tensorflow::DataType;
use tensor::{Data, Element, Port, Tensor};

use crate::codec;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::version::{CLASSIFY, REGRESS, Signature};

/// Labels of an example, with their scores.
pub(crate) type Classes = Vec<(String, f32)>;

/// Whether a signature may be used so, going by what it says of itself: its method, and that it
/// takes serialized examples.
pub(crate) fn check_method(signature: &Signature, method: &str) -> Result<(), Failure> {
    let definition = signature.definition();
    if !signature.is_declared() {
        return Ok(());
    }
    if definition.method_name != method {
        return Err(wrong_method(method, &definition.method_name));
    }
    let mut inputs = definition.inputs.values();
    let (Some(input), None) = (inputs.next(), inputs.next()) else {
        return Err(Failure::invalid("Expected one input Tensor."));
    };
    if input.dtype != DataType::DtString as i32 {
        return Err(Failure::invalid(format!(
            "Expects arg[0] to be {} but string is provided",
            codec::type_name(input.dtype)
        )));
    }
    Ok(())
}

fn wrong_method(method: &str, found: &str) -> Failure {
    let kind = if method == CLASSIFY {
        "classification"
    } else {
        "regression"
    };
    Failure::invalid(format!(
        "Expected {kind} signature method_name to be {method}. Was: {found}"
    ))
}

/// The classes of each example.
///
/// Of a SavedModel these are the outputs `classes` and `scores`, as the real server has it. Of
/// other formats they are the first output with a number for each class; its labels are those that
/// the model knows, or else empty. A model that only says the label gives it the score 1.
pub(crate) fn classes(
    signature: &Signature,
    engine: &Engine,
    outputs: &[Tensor],
    examples: usize,
) -> Result<Vec<Classes>, Failure> {
    let ports = engine.outputs();
    let found = |wanted: &dyn Fn(&Port, &Tensor) -> bool| {
        let mut pairs = ports.iter().zip(outputs);
        let at = pairs.position(|(port, tensor)| wanted(port, tensor))?;
        Some((at, outputs.get(at)?))
    };
    let is_scores = |tensor: &Tensor| {
        tensor.shape.len() == 2 && tensor.shape[0] == examples && numbers(tensor).is_some()
    };
    let scores;
    let labels;
    if signature.is_declared() {
        scores = found(&|port, tensor| port.name == "scores" && is_scores(tensor));
        labels = found(&|port, tensor| {
            port.name == "classes" && tensor.shape.len() == 2 && tensor.shape[0] == examples
        });
    } else {
        scores = found(&|_, tensor| is_scores(tensor));
        labels = found(&|port, tensor| {
            port.element != Element::Float
                && port.element != Element::Double
                && tensor.shape == [examples]
        });
    }
    let width = scores
        .or(labels)
        .map(|(_, tensor)| tensor.shape.get(1).copied().unwrap_or(1));
    let Some(width) = width else {
        return Err(wrong_method(CLASSIFY, &signature.definition().method_name));
    };
    let known = scores.and_then(|(at, _)| engine.labels(at));
    let known = known.filter(|known| known.len() == width);
    let texts = labels.map(|(_, tensor)| texts(tensor));
    let numbers = scores.and_then(|(_, tensor)| numbers(tensor));
    let label = |example: usize, class: usize| {
        if let Some(known) = &known {
            return known[class].clone();
        }
        let texts = texts
            .as_ref()
            .filter(|texts| texts.len() == examples * width);
        texts.map_or(String::new(), |texts| {
            texts[example * width + class].clone()
        })
    };
    let classes = (0..examples).map(|example| {
        let row = numbers
            .as_ref()
            .map(|numbers| &numbers[example * width..][..width]);
        match (row, &texts) {
            // A document without probabilities.
            (Some(row), Some(texts))
                if row.iter().all(|score| score.is_nan())
                    && texts.get(example).is_some_and(|t| !t.is_empty())
                    && texts.len() == examples =>
            {
                vec![(texts[example].clone(), 1.0)]
            }
            (Some(row), _) => {
                let scored = row.iter().enumerate();
                scored
                    .map(|(class, score)| (label(example, class), *score as f32))
                    .collect()
            }
            (None, _) => (0..width)
                .map(|class| (label(example, class), 1.0))
                .collect(),
        }
    });
    Ok(classes.collect())
}

/// The number of each example: the model has one output, of a number for each row.
pub(crate) fn values(
    signature: &Signature,
    outputs: &[Tensor],
    examples: usize,
) -> Result<Vec<f32>, Failure> {
    let wrong = || wrong_method(REGRESS, &signature.definition().method_name);
    let [output] = outputs else {
        return Err(wrong());
    };
    if !matches!(output.shape[..], [rows] | [rows, 1] if rows == examples) {
        return Err(wrong());
    }
    let numbers = numbers(output).ok_or_else(wrong)?;
    Ok(numbers.into_iter().map(|number| number as f32).collect())
}

fn numbers(tensor: &Tensor) -> Option<Vec<f64>> {
    match &tensor.data {
        Data::Float(values) => Some(values.iter().map(|v| f64::from(*v)).collect()),
        Data::Double(values) => Some(values.clone()),
        Data::Int32(_) | Data::Int64(_) | Data::Bool(_) | Data::Text(_) => None,
    }
}

fn texts(tensor: &Tensor) -> Vec<String> {
    match &tensor.data {
        Data::Text(values) => values.clone(),
        Data::Int32(values) => values.iter().map(ToString::to_string).collect(),
        Data::Int64(values) => values.iter().map(ToString::to_string).collect(),
        Data::Bool(values) => values.iter().map(ToString::to_string).collect(),
        Data::Float(_) | Data::Double(_) => Vec::new(),
    }
}
