//! Between [`Json`] and typed data of our own, through serde.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::Json;

impl Json {
    /// From serialisable data of our own, which must not fail to serialise: maps need string keys.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        let text = serde_json::to_vec(value);
        debug_assert!(text.is_ok(), "our own data is always JSON");
        text.map_or_else(|_| Self::null(), Self::checked)
    }

    /// As typed data. Members the type does not know are lost: for reading, not for passing on.
    ///
    /// # Errors
    /// What serde misses or does not understand.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }
}

/// Its text, unchanged. Only into JSON: other formats see the raw value of `serde_json`.
impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// The text as it stands, checked as by [`Json::parse`]. Only from JSON.
impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text: Box<str> = raw.into();
        Self::parse(String::from(text)).map_err(D::Error::custom)
    }
}
