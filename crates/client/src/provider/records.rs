//! The records to publish, as messages of their schema.

use anyhow::{Result, anyhow};
use configuration::RecordChoice;
use model::{Data, Tensor, record};
use prost::Message as _;
use protobufs::{TensorRecord, WineRecord};

use crate::wine;

/// The rows of the data, each a message that waits for its data type and its time.
pub(super) enum Records {
    Wine(Vec<WineRecord>),
    Tensor(Vec<TensorRecord>),
}

impl Records {
    /// Wines as records of this schema. As tensors, each is one of 11 floats called `inputs`.
    pub(super) fn of(wines: Vec<WineRecord>, schema: RecordChoice) -> Self {
        match schema {
            RecordChoice::Wine => Self::Wine(wines),
            RecordChoice::Tensor => Self::Tensor(wines.iter().map(tensors).collect()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Wine(records) => records.len(),
            Self::Tensor(records) => records.len(),
        }
    }

    /// Overwrites a buffer with the message of a row.
    pub(super) fn encode(
        &mut self,
        row: usize,
        data_type: &str,
        ts: i64,
        into: &mut Vec<u8>,
    ) -> Result<()> {
        into.clear();
        let none = || anyhow!("no records");
        match self {
            Self::Wine(records) => {
                let record = records.get_mut(row).ok_or_else(none)?;
                data_type.clone_into(&mut record.data_type);
                record.ts = ts;
                record.encode(into)?;
            }
            Self::Tensor(records) => {
                let record = records.get_mut(row).ok_or_else(none)?;
                data_type.clone_into(&mut record.data_type);
                record.ts = ts;
                record.encode(into)?;
            }
        }
        Ok(())
    }
}

fn tensors(wine: &WineRecord) -> TensorRecord {
    let measurements = wine::measurements(wine).map(|(_, value)| value as f32);
    let inputs = Tensor {
        shape: vec![measurements.len()],
        data: Data::Float(measurements.into()),
    };
    TensorRecord {
        tensors: vec![record::message("inputs", &inputs)],
        ..TensorRecord::default()
    }
}
