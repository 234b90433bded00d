use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use model::{Port, Tensor};

/// An answer that comes later, on the thread that asked.
pub(crate) type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + 'a>>;

/// A way to talk to a model server.
pub(crate) trait Protocol {
    /// What the model takes and says.
    fn describe<'a>(&'a self, model: &'a str) -> Reply<'a, Description>;

    /// What the model says of these tensors, by the names of its inputs: one for each of the
    /// described inputs, in their order. `rows` records are in them.
    fn predict<'a>(
        &'a self,
        model: &'a str,
        description: &'a Description,
        inputs: Vec<(&'a str, &'a Tensor)>,
        rows: usize,
    ) -> Reply<'a, Answer>;

    /// What was sent at this time got no answer in time. Connections that are as old may be dead, and
    /// nobody may ever say so: what is sent from now on goes over others.
    fn timed_out(&self, sent: Instant);
}

/// A client that is replaced when its connections seem to be dead.
pub(crate) struct Renewed<C> {
    make: Box<dyn Fn() -> C>,
    current: RefCell<(C, Instant)>,
}

impl<C: Clone> Renewed<C> {
    pub(crate) fn new(make: impl Fn() -> C + 'static) -> Self {
        Self {
            current: RefCell::new((make(), Instant::now())),
            make: Box::new(make),
        }
    }

    pub(crate) fn current(&self) -> C {
        self.current.borrow().0.clone()
    }

    /// Replaces the client, unless it is younger than that. Who still uses it may go on.
    pub(crate) fn renew(&self, sent: Instant) {
        let mut current = self.current.borrow_mut();
        if current.1 <= sent {
            *current = ((self.make)(), Instant::now());
        }
    }
}

/// What a model server says of a model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Description {
    /// The version that answers, if it is known.
    pub(crate) version: Option<i64>,
    /// The name of the signature.
    pub(crate) signature: String,
    pub(crate) inputs: Vec<Port>,
    /// In the order of their names. Empty: what an answer has is what there is.
    pub(crate) outputs: Vec<Port>,
}

/// What a model server says of records.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The version that says so, if the protocol tells.
    pub(crate) version: Option<i64>,
    /// In the order of the description's outputs.
    pub(crate) outputs: Vec<Tensor>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server is away, or has too much to do: it may answer later.
    Unavailable(String),
    /// It has answered something that is no answer, or half of one: it may answer later, or never.
    Unclear(String),
    /// There is no such model. One may come.
    NoModel(String),
    /// It refuses the request, and will refuse it again.
    Refused(String),
}

impl Failure {
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Unavailable(reason)
            | Self::Unclear(reason)
            | Self::NoModel(reason)
            | Self::Refused(reason) => reason,
        }
    }
}

/// The signature that is meant if nobody says otherwise.
pub(crate) const USUAL_SIGNATURE: &str = "serving_default";

/// Which of a model's signatures is meant: the one of this name; if there is no name, the usual one,
/// or the only one there is. What only runs when a model is loaded is no candidate.
pub(crate) fn signature<'a>(
    wanted: Option<&str>,
    known: impl Iterator<Item = &'a str>,
) -> Result<&'a str, Failure> {
    let known: Vec<&str> = known
        .filter(|name| !name.starts_with("__saved_model"))
        .collect();
    let name = wanted.unwrap_or(USUAL_SIGNATURE);
    if let Some(found) = known.iter().find(|known| **known == name) {
        return Ok(found);
    }
    match known[..] {
        [only] if wanted.is_none() => Ok(only),
        _ => Err(Failure::Refused(format!(
            "the model has no signature `{name}`; it has: {} (--signature)",
            known.join(", ")
        ))),
    }
}

/// The beginning of a text that came from outside, on one line.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    shortened(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_name_the_usual_signature_is_meant_or_the_only_one() {
        let chosen = |wanted, known: &[&'static str]| signature(wanted, known.iter().copied());
        let both = ["predict", "serving_default"];
        assert_eq!(chosen(None, &both), Ok("serving_default"));
        assert_eq!(chosen(Some("predict"), &both), Ok("predict"));
        assert_eq!(chosen(None, &["__saved_model_init_op", "a"]), Ok("a"));
        for (wanted, known) in [
            (None, &["a", "b"][..]),
            (None, &[]),
            (Some("other"), &["a"]),
            (Some("__saved_model_init_op"), &["__saved_model_init_op"]),
        ] {
            let refused = chosen(wanted, known);
            assert!(matches!(refused, Err(Failure::Refused(_))), "{known:?}");
        }
    }
}
