//! The strict pass over a text that comes in pieces and is not kept: the rules of `scan`, in bounded memory.
//!
//! Pieces go in, [`Mark`]s come out: where the members of the outermost object are, and those of objects that are such
//! members' values. A name is told before its value is seen, so that whoever passes the text on can decide about each
//! member as it begins. Nothing is known to be acceptable before [`Checker::finish`].
//!
//! In one point less strict than the pass over a whole text: names that are told of may not appear twice, whatever comes
//! (more than [`MAX_NAMES`] of them are refused); of objects deeper down so many names are compared and no more. In
//! another stricter: no name may be longer than [`MAX_NAME`].

mod names; // those of open objects
mod utf8; // characters across pieces

use std::borrow::Cow;

pub use self::names::MAX_NAMES;
use self::names::{Added, Names};
use self::utf8::Utf8;
use super::MAX_DEPTH;
use super::error::{JsonError, JsonErrorKind};
use super::text::unescape;
use super::words::plain_bytes;

/// Something about a member of the outermost object (level 0), or of an object that is the value of one (level 1). Places
/// are counted in bytes from the start of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark<'a> {
    /// Its value begins.
    Begins {
        /// 0 or 1.
        level: usize,
        /// Its name, unescaped.
        name: Cow<'a, str>,
        /// Where the value begins.
        at: u64,
        /// The value's first byte: it says what kind of value it is.
        first: u8,
    },
    /// Its value has ended.
    Ends {
        /// 0 or 1.
        level: usize,
        /// The place behind the value.
        at: u64,
    },
    /// Another member of the same object follows.
    Comma {
        /// 0 or 1.
        level: usize,
        /// Where the comma is.
        at: u64,
    },
}

/// A text being checked as it comes.
pub struct Checker {
    state: State,
    /// Where the next byte is, in bytes from the start.
    at: u64,
    /// The containers that are open, the innermost in the lowest bit; set for an object.
    open: u64,
    depth: usize,
    utf8: Utf8,
    /// The member name that is being read or was read last, as written.
    name: Vec<u8>,
    names: Names,
}

/// What may come next.
#[derive(Clone, Copy)]
enum State {
    Value,
    /// The value of the member whose name has been read.
    MemberValue,
    /// A value, or the end of an array.
    First,
    Name,
    /// A name, or the end of an object.
    FirstName,
    Colon,
    /// A comma or a closing bracket.
    After,
    /// Nothing but white space.
    Done,
    Text(Use, Part),
    Number(Number),
    /// The rest of `true`, `false` or `null`.
    Literal(&'static [u8]),
}

/// What a string is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Name,
    Value,
}

/// Where in a string.
#[derive(Clone, Copy)]
enum Part {
    Plain,
    /// Behind a backslash.
    Escape,
    /// In the digits of a `\u`: so many are missing.
    Unit(u8, u16, Half),
    /// Behind a high surrogate, which needs its other half.
    Other,
    /// Behind the backslash of that half.
    OtherEscape,
}

/// Which half of a surrogate pair may come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    High,
    Low,
}

/// Where in a number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Letter,
    Sign,
    Exponent,
}

/// Who is told of members.
type Each<'e> = dyn FnMut(Mark<'_>) + 'e;

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}

impl Checker {
    /// For a text whose first byte has not come yet.
    pub fn new() -> Self {
        Self {
            state: State::Value,
            at: 0,
            open: 0,
            depth: 0,
            utf8: Utf8::default(),
            name: Vec::new(),
            names: Names::default(),
        }
    }

    /// Takes the next piece, of any length, and tells `each` of the members in it.
    ///
    /// # Errors
    /// [`JsonError`] when no text that begins like this is acceptable. What is pushed after that means nothing.
    pub fn push(&mut self, piece: &[u8], each: &mut Each<'_>) -> Result<(), JsonError> {
        let utf8 = self.utf8.check(piece);
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = self.step(rest, each)?;
            self.at += taken as u64;
            rest = rest.get(taken..).unwrap_or_default();
        }
        if utf8 { Ok(()) } else { Err(self.error(JsonErrorKind::Utf8)) }
    }

    /// The text is over.
    ///
    /// # Errors
    /// [`JsonError`] when it ends too early.
    pub fn finish(&self) -> Result<(), JsonError> {
        let is_over = match self.state {
            State::Done => true,
            State::Number(number) => self.depth == 0 && number.may_end(),
            _ => false,
        };
        if is_over { Ok(()) } else { Err(self.error(JsonErrorKind::End)) }
    }

    /// Takes some of what comes next; none when only the state changes.
    fn step(&mut self, rest: &[u8], each: &mut Each<'_>) -> Result<usize, JsonError> {
        let Some(&byte) = rest.first() else { return Ok(0) };
        match self.state {
            State::Text(used, part) => return self.text((used, part), (byte, rest), each),
            State::Number(number) => return self.number(number, (byte, rest), each),
            State::Literal(left) => return self.literal(left, byte, each),
            _ if is_space(byte) => return Ok(rest.iter().take_while(|byte| is_space(**byte)).count()),
            State::First if byte == b']' => self.close(each),
            State::FirstName if byte == b'}' => self.close(each),
            State::Value | State::First | State::MemberValue => self.value(byte, each)?,
            State::Name | State::FirstName if byte == b'"' => {
                self.name.clear();
                self.state = State::Text(Use::Name, Part::Plain);
            }
            State::Name | State::FirstName => return Err(self.expected("a member name")),
            State::Colon if byte == b':' => self.state = State::MemberValue,
            State::Colon => return Err(self.expected("`:`")),
            State::After => self.after(byte, each)?,
            State::Done => return Err(self.error(JsonErrorKind::Trailing)),
        }
        Ok(1)
    }

    /// The first byte of a value.
    fn value(&mut self, byte: u8, each: &mut Each<'_>) -> Result<(), JsonError> {
        let next = match byte {
            b'"' => State::Text(Use::Value, Part::Plain),
            b'{' => State::FirstName,
            b'[' => State::First,
            b'-' => State::Number(Number::Minus),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Whole),
            b't' => State::Literal(b"rue"),
            b'f' => State::Literal(b"alse"),
            b'n' => State::Literal(b"ull"),
            _ => return Err(self.expected("a value")),
        };
        if let (State::MemberValue, Some(level)) = (self.state, self.level()) {
            each(Mark::Begins { level, name: unescape(&self.name), at: self.at, first: byte });
        }
        if matches!(byte, b'{' | b'[') {
            if self.depth >= MAX_DEPTH {
                return Err(self.error(JsonErrorKind::TooDeep));
            }
            self.depth += 1;
            self.open = (self.open << 1) | u64::from(byte == b'{');
            if byte == b'{' {
                self.names.open();
            }
        }
        self.state = next;
        Ok(())
    }

    fn after(&mut self, byte: u8, each: &mut Each<'_>) -> Result<(), JsonError> {
        match (byte, self.in_object()) {
            (b',', true) => {
                if let Some(level) = self.level() {
                    each(Mark::Comma { level, at: self.at });
                }
                self.state = State::Name;
            }
            (b',', false) => self.state = State::Value,
            (b'}', true) | (b']', false) => self.close(each),
            (_, true) => return Err(self.expected("`,` or `}`")),
            (_, false) => return Err(self.expected("`,` or `]`")),
        }
        Ok(())
    }

    /// The closing bracket of the innermost container.
    fn close(&mut self, each: &mut Each<'_>) {
        if self.in_object() {
            self.names.close();
        }
        self.depth = self.depth.saturating_sub(1);
        self.open >>= 1;
        self.ended(self.at + 1, each);
    }

    /// A value has ended before `at`.
    fn ended(&mut self, at: u64, each: &mut Each<'_>) {
        if let Some(level) = self.level() {
            each(Mark::Ends { level, at });
        }
        self.state = if self.depth == 0 { State::Done } else { State::After };
    }

    fn text(
        &mut self,
        (used, part): (Use, Part),
        (byte, rest): (u8, &[u8]),
        each: &mut Each<'_>,
    ) -> Result<usize, JsonError> {
        let plain = if matches!(part, Part::Plain) { plain_bytes(rest) } else { 0 };
        let taken = plain.max(1);
        if plain == 0 {
            match self.special(part, byte)? {
                Some(part) => self.state = State::Text(used, part),
                None if used == Use::Value => {
                    self.ended(self.at + 1, each);
                    return Ok(1);
                }
                None => {
                    self.named()?;
                    self.state = State::Colon;
                    return Ok(1);
                }
            }
        }
        if used == Use::Name {
            if self.name.len() + taken > MAX_NAME {
                return Err(self.error(JsonErrorKind::TooLong));
            }
            self.name.extend_from_slice(rest.get(..taken).unwrap_or_default());
        }
        Ok(taken)
    }

    /// A byte in a string that is more than itself: where the string is then; None when it is over.
    fn special(&self, part: Part, byte: u8) -> Result<Option<Part>, JsonError> {
        let next = match (part, byte) {
            (Part::Plain, b'"') => return Ok(None),
            (Part::Plain, b'\\') => Part::Escape,
            (Part::Plain, _) => return Err(self.error(JsonErrorKind::Control)),
            (Part::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Part::Plain,
            (Part::Escape, b'u') => Part::Unit(4, 0, Half::High),
            (Part::Other, b'\\') => Part::OtherEscape,
            (Part::OtherEscape, b'u') => Part::Unit(4, 0, Half::Low),
            (Part::Other | Part::OtherEscape, _) => return Err(self.error(JsonErrorKind::LoneSurrogate)),
            (Part::Escape, _) => return Err(self.error(JsonErrorKind::Escape)),
            (Part::Unit(left, unit, half), digit) => {
                let digit = char::from(digit).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
                let digit = digit.ok_or_else(|| self.error(JsonErrorKind::Escape))?;
                let unit = (unit << 4) | digit;
                match (left, unit, half) {
                    (2.., _, _) => Part::Unit(left - 1, unit, half),
                    (_, 0xDC00..=0xDFFF, Half::Low) => Part::Plain,
                    (_, _, Half::Low) | (_, 0xDC00..=0xDFFF, _) => {
                        return Err(self.error(JsonErrorKind::LoneSurrogate));
                    }
                    (_, 0xD800..=0xDBFF, _) => Part::Other,
                    _ => Part::Plain,
                }
            }
        };
        Ok(Some(next))
    }

    /// A name is complete.
    fn named(&mut self) -> Result<(), JsonError> {
        let must_be_known = self.level().is_some();
        match self.names.add(&unescape(&self.name)) {
            Added::New => Ok(()),
            Added::Full if !must_be_known => Ok(()),
            Added::Full => Err(self.error(JsonErrorKind::TooLong)),
            Added::Twice => Err(self.error(JsonErrorKind::DuplicateMember)),
        }
    }

    fn number(
        &mut self,
        number: Number,
        (byte, rest): (u8, &[u8]),
        each: &mut Each<'_>,
    ) -> Result<usize, JsonError> {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (next, taken) = match (number, byte) {
            (Number::Minus, b'0') => (Number::Zero, 1),
            (Number::Minus | Number::Whole, b'0'..=b'9') => (Number::Whole, digits),
            (Number::Zero | Number::Whole, b'.') => (Number::Point, 1),
            (Number::Point | Number::Fraction, b'0'..=b'9') => (Number::Fraction, digits),
            (Number::Zero | Number::Whole | Number::Fraction, b'e' | b'E') => (Number::Letter, 1),
            (Number::Letter, b'+' | b'-') => (Number::Sign, 1),
            (Number::Letter | Number::Sign | Number::Exponent, b'0'..=b'9') => (Number::Exponent, digits),
            _ if number.may_end() => {
                self.ended(self.at, each);
                return Ok(0);
            }
            _ => return Err(self.expected("a digit")),
        };
        self.state = State::Number(next);
        Ok(taken)
    }

    fn literal(&mut self, left: &'static [u8], byte: u8, each: &mut Each<'_>) -> Result<usize, JsonError> {
        match left.split_first() {
            Some((wanted, [])) if *wanted == byte => self.ended(self.at + 1, each),
            Some((wanted, left)) if *wanted == byte => self.state = State::Literal(left),
            _ => return Err(self.expected("a value")),
        }
        Ok(1)
    }

    const fn in_object(&self) -> bool {
        self.open & 1 == 1
    }

    /// How deep the innermost container lies, when it is an object whose members are told.
    fn level(&self) -> Option<usize> {
        let level = self.depth.checked_sub(1)?;
        (self.in_object() && level < LEVELS).then_some(level)
    }

    fn error(&self, kind: JsonErrorKind) -> JsonError {
        JsonError { offset: usize::try_from(self.at).unwrap_or(usize::MAX), kind }
    }

    fn expected(&self, what: &'static str) -> JsonError {
        self.error(JsonErrorKind::Expected(what))
    }
}

impl Number {
    const fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Exponent)
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// So many levels of objects are told of.
const LEVELS: usize = 2;
/// The longest member name, in bytes as written.
pub const MAX_NAME: usize = 64 << 10;

#[cfg(test)]
mod tests;
