//! The fields of a Protocol Buffers message, one by one, where they lie: nothing is copied.
//!
//! The rules are those of [the encoding](https://protobuf.dev/programming-guides/encoding/): fields
//! may come in any order, unknown ones are passed over.

/// Groups in groups, at most.
const DEEPEST: usize = 100;

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A fixed-length number: no message that is read here has one.
    Fixed,
}

/// Why bytes are no message.
pub(super) type Malformed = &'static str;

pub(super) const CUT_OFF: Malformed = "it is cut off";
const WRONG_KIND: Malformed = "a field has another wire type than its definition";

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The number of the next field and what it holds; nothing at the end of the message.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Content<'a>)>, Malformed> {
        while !self.0.is_empty() {
            let (number, kind) = self.key()?;
            match kind {
                3 => self.pass_group(number)?,
                _ => return Ok(Some((number, self.content(kind)?))),
            }
        }
        Ok(None)
    }

    /// The next number of a packed list; nothing at its end.
    pub(super) fn packed(&mut self) -> Result<Option<u64>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        self.varint().map(Some)
    }

    fn key(&mut self) -> Result<(u32, u8), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| "a field has no valid number")?;
        match key >> 3 {
            0 => Err("a field has the number 0"),
            number => Ok((number, (key & 7) as u8)),
        }
    }

    fn content(&mut self, kind: u8) -> Result<Content<'a>, Malformed> {
        match kind {
            0 => self.varint().map(Content::Varint),
            1 => self.take(8).map(|_| Content::Fixed),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| CUT_OFF)?;
                self.take(length).map(Content::Bytes)
            }
            5 => self.take(4).map(|_| Content::Fixed),
            4 => Err("a group ends that did not begin"),
            _ => Err("a field has no valid wire type"),
        }
    }

    /// Groups are of another age, and unknown to every message here.
    fn pass_group(&mut self, number: u32) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            let (number, kind) = self.key()?;
            match kind {
                3 if open.len() < DEEPEST => open.push(number),
                3 => return Err("groups are nested too deeply"),
                4 if number == innermost => {
                    open.pop();
                }
                _ => {
                    self.content(kind)?;
                }
            }
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (place, &byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                if place == 9 && byte > 1 {
                    break;
                }
                self.0 = &self.0[place + 1..];
                return Ok(value);
            }
        }
        Err(if self.0.len() < 10 {
            CUT_OFF
        } else {
            "a number has more than 64 bits"
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'a> Content<'a> {
    pub(super) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(WRONG_KIND),
        }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(WRONG_KIND),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a text is not UTF-8")
    }
}
