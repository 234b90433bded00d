use std::sync::Arc;

use serving::{Batch, ServedModel};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::exchange::Exchange as _;
use timely::dataflow::operators::vec::Broadcast as _;

use crate::Epoch;
use crate::in_process::InProcess;

/// How records and models come together: models have to get wherever records of their data type do.
#[derive(Clone, Copy, Debug)]
pub struct Join {
    /// Where records go.
    pub records: RecordRouting,
    /// Where models go.
    pub models: ModelRouting,
}

/// Where records go from the worker that reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordRouting {
    /// Nowhere: the worker that reads a Kafka partition scores its records.
    Stay,
    /// To the worker that owns their data type.
    ByDataType,
}

/// Where models go from the worker that takes them in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelRouting {
    /// To every worker.
    Broadcast,
    /// To the worker that owns their data type.
    ByDataType,
}

impl RecordRouting {
    /// The parts of a batch that go each their own way. Records travel together as far as they can.
    pub(crate) fn parts(self, batch: Batch) -> Vec<InProcess<Batch>> {
        match self {
            Self::Stay => vec![InProcess(batch)],
            Self::ByDataType => {
                let parts = batch.by_data_type().into_iter();
                parts.map(|(_, part)| InProcess(part)).collect()
            }
        }
    }
}

impl ModelRouting {
    /// The models as they arrive. Those of one data type stay in order, because each has an epoch of
    /// its own.
    pub(crate) fn route<'scope>(
        self,
        models: StreamVec<'scope, Epoch, InProcess<Arc<ServedModel>>>,
    ) -> StreamVec<'scope, Epoch, InProcess<Arc<ServedModel>>> {
        match self {
            Self::Broadcast => models.broadcast(),
            Self::ByDataType => {
                models.exchange(|InProcess(model)| owner(&model.descriptor.data_type))
            }
        }
    }
}

/// Which worker a part of a batch goes to, modulo their number: all of its records have one type.
pub(crate) fn owner_of(InProcess(part): &InProcess<Batch>) -> u64 {
    let first = part.records().next();
    first.map_or(0, |record| owner(&record.data_type))
}

/// Which worker owns a data type, modulo their number. The hash is FNV-1a, 64 bits: the same in
/// every process and release, so that who knows the names knows the spread. Its lower half is folded
/// with the upper, as its authors advise where few bits are used.
fn owner(data_type: &str) -> u64 {
    let hash = fnv_1a(data_type.as_bytes());
    hash ^ (hash >> 32)
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo; RFC 9923).
fn fnv_1a(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET_BASIS, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // Test vectors of RFC 9923.
        for (text, hash) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            assert_eq!(fnv_1a(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn a_few_data_types_give_every_one_of_a_few_workers_something_to_do() {
        let names = ["wine", "wine-2", "wine-3"];
        let owners: BTreeSet<_> = names.iter().map(|name| owner(name) % 2).collect();
        assert_eq!(owners.len(), 2);
        for workers in 2..9 {
            let names = (0..16 * workers).map(|n| format!("type-{n}"));
            let owners: BTreeSet<_> = names.map(|name| owner(&name) % workers).collect();
            assert_eq!(owners.len() as u64, workers, "of {workers} workers");
        }
    }
}
