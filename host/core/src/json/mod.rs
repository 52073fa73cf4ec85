//! JSON as bytes: checked once, cut and spliced, never turned into a tree.

use bytes::Bytes;

/// One complete, checked JSON value; cheap to clone, a slice of the message it came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Json(Bytes);

impl Json {
    /// Checks and takes a value.
    pub fn parse(_bytes: impl Into<Bytes>) -> Result<Self, JsonError> { todo!() }
    pub fn bytes(&self) -> &Bytes { &self.0 }
    pub fn as_str(&self) -> &str { todo!() }
    /// From serialisable data of our own.
    pub fn of<T: serde::Serialize + ?Sized>(_value: &T) -> Self { todo!() }
    /// A member of an object, by unescaped name (None also when not an object). Shallow.
    pub fn member(&self, _name: &str) -> Option<Self> { todo!() }
    /// This value as a string, unescaped.
    pub fn string(&self) -> Option<std::borrow::Cow<'_, str>> { todo!() }
    /// RFC 6901.
    pub fn pointer(&self, _pointer: &str) -> Option<Self> { todo!() }
    /// Array elements (None when not an array).
    pub fn elements(&self) -> Option<Vec<Self>> { todo!() }
    /// Object members in order (None when not an object).
    pub fn members(&self) -> Option<Vec<(String, Self)>> { todo!() }
    pub fn is_object(&self) -> bool { todo!() }
    /// The same object with member `name` set (replaced in place or appended) – all other bytes untouched.
    pub fn with_member(&self, _name: &str, _value: &Self) -> Self { todo!() }
    pub fn without_member(&self, _name: &str) -> Self { todo!() }
    /// String leaves below `under` of at least `min_bytes` bytes: (pointer, unescaped text).
    pub fn strings(&self, _under: &str, _min_bytes: usize) -> Vec<(String, String)> { todo!() }
    /// Edits in order, all or nothing.
    pub fn apply(&self, _edits: &[Edit]) -> Result<Self, EditError> { todo!() }
}

pub enum Edit { Set(String, Json), SetString(String, String), Remove(String) }
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad edit")]
pub struct EditError;
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad json")]
pub struct JsonError;
