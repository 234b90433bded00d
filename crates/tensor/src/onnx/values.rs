//! Which node makes which value, and which values are needed.

use super::{malformed, operators};
use crate::{Error, Role};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// The values of a graph. Each has one source, and that comes before whoever takes it.
pub(super) struct Values<'a> {
    graph: &'a GraphProto,
    makers: HashMap<&'a str, &'a NodeProto>,
    initialized: HashSet<&'a str>,
    fed: HashSet<&'a str>,
}

impl<'a> Values<'a> {
    pub(super) fn of(graph: &'a GraphProto) -> Result<Values<'a>, Error> {
        let mut values = Values {
            graph,
            makers: HashMap::new(),
            initialized: graph
                .initializer
                .iter()
                .map(|tensor| tensor.name.as_str())
                .collect(),
            fed: graph
                .input
                .iter()
                .map(|input| input.name.as_str())
                .collect(),
        };
        if values.initialized.len() != graph.initializer.len()
            || values.fed.len() != graph.input.len()
        {
            return Err(malformed("two values have the same name".to_owned()));
        }
        for node in &graph.node {
            if node.op_type.is_empty() {
                return Err(malformed("a node has no operator".to_owned()));
            }
            for input in node.input.iter().filter(|input| !input.is_empty()) {
                if !values.has(input) {
                    return Err(malformed(format!(
                        "nothing before a {} makes `{input}`",
                        node.op_type
                    )));
                }
            }
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                if values.has(output) || values.makers.insert(output, node).is_some() {
                    return Err(malformed(format!("two values are called `{output}`")));
                }
            }
        }
        Ok(values)
    }

    /// The node that makes a value.
    pub(super) fn maker(&self, name: &str) -> Option<&'a NodeProto> {
        self.makers.get(name).copied()
    }

    /// All nodes, in their order.
    pub(super) fn nodes(&self) -> &'a [NodeProto] {
        &self.graph.node
    }

    /// The value of a name that is a constant.
    pub(super) fn constant(&self, name: &str) -> Option<&'a TensorProto> {
        let mut initializers = self.graph.initializer.iter();
        initializers.find(|tensor| tensor.name == name).or_else(|| {
            let maker = self.maker(name).filter(|node| node.op_type == "Constant")?;
            maker
                .attribute
                .iter()
                .find_map(|attribute| attribute.t.as_ref())
        })
    }

    fn has(&self, name: &str) -> bool {
        self.makers.contains_key(name) || self.initialized.contains(name) || self.fed.contains(name)
    }

    /// The value that is meant: a dictionary stands for the tensor that it is made of.
    pub(super) fn resolve<'b>(&self, mut name: &'b str) -> &'b str
    where
        'a: 'b,
    {
        // Makers come before takers, so that this comes to an end.
        while let Some(maker) = self
            .makers
            .get(name)
            .filter(|node| operators::is_dictionary(node))
        {
            match maker.input.first() {
                Some(input) => name = input,
                None => break,
            }
        }
        name
    }

    /// The outputs that were asked for, or those that the graph declares.
    pub(super) fn outputs(&self, names: &[String]) -> Result<Vec<String>, Error> {
        let declared: Vec<String> = self
            .graph
            .output
            .iter()
            .map(|output| output.name.clone())
            .collect();
        let asked = if names.is_empty() { &declared } else { names };
        if asked.is_empty() {
            return Err(Error::Ambiguous {
                role: Role::Output,
                candidates: Vec::new(),
            });
        }
        match asked
            .iter()
            .find(|name| !self.makers.contains_key(name.as_str()))
        {
            None => Ok(asked.to_vec()),
            Some(name) if names.is_empty() => {
                Err(malformed(format!("no node makes the output `{name}`")))
            }
            Some(name) => Err(Error::UnknownPort {
                role: Role::Output,
                name: name.clone(),
                candidates: declared,
            }),
        }
    }

    /// Every value that the outputs depend on, and these themselves.
    pub(super) fn needed(&self, outputs: &'a [String]) -> HashSet<&'a str> {
        let mut needed = HashSet::new();
        let mut open: Vec<&str> = outputs.iter().map(String::as_str).collect();
        while let Some(name) = open.pop() {
            if needed.insert(name)
                && let Some(maker) = self.makers.get(name)
            {
                open.extend(
                    maker
                        .input
                        .iter()
                        .filter(|i| !i.is_empty())
                        .map(String::as_str),
                );
            }
        }
        needed
    }

    /// The inputs that were asked for, or those that are needed and have no initializer.
    pub(super) fn inputs(
        &self,
        needed: &HashSet<&str>,
        names: &[String],
    ) -> Result<Vec<String>, Error> {
        let all = || self.graph.input.iter().map(|input| input.name.clone());
        if let Some(name) = names.iter().find(|name| !self.fed.contains(name.as_str())) {
            let (name, candidates) = (name.clone(), all().collect());
            return Err(Error::UnknownPort {
                role: Role::Input,
                name,
                candidates,
            });
        }
        let open = all().filter(|name| {
            needed.contains(name.as_str()) && !self.initialized.contains(name.as_str())
        });
        if names.is_empty() {
            let open: Vec<String> = open.collect();
            if open.is_empty() {
                return Err(Error::Ambiguous {
                    role: Role::Input,
                    candidates: all().collect(),
                });
            }
            return Ok(open);
        }
        let missing: Vec<String> = open.filter(|name| !names.contains(name)).collect();
        if missing.is_empty() {
            return Ok(names.to_vec());
        }
        Err(Error::Unbound { names: missing })
    }
}
