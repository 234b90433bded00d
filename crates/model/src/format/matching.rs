use std::collections::HashMap;

use crate::record::{NamedTensor, fold, shown};

/// Names that a message lists, at most.
const LISTED: usize = 8;

/// Where a record has the tensors that a model names: under the same name, else under one that is
/// the same after [folding](fold).
///
/// A record brings its names with it, and the next one usually brings the same: what was found then
/// is kept.
#[derive(Clone, Debug)]
pub(crate) struct Matching {
    /// What the model calls its inputs, as it is and folded.
    wanted: Vec<(String, String)>,
    /// The names that the last record came with.
    last: Vec<String>,
    /// Of each input, the position of its tensor in the last record.
    found: Vec<Option<usize>>,
    /// The position of the first tensor there that belongs to no input.
    unused: Option<usize>,
}

impl Matching {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let wanted: Vec<_> = names.map(|name| (name.to_owned(), fold(name))).collect();
        Self {
            found: vec![None; wanted.len()],
            wanted,
            last: Vec::new(),
            unused: None,
        }
    }

    /// Of each input, the position of its tensor.
    pub(crate) fn positions(&mut self, tensors: &[NamedTensor]) -> &[Option<usize>] {
        let same = self.last.len() == tensors.len()
            && self.last.iter().zip(tensors).all(|(a, b)| *a == b.name);
        if !same {
            self.look_up(tensors);
        }
        &self.found
    }

    fn look_up(&mut self, tensors: &[NamedTensor]) {
        let folded: Vec<String> = tensors.iter().map(|tensor| fold(&tensor.name)).collect();
        let (mut exactly, mut roughly) = (HashMap::new(), HashMap::new());
        for (position, (tensor, folded)) in tensors.iter().zip(&folded).enumerate() {
            exactly.entry(tensor.name.as_str()).or_insert(position);
            roughly.entry(folded.as_str()).or_insert(position);
        }
        let mut used = vec![false; tensors.len()];
        for ((name, folded), found) in self.wanted.iter().zip(&mut self.found) {
            let exact = exactly.get(name.as_str());
            *found = exact.or_else(|| roughly.get(folded.as_str())).copied();
            if let Some(position) = *found {
                used[position] = true;
            }
        }
        self.unused = used.iter().position(|used| !used);
        self.last.clear();
        self.last.extend(tensors.iter().map(|t| t.name.clone()));
    }

    /// Of each input, the position of its tensor, where every input has one and none is left.
    /// Of one input and one tensor, the name does not matter.
    pub(crate) fn all(
        &mut self,
        tensors: &[NamedTensor],
        into: &mut Vec<usize>,
    ) -> Result<(), String> {
        into.clear();
        if let ([_], [_]) = (&self.wanted[..], tensors) {
            into.push(0);
            return Ok(());
        }
        into.extend(self.positions(tensors).iter().flatten());
        if into.len() < self.wanted.len() {
            let wanted = self.wanted.iter().zip(&self.found);
            let missing = wanted.filter(|(_, found)| found.is_none());
            let missing = listed(missing.map(|((name, _), _)| name.as_str()));
            let present = listed(tensors.iter().map(|tensor| tensor.name.as_str()));
            return Err(format!("it lacks {missing}; it has {present}"));
        }
        if let Some(tensor) = self.unused.and_then(|position| tensors.get(position)) {
            let taken = self.names();
            return Err(format!(
                "the model does not take `{}`; it takes {taken}",
                shown(&tensor.name)
            ));
        }
        Ok(())
    }

    /// What the model calls its inputs, for messages.
    pub(crate) fn names(&self) -> String {
        listed(self.wanted.iter().map(|(name, _)| name.as_str()))
    }
}

/// Some of the names, for messages.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for (place, name) in names.enumerate() {
        if place == LISTED {
            text.push_str(", ...");
            break;
        }
        if place > 0 {
            text.push_str(", ");
        }
        text.push('`');
        text.push_str(&shown(name));
        text.push('`');
    }
    if text.is_empty() {
        text.push_str("nothing");
    }
    text
}

#[cfg(test)]
mod tests {
    use tensor::{Data, Tensor};

    use super::*;

    fn tensors(names: &[&str]) -> Vec<NamedTensor> {
        let named = |name: &&str| NamedTensor {
            name: (*name).to_owned(),
            tensor: Tensor {
                shape: Vec::new(),
                data: Data::Bool(vec![true]),
            },
        };
        names.iter().map(named).collect()
    }

    fn all(wanted: &[&str], names: &[&str]) -> Result<Vec<usize>, String> {
        let mut positions = Vec::new();
        Matching::new(wanted.iter().copied())
            .all(&tensors(names), &mut positions)
            .map(|()| positions)
    }

    #[test]
    fn tensors_are_found_by_name_then_by_folded_name() {
        assert_eq!(all(&["b", "a"], &["a", "b"]), Ok(vec![1, 0]));
        assert_eq!(
            all(&["Fixed Acidity", "pH"], &["ph", "fixed_acidity"]),
            Ok(vec![1, 0])
        );
        assert_eq!(
            all(&["x", "X"], &["X", "x"]),
            Ok(vec![1, 0]),
            "an exact name wins"
        );
        assert_eq!(all(&["x"], &["whatever"]), Ok(vec![0]));
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        for (wanted, names, message) in [
            (&["x"][..], &[][..], "it lacks `x`; it has nothing"),
            (&["a", "b"], &["a"], "it lacks `b`; it has `a`"),
            (&["a", "b"], &["A", "c"], "it lacks `b`; it has `A`, `c`"),
            (
                &["x"],
                &["x", "y"],
                "the model does not take `y`; it takes `x`",
            ),
            (
                &["a_b", "a b"],
                &["a_b", "z"],
                "the model does not take `z`; it takes `a_b`, `a b`",
            ),
        ] {
            assert_eq!(all(wanted, names), Err(message.to_owned()));
        }
    }

    #[test]
    fn a_record_with_other_names_than_the_last_is_looked_at_anew() {
        let mut matching = Matching::new(["a", "b"].into_iter());
        for (names, found) in [
            (&["a", "b"][..], [Some(0), Some(1)]),
            (&["b", "a"], [Some(1), Some(0)]),
            (&["b", "a"], [Some(1), Some(0)]),
            (&["b"], [None, Some(0)]),
            (&["c", "B", "A"], [Some(2), Some(1)]),
        ] {
            assert_eq!(matching.positions(&tensors(names)), found);
        }
    }
}
