use tensor::{Element, Port};

use super::intake::Intake;
use crate::record::FieldType;
use crate::{Refusal, Schema};

/// Which fields of a record feed an input of a graph, in the order of its elements: their
/// positions and names.
pub(super) type Columns = Vec<(usize, &'static str)>;

/// Of each input of a graph, the fields that feed it.
pub(super) fn columns(
    ports: &[Port],
    intakes: &[Intake],
    schema: &Schema,
) -> Result<Vec<Columns>, Refusal> {
    let columns: Vec<_> = match ports {
        [port] if !is_field(port, schema) => vec![vector(port, schema)?],
        ports => ports
            .iter()
            .map(|port| field(port, schema))
            .collect::<Result<_, _>>()?,
    };
    for ((port, intake), columns) in ports.iter().zip(intakes).zip(&columns) {
        if !intake.takes(&[columns.len()], &mut Vec::new()) {
            let wanted = if ports.len() == 1 {
                "has the wrong shape: [N, fields] is served"
            } else {
                "has the wrong shape: [N] and [N, 1] are served"
            };
            return Err(unfit(port, wanted));
        }
    }
    Ok(columns)
}

/// An input for a single value, called like a field.
fn is_field(port: &Port, schema: &Schema) -> bool {
    schema.position(&port.name).is_some() && matches!(port.shape[..], [_] | [_, Some(1)])
}

/// The one input of the graph: the numeric fields, in the order of the schema.
fn vector(port: &Port, schema: &Schema) -> Result<Columns, Refusal> {
    let fields: Columns = schema
        .numeric()
        .into_iter()
        .map(|i| (i, schema.fields()[i].name))
        .collect();
    if let [_, Some(width)] = port.shape[..]
        && width != fields.len()
    {
        return Err(Refusal::Unfit(format!(
            "the graph's input `{}` takes {width} numbers, a {} record has {}: {}",
            port.name,
            schema.name(),
            fields.len(),
            schema.field_names()
        )));
    }
    if port.element == Element::Text {
        return Err(unfit(port, "does not take numbers"));
    }
    Ok(fields)
}

/// One of several inputs of the graph: the field of its name.
fn field(port: &Port, schema: &Schema) -> Result<Columns, Refusal> {
    let position = schema
        .position(&port.name)
        .ok_or_else(|| Refusal::MissingField {
            field: port.name.clone(),
            schema: schema.name(),
            fields: schema.field_names(),
        })?;
    let field = &schema.fields()[position];
    match (field.field_type, port.element) {
        (FieldType::Text, Element::Text) => {}
        (FieldType::Text, _) => return Err(unfit(port, "is fed by a field that is no number")),
        (FieldType::Number, Element::Text) => return Err(unfit(port, "does not take numbers")),
        (FieldType::Number, _) => {}
    }
    // An open axis other than the batch's is one long then.
    Ok(vec![(position, field.name)])
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
