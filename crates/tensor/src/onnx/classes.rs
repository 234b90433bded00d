//! The names of the classes that the columns of an output belong to.

use super::values::Values;
use tract_onnx::pb::{NodeProto, TensorProto};

/// How far back from an output its classes are looked for.
const FARTHEST: usize = 64;

/// The classes of each output, where the file tells them: a `ZipMap` names them, a classifier that
/// computes the scores does, or else the labels do that are chosen by the largest of the scores.
pub(super) fn classes(values: &Values<'_>, outputs: &[String]) -> Vec<Option<Vec<String>>> {
    outputs
        .iter()
        .map(|output| of_output(values, output).filter(|classes| !classes.is_empty()))
        .collect()
}

fn of_output(values: &Values<'_>, output: &str) -> Option<Vec<String>> {
    if let Some(maker) = values.maker(output)
        && maker.op_type == "ZipMap"
    {
        return labels(maker, &["classlabels_strings", "classlabels_int64s"]);
    }
    let source = source(values, output);
    if let Some(maker) = values.maker(&source)
        && maker.op_type.ends_with("Classifier")
        && maker.output.get(1) == Some(&source)
    {
        let has = |name: &str| maker.attribute.iter().any(|a| a.name == name);
        if has("vectors_per_class") && !has("prob_a") {
            // The columns are pairs of classes.
            return None;
        }
        let names = [
            "classlabels_strings",
            "classlabels_int64s",
            "classlabels_ints",
        ];
        return labels(maker, &names);
    }
    chosen(values, &source)
}

/// Whether the columns of an operator's result are those of its first input.
fn keeps_columns(node: &NodeProto) -> bool {
    const KEEPING: [&str; 8] = [
        "Cast",
        "Div",
        "Exp",
        "Identity",
        "Normalizer",
        "Sigmoid",
        "Softmax",
        "Sub",
    ];
    KEEPING.contains(&node.op_type.as_str())
}

/// The value whose columns an output has, as far back as that goes.
fn source(values: &Values<'_>, output: &str) -> String {
    let mut name = output.to_owned();
    for _ in 0..FARTHEST {
        let Some(maker) = values.maker(&name).filter(|node| keeps_columns(node)) else {
            break;
        };
        match maker.input.first() {
            Some(input) => name.clone_from(input),
            None => break,
        }
    }
    name
}

/// The constant labels of which one is taken by the position of the largest score.
fn chosen(values: &Values<'_>, scores: &str) -> Option<Vec<String>> {
    for node in values.nodes() {
        let [table, position] = node.input.as_slice() else {
            continue;
        };
        if node.op_type != "ArrayFeatureExtractor" {
            continue;
        }
        let mut maker = values.maker(position);
        for _ in 0..FARTHEST {
            match maker {
                Some(node) if matches!(node.op_type.as_str(), "Reshape" | "Cast" | "Identity") => {
                    maker = node.input.first().and_then(|input| values.maker(input));
                }
                _ => break,
            }
        }
        if let Some(largest) = maker.filter(|node| node.op_type == "ArgMax")
            && let Some(input) = largest.input.first()
            && source(values, input) == scores
            && let Some(labels) = values.constant(table)
        {
            return listed(labels);
        }
    }
    None
}

/// The labels that one of some attributes lists.
fn labels(node: &NodeProto, names: &[&str]) -> Option<Vec<String>> {
    let mut attributes = node.attribute.iter();
    let found = attributes.find(|a| {
        names.contains(&a.name.as_str()) && !(a.strings.is_empty() && a.ints.is_empty())
    })?;
    if found.strings.is_empty() {
        return Some(found.ints.iter().map(ToString::to_string).collect());
    }
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    Some(found.strings.iter().map(text).collect())
}

fn listed(tensor: &TensorProto) -> Option<Vec<String>> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let numbers: Vec<String> = if !tensor.string_data.is_empty() {
        tensor.string_data.iter().map(text).collect()
    } else if !tensor.int64_data.is_empty() {
        tensor.int64_data.iter().map(ToString::to_string).collect()
    } else if !tensor.int32_data.is_empty() {
        tensor.int32_data.iter().map(ToString::to_string).collect()
    } else {
        let count: i64 = tensor.dims.iter().product();
        let (bytes, count) = (&tensor.raw_data, usize::try_from(count).ok()?);
        if count > 0 && bytes.len() == count.checked_mul(8)? {
            let whole = bytes.as_chunks::<8>().0.iter();
            whole
                .map(|bytes| i64::from_le_bytes(*bytes).to_string())
                .collect()
        } else if count > 0 && bytes.len() == count.checked_mul(4)? {
            let whole = bytes.as_chunks::<4>().0.iter();
            whole
                .map(|bytes| i32::from_le_bytes(*bytes).to_string())
                .collect()
        } else {
            return None;
        }
    };
    Some(numbers)
}
