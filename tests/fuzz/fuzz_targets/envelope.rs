//! Any bytes as a message: never a panic, never an acceptance that `serde_json` would not share, and what was read and
//! written again reads the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use wasmgate_core::json::{Checker, Json, Mark};
use wasmgate_core::jsonrpc::{self, Message};

fuzz_target!(|data: &[u8]| {
    in_pieces(data);
    let is_json = serde_json::from_slice::<&RawValue>(data).is_ok();
    let peeked = jsonrpc::peek_id(data);
    let batch = jsonrpc::read_batch(Bytes::copy_from_slice(data));
    match jsonrpc::read(Bytes::copy_from_slice(data)) {
        Ok(message) => {
            assert!(is_json, "accepted what is not JSON");
            assert_eq!(batch.map(|messages| messages.len()), Ok(1));
            assert_eq!(peeked.as_ref(), message.id(), "an id that only one of two readers sees");
            again(&message);
        }
        Err(error) if error.code == jsonrpc::PARSE_ERROR => assert!(!is_json, "refused JSON: {error}"),
        Err(error) => assert_eq!(error.code, jsonrpc::INVALID_REQUEST),
    }
});

/// The same bytes in pieces: judged as the whole is.
fn in_pieces(data: &[u8]) {
    let size = usize::from(data.first().copied().unwrap_or_default() % 16) + 1;
    let mut checker = Checker::new();
    let mut open = 0_i64;
    let judged = data.chunks(size).try_for_each(|piece| {
        checker.push(piece, &mut |mark| match mark {
            Mark::Begins { .. } => open += 1,
            Mark::Ends { .. } => open -= 1,
            Mark::Comma { .. } => {}
        })
    });
    let is_accepted = judged.and_then(|()| checker.finish()).is_ok();
    assert_eq!(is_accepted, Json::parse(data.to_vec()).is_ok(), "in pieces of {size} bytes");
    assert!(!is_accepted || open == 0, "a member that never ended");
}

fn again(message: &Message) {
    let written = match message {
        Message::Request { id, method, params } => jsonrpc::write_request(id, method, params.as_ref()),
        Message::Notification { method, params } => jsonrpc::write_notification(method, params.as_ref()),
        Message::Response { id: Some(id), outcome: Ok(result) } => jsonrpc::write_result(id, result),
        Message::Response { id, outcome: Err(error) } => jsonrpc::write_error(id.as_ref(), error),
        Message::Response { id: None, outcome: Ok(_) } => unreachable!("a result without an id"),
    };
    assert!(!written.contains(&b'\n'), "more than one line");
    let second = jsonrpc::read(written.into()).expect("what was written can be read");
    assert_eq!((message.id(), message.method()), (second.id(), second.method()));
    let payload = |message: &Message| match message {
        Message::Request { params, .. } | Message::Notification { params, .. } => params.clone(),
        Message::Response { outcome: Ok(value) | Err(value), .. } => Some(value.clone()),
    };
    let on_one_line = |text: &str| text.replace(['\n', '\r'], " ");
    assert_eq!(
        payload(message).map(|p| on_one_line(p.as_str())),
        payload(&second).map(|p| p.as_str().to_owned())
    );
}
