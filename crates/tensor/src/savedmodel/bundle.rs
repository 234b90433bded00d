//! The variables' files: `tensorflow/core/util/tensor_bundle`.

use super::graph::{DataType, TensorProto};
use super::messages::{BundleEntryProto, BundleHeaderProto};
use super::table::{entries, masked};
use super::{graph, malformed};
use crate::graphdef::Constants;
use crate::protobuf::{Kind, check, varint};
use crate::{Directory, Error};
use prost::Message;
use std::collections::BTreeMap;
use tract_onnx::tract_hir::internal::Tensor as Value;

/// The messages of an entry, as far as they are decoded: a shape, and slices.
const SCHEMA: &[Kind] = &[&[(2, 1), (7, 2)], &[(2, 2)], &[]];

/// What the variables' files hold.
pub(super) struct Bundle<'a> {
    files: &'a Directory,
    /// The directory, and how all names begin: `variables/variables`.
    prefix: String,
    shards: i32,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<'a> Bundle<'a> {
    /// Reads the index.
    pub(super) fn open(files: &'a Directory, prefix: String) -> Result<Bundle<'a>, Error> {
        let path = format!("{prefix}.index");
        let index = files
            .file(&path)
            .ok_or_else(|| malformed(format!("there is no file `{path}`")))?;
        let mut entries = entries(index)?;
        let header = entries
            .remove(&[][..])
            .ok_or_else(|| malformed("the variables' index has no header"))?;
        let header = BundleHeaderProto::decode(&*header)
            .map_err(|cause| malformed(format!("the variables' header is broken: {cause}")))?;
        if header.endianness != 0 {
            return Err(malformed("the variables are big endian"));
        }
        Ok(Bundle {
            files,
            prefix,
            shards: header.num_shards,
            entries,
        })
    }

    /// Whether there is a tensor under the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key.as_bytes())
    }

    /// Whether the tensor under a key is of a type, by its number.
    pub(super) fn is_of(&self, key: &str, datum: i32) -> Result<bool, Error> {
        Ok(self.entry(key)?.dtype == datum)
    }

    /// The tensor under a key, with what is unsupported about it inside.
    pub(super) fn tensor(
        &self,
        key: &str,
        constants: &mut Constants,
    ) -> Result<Result<Value, String>, Error> {
        let entry = self.entry(key)?;
        if !entry.slices.is_empty() {
            return Ok(Err("of a partitioned variable".to_owned()));
        }
        let bytes = self.bytes(key, &entry)?;
        if entry.dtype == DataType::String as i32 {
            return Ok(Err("of type string".to_owned()));
        }
        if masked(crc32c::crc32c(bytes)) != entry.crc32c {
            return Err(wrong(key, "has a wrong checksum"));
        }
        let lengths = entry.shape.iter().flat_map(|shape| &shape.dim);
        let volume = lengths.fold(1i64, |volume, dim| volume.saturating_mul(dim.size));
        if bytes.is_empty() != (volume == 0) {
            return Err(wrong(key, "has another length than its shape"));
        }
        Ok(constants.tensor(&TensorProto {
            dtype: entry.dtype,
            tensor_shape: entry.shape,
            tensor_content: bytes.to_vec(),
            ..TensorProto::default()
        }))
    }

    /// The one string under a key.
    pub(super) fn string(&self, key: &str) -> Result<&'a [u8], Error> {
        let entry = self.entry(key)?;
        let bytes = self.bytes(key, &entry)?;
        // A length, a checksum of the lengths as four bytes each, and the strings.
        let mut rest = bytes;
        let length = varint(&mut rest).and_then(|length| u32::try_from(length).ok());
        let parts = length.zip(rest.split_first_chunk::<4>());
        let (length, (written, string)) = parts.ok_or_else(|| wrong(key, "is broken"))?;
        let checksum = crc32c::crc32c(&length.to_le_bytes());
        let whole = crc32c::crc32c_append(crc32c::crc32c_append(checksum, written), string);
        if masked(checksum) != u32::from_le_bytes(*written) || masked(whole) != entry.crc32c {
            return Err(wrong(key, "has a wrong checksum"));
        }
        if entry.dtype != DataType::String as i32 || string.len() as u64 != u64::from(length) {
            return Err(wrong(key, "is not one string"));
        }
        Ok(string)
    }

    fn entry(&self, key: &str) -> Result<BundleEntryProto, Error> {
        let bytes = self
            .entries
            .get(key.as_bytes())
            .ok_or_else(|| wrong(key, "is not there"))?;
        if !bytes.is_empty() {
            check(bytes, SCHEMA, malformed)?;
        }
        BundleEntryProto::decode(&**bytes).map_err(|cause| wrong(key, &cause.to_string()))
    }

    fn bytes(&self, key: &str, entry: &BundleEntryProto) -> Result<&'a [u8], Error> {
        if !(0..self.shards).contains(&entry.shard_id) {
            return Err(wrong(key, "is in a file that is not there"));
        }
        let path = format!(
            "{}.data-{:05}-of-{:05}",
            self.prefix, entry.shard_id, self.shards
        );
        let shard = self
            .files
            .file(&path)
            .ok_or_else(|| malformed(format!("there is no file `{path}`")))?;
        let offset = usize::try_from(entry.offset).ok();
        let size = usize::try_from(entry.size).ok();
        let bytes = offset.zip(size).and_then(|(offset, size)| {
            let end = offset.checked_add(size)?;
            shard.get(offset..end)
        });
        bytes.ok_or_else(|| wrong(key, &format!("is beyond the end of `{path}`")))
    }
}

/// An error about a tensor.
fn wrong(key: &str, what: &str) -> Error {
    malformed(format!("the variables' tensor `{key}` {what}"))
}

/// Lengths of a tensor's axes, as an entry or a variable declares them.
pub(super) fn fits(value: &Value, shape: &graph::TensorShapeProto) -> bool {
    shape.unknown_rank
        || value.rank() == shape.dim.len()
            && value
                .shape()
                .iter()
                .zip(&shape.dim)
                .all(|(length, dim)| dim.size == -1 || dim.size == *length as i64)
}
