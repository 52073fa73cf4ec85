//! The strict pass: decides in one walk over the bytes whether they are one acceptable JSON value.
//!
//! Recursive descent, at most [`MAX_DEPTH`] calls deep; no allocation per value. Numbers are only looked at, never
//! converted. The members of the outermost object are reported on the way, so that an envelope needs no second pass.

use std::ops::Range;

use super::error::{JsonError, JsonErrorKind};
use super::names::{Name, Names, Siblings};
use super::text::Quoted;
use super::words::plain_bytes;

/// How many arrays and objects may be open at once.
pub const MAX_DEPTH: usize = 64;

/// Checks a whole text and returns where in it the value is, without the white space around it.
///
/// `on_member` is told each member of the outermost object: its name and the place of
/// its value. Believe it only when the whole text turns out to be acceptable.
pub(crate) fn scan<'a>(
    bytes: &'a [u8],
    on_member: impl FnMut(Quoted<'a>, Range<usize>),
) -> Result<Range<usize>, JsonError> {
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(JsonError { offset: error.valid_up_to(), kind: JsonErrorKind::Utf8 });
    }
    if u32::try_from(bytes.len()).is_err() {
        return Err(JsonError { offset: 0, kind: JsonErrorKind::TooLong });
    }
    let mut scanner = Scanner { bytes, at: 0, names: Names::new(bytes) };
    scanner.space();
    let start = scanner.at;
    match scanner.peek() {
        Some(b'{') => scanner.object(0, on_member)?,
        _ => scanner.value(0)?,
    }
    let end = scanner.at;
    scanner.space();
    match scanner.peek() {
        None => Ok(start..end),
        Some(_) => Err(scanner.error(JsonErrorKind::Trailing)),
    }
}

/// A position in the text. Every method starts at its construct and leaves `at` behind it.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    names: Names<'a>,
}

impl<'a> Scanner<'a> {
    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.object(depth, |_, _| ()),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => Err(self.expected("a value")),
        }
    }

    fn object(
        &mut self,
        depth: usize,
        mut on_member: impl FnMut(Quoted<'a>, Range<usize>),
    ) -> Result<(), JsonError> {
        self.open(depth)?;
        if self.take(b'}') {
            return Ok(());
        }
        let mut siblings = self.names.open();
        loop {
            let name = self.name(&mut siblings)?;
            self.space();
            if !self.take(b':') {
                return Err(self.expected("`:`"));
            }
            self.space();
            let start = self.at;
            self.value(depth + 1)?;
            on_member(name, start..self.at);
            self.space();
            if self.take(b'}') {
                self.names.close(&siblings);
                return Ok(());
            }
            self.comma("`,` or `}`")?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        self.open(depth)?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.space();
            if self.take(b']') {
                return Ok(());
            }
            self.comma("`,` or `]`")?;
        }
    }

    /// The bracket that opens an array or object, and the space behind it.
    fn open(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth >= MAX_DEPTH {
            return Err(self.error(JsonErrorKind::TooDeep));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn comma(&mut self, expected: &'static str) -> Result<(), JsonError> {
        if !self.take(b',') {
            return Err(self.expected(expected));
        }
        self.space();
        Ok(())
    }

    fn name(&mut self, siblings: &mut Siblings) -> Result<Quoted<'a>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a member name"));
        }
        let start = self.at;
        let escaped = self.string()?;
        let name = Name::new(start + 1..self.at - 1, escaped);
        if !self.names.add(siblings, name) {
            return Err(JsonError { offset: start, kind: JsonErrorKind::DuplicateMember });
        }
        Ok(Quoted { raw: self.bytes.get(start + 1..self.at - 1).unwrap_or_default(), escaped })
    }

    /// Returns whether anything in the string was escaped.
    fn string(&mut self) -> Result<bool, JsonError> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at += plain_bytes(self.rest());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.error(JsonErrorKind::Control)),
                None => return Err(self.error(JsonErrorKind::End)),
            }
            escaped = true;
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let start = self.at;
                let lone = JsonError { offset: start, kind: JsonErrorKind::LoneSurrogate };
                match self.unicode_escape()? {
                    0xDC00..=0xDFFF => return Err(lone),
                    0xD800..=0xDBFF if !self.rest().starts_with(b"\\u") => return Err(lone),
                    0xD800..=0xDBFF if !matches!(self.unicode_escape()?, 0xDC00..=0xDFFF) => {
                        return Err(lone);
                    }
                    _ => {}
                }
            }
            Some(_) => return Err(self.error(JsonErrorKind::Escape)),
            None => return Err(self.error(JsonErrorKind::End)),
        }
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<u32, JsonError> {
        let mut unit = 0;
        for place in self.at + 2..self.at + 6 {
            let Some(byte) = self.bytes.get(place) else { return Err(self.error(JsonErrorKind::End)) };
            let Some(digit) = char::from(*byte).to_digit(16) else {
                return Err(self.error(JsonErrorKind::Escape));
            };
            unit = unit * 16 + digit;
        }
        self.at += 6;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.rest().starts_with(word) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn error(&self, kind: JsonErrorKind) -> JsonError {
        JsonError { offset: self.at, kind }
    }

    fn expected(&self, what: &'static str) -> JsonError {
        match self.peek() {
            Some(_) => self.error(JsonErrorKind::Expected(what)),
            None => self.error(JsonErrorKind::End),
        }
    }
}
