//! The shape of a JSON object: what kind of value each member has, in order. Reads checked JSON text once and keeps
//! nothing of it.

/// The kind of each member's value. Empty when `json` is not an object.
pub(crate) fn of(json: &str) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    let (mut depth, mut value_next) = (0_usize, false);
    let mut rest = json.trim_start().as_bytes();
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if value_next && !byte.is_ascii_whitespace() {
            kinds.push(kind(*byte));
            value_next = false;
        }
        match byte {
            b'"' => rest = behind_string(rest),
            b'[' if depth == 0 => return kinds,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' if depth == 1 => value_next = true,
            _ => {}
        }
    }
    kinds
}

/// What comes behind a string that has begun.
fn behind_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let is_end = rest.get(at) == Some(&b'"');
        rest = rest.get(at + if is_end { 1 } else { 2 }..).unwrap_or_default();
        if is_end {
            return rest;
        }
    }
    &[]
}

/// What a value is, by its first byte.
fn kind(first: u8) -> &'static str {
    match first {
        b'"' => "string",
        b'{' => "object",
        b'[' => "array",
        b't' | b'f' => "boolean",
        b'n' => "null",
        _ => "number",
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn every_member_counts_once_with_its_kind() {
        for (json, expected) in [
            ("{}", ""),
            ("[1,{\"a\":1}]", ""),
            ("\"a:b\"", ""),
            (r#"{"a":"b"}"#, "string"),
            (
                r#" { "a" : -1.5e3 , "b" : [ {"c":1} , 2 ], "d":null,"e":true,"f":{"g":{"h":"i"}}}"#,
                "number array null boolean object",
            ),
            (r#"{"q\"uo:te\\":"\\\"}:{","b":false}"#, "string boolean"),
        ] {
            assert_eq!(of(json).join(" "), expected, "{json}");
        }
    }
}
