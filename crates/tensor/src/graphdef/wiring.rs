//! Who consumes what in a graph, and which part of it is run.

use super::messages::NodeDef;
use super::{malformed, operators};
use crate::plan::{check_joined, check_size};
use crate::{Error, Role};
use std::collections::{HashMap, HashSet};

/// The operator of a node that is fed.
const PLACEHOLDER: &str = "Placeholder";

/// The operator by which a loop of TensorFlow 1 comes back to its beginning.
const NEXT_ITERATION: &str = "NextIteration";

/// No operator has more outputs; the runtime makes room for each.
const MOST_OUTPUTS: usize = 256;

/// A node, by its position in the file.
pub(super) type Id = usize;

/// A node's output, as the inputs of others name it: `node`, or `node:1` beyond the first.
pub(super) type Slot = (Id, usize);

/// The nodes of a graph and the edges between them.
pub(super) struct Wiring<'a> {
    ids: HashMap<&'a str, Id>,
    vertices: Vec<Vertex<'a>>,
}

struct Vertex<'a> {
    node: &'a NodeDef,
    /// The outputs it takes, without those it only waits for.
    sources: Vec<Slot>,
    /// The nodes that take an output of it.
    consumers: Vec<Id>,
    /// Whether a node waits for it, by a control edge.
    awaited: bool,
}

/// The part of a graph that is run.
pub(super) struct Part {
    /// The nodes that are fed.
    pub(super) inputs: Vec<Id>,
    /// Every node that the outputs depend on, each after those that it depends on.
    pub(super) nodes: Vec<Id>,
}

impl<'a> Wiring<'a> {
    pub(super) fn of(nodes: &'a [NodeDef]) -> Result<Wiring<'a>, Error> {
        let mut wiring = Wiring {
            ids: HashMap::with_capacity(nodes.len()),
            vertices: Vec::with_capacity(nodes.len()),
        };
        for (id, node) in nodes.iter().enumerate() {
            if !is_name(&node.name) || !is_name(&node.op) {
                return Err(malformed(format!(
                    "node {id} has no valid name and operator"
                )));
            }
            if wiring.ids.insert(&node.name, id).is_some() {
                return Err(malformed(format!("two nodes are called `{}`", node.name)));
            }
            let (sources, consumers) = (Vec::new(), Vec::new());
            wiring.vertices.push(Vertex {
                node,
                sources,
                consumers,
                awaited: false,
            });
        }
        for (id, node) in nodes.iter().enumerate() {
            for input in &node.input {
                let (name, waits) = match input.strip_prefix('^') {
                    Some(name) => (name, true),
                    None => (input.as_str(), false),
                };
                let source = wiring.slot(name).ok_or_else(|| {
                    let node = &node.name;
                    malformed(format!("node `{node}` takes `{input}`, which is not there"))
                })?;
                if let Some(vertex) = wiring.vertices.get_mut(source.0) {
                    vertex.awaited |= waits;
                    if !waits {
                        vertex.consumers.push(id);
                    }
                }
                // A loop's way back: the loop is refused by its operators, not for going in a circle.
                let back = node.op == "NextIteration";
                if let (Some(vertex), false) = (wiring.vertices.get_mut(id), waits || back) {
                    vertex.sources.push(source);
                }
            }
        }
        Ok(wiring)
    }

    /// The output that `name` names: `node` or `node:slot`.
    pub(super) fn slot(&self, name: &str) -> Option<Slot> {
        let (name, slot) = match name.rsplit_once(':') {
            Some((name, slot)) => (name, slot.parse().ok()?),
            None => (name, 0),
        };
        (slot < MOST_OUTPUTS).then_some(())?;
        Some((*self.ids.get(name)?, slot))
    }

    pub(super) fn node(&self, id: Id) -> Option<&'a NodeDef> {
        self.vertices.get(id).map(|vertex| vertex.node)
    }

    pub(super) fn sources(&self, id: Id) -> &[Slot] {
        self.vertices.get(id).map_or(&[], |vertex| &vertex.sources)
    }

    fn name(&self, id: Id) -> String {
        self.node(id)
            .map(|node| node.name.clone())
            .unwrap_or_default()
    }

    /// The names of the nodes.
    pub(super) fn names(&self, ids: &[Id]) -> Vec<String> {
        ids.iter().map(|id| self.name(*id)).collect()
    }

    /// The outputs that were asked for, or the one that the graph was made for.
    pub(super) fn outputs(&self, names: &[String]) -> Result<Vec<(String, Slot)>, Error> {
        if names.is_empty() {
            let results = self.results();
            return match results.as_slice() {
                [result] => Ok(vec![(self.name(*result), (*result, 0))]),
                _ => {
                    let candidates = self.names(&results);
                    Err(Error::Ambiguous {
                        role: Role::Output,
                        candidates,
                    })
                }
            };
        }
        let output = |name: &String| match self.slot(name) {
            Some(slot) => Ok((name.clone(), slot)),
            None => Err(Error::UnknownPort {
                role: Role::Output,
                name: name.clone(),
                candidates: self.names(&self.results()),
            }),
        };
        names.iter().map(output).collect()
    }

    /// A constant that nobody takes, unless to hand it on.
    pub(super) fn unused_constant(&self) -> Option<&'a str> {
        let taken = |id: Id| {
            // Aliases are short chains; what goes in a circle is found out elsewhere.
            let mut open = vec![id];
            let mut seen = HashSet::new();
            while let Some(id) = open.pop() {
                for consumer in self.vertices.get(id).into_iter().flat_map(|v| &v.consumers) {
                    if !self
                        .node(*consumer)
                        .is_some_and(|node| operators::is_alias(&node.op))
                    {
                        return true;
                    }
                    if seen.insert(*consumer) {
                        open.push(*consumer);
                    }
                }
            }
            false
        };
        let mut constants = self
            .vertices
            .iter()
            .enumerate()
            .filter(|(_, vertex)| vertex.node.op == "Const");
        constants
            .find(|(id, _)| !taken(*id))
            .map(|(_, vertex)| vertex.node.name.as_str())
    }

    /// The nodes that depend on a placeholder and that no other consumes, other than those that
    /// only have an effect. A node that another waits for is one only where there is no better.
    fn results(&self) -> Vec<Id> {
        let fed = self.fed();
        let last: Vec<(Id, bool)> = self
            .vertices
            .iter()
            .enumerate()
            .filter(|(id, vertex)| {
                vertex.consumers.is_empty()
                    && fed.get(*id) == Some(&true)
                    && !operators::is_effect(&vertex.node.op)
                    && !is_input(vertex.node)
            })
            .map(|(id, vertex)| (id, vertex.awaited))
            .collect();
        let free = last.iter().any(|(_, awaited)| !awaited);
        last.into_iter()
            .filter(|(_, awaited)| !(free && *awaited))
            .map(|(id, _)| id)
            .collect()
    }

    /// Of each node, whether it depends on a placeholder.
    fn fed(&self) -> Vec<bool> {
        let mut fed = vec![false; self.vertices.len()];
        // One with a default is a setting, as a rule: a rate of dropout, the name of a checkpoint.
        let mut open = self.inputs();
        open.retain(|id| self.node(*id).is_some_and(|node| node.op == PLACEHOLDER));
        while let Some(id) = open.pop() {
            if let (Some(mark @ false), Some(vertex)) = (fed.get_mut(id), self.vertices.get(id)) {
                *mark = true;
                open.extend(&vertex.consumers);
            }
        }
        fed
    }

    /// All nodes that can be fed.
    fn inputs(&self) -> Vec<Id> {
        let vertices = self.vertices.iter().enumerate();
        vertices
            .filter(|(_, vertex)| is_input(vertex.node))
            .map(|(id, _)| id)
            .collect()
    }

    /// What the outputs depend on, down to the inputs. Loops are refused by their operator, unless
    /// they may be in it.
    pub(super) fn part(
        &self,
        outputs: &[(String, Slot)],
        names: &[String],
        with_loops: bool,
    ) -> Result<Part, Error> {
        let mut named = Vec::with_capacity(names.len());
        for name in names {
            match self.slot(name) {
                Some((id, 0)) if self.node(id).is_some_and(is_input) => named.push(id),
                _ => {
                    return Err(Error::UnknownPort {
                        role: Role::Input,
                        name: name.clone(),
                        candidates: self.names(&self.inputs()),
                    });
                }
            }
        }
        if !names.is_empty() {
            return self.part_between(named, outputs, with_loops);
        }
        let nodes = self.ordered(outputs.iter().map(|(_, (id, _))| *id), &[], with_loops)?;
        let inputs = self.placeholders(&nodes);
        if inputs.is_empty() {
            let candidates = self.names(&self.inputs());
            return Err(Error::Ambiguous {
                role: Role::Input,
                candidates,
            });
        }
        Ok(Part { inputs, nodes })
    }

    /// What the outputs depend on, down to these inputs, with inputs that they do not depend on.
    pub(super) fn part_between(
        &self,
        inputs: Vec<Id>,
        outputs: &[(String, Slot)],
        with_loops: bool,
    ) -> Result<Part, Error> {
        let of = outputs.iter().map(|(_, (id, _))| *id);
        let nodes = self.ordered(of.chain(inputs.iter().copied()), &inputs, with_loops)?;
        let mut needed = self.placeholders(&nodes);
        needed.retain(|id| !inputs.contains(id));
        if needed.is_empty() {
            return Ok(Part { inputs, nodes });
        }
        Err(Error::Unbound {
            names: self.names(&needed),
        })
    }

    /// Refuses a part that takes too long to load.
    pub(super) fn check_size(&self, part: &Part) -> Result<(), Error> {
        let (mut nodes, mut inputs, mut joined) = (0, 0, 0);
        for id in &part.nodes {
            let Some(node) = self.node(*id) else { continue };
            // Those that hand on their inputs do not become nodes.
            if operators::is_alias(&node.op) {
                continue;
            }
            nodes += 1;
            inputs += self.sources(*id).len();
            // Each input of these becomes a node.
            if matches!(node.op.as_str(), "AddN" | "Pack") {
                joined += self.sources(*id).len();
            }
        }
        check_size(nodes, inputs)?;
        check_joined(joined)
    }

    /// The placeholders among some nodes, in the order of the file.
    fn placeholders(&self, nodes: &[Id]) -> Vec<Id> {
        let is_placeholder = |id: &Id| self.node(*id).is_some_and(|node| node.op == PLACEHOLDER);
        let mut placeholders: Vec<Id> = nodes.iter().copied().filter(is_placeholder).collect();
        placeholders.sort_unstable();
        placeholders
    }

    /// The ancestors, if none depends on itself but in a loop that may be there.
    fn ordered(
        &self,
        of: impl Iterator<Item = Id>,
        inputs: &[Id],
        with_loops: bool,
    ) -> Result<Vec<Id>, Error> {
        let (nodes, repeated) = self.ancestors(of, inputs);
        let Some(repeated) = repeated else {
            return Ok(nodes);
        };
        let goes_on = |id: &Id| self.node(*id).is_some_and(|node| node.op == NEXT_ITERATION);
        if !nodes.iter().any(goes_on) {
            let name = self.name(repeated);
            return Err(malformed(format!("`{name}` depends on itself")));
        }
        if with_loops {
            return Ok(nodes);
        }
        Err(Error::Unsupported {
            operators: vec![NEXT_ITERATION.to_owned()],
        })
    }

    /// The nodes that some depend on, and these themselves, each after those that it depends on;
    /// beyond the inputs nothing is looked at. If one depends on itself, that is said, too.
    fn ancestors(&self, of: impl Iterator<Item = Id>, inputs: &[Id]) -> (Vec<Id>, Option<Id>) {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.vertices.len()];
        let mut order = Vec::new();
        let mut repeated = None;
        let mut stack: Vec<Id> = of.collect();
        while let Some(id) = stack.last().copied() {
            let Some(mark) = marks.get_mut(id) else { break };
            if *mark == Mark::New {
                *mark = Mark::Open;
                if inputs.contains(&id) {
                    continue;
                }
                for (source, _) in self.sources(id) {
                    match marks.get(*source) {
                        Some(Mark::New) => stack.push(*source),
                        Some(Mark::Open) => repeated = Some(*source),
                        _ => {}
                    }
                }
                continue;
            }
            if *mark == Mark::Open {
                *mark = Mark::Done;
                order.push(id);
            }
            stack.pop();
        }
        (order, repeated)
    }
}

/// Whether a node can be fed. One with a default is, if it is asked for.
fn is_input(node: &NodeDef) -> bool {
    node.op == PLACEHOLDER || node.op == "PlaceholderWithDefault"
}

/// `[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*`, or an internal name, as TensorFlow's validation has it.
fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_.\\/>-".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_')
        && name.chars().all(inner)
}
