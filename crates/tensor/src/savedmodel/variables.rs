//! Variables as constants.

use super::bundle::{Bundle, fits};
use super::graph::{Attribute, DataType, NodeDef};
use super::inliner::{Flat, Inliner};
use super::messages::MetaGraphDef;
use super::restoration::Restoration;
use crate::graphdef::Constants;
use crate::{Directory, Error};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::Tensor as Value;

/// The constant that is the axis that embeddings are looked up along.
const AXIS: &str = ".axis";

/// Whether an operator is a variable, or a handle of one.
pub(super) fn is_variable(operator: &str) -> bool {
    matches!(operator, "VarHandleOp" | "VariableV2" | "Variable")
}

/// Makes constants of the variables, whose values are returned, and what reads them fit for these.
pub(super) fn freeze<'a>(
    flat: &mut Flat<'a>,
    inliner: &mut Inliner<'_, 'a>,
    meta: &'a MetaGraphDef,
    files: &Directory,
    prefix: &str,
) -> Result<HashMap<String, Arc<Value>>, Error> {
    let mut values = HashMap::new();
    let mut unsupported = BTreeSet::new();
    let mut variables: HashMap<String, Arc<Value>> = HashMap::new();
    let mut source = None;
    let mut constants = Constants::default();
    for (node, place) in flat.nodes.iter_mut().zip(&flat.places) {
        if !is_variable(&node.op) {
            if let Some(what) = read(node) {
                unsupported.insert(what);
            }
            continue;
        }
        let (bundle, restoration) = match &mut source {
            Some(source) => source,
            None => source.insert((
                Bundle::open(files, prefix.to_owned())?,
                Restoration::of(meta, inliner)?,
            )),
        };
        let variable = inliner.variable(*place);
        let value = match variables.get(&variable) {
            Some(value) => Ok(Arc::clone(value)),
            None => value(node, &variable, bundle, restoration, &mut constants)?,
        };
        match value {
            Ok(value) => {
                variables.insert(variable, Arc::clone(&value));
                values.insert(node.name.clone(), value);
            }
            Err(what) => {
                unsupported.insert(format!("{} `{variable}` {what}", node.op));
            }
        }
        "Const".clone_into(&mut node.op);
    }
    if flat
        .nodes
        .iter()
        .any(|node| node.input.iter().any(|input| input == AXIS))
    {
        values.insert(AXIS.to_owned(), Arc::new(Value::from(0i32)));
        flat.nodes.push(NodeDef {
            name: AXIS.to_owned(),
            op: "Const".to_owned(),
            ..NodeDef::default()
        });
    }
    if unsupported.is_empty() {
        return Ok(values);
    }
    Err(Error::Unsupported {
        operators: unsupported.into_iter().collect(),
    })
}

/// The value of a variable, or what is unsupported about it.
fn value(
    node: &NodeDef,
    variable: &str,
    bundle: &Bundle<'_>,
    restoration: &mut Restoration,
    constants: &mut Constants,
) -> Result<Result<Arc<Value>, String>, Error> {
    let key = restoration.key(variable, bundle)?;
    if !bundle.has(&key) {
        return Ok(Err("without a value in the variables' files".to_owned()));
    }
    let value = match bundle.tensor(&key, constants)? {
        Ok(value) => value,
        Err(what) => return Ok(Err(what)),
    };
    let attribute = |name| node.attr.get(name).and_then(|it| it.value.as_ref());
    if let Some(Attribute::Shape(shape)) = attribute("shape")
        && !fits(&value, shape)
    {
        return Ok(Err(
            "of another shape than in the variables' files".to_owned()
        ));
    }
    if let Some(Attribute::Type(datum)) = attribute("dtype")
        && !bundle.is_of(&key, *datum)?
    {
        return Ok(Err(
            "of another type than in the variables' files".to_owned()
        ));
    }
    Ok(Ok(Arc::new(value)))
}

/// What reads a variable, as an operator on its value; or the operator, if it does something else
/// with a variable.
fn read(node: &mut NodeDef) -> Option<String> {
    let operator = match node.op.as_str() {
        "ReadVariableOp" => "Identity",
        "VariableShape" => "Shape",
        "ResourceGather" => {
            node.input.push(AXIS.to_owned());
            "GatherV2"
        }
        "ResourceGatherNd" => "GatherNd",
        "Identity" | "IdentityN" => return None,
        operator => {
            let datum = node.attr.get("T").and_then(|it| it.value.as_ref());
            let resource = Attribute::Type(DataType::Resource as i32);
            return (datum == Some(&resource)).then(|| format!("{operator} of type resource"));
        }
    };
    operator.clone_into(&mut node.op);
    None
}

/// Refuses a graph that changes a variable while it runs and also reads it.
pub(super) fn check_unchanged<'a>(
    flat: &Flat<'a>,
    inliner: &mut Inliner<'_, 'a>,
    outputs: &[&'a str],
) -> Result<(), Error> {
    let places = flat.places.iter();
    let variables = places.filter(|place| is_variable(&place.node.op));
    let variables: BTreeSet<String> = variables.map(|place| inliner.variable(*place)).collect();
    if variables.is_empty() {
        return Ok(());
    }
    let mut writing = BTreeSet::new();
    for place in inliner.executed(outputs, &[])? {
        let operator = &place.node.op;
        let writes = ["Assign", "Scatter", "Apply"];
        if writes.iter().any(|word| operator.contains(word))
            && let Some(variable) = inliner.variable_of(place)?
            && variables.contains(&variable)
        {
            writing.insert(operator.clone());
        }
    }
    if writing.is_empty() {
        return Ok(());
    }
    Err(Error::Unsupported {
        operators: writing.into_iter().collect(),
    })
}
