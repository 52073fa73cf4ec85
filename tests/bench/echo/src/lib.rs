//! The trivial server: what it says to a message, whatever that came by. It does as little as it can, so that what is
//! measured is on the way to it: no JSON is parsed, and only messages as the load and the gateway write them are understood.

use std::fmt::Write as _;

use memchr::memmem::find;

/// What it offers, and to which era.
#[derive(Debug, Clone, Copy)]
pub struct Echo {
    /// How many tools it lists; the first one is `echo`, the second `big`.
    pub tools: usize,
    /// Whether it is of 2026-07-28 and not of 2025-11-25.
    pub is_modern: bool,
}

/// What it says.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// A notification needs no answer.
    Nothing,
    /// One message.
    Message(String),
    /// A message of this start, so many letters, and this end.
    Big {
        /// Before the letters.
        start: String,
        /// How many letters.
        letters: usize,
        /// After them.
        end: &'static str,
    },
}

impl Echo {
    /// The answer to one message.
    pub fn answer(&self, message: &[u8]) -> Said {
        let id = after(message, b"\"id\":").map_or("null", scalar);
        let result = match after(message, b"\"method\":").map(scalar) {
            Some("\"tools/call\"") if after(message, b"\"bytes\":").is_some() => {
                return self.big(id, message);
            }
            Some("\"tools/call\"") => {
                let text = after(message, b"\"text\":").map_or("null", scalar);
                format!(r#""content":[{{"type":"text","text":{text}}}]"#)
            }
            Some("\"tools/list\"") => self.list(),
            Some("\"initialize\"") if !self.is_modern => {
                r#""protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1"}"#.into()
            }
            Some("\"server/discover\"") if self.is_modern => {
                r#""supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"private""#.into()
            }
            Some(method) if method.starts_with("\"notifications/") => return Said::Nothing,
            _ => {
                return Said::Message(format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"unknown"}}}}"#
                ));
            }
        };
        Said::Message(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{result}{}}}}}"#, self.rest()))
    }

    fn big(&self, id: &str, message: &[u8]) -> Said {
        let letters = after(message, b"\"bytes\":").map(scalar).and_then(|count| count.parse().ok());
        let rest = if self.is_modern { r#""resultType":"complete","# } else { "" };
        let start =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{rest}"content":[{{"type":"text","text":""#);
        Said::Big { start, letters: letters.unwrap_or(0), end: r#""}]}}"# }
    }

    /// Tools of 350 bytes.
    fn list(&self) -> String {
        let mut list = String::from(r#""tools":["#);
        for number in 0..self.tools.max(1) {
            let name = match number {
                0 => "echo".to_owned(),
                1 => "big".to_owned(),
                _ => format!("tool_{number}"),
            };
            let comma = if number == 0 { "" } else { "," };
            let _infallible = write!(
                list,
                r#"{comma}{{"name":"{name}","description":"Says again what somebody has said, and tells so in a sentence or two of ordinary length.","inputSchema":{{"type":"object","properties":{{"text":{{"type":"string","description":"What is said again"}},"bytes":{{"type":"integer","minimum":1}}}}}},"annotations":{{"readOnlyHint":true}}}}"#
            );
        }
        list.push(']');
        if self.is_modern {
            list.push_str(r#","ttlMs":0,"cacheScope":"private""#);
        }
        list
    }

    fn rest(&self) -> &'static str {
        match self.is_modern {
            true => {
                r#","resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"echo","version":"1"}}"#
            }
            false => "",
        }
    }
}

/// What follows the first place where `key` stands.
fn after<'m>(message: &'m [u8], key: &[u8]) -> Option<&'m [u8]> {
    message.get(find(message, key)? + key.len()..)
}

/// The string without escapes, or the number, at the start.
fn scalar(text: &[u8]) -> &str {
    let end = match text.strip_prefix(b"\"") {
        Some(rest) => memchr::memchr(b'"', rest).map_or(text.len(), |end| end + 2),
        None => text.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).unwrap_or(text.len()),
    };
    text.get(..end).and_then(|scalar| std::str::from_utf8(scalar).ok()).unwrap_or("null")
}

#[test]
fn it_echoes_lists_and_is_large() {
    let echo = Echo { tools: 2, is_modern: false };
    let call = br#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}"#;
    let said = r#"{"jsonrpc":"2.0","id":"a","result":{"content":[{"type":"text","text":"hi"}]}}"#;
    assert_eq!(echo.answer(call), Said::Message(said.into()));
    let Said::Message(list) = echo.answer(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#) else {
        panic!("a list")
    };
    assert!(list.contains("\"echo\"") && list.contains("\"big\"") && !list.contains("tool_2"), "{list}");
    let big = echo.answer(
        br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"big","arguments":{"bytes":7}}}"#,
    );
    assert!(matches!(big, Said::Big { letters: 7, .. }), "{big:?}");
    assert_eq!(echo.answer(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#), Said::Nothing);
}
