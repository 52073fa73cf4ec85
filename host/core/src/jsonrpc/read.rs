//! Reads messages: one pass that checks every byte and cuts out the envelope's members.

use std::ops::Range;

use bytes::Bytes;

use super::{INVALID_REQUEST, Id, Message, PARSE_ERROR, ReadError, peek_id};
use crate::json::{Elements, Json, JsonError, Quoted, scan};

/// How many messages a batch may hold.
pub const MAX_BATCH: usize = 1000;

/// Reads one message.
///
/// # Errors
/// [`PARSE_ERROR`] when the bytes are not JSON, [`INVALID_REQUEST`] when they are JSON but not one JSON-RPC 2.0 message,
/// a batch, or refused by one of the stricter rules of [`crate::json`].
pub fn read(bytes: Bytes) -> Result<Message, ReadError> {
    let mut envelope = Envelope::default();
    let place =
        scan(&bytes, |name, value| envelope.put(name, value)).map_err(|error| refused(&bytes, error))?;
    match bytes.get(place.start) {
        Some(b'{') => envelope.message(&bytes),
        Some(b'[') => Err(invalid(None, "a batch is not allowed here: send one message")),
        _ => Err(invalid(None, "a message is an object")),
    }
}

/// Reads a batch, as clients of protocol version 2025-03-26 may send it, or one message as a batch of one. A message
/// that is wrong in itself is an error of its own.
///
/// # Errors
/// For the whole: as [`read`] when the text is not acceptable JSON; when it is empty (JSON-RPC 2.0 section 6) or holds
/// more than [`MAX_BATCH`] messages.
pub fn read_batch(bytes: Bytes) -> Result<Vec<Result<Message, ReadError>>, ReadError> {
    let place = scan(&bytes, |_, _| ()).map_err(|error| refused(&bytes, error))?;
    let whole = bytes.slice(place);
    let Some(elements) = Elements::of(&whole) else { return Ok(vec![read(bytes)]) };
    let messages: Vec<_> = elements.take(MAX_BATCH + 1).collect();
    match messages.len() {
        0 => Err(invalid(None, "an empty batch")),
        1..=MAX_BATCH => Ok(messages.into_iter().map(|message| read(whole.slice(message))).collect()),
        _ => Err(invalid(None, "too many messages in one batch")),
    }
}

/// Where the members are that JSON-RPC knows. Others are ignored.
#[derive(Default)]
struct Envelope {
    jsonrpc: Option<Range<usize>>,
    id: Option<Range<usize>>,
    method: Option<Range<usize>>,
    params: Option<Range<usize>>,
    result: Option<Range<usize>>,
    error: Option<Range<usize>>,
}

impl Envelope {
    fn put(&mut self, name: Quoted<'_>, value: Range<usize>) {
        let place = match &*name.meant() {
            "jsonrpc" => &mut self.jsonrpc,
            "id" => &mut self.id,
            "method" => &mut self.method,
            "params" => &mut self.params,
            "result" => &mut self.result,
            "error" => &mut self.error,
            _ => return,
        };
        *place = Some(value);
    }

    fn message(self, bytes: &Bytes) -> Result<Message, ReadError> {
        let cut = |place: Option<Range<usize>>| place.map(|place| Json::checked(bytes.slice(place)));
        let id = Written::of(cut(self.id));
        let known = id.known();
        let wrong = |detail| invalid(known.clone(), detail);
        if !cut(self.jsonrpc).is_some_and(|version| version.means("2.0")) {
            return Err(wrong("`jsonrpc` must be \"2.0\""));
        }
        if matches!(id, Written::Wrong) {
            return Err(wrong("`id` must be a string or an integer of 64 bits"));
        }
        match (cut(self.method), cut(self.result), cut(self.error)) {
            (Some(method), None, None) => {
                let method = method.string().ok_or_else(|| wrong("`method` must be a string"))?;
                let params = cut(self.params);
                if params.as_ref().is_some_and(|params| !params.is_object()) {
                    return Err(wrong("`params` must be an object"));
                }
                let method = method.into();
                match id {
                    Written::Id(id) => Ok(Message::Request { id, method, params }),
                    Written::Absent => Ok(Message::Notification { method, params }),
                    Written::Null | Written::Wrong => Err(wrong("`id` must not be null")),
                }
            }
            (None, Some(result), None) => match known {
                Some(_) => Ok(Message::Response { id: known, outcome: Ok(result) }),
                None => Err(wrong("a result needs the `id` of its request")),
            },
            (None, None, Some(error)) if error.is_object() => {
                Ok(Message::Response { id: known, outcome: Err(error) })
            }
            (None, None, Some(_)) => Err(wrong("`error` must be an object")),
            (None, None, None) => Err(wrong("none of `method`, `result` and `error`")),
            _ => Err(wrong("more than one of `method`, `result` and `error`")),
        }
    }
}

/// The `id` member as found.
enum Written {
    Absent,
    Null,
    Wrong,
    Id(Id),
}

impl Written {
    fn of(value: Option<Json>) -> Self {
        match value {
            None => Self::Absent,
            Some(value) if value.is_null() => Self::Null,
            Some(value) => Id::of(&value).map_or(Self::Wrong, Self::Id),
        }
    }

    fn known(&self) -> Option<Id> {
        if let Self::Id(id) = self { Some(id.clone()) } else { None }
    }
}

fn refused(bytes: &[u8], error: JsonError) -> ReadError {
    if error.kind.is_syntax() {
        return ReadError { code: PARSE_ERROR, id: None, detail: error.to_string() };
    }
    ReadError { code: INVALID_REQUEST, id: peek_id(bytes), detail: error.to_string() }
}

fn invalid(id: Option<Id>, detail: &str) -> ReadError {
    ReadError { code: INVALID_REQUEST, id, detail: detail.to_owned() }
}
