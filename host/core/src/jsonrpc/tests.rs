//! What `jsonrpc` accepts and refuses, rule by rule.

use super::*;
use crate::json::Json;

#[test]
fn a_request_survives() {
    let text = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x","n":1e400}}"#;
    let Message::Request { id, method, params } = read(text.into()).unwrap() else { panic!("not a request") };
    assert_eq!(write_request(&id, &method, params.as_ref()), text.as_bytes());
    assert_eq!(params.and_then(|p| p.member("n")), Json::parse("1e400").ok());
}
