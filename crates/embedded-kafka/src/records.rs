//! The records inside a batch.

/// The parts of a record that the broker looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// Relative to the batch's base timestamp, in ms.
    pub(crate) timestamp_delta: i64,
    /// Relative to the batch's base offset.
    pub(crate) offset_delta: i32,
    pub(crate) has_key: bool,
}

/// Walks over uncompressed records; stops after the first that is malformed.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Records { rest: bytes }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = read(&mut self.rest).ok_or_else(|| "a record is malformed".to_owned());
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

/// A zigzag variable-length integer of at most ten bytes.
fn varint(from: &mut &[u8]) -> Option<i64> {
    let mut raw = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        raw |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()));
        }
    }
    None
}

fn skip(from: &mut &[u8], count: i64) -> Option<()> {
    let count = usize::try_from(count).ok()?;
    *from = from.get(count..)?;
    Some(())
}

/// Skips a length and as many bytes; false if the length says null.
fn skip_nullable(from: &mut &[u8]) -> Option<bool> {
    match varint(from)? {
        -1 => Some(false),
        length => skip(from, length).map(|()| true),
    }
}

fn read(from: &mut &[u8]) -> Option<Record> {
    let length = usize::try_from(varint(from)?).ok()?;
    let (mut body, rest) = from.split_at_checked(length)?;
    *from = rest;
    let body = &mut body;
    skip(body, 1)?;
    let timestamp_delta = varint(body)?;
    let offset_delta = i32::try_from(varint(body)?).ok()?;
    let has_key = skip_nullable(body)?;
    skip_nullable(body)?;
    let headers = varint(body)?;
    if headers < 0 {
        return None;
    }
    for _ in 0..headers {
        let name = varint(body)?;
        skip(body, name)?;
        skip_nullable(body)?;
    }
    body.is_empty().then_some(Record {
        timestamp_delta,
        offset_delta,
        has_key,
    })
}

/// Checks that there are `count` records with offsets 0, 1, 2 ...
pub(crate) fn check(bytes: &[u8], count: i32) -> Result<(), String> {
    let mut seen = 0;
    for record in Records::new(bytes) {
        let record = record?;
        if record.offset_delta != seen {
            return Err(format!("record {seen} has offset {}", record.offset_delta));
        }
        seen += 1;
    }
    if seen == count {
        Ok(())
    } else {
        Err(format!("{seen} records where {count} are announced"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_read_as_zigzag() {
        for (bytes, value) in [
            (&[0][..], 0),
            (&[1], -1),
            (&[2], 1),
            (&[216, 4], 300),
            (&[254, 255, 255, 255, 15], i64::from(i32::MAX)),
        ] {
            let mut rest = bytes;
            assert_eq!(varint(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
        assert_eq!(varint(&mut &[0x80; 12][..]), None);
        assert_eq!(varint(&mut &[0x80][..]), None);
    }

    proptest::proptest! {
        #[test]
        fn noise_is_never_read_beyond_its_end(
            noise in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        ) {
            let mut read = 0;
            for record in Records::new(&noise) {
                read += usize::from(record.is_ok());
            }
            // The smallest record has seven bytes.
            proptest::prop_assert!(read <= noise.len() / 7);
        }
    }
}
