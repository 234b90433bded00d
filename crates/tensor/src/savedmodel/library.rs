//! A graph and its functions, and how the values inside them are called.

use super::graph::{AttrValue, Attribute, NodeDef};
use super::malformed;
use super::messages::{ArgDef, FunctionDef, GraphDef, MetaGraphDef, OpDef};
use crate::Error;
use std::collections::HashMap;

/// The nodes of a graph, its functions, and the definitions of its operators.
pub(super) struct Library<'a> {
    pub(super) graph: Body<'a>,
    functions: HashMap<&'a str, Body<'a>>,
    operators: HashMap<&'a str, &'a OpDef>,
}

/// The nodes of a graph or of a function.
pub(super) struct Body<'a> {
    nodes: HashMap<&'a str, &'a NodeDef>,
    /// Nothing, if it is the graph.
    function: Option<&'a FunctionDef>,
    arguments: HashMap<&'a str, usize>,
}

/// A value inside a body.
pub(super) enum Reference<'a> {
    /// An argument of the function.
    Argument(usize),
    /// A node, and which of its outputs.
    Output(&'a NodeDef, usize),
}

impl<'a> Library<'a> {
    /// `graph` is the decoded one of `meta`.
    pub(super) fn of(meta: &'a MetaGraphDef, graph: &'a GraphDef) -> Result<Library<'a>, Error> {
        if graph.node.is_empty() {
            return Err(Error::Empty);
        }
        let mut library = Library {
            graph: Body::of(&graph.node, None)?,
            functions: HashMap::new(),
            operators: HashMap::new(),
        };
        for function in graph.library.iter().flat_map(|library| &library.function) {
            let name = function.signature.as_ref().map_or("", |it| &it.name);
            let body = Body::of(&function.node_def, Some(function))?;
            if library.functions.insert(name, body).is_some() {
                return Err(malformed(format!("two functions are called `{name}`")));
            }
        }
        let info = meta.meta_info_def.as_ref();
        let operators = info.and_then(|info| info.stripped_op_list.as_ref());
        for operator in operators.iter().flat_map(|list| &list.op) {
            library.operators.insert(&operator.name, operator);
        }
        Ok(library)
    }

    pub(super) fn function(&self, name: &str) -> Option<&Body<'a>> {
        self.functions.get(name)
    }

    /// The definition of an operator; a function is one.
    pub(super) fn definition(&self, operator: &str) -> Option<&'a OpDef> {
        let function = || self.functions.get(operator)?.function?.signature.as_ref();
        self.operators.get(operator).copied().or_else(function)
    }

    /// What a name of a value means; `given` tells attributes that are the caller's.
    pub(super) fn reference(
        &self,
        body: &Body<'a>,
        text: &str,
        given: &Given<'_, 'a>,
    ) -> Result<Reference<'a>, Error> {
        let missing = || malformed(format!("there is no `{text}`"));
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let rest = [parts.next(), parts.next(), parts.next()];
        let number = |part: Option<&str>| match part {
            None => Ok(0),
            Some(part) => part.parse::<usize>().map_err(|_| missing()),
        };
        if let Some(argument) = body.arguments.get(name) {
            return match rest {
                [None | Some("0"), None, None] => Ok(Reference::Argument(*argument)),
                _ => Err(missing()),
            };
        }
        let node = body.node(name).ok_or_else(missing)?;
        let slot = match (body.function, rest) {
            (None, [slot, None, None]) => number(slot)?,
            (Some(_), [Some(result), slot, None]) => {
                let first = self.first(node, result, given).ok_or_else(|| {
                    malformed(format!("`{text}`: no operator `{}` has it", node.op))
                })?;
                first.checked_add(number(slot)?).ok_or_else(missing)?
            }
            _ => return Err(missing()),
        };
        Ok(Reference::Output(node, slot))
    }

    /// The number of a result's first output.
    fn first(&self, node: &'a NodeDef, result: &str, given: &Given<'_, 'a>) -> Option<usize> {
        let definition = self.definition(&node.op)?;
        let mut first = 0usize;
        for output in &definition.output_arg {
            if output.name == result {
                return Some(first);
            }
            first = first.checked_add(outputs(node, definition, output, given)?)?;
        }
        None
    }
}

impl<'a> Body<'a> {
    fn of(nodes: &'a [NodeDef], function: Option<&'a FunctionDef>) -> Result<Body<'a>, Error> {
        let mut body = Body {
            nodes: HashMap::with_capacity(nodes.len()),
            function,
            arguments: HashMap::new(),
        };
        for node in nodes {
            if body.nodes.insert(&node.name, node).is_some() {
                return Err(malformed(format!("two nodes are called `{}`", node.name)));
            }
        }
        let signature = function.and_then(|function| function.signature.as_ref());
        let arguments = signature.map_or(&[][..], |signature| &signature.input_arg);
        for (position, argument) in arguments.iter().enumerate() {
            body.arguments.insert(&argument.name, position);
        }
        Ok(body)
    }

    pub(super) fn node(&self, name: &str) -> Option<&'a NodeDef> {
        self.nodes.get(name).copied()
    }

    pub(super) fn is_argument(&self, name: &str) -> bool {
        self.arguments.contains_key(name)
    }

    /// The value inside that is the function's result of this number. Lists of tensors would shift
    /// the numbers: no tool of today writes functions with such arguments or results.
    pub(super) fn result(&self, slot: usize) -> Option<&'a str> {
        let function = self.function?;
        let signature = function.signature.as_ref()?;
        let mut all = signature.input_arg.iter().chain(&signature.output_arg);
        if !all.all(|arg| arg.number_attr.is_empty() && arg.type_list_attr.is_empty()) {
            return None;
        }
        let name = &signature.output_arg.get(slot)?.name;
        function.ret.get(name).map(String::as_str)
    }

    /// Everything that is computed when the function is called: its results, and the nodes that run
    /// in any case, which are named as those that are waited for.
    pub(super) fn effects(&self) -> impl Iterator<Item = (bool, &'a str)> {
        let function = self.function;
        let results = function.into_iter().flat_map(|it| it.ret.values());
        let nodes = function.into_iter().flat_map(|it| it.control_ret.values());
        let results = results.map(|value| (false, value.as_str()));
        results.chain(nodes.map(|node| (true, node.as_str())))
    }
}

/// An attribute's value, where it may be an attribute of the caller.
pub(super) type Given<'g, 'a> = dyn Fn(&'a AttrValue) -> Option<&'a AttrValue> + 'g;

/// How many outputs a result is: one, or a number or list of types among the attributes.
fn outputs<'a>(
    node: &'a NodeDef,
    definition: &'a OpDef,
    result: &ArgDef,
    given: &Given<'_, 'a>,
) -> Option<usize> {
    let name = match (&result.number_attr, &result.type_list_attr) {
        (number, list) if number.is_empty() && list.is_empty() => return Some(1),
        (number, list) if number.is_empty() => list,
        (number, _) => number,
    };
    let default = || {
        let mut attributes = definition.attr.iter();
        let attribute = attributes.find(|attribute| attribute.name == *name)?;
        attribute.default_value.as_ref()
    };
    let value = node.attr.get(name).or_else(default)?;
    match given(value)?.value.as_ref()? {
        Attribute::Integer(number) => usize::try_from(*number).ok(),
        Attribute::List(list) => Some(list.r#type.len()),
        _ => None,
    }
}
