//! One message as a plugin sees it: what is being done, and the payload read on demand.

use std::ops::Deref;

use crate::Refusal;
use crate::secrets::Sighting;

/// What is being done, by value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The request id that the gateway's logs and errors carry.
    pub id: String,
    /// The MCP method, for example `tools/call`.
    pub event: String,
    /// Which half of the exchange the message is.
    pub phase: Phase,
    /// The session it belongs to, where there is one.
    pub session: Option<String>,
    /// The server meant, when the message concerns one.
    pub server: Option<String>,
    /// The tool or prompt name or the URI meant, as the server itself spells it.
    pub subject: Option<String>,
    /// Who asks, where the gateway knows.
    pub principal: Option<String>,
}

/// Which half of an exchange a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The request, or a notification: the payload is its `params`. Towards the server, unless the server asks (sampling,
    /// elicitation, roots) or notifies.
    Request,
    /// The answer: the payload is the result, or the error object when the request failed.
    Response,
}

/// One item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its public name, or its URI.
    pub name: String,
    /// The server that offers it.
    pub server: String,
    /// Its description, where it has one.
    pub description: Option<String>,
    /// The whole item, JSON text.
    pub item: String,
}

/// What happens to an item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The client does not see it, and cannot call it.
    Hide,
    /// A JSON merge patch (RFC 7396), JSON text.
    Patch(String),
}

/// One string inside a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// RFC 6901 pointer to it.
    pub pointer: String,
    /// The string, without quotes and escapes.
    pub text: String,
}

/// One change at an RFC 6901 pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Puts a JSON value there.
    Set(String, String),
    /// Puts a string there; it is quoted and escaped for you.
    SetString(String, String),
    /// Takes the value there out.
    Remove(String),
}

/// Where a payload lives: in the gateway, or in the test harness. Pointers are RFC 6901, values JSON text.
pub trait Payload {
    /// Bytes of the payload as JSON text.
    fn size(&self) -> u64;
    /// The whole payload.
    fn text(&self) -> String;
    /// The value at `pointer`.
    fn get(&self, pointer: &str) -> Option<String>;
    /// The value at `pointer` if it is a string, unescaped.
    fn get_string(&self, pointer: &str) -> Option<String>;
    /// Every string at or below `under` of at least `min_bytes` bytes.
    fn strings(&self, under: &str, min_bytes: u32) -> Vec<Leaf>;
    /// A named piece of context.
    fn attr(&self, name: &str) -> Option<String>;
    /// What this plugin noted earlier in this exchange.
    fn note(&self) -> Option<String>;
    /// Keeps a note, JSON text.
    fn put_note(&self, value: &str);
    /// Where values that the gateway keeps secret stand at or below `under`.
    ///
    /// # Errors
    /// [`Refusal`] when it is not granted.
    fn known_secrets(&self, under: &str) -> Result<Vec<Sighting>, Refusal>;
}

/// A payload that can be changed.
pub trait Edits: Payload {
    /// Makes every change in order, or none.
    ///
    /// # Errors
    /// Which change could not be made.
    fn apply(&self, changes: &[Edit]) -> Result<(), String>;
    /// Puts a whole new payload, JSON text, in place.
    ///
    /// # Errors
    /// `value` is not JSON, or too large.
    fn replace(&self, value: &str) -> Result<(), String>;
}

/// What a validator looks at.
pub struct Call<'a> {
    operation: &'a Operation,
    payload: &'a dyn Payload,
}

impl<'a> Call<'a> {
    /// A call on `payload`.
    pub fn new(operation: &'a Operation, payload: &'a dyn Payload) -> Self {
        Self { operation, payload }
    }

    /// What is being done.
    pub fn operation(&self) -> &'a Operation {
        self.operation
    }
}

impl Call<'_> {
    /// Where values that the gateway keeps secret stand at or below a pointer. See [`crate::secrets`].
    ///
    /// # Errors
    /// [`Refusal`] when it is not granted.
    pub fn known_secrets(&self, under: &str) -> Result<Vec<Sighting>, Refusal> {
        self.payload.known_secrets(under)
    }

    /// The value at a pointer as a type of yours; `None` when nothing is there.
    ///
    /// # Errors
    /// What is there does not fit the type.
    #[cfg(feature = "serde")]
    pub fn read<T: serde::de::DeserializeOwned>(&self, pointer: &str) -> Result<Option<T>, String> {
        read(self.payload, pointer)
    }
}

impl Draft<'_> {
    /// The value at a pointer as a type of yours; `None` when nothing is there.
    ///
    /// # Errors
    /// What is there does not fit the type.
    #[cfg(feature = "serde")]
    pub fn read<T: serde::de::DeserializeOwned>(&self, pointer: &str) -> Result<Option<T>, String> {
        read(self.payload, pointer)
    }

    /// Puts a value of yours at a pointer.
    ///
    /// # Errors
    /// It cannot be put there.
    #[cfg(feature = "serde")]
    pub fn write<T: serde::Serialize>(&self, pointer: &str, value: &T) -> Result<(), String> {
        let json = serde_json::to_string(value).map_err(|error| error.to_string())?;
        self.payload.apply(&[Edit::Set(pointer.to_owned(), json)])
    }
}

#[cfg(feature = "serde")]
fn read<T: serde::de::DeserializeOwned, P: Payload + ?Sized>(
    payload: &P,
    pointer: &str,
) -> Result<Option<T>, String> {
    let Some(json) = payload.get(pointer) else { return Ok(None) };
    serde_json::from_str(&json).map(Some).map_err(|error| format!("{pointer}: {error}"))
}

impl<'a> Deref for Call<'a> {
    type Target = dyn Payload + 'a;

    fn deref(&self) -> &Self::Target {
        self.payload
    }
}

/// What a mutator works on. Reads see the changes made so far.
pub struct Draft<'a> {
    operation: &'a Operation,
    payload: &'a dyn Edits,
}

impl<'a> Draft<'a> {
    /// A draft of `payload`.
    pub fn new(operation: &'a Operation, payload: &'a dyn Edits) -> Self {
        Self { operation, payload }
    }

    /// What is being done.
    pub fn operation(&self) -> &'a Operation {
        self.operation
    }
}

impl<'a> Deref for Draft<'a> {
    type Target = dyn Edits + 'a;

    fn deref(&self) -> &Self::Target {
        self.payload
    }
}
