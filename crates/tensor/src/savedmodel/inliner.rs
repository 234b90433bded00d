//! A graph without functions: in place of each call, the nodes of the function.

use super::graph::{AttrValue, Attribute, NodeDef};
use super::library::{Body, Library, Reference};
use super::malformed;
use super::variables::is_variable;
use crate::Error;
use crate::plan::at_most;
use prost::Message;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Functions in functions, at most; calls of all functions; and nodes. What is called twice by
/// each of those that are called twice grows with a power.
const MOST_DEPTH: usize = 100;
const MOST_CALLS: usize = 2_000;
const MOST_NODES: usize = 20_000;

/// Nodes that are looked at for their effects, at most, where functions count once for each call.
const MOST_EFFECTS: usize = 200_000;

/// Calls that a value is handed through, at most: more would go in a circle, as a rule.
const MOST_STEPS: usize = 1_000;

/// Bytes of all nodes, at most, beyond twice those of the file: a node of a function is copied for
/// each call.
const MOST_BYTES: usize = 1 << 26;

/// A node of the graph, or of a function in one of its calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    frame: usize,
    pub(super) node: &'a NodeDef,
}

/// A call of a function. The first one is the graph.
struct Frame<'b, 'a> {
    body: &'b Body<'a>,
    caller: Option<Place<'a>>,
    path: String,
    depth: usize,
}

/// A value of the graph that is not computed but comes from elsewhere.
pub(super) struct Feed {
    /// The node that it comes from; without one, nothing may depend on it.
    pub(super) node: Option<NodeDef>,
    /// What it is called in errors.
    pub(super) name: String,
}

/// Nodes without calls.
#[derive(Default)]
pub(super) struct Flat<'a> {
    pub(super) nodes: Vec<NodeDef>,
    /// Where each comes from.
    pub(super) places: Vec<Place<'a>>,
    /// The values that were asked for.
    pub(super) outputs: Vec<String>,
}

/// Opens calls as it meets them.
pub(super) struct Inliner<'b, 'a> {
    library: &'b Library<'a>,
    frames: Vec<Frame<'b, 'a>>,
    calls: HashMap<(usize, &'a str), usize>,
    feeds: HashMap<(&'a str, usize), Feed>,
    most_bytes: usize,
}

/// What a value is.
enum Source<'f, 'a> {
    /// An output of a node.
    Output(Place<'a>, usize),
    /// What is fed in place of an output of the graph.
    Fed(&'f Feed),
}

impl<'b, 'a> Inliner<'b, 'a> {
    /// `length` is that of the file, in bytes.
    pub(super) fn new(library: &'b Library<'a>, length: usize) -> Inliner<'b, 'a> {
        let graph = Frame {
            body: &library.graph,
            caller: None,
            path: String::new(),
            depth: 0,
        };
        Inliner {
            library,
            frames: vec![graph],
            calls: HashMap::new(),
            feeds: HashMap::new(),
            most_bytes: length.saturating_mul(2).saturating_add(MOST_BYTES),
        }
    }

    /// Puts something in place of a value of the graph; says if there was something already.
    pub(super) fn feed(&mut self, value: &str, feed: Feed) -> Result<bool, Error> {
        match self.reference(0, value)? {
            Reference::Output(node, slot) => {
                Ok(self.feeds.insert((&node.name, slot), feed).is_some())
            }
            Reference::Argument(_) => Err(malformed(format!("there is no `{value}`"))),
        }
    }

    /// The nodes that values of the graph depend on.
    pub(super) fn flatten(&mut self, values: &[&'a str]) -> Result<Flat<'a>, Error> {
        let mut flat = Flat::default();
        let mut agenda = Agenda::default();
        for value in values {
            flat.outputs.push(self.named(0, value, &mut agenda)?);
        }
        let mut bytes = 0usize;
        while let Some((place, name)) = agenda.open.pop() {
            let mut node = self.filled(place);
            bytes = bytes.saturating_add(node.encoded_len());
            at_most("bytes of nodes", bytes, self.most_bytes)?;
            node.name = name;
            for input in data(place.node) {
                node.input
                    .push(self.named(place.frame, input, &mut agenda)?);
            }
            flat.nodes.push(node);
            flat.places.push(place);
            at_most("nodes", flat.nodes.len(), MOST_NODES)?;
        }
        if agenda.missing.is_empty() {
            return Ok(flat);
        }
        Err(Error::Unbound {
            names: agenda.missing.into_iter().collect(),
        })
    }

    /// The nodes that come from elsewhere.
    pub(super) fn into_feeds(self) -> impl Iterator<Item = NodeDef> {
        self.feeds.into_values().filter_map(|feed| feed.node)
    }

    /// The name that a value has among the nodes without calls. A node that had none before is put
    /// to those to come.
    fn named(
        &mut self,
        frame: usize,
        text: &'a str,
        agenda: &mut Agenda<'a>,
    ) -> Result<String, Error> {
        match self.source(frame, text)? {
            Source::Output(place, slot) => {
                let path = self.frames.get(place.frame).map_or("", |it| &it.path);
                Ok(format!("{}:{slot}", agenda.name(place, path)))
            }
            Source::Fed(feed) => {
                if let Some(node) = &feed.node {
                    return Ok(node.name.clone());
                }
                agenda.missing.insert(feed.name.clone());
                Ok(String::new())
            }
        }
    }

    /// The node with its attributes, and the defaults of those that it leaves out. Those that begin
    /// with `_` are for TensorFlow's own optimizations.
    fn filled(&self, place: Place<'a>) -> NodeDef {
        let mut node = NodeDef {
            op: place.node.op.clone(),
            ..NodeDef::default()
        };
        for (name, value) in &place.node.attr {
            if name.starts_with('_') {
                continue;
            }
            if let Some(value) = self.value(place.frame, value) {
                node.attr.insert(name.clone(), value.clone());
            }
        }
        let definition = self.library.definition(&node.op);
        for attribute in definition.into_iter().flat_map(|it| &it.attr) {
            if let (Some(value), false) = (
                &attribute.default_value,
                node.attr.contains_key(&attribute.name),
            ) {
                node.attr.insert(attribute.name.clone(), value.clone());
            }
        }
        node
    }

    /// An attribute's value; that of a function may be an attribute of its caller.
    fn value(&self, frame: usize, value: &'a AttrValue) -> Option<&'a AttrValue> {
        let (mut frame, mut value) = (frame, value);
        // Each step goes to a caller.
        while let Some(Attribute::Placeholder(name)) = &value.value {
            let caller = self.frames.get(frame)?.caller?;
            let attributes = match caller.node.attr.get("f").map(|it| &it.value) {
                Some(Some(Attribute::Function(function))) => &function.attr,
                _ => &caller.node.attr,
            };
            (frame, value) = (caller.frame, attributes.get(name)?);
        }
        Some(value)
    }

    /// The output that is meant by a name inside a call, whatever calls it is handed through.
    fn source(&mut self, frame: usize, text: &'a str) -> Result<Source<'_, 'a>, Error> {
        let (mut frame, mut text) = (frame, text);
        for _ in 0..MOST_STEPS {
            (frame, text) = match self.reference(frame, text)? {
                Reference::Argument(position) => {
                    let given = |caller: Place<'a>| data(caller.node).nth(position);
                    let caller = self.frames.get(frame).and_then(|it| it.caller);
                    let given = caller.and_then(|caller| Some((caller.frame, given(caller)?)));
                    given.ok_or_else(|| malformed(format!("`{text}` is not given")))?
                }
                Reference::Output(node, slot) => {
                    let place = Place { frame, node };
                    if self.is_fed(place, slot) {
                        let feed = self.feeds.get(&(node.name.as_str(), slot));
                        return feed
                            .map(Source::Fed)
                            .ok_or_else(|| malformed("a feed is missing"));
                    }
                    let Some(call) = self.call(place)? else {
                        return Ok(Source::Output(place, slot));
                    };
                    let result = self.frames.get(call).and_then(|it| it.body.result(slot));
                    let missing = || malformed(format!("`{}` has no result {slot}", node.name));
                    (call, result.ok_or_else(missing)?)
                }
            };
        }
        Err(malformed("a value depends on itself"))
    }

    /// What a name inside a call means.
    fn reference(&self, frame: usize, text: &str) -> Result<Reference<'a>, Error> {
        let inside = self.frames.get(frame);
        let inside = inside.ok_or_else(|| malformed("a call is missing"))?;
        let given = |value: &'a AttrValue| self.value(frame, value);
        self.library.reference(inside.body, text, &given)
    }

    fn is_fed(&self, place: Place<'a>, slot: usize) -> bool {
        place.frame == 0 && self.feeds.contains_key(&(place.node.name.as_str(), slot))
    }

    /// The call that a node is, if it is one.
    fn call(&mut self, place: Place<'a>) -> Result<Option<usize>, Error> {
        let node = place.node;
        if let Some(call) = self.calls.get(&(place.frame, node.name.as_str())) {
            return Ok(Some(*call));
        }
        let library = self.library;
        let body = match node.op.as_str() {
            "PartitionedCall" | "StatefulPartitionedCall" => {
                let function = node
                    .attr
                    .get("f")
                    .and_then(|it| self.value(place.frame, it));
                let name = match function.map(|function| &function.value) {
                    Some(Some(Attribute::Function(function))) => function.name.as_str(),
                    _ => "",
                };
                let function = library.function(name);
                function.ok_or_else(|| malformed(format!("there is no function `{name}`")))?
            }
            operator => match library.function(operator) {
                Some(body) => body,
                None => return Ok(None),
            },
        };
        let caller = self.frames.get(place.frame);
        let (depth, path) = caller.map_or((0, ""), |it| (it.depth + 1, it.path.as_str()));
        at_most("functions inside one another", depth, MOST_DEPTH)?;
        at_most("calls of functions", self.frames.len(), MOST_CALLS)?;
        let path = shortened(&format!("{path}{}/", shortened(&node.name))).to_owned();
        let call = self.frames.len();
        self.calls.insert((place.frame, &node.name), call);
        self.frames.push(Frame {
            body,
            caller: Some(place),
            path,
            depth,
        });
        Ok(Some(call))
    }

    /// Every node that runs when these values of the graph are computed, or these nodes run: also
    /// those that others only wait for.
    pub(super) fn executed(
        &mut self,
        values: &[&'a str],
        nodes: &[&'a str],
    ) -> Result<Vec<Place<'a>>, Error> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        let mut open: Vec<(usize, bool, &'a str)> = Vec::new();
        open.extend(values.iter().map(|value| (0, false, *value)));
        open.extend(nodes.iter().map(|node| (0, true, *node)));
        while let Some((frame, awaits, text)) = open.pop() {
            let Some(inside) = self.frames.get(frame) else {
                continue;
            };
            let node = if awaits {
                if inside.body.is_argument(text) {
                    continue;
                }
                let node = inside.body.node(text);
                node.ok_or_else(|| malformed(format!("there is no `{text}`")))?
            } else {
                match self.reference(frame, text)? {
                    Reference::Output(node, slot) => {
                        if self.is_fed(Place { frame, node }, slot) {
                            continue;
                        }
                        node
                    }
                    // What is given is looked at with the call.
                    Reference::Argument(_) => continue,
                }
            };
            if !seen.insert((frame, node.name.as_str())) {
                continue;
            }
            let place = Place { frame, node };
            found.push(place);
            at_most("nodes", found.len(), MOST_EFFECTS)?;
            open.extend(node.input.iter().map(|input| awaited(frame, input)));
            if let Some(call) = self.call(place)? {
                let effects = self.frames.get(call).map(|it| it.body.effects());
                let effects = effects.into_iter().flatten();
                open.extend(effects.map(|(awaits, text)| (call, awaits, text)));
            }
        }
        Ok(found)
    }

    /// The node that a node's input comes from, and which output of it; what only hands on its
    /// input is not counted. Nothing, if it is fed.
    pub(super) fn origin(
        &mut self,
        place: Place<'a>,
        input: usize,
    ) -> Result<Option<(Place<'a>, usize)>, Error> {
        let (mut place, mut input) = (place, input);
        for _ in 0..MOST_STEPS {
            let Some(text) = data(place.node).nth(input) else {
                return Ok(None);
            };
            match self.source(place.frame, text)? {
                Source::Output(source, slot) => match source.node.op.as_str() {
                    "Identity" | "IdentityN" => (place, input) = (source, slot),
                    _ => return Ok(Some((source, slot))),
                },
                Source::Fed(..) => return Ok(None),
            }
        }
        Err(malformed("a value depends on itself"))
    }

    /// What tells a variable from others: its name for sharing, or that of its node.
    pub(super) fn variable(&self, place: Place<'a>) -> String {
        let name = place.node.attr.get("shared_name");
        match name.and_then(|name| self.value(place.frame, name)?.value.as_ref()) {
            Some(Attribute::Text(name)) if !name.is_empty() => {
                String::from_utf8_lossy(name).into_owned()
            }
            _ => {
                let path = self.frames.get(place.frame).map_or("", |it| &it.path);
                format!("{path}{}", place.node.name)
            }
        }
    }

    /// The variable that is a node's first input.
    pub(super) fn variable_of(&mut self, place: Place<'a>) -> Result<Option<String>, Error> {
        let handle = self.origin(place, 0)?;
        let handle = handle.filter(|(place, _)| is_variable(&place.node.op));
        Ok(handle.map(|(place, _)| self.variable(place)))
    }
}

/// The nodes to come, and what they are called: their paths, as long as these are short and unique.
/// What begins with a dot is not in the file.
#[derive(Default)]
struct Agenda<'a> {
    open: Vec<(Place<'a>, String)>,
    names: HashMap<(usize, &'a str), String>,
    taken: HashSet<String>,
    /// The inputs that are needed and not given.
    missing: BTreeSet<String>,
}

impl<'a> Agenda<'a> {
    fn name(&mut self, place: Place<'a>, path: &str) -> &str {
        let key = (place.frame, place.node.name.as_str());
        let number = self.names.len();
        self.names.entry(key).or_insert_with(|| {
            let name = format!("{path}{}", shortened(&place.node.name));
            let mut name = shortened(&name).trim_start_matches('.').to_owned();
            if self.taken.contains(&name) {
                name = format!("{name}.{number}");
            }
            while !self.taken.insert(name.clone()) {
                name.push('_');
            }
            self.open.push((place, name.clone()));
            name
        })
    }
}

/// The end of a name: with many calls, long ones would take more memory than the file. A name begins
/// with a letter or a digit.
fn shortened(name: &str) -> &str {
    const LONGEST: usize = 500;
    let Some(start) = name.len().checked_sub(LONGEST) else {
        return name;
    };
    let mut starts = (start..name.len()).filter(|start| name.is_char_boundary(*start));
    let end = starts
        .find_map(|start| name.get(start..))
        .unwrap_or_default();
    end.trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
}

/// The inputs that are values, without the nodes that are only waited for.
pub(super) fn data(node: &NodeDef) -> impl Iterator<Item = &str> {
    let inputs = node.input.iter().map(String::as_str);
    inputs.filter(|input| !input.starts_with('^'))
}

/// An input, and whether it is only waited for.
fn awaited(frame: usize, input: &str) -> (usize, bool, &str) {
    match input.strip_prefix('^') {
        Some(node) => (frame, true, node),
        None => (frame, false, input),
    }
}
