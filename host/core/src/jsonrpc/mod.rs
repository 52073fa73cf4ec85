//! The JSON-RPC 2.0 envelope.

use crate::json::Json;
use bytes::Bytes;

/// A request id exactly as it was written: a string or an integer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Id(Bytes);
impl Id {
    pub fn number(_n: u64) -> Self { todo!() }
    pub fn raw(&self) -> &[u8] { &self.0 }
    /// as u64 when it is one of our own upstream ids
    pub fn as_u64(&self) -> Option<u64> { todo!() }
}

#[derive(Debug, Clone)]
pub enum Message {
    Request { id: Id, method: Box<str>, params: Option<Json> },
    Notification { method: Box<str>, params: Option<Json> },
    Response { id: Option<Id>, outcome: Result<Json, Json> },
}

/// Why bytes are not one JSON-RPC message.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct ReadError {
    /// -32700 or -32600
    pub code: i64,
    /// the id, where it could be read
    pub id: Option<Id>,
    pub detail: String,
}

pub fn read(_bytes: Bytes) -> Result<Message, ReadError> { todo!() }

/// Writers: each returns one complete message without a trailing newline.
pub fn write_request(_id: &Id, _method: &str, _params: Option<&Json>) -> Vec<u8> { todo!() }
pub fn write_notification(_method: &str, _params: Option<&Json>) -> Vec<u8> { todo!() }
pub fn write_result(_id: &Id, _result: &Json) -> Vec<u8> { todo!() }
pub fn write_error(_id: Option<&Id>, _error: &Json) -> Vec<u8> { todo!() }
/// An error object.
pub fn error_object(_code: i64, _message: &str, _data: Option<&Json>) -> Json { todo!() }
