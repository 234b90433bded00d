//! Frozen TensorFlow graphs: `tensorflow/core/framework/graph.proto`.

mod operators;

use crate::plan::{Draft, load};
use crate::shield::shield;
use crate::{Error, Options, Role};
use prost::Message;
use std::collections::{BTreeSet, HashMap};
use tract_tensorflow::tfpb::tensorflow::{GraphDef, NodeDef};
use tract_tensorflow::tract_hir::internal::OutletId;

const FORMAT: &str = "TensorFlow GraphDef";

/// Nodes of a graph at most: the runtime's passes take time in the square of it.
const MOST_NODES: usize = 20_000;

/// Decodes a graph, chooses its inputs and outputs, and checks what they depend on.
pub(crate) fn read(bytes: &[u8], options: &Options) -> Result<Draft, Error> {
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    let graph = GraphDef::decode(bytes).map_err(|cause| malformed(cause.to_string()))?;
    if graph.node.is_empty() {
        return Err(Error::Empty);
    }
    if graph.node.len() > MOST_NODES {
        return Err(Error::TooLarge {
            what: "nodes",
            found: graph.node.len() as u64,
            limit: MOST_NODES as u64,
        });
    }
    let wiring = Wiring::of(&graph.node)?;
    let outputs = wiring.outputs(&options.outputs)?;
    let choice = wiring.select(&outputs, &options.inputs)?;
    draft(&graph.node, &wiring, &choice, &outputs)
}

fn malformed(reason: String) -> Error {
    Error::Malformed {
        format: FORMAT,
        reason,
    }
}

/// A node's output, as the inputs of others name it: `node`, or `node:1` beyond the first.
type Slot = (usize, usize);

/// Who consumes what.
struct Wiring<'a> {
    nodes: &'a [NodeDef],
    ids: HashMap<&'a str, usize>,
    /// Of each node, the outputs it takes.
    sources: Vec<Vec<Slot>>,
    /// Whether a node takes any of a node's outputs.
    consumed: Vec<bool>,
    /// Whether a node waits for it, by a control edge.
    awaited: Vec<bool>,
}

/// The part of a graph that is run.
struct Choice {
    /// The nodes that are fed.
    inputs: Vec<usize>,
    /// Every node that the outputs depend on, in the order of the file.
    nodes: BTreeSet<usize>,
}

impl<'a> Wiring<'a> {
    fn of(nodes: &'a [NodeDef]) -> Result<Wiring<'a>, Error> {
        let mut ids = HashMap::with_capacity(nodes.len());
        for (id, node) in nodes.iter().enumerate() {
            if !is_name(&node.name) || !is_name(&node.op) {
                return Err(malformed(format!(
                    "node {id} has no valid name and operator"
                )));
            }
            if ids.insert(node.name.as_str(), id).is_some() {
                return Err(malformed(format!("two nodes are called `{}`", node.name)));
            }
        }
        let mut wiring = Wiring {
            nodes,
            ids,
            sources: vec![Vec::new(); nodes.len()],
            consumed: vec![false; nodes.len()],
            awaited: vec![false; nodes.len()],
        };
        for (id, node) in nodes.iter().enumerate() {
            for input in &node.input {
                let (name, awaited) = match input.strip_prefix('^') {
                    Some(name) => (name, true),
                    None => (input.as_str(), false),
                };
                let Some((source, slot)) = wiring.slot(name) else {
                    return Err(malformed(format!(
                        "node `{}` takes its input from `{input}`, which is not there",
                        node.name
                    )));
                };
                let marks = if awaited {
                    &mut wiring.awaited
                } else {
                    &mut wiring.consumed
                };
                if let Some(mark) = marks.get_mut(source) {
                    *mark = true;
                }
                if let (false, Some(sources)) = (awaited, wiring.sources.get_mut(id)) {
                    sources.push((source, slot));
                }
            }
        }
        Ok(wiring)
    }

    /// The output that `name` names: `node` or `node:slot`.
    fn slot(&self, name: &str) -> Option<Slot> {
        let (name, slot) = match name.rsplit_once(':') {
            Some((name, slot)) => (name, slot.parse().ok()?),
            None => (name, 0),
        };
        // No operator has more outputs than a node may have inputs; the runtime makes room for all.
        (slot < 256).then_some(())?;
        Some((*self.ids.get(name)?, slot))
    }

    fn node(&self, id: usize) -> Option<&'a NodeDef> {
        self.nodes.get(id)
    }

    fn name(&self, id: usize) -> String {
        self.node(id)
            .map(|node| node.name.clone())
            .unwrap_or_default()
    }

    /// The outputs that were asked for, or the one that the graph was made for.
    fn outputs(&self, names: &[String]) -> Result<Vec<(String, Slot)>, Error> {
        if names.is_empty() {
            let candidates = self.results();
            return match candidates.as_slice() {
                [one] => Ok(vec![(self.name(*one), (*one, 0))]),
                _ => Err(Error::Ambiguous {
                    role: Role::Output,
                    candidates: candidates.iter().map(|id| self.name(*id)).collect(),
                }),
            };
        }
        names
            .iter()
            .map(|name| match self.slot(name) {
                Some(slot) => Ok((name.clone(), slot)),
                None => Err(Error::UnknownPort {
                    role: Role::Output,
                    name: name.clone(),
                    candidates: self.results().into_iter().map(|id| self.name(id)).collect(),
                }),
            })
            .collect()
    }

    /// The nodes that depend on a placeholder and that no other consumes, other than those that
    /// only have an effect.
    fn results(&self) -> Vec<usize> {
        let fed = self.fed();
        let unconsumed = |id: &usize| {
            fed.get(*id) == Some(&true)
                && self.consumed.get(*id) == Some(&false)
                && self
                    .node(*id)
                    .is_some_and(|node| !operators::is_effect(&node.op) && !is_input(node))
        };
        let unawaited = |id: &usize| unconsumed(id) && self.awaited.get(*id) == Some(&false);
        let results: Vec<usize> = (0..self.nodes.len()).filter(unawaited).collect();
        if results.is_empty() {
            (0..self.nodes.len()).filter(unconsumed).collect()
        } else {
            results
        }
    }

    /// Of each node, whether it depends on a placeholder.
    fn fed(&self) -> Vec<bool> {
        let mut consumers = vec![Vec::new(); self.nodes.len()];
        for (id, sources) in self.sources.iter().enumerate() {
            for (source, _) in sources {
                if let Some(consumers) = consumers.get_mut(*source) {
                    consumers.push(id);
                }
            }
        }
        let mut fed = vec![false; self.nodes.len()];
        let mut open: Vec<usize> = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, n)| is_input(n))
            .map(|(id, _)| id)
            .collect();
        while let Some(id) = open.pop() {
            if let Some(mark @ false) = fed.get_mut(id) {
                *mark = true;
                open.extend(consumers.get(id).into_iter().flatten());
            }
        }
        fed
    }

    /// What the outputs depend on, down to the inputs.
    fn select(&self, outputs: &[(String, Slot)], names: &[String]) -> Result<Choice, Error> {
        let mut named = Vec::with_capacity(names.len());
        for name in names {
            match self.slot(name) {
                Some((id, 0)) if self.node(id).is_some_and(is_input) => named.push(id),
                _ => {
                    let all = self.nodes.iter().filter(|node| is_input(node));
                    return Err(Error::UnknownPort {
                        role: Role::Input,
                        name: name.clone(),
                        candidates: all.map(|node| node.name.clone()).collect(),
                    });
                }
            }
        }
        let mut nodes = BTreeSet::new();
        let mut open: Vec<usize> = outputs.iter().map(|(_, (id, _))| *id).collect();
        while let Some(id) = open.pop() {
            if nodes.insert(id) && !named.contains(&id) {
                open.extend(
                    self.sources
                        .get(id)
                        .into_iter()
                        .flatten()
                        .map(|(source, _)| source),
                );
            }
        }
        let needed: Vec<usize> = nodes
            .iter()
            .copied()
            .filter(|id| self.node(*id).is_some_and(|node| node.op == PLACEHOLDER))
            .collect();
        if names.is_empty() {
            if needed.is_empty() {
                return Err(Error::Ambiguous {
                    role: Role::Input,
                    candidates: Vec::new(),
                });
            }
            return Ok(Choice {
                inputs: needed,
                nodes,
            });
        }
        let missing: Vec<String> = needed
            .iter()
            .filter(|id| !named.contains(id))
            .map(|id| self.name(*id))
            .collect();
        if !missing.is_empty() {
            return Err(Error::Unbound { names: missing });
        }
        nodes.extend(&named);
        Ok(Choice {
            inputs: named,
            nodes,
        })
    }
}

const PLACEHOLDER: &str = "Placeholder";

/// Whether a node can be fed. One with a default is, if it is asked for.
fn is_input(node: &NodeDef) -> bool {
    node.op == PLACEHOLDER || node.op == "PlaceholderWithDefault"
}

/// `[A-Za-z0-9.>_][A-Za-z0-9_./>-]*`, as TensorFlow's own validation has it.
fn is_name(name: &str) -> bool {
    let inner =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '>' | '-' | '\\');
    name.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '>' | '_'))
        && name.chars().all(inner)
}

/// The chosen part as the runtime's graph.
fn draft(
    nodes: &[NodeDef],
    wiring: &Wiring<'_>,
    choice: &Choice,
    outputs: &[(String, Slot)],
) -> Result<Draft, Error> {
    let mut part = GraphDef::default();
    let mut unsupported = BTreeSet::new();
    for (id, node) in nodes
        .iter()
        .enumerate()
        .filter(|(id, _)| choice.nodes.contains(id))
    {
        let mut node = node.clone();
        node.input.retain(|input| !input.starts_with('^'));
        if choice.inputs.contains(&id) {
            PLACEHOLDER.clone_into(&mut node.op);
            node.input.clear();
        }
        if let Err(reason) = operators::check(&node) {
            unsupported.insert(reason);
        }
        part.node.push(node);
    }
    if !unsupported.is_empty() {
        return Err(Error::Unsupported {
            operators: unsupported.into_iter().collect(),
        });
    }

    let model = shield(|| {
        let mut model = operators::runtime()
            .parse_graph(&part)
            .map_err(|cause| load(&cause))?
            .0;
        let outlet = |name: &str, slot: usize| {
            let node = model.node_by_name(name).map_err(|cause| load(&cause))?;
            if slot < node.outputs.len() {
                return Ok(OutletId::new(node.id, slot));
            }
            Err(malformed(format!("node `{name}` has no output {slot}")))
        };
        let fed = choice.inputs.iter().map(|id| outlet(&wiring.name(*id), 0));
        let fed = fed.collect::<Result<Vec<OutletId>, Error>>()?;
        let asked = outputs
            .iter()
            .map(|(_, (id, slot))| outlet(&wiring.name(*id), *slot));
        let asked = asked.collect::<Result<Vec<OutletId>, Error>>()?;
        model
            .set_input_outlets(&fed)
            .map_err(|cause| load(&cause))?;
        model
            .select_output_outlets(&asked)
            .map_err(|cause| load(&cause))?;
        Ok(model)
    });
    Ok(Draft {
        model: model.map_err(|reason| Error::Load { reason })??,
        inputs: choice.inputs.iter().map(|id| wiring.name(*id)).collect(),
        outputs: outputs.iter().map(|(name, _)| name.clone()).collect(),
    })
}
