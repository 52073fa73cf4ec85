//! One message as a plugin sees it: what is being done, and the payload read on demand.

use std::ops::Deref;

/// What is being done, by value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The request id that the gateway's logs and errors carry.
    pub id: String,
    /// The MCP method, for example `tools/call`.
    pub event: String,
    /// Which way the message goes.
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

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Towards the server: the payload is the request's `params`.
    Request,
    /// Towards the client: the payload is the result, or the error object when the request failed.
    Response,
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
