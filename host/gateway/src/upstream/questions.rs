//! What a server asks of us. The place where sampling, elicitation and roots will be carried to the client.
//!
//! We declare no client capability, so no server may ask anything but `ping`; whatever else one asks is refused and
//! never reaches a client.

use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{self, Id};

/// The answer to a question of a server, one whole message.
pub(super) fn answer(id: &Id, method: &str) -> Vec<u8> {
    if method == "ping" {
        return jsonrpc::write_result(id, &Json::empty_object());
    }
    let error = jsonrpc::error_object(METHOD_NOT_FOUND, "this client offers no such method", None);
    jsonrpc::write_error(Some(id), &error)
}

/// JSON-RPC 2.0 section 5.1.
pub(super) const METHOD_NOT_FOUND: i64 = -32601;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ping_is_answered() {
        let said = |method| String::from_utf8(answer(&Id::number(3), method)).unwrap();
        assert_eq!(said("ping"), r#"{"jsonrpc":"2.0","id":3,"result":{}}"#);
        for method in ["sampling/createMessage", "elicitation/create", "roots/list", "Ping", ""] {
            assert!(said(method).contains(r#""error":{"code":-32601"#), "{method}");
        }
    }
}
