//! Outputs that are the same strings for each row: the names of the classes, as estimators export
//! them. They need not be computed.

use std::collections::BTreeMap;

use protobufs::tensorflow::tensor_info::Encoding;
use protobufs::tensorflow::{DataType, SignatureDef, TensorInfo};
use tensor::Data;

use crate::nodes::{Node, Nodes};

/// Classes of an output, at most.
const MOST_CLASSES: usize = 1 << 20;

/// The labels of each output of a signature that has nothing else.
pub(crate) fn find(nodes: &Nodes, definition: &SignatureDef) -> BTreeMap<String, Vec<String>> {
    let outputs = definition.outputs.iter();
    let found = outputs.filter_map(|(name, info)| Some((name.clone(), labels(nodes, info)?)));
    found.collect()
}

/// Whether an output is of strings.
pub(crate) fn is_text(info: &TensorInfo) -> bool {
    info.dtype == DataType::DtString as i32
}

/// The labels of an output, if it goes back to a constant, or a range of whole numbers, that has one
/// entry for each class and is repeated for each row.
fn labels(nodes: &Nodes, info: &TensorInfo) -> Option<Vec<String>> {
    let Some(Encoding::Name(value)) = info.encoding.as_ref().filter(|_| is_text(info)) else {
        return None;
    };
    let node = nodes.source(value, |node| match &node.operator[..] {
        "Identity" | "Tile" | "ExpandDims" | "Reshape" => true,
        "AsString" => node.attributes.get("width").is_none_or(|it| it.number < 0),
        _ => false,
    })?;
    let labels = match &node.operator[..] {
        "Const" => match node.constant()?.data {
            Data::Text(texts) => texts,
            other => whole(other)?.iter().map(ToString::to_string).collect(),
        },
        "Range" => range(nodes, node)?,
        _ => return None,
    };
    // A row for each that is scored, in which no label was repeated.
    let [rows, classes] = &info.tensor_shape.as_ref()?.dim[..] else {
        return None;
    };
    (rows.size < 0 && usize::try_from(classes.size) == Ok(labels.len())).then_some(labels)
}

fn range(nodes: &Nodes, node: &Node) -> Option<Vec<String>> {
    let bounds = node.inputs.iter().map(|input| {
        let constant = nodes
            .source(input, |node| node.operator == "Identity")?
            .constant()?;
        whole(constant.data)?.first().copied()
    });
    let bounds: Vec<i64> = bounds.collect::<Option<_>>()?;
    let [start, end, step] = bounds[..] else {
        return None;
    };
    let numbers = (start..end).step_by(usize::try_from(step).ok().filter(|step| *step > 0)?);
    let labels: Vec<_> = numbers
        .take(MOST_CLASSES + 1)
        .map(|number| number.to_string())
        .collect();
    (labels.len() <= MOST_CLASSES).then_some(labels)
}

fn whole(data: Data) -> Option<Vec<i64>> {
    match data {
        Data::Int32(values) => Some(values.into_iter().map(i64::from).collect()),
        Data::Int64(values) => Some(values),
        _ => None,
    }
}
