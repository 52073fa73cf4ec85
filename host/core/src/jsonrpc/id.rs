//! Request ids, kept as they were written.

use std::fmt;

use bytes::Bytes;

use crate::json::Json;

/// A request id exactly as it was written: a string or an integer.
///
/// Two ids are equal when their texts are. A peer that answers `"a"` with `"\u0061"` is answering something else.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Id(Bytes);

impl Id {
    /// An id of our own.
    pub fn number(n: u64) -> Self {
        Self(n.to_string().into())
    }

    /// A string, or an integer within 64 bits, signed, without fraction or exponent. None for anything else.
    pub fn of(value: &Json) -> Option<Self> {
        let bytes = value.bytes();
        match bytes.first()? {
            b'"' => Some(Self(bytes.clone())),
            _ => std::str::from_utf8(bytes).ok()?.parse::<i64>().ok().map(|_| Self(bytes.clone())),
        }
    }

    /// The text, quotes included when it is a string.
    pub fn raw(&self) -> &[u8] {
        &self.0
    }

    /// A copy of its own, that keeps nothing of the message it came in.
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// As u64 when it is one of our own upstream ids.
    pub fn as_u64(&self) -> Option<u64> {
        std::str::from_utf8(&self.0).ok()?.parse().ok()
    }

    /// The same as a value, for `requestId` in params.
    pub fn to_json(&self) -> Json {
        Json::checked(self.0.clone())
    }
}

/// The text, quotes included when it is a string.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}
