//! The index of the variables' files: a table of LevelDB, whose format is in
//! <https://github.com/google/leveldb/blob/main/doc/table_format.md>.

use super::malformed;
use crate::Error;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The file's last bytes: where two blocks are, and the magic number.
const FOOTER: usize = 48;
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;

/// After each block, its compression and a checksum.
const TRAILER: usize = 5;

/// Keys in memory, at most, in bytes, and a block when it is decompressed: a key is stored as what
/// differs from the one before.
const MOST_KEYS: usize = 1 << 26;
const LONGEST_BLOCK: usize = 1 << 24;

/// Reads all entries of a table.
pub(super) fn entries(file: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let broken = |what: &str| malformed(format!("the variables' index {what}"));
    let mut footer = file
        .len()
        .checked_sub(FOOTER)
        .and_then(|start| file.get(start..))
        .ok_or_else(|| broken("is cut off"))?;
    if !footer.ends_with(&MAGIC.to_le_bytes()) {
        return Err(broken("is no table"));
    }
    // The first one leads to further information, of which there is none.
    let _ = handle(&mut footer);
    let index = handle(&mut footer).ok_or_else(|| broken("has no blocks"))?;
    let mut found = BTreeMap::new();
    let mut last: Option<Vec<u8>> = None;
    let mut room = MOST_KEYS;
    let index = block(file, index)?;
    // An index cannot lead to the same block again and again: that would be out of order.
    let mut blocks = Block::of(&index)?;
    let mut key = Vec::new();
    while let Some(mut place) = blocks.next(&mut key)? {
        let place = handle(&mut place).ok_or_else(|| broken("has no blocks"))?;
        let data = block(file, place)?;
        let mut entries = Block::of(&data)?;
        let mut key = Vec::new();
        while let Some(value) = entries.next(&mut key)? {
            if last.as_ref().is_some_and(|last| *last >= key) {
                return Err(broken("is not in order"));
            }
            room = room
                .checked_sub(key.len())
                .ok_or_else(|| broken("has immense keys"))?;
            found.insert(key.clone(), value.to_vec());
            last = Some(key.clone());
        }
    }
    Ok(found)
}

/// The checksum of LevelDB's formats, which may be of bytes that hold checksums themselves.
pub(super) fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A block's bytes, decompressed.
fn block(file: &[u8], (offset, length): (usize, usize)) -> Result<Cow<'_, [u8]>, Error> {
    let broken = |what: &str| malformed(format!("a block of the variables' index {what}"));
    let end = length.checked_add(TRAILER);
    let end = end.and_then(|length| offset.checked_add(length));
    let whole = end.and_then(|end| file.get(offset..end));
    let (checked, checksum) = whole
        .and_then(<[u8]>::split_last_chunk::<4>)
        .ok_or_else(|| broken("is cut off"))?;
    if masked(crc32c::crc32c(checked)) != u32::from_le_bytes(*checksum) {
        return Err(broken("has a wrong checksum"));
    }
    match checked.split_last() {
        Some((0, contents)) => Ok(Cow::Borrowed(contents)),
        Some((1, contents)) => {
            let length = snap::raw::decompress_len(contents)
                .map_err(|cause| broken(&format!("is broken: {cause}")))?;
            if length > LONGEST_BLOCK {
                return Err(broken("is immense"));
            }
            let contents = snap::raw::Decoder::new().decompress_vec(contents);
            let contents = contents.map_err(|cause| broken(&format!("is broken: {cause}")))?;
            Ok(Cow::Owned(contents))
        }
        _ => Err(broken("has an unknown compression")),
    }
}

/// The entries of a block that have not been read yet.
struct Block<'a> {
    rest: &'a [u8],
}

impl<'a> Block<'a> {
    /// At the end of a block there are offsets of some entries, for those who search, and their
    /// number.
    fn of(contents: &'a [u8]) -> Result<Block<'a>, Error> {
        let rest = contents.split_last_chunk::<4>().and_then(|(rest, count)| {
            let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
            let end = rest.len().checked_sub(count.checked_mul(4)?)?;
            rest.get(..end)
        });
        let rest = rest.ok_or_else(|| malformed("a block of the variables' index is broken"))?;
        Ok(Block { rest })
    }

    /// Makes the key that of the next entry, and returns its value.
    fn next(&mut self, key: &mut Vec<u8>) -> Result<Option<&'a [u8]>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.entry(key)
            .map(Some)
            .ok_or_else(|| malformed("an entry of the variables' index is broken"))
    }

    fn entry(&mut self, key: &mut Vec<u8>) -> Option<&'a [u8]> {
        let [shared, added, length] = [
            varint(&mut self.rest)?,
            varint(&mut self.rest)?,
            varint(&mut self.rest)?,
        ];
        let (added, rest) = self.rest.split_at_checked(added)?;
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        if shared > key.len() {
            return None;
        }
        key.truncate(shared);
        key.extend_from_slice(added);
        Some(value)
    }
}

/// Offset and length of a block.
fn handle(bytes: &mut &[u8]) -> Option<(usize, usize)> {
    Some((varint(bytes)?, varint(bytes)?))
}

fn varint(bytes: &mut &[u8]) -> Option<usize> {
    crate::protobuf::varint(bytes).and_then(|number| usize::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::{FOOTER, MAGIC, entries, masked};

    /// A block with its trailer.
    fn block(contents: &[u8], compression: u8) -> Vec<u8> {
        let mut block = contents.to_vec();
        block.push(compression);
        block.extend(masked(crc32c::crc32c(&block)).to_le_bytes());
        block
    }

    fn contents(entries: &[&[u8]]) -> Vec<u8> {
        let mut contents = entries.concat();
        contents.extend([0; 8]);
        *contents.iter_mut().rev().nth(3).unwrap() = 1;
        contents
    }

    fn varint(mut number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number > 127 {
            bytes.push(number as u8 | 128);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    /// A table of data blocks, each under a key of one byte.
    fn table(blocks: &[Vec<u8>]) -> Vec<u8> {
        let (mut file, mut index) = (Vec::new(), Vec::new());
        for (key, block) in blocks.iter().enumerate() {
            let place = [varint(file.len()), varint(block.len() - 5)].concat();
            index.extend([0, 1, place.len() as u8, key as u8]);
            index.extend(place);
            file.extend(block);
        }
        let index = block(&contents(&[&index]), 0);
        let mut footer = [vec![0, 0], varint(file.len()), varint(index.len() - 5)].concat();
        footer.resize(FOOTER - 8, 0);
        file.extend(index);
        file.extend(footer);
        file.extend(MAGIC.to_le_bytes());
        file
    }

    fn refused(blocks: &[Vec<u8>]) -> String {
        entries(&table(blocks)).unwrap_err().to_string()
    }

    #[test]
    fn keys_share_what_they_begin_with() {
        let one = block(
            &contents(&[&[0, 0, 1, 7], b"\x00\x02\x01ab1", b"\x01\x01\x02c23"]),
            0,
        );
        let two = snap::raw::Encoder::new().compress_vec(&contents(&[b"\x00\x01\x00b"]));
        let two = block(&two.unwrap(), 1);
        let found = entries(&table(&[one, two])).unwrap();
        let found: Vec<(&[u8], &[u8])> = found.iter().map(|(k, v)| (&**k, &**v)).collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"", b"\x07"), (b"ab", b"1"), (b"ac", b"23"), (b"b", b"")];
        assert_eq!(found, expected);
    }

    #[test]
    fn blocks_that_come_twice_or_out_of_order_are_refused() {
        let one = block(&contents(&[b"\x00\x01\x00b"]), 0);
        let expected = "not a TensorFlow SavedModel: the variables' index is not in order";
        assert_eq!(refused(&[one.clone(), one]), expected);
    }

    #[test]
    fn immense_keys_and_blocks_are_refused() {
        let mut long = [&[0][..], &varint(1 << 20), &[0]].concat();
        long.extend(vec![b'a'; 1 << 20]);
        let mut entries = vec![long];
        // Each is longer than the one before, by one byte.
        for longer in 0..70 {
            entries.push([&varint((1 << 20) + longer)[..], &[1, 0, b'a']].concat());
        }
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let error = refused(&[block(&contents(&entries), 0)]);
        assert!(error.ends_with("has immense keys"), "{error}");

        let bomb = block(&[&varint(0xffff_ffff)[..], &[0, 0]].concat(), 1);
        let error = refused(&[bomb]);
        assert!(
            error.ends_with("a block of the variables' index is immense"),
            "{error}"
        );
    }

    #[test]
    fn lengths_beyond_the_end_are_refused() {
        for entry in [
            &b"\x01\x01\x00b"[..],
            b"\x00\x09\x00b",
            b"\x00\x01\x09b",
            b"\x00",
            b"\xff",
        ] {
            let error = refused(&[block(&contents(&[entry]), 0)]);
            assert!(
                error.ends_with("an entry of the variables' index is broken"),
                "{error}"
            );
        }
        let error = refused(&[block(&[9, 9, 9, 9], 0)]);
        assert!(
            error.ends_with("a block of the variables' index is broken"),
            "{error}"
        );
        let error = refused(&[block(&[9], 7)]);
        assert!(error.ends_with("has an unknown compression"), "{error}");
    }
}
