use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What workers hand to each other: threads of one process, so it is moved and never serialised.
///
/// Timely asks of what is exchanged that it can be serialised, because the same dataflow might span
/// processes. Ours does not: Kafka spreads partitions over processes. A batch refers to the memory
/// of its messages, and a model to compiled code; neither has a form on a wire. So both implement
/// what is asked for by refusing it. The alternative, a table in the process and its keys on the
/// wire, would need a lock, and somebody who takes out what never arrives.
#[derive(Clone, Debug)]
pub(crate) struct InProcess<T>(pub(crate) T);

const REFUSAL: &str = "batches and models do not leave their process";

impl<T> Serialize for InProcess<T> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom(REFUSAL))
    }
}

impl<'de, T> Deserialize<'de> for InProcess<T> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(REFUSAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_why_it_is_not_serialised() {
        let error = serde_json::to_string(&InProcess(1)).unwrap_err();
        assert_eq!(error.to_string(), REFUSAL);
        let error = serde_json::from_str::<InProcess<i32>>("1").unwrap_err();
        assert!(error.to_string().starts_with(REFUSAL), "{error}");
    }
}
