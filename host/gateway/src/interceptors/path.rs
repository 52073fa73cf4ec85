//! Where in a payload a finding is: our RFC 6901 pointers, and the paths of the standard (`params.arguments.location`).

use wasmgate_core::json::Json;

/// A pointer as a path, below `under` when that is not empty. Numbers are taken for positions in a list.
pub(super) fn path(pointer: &str, under: &str) -> String {
    let mut path = under.to_owned();
    for token in pointer.split('/').skip(1) {
        let name = token.replace("~1", "/").replace("~0", "~");
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$'));
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
            path.push_str(&format!("[{name}]"));
        } else if !name.is_empty() && plain {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(&name);
        } else {
            path.push_str(&format!("[{}]", Json::of(&name).as_str()));
        }
    }
    path
}

/// A path as a pointer, without `under` when it begins with that. Pointers and `$.` are understood, too; None for
/// anything that is no path.
pub(super) fn pointer(path: &str, under: &str) -> Option<String> {
    let tokens = if path.starts_with('/') {
        path.split('/').skip(1).map(str::to_owned).collect()
    } else {
        tokens(path.strip_prefix('$').unwrap_or(path))?
    };
    let tokens = match tokens.split_first() {
        Some((first, rest)) if first == under => rest,
        _ => &tokens,
    };
    Some(tokens.iter().map(|token| format!("/{token}")).collect())
}

/// The steps of a path, escaped as pointers have them.
fn tokens(mut rest: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('[') {
            Some(inside) if inside.starts_with('"') => {
                let end = quoted(inside)?;
                let name = Json::parse(inside.get(..end)?.to_owned()).ok()?.string()?.into_owned();
                (name, inside.get(end..)?.strip_prefix(']')?)
            }
            Some(inside) => {
                let (name, after) = inside.split_once(']')?;
                (name.to_owned(), after)
            }
            None => {
                let rest = rest.strip_prefix('.').unwrap_or(rest);
                let (name, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
                if name.is_empty() {
                    return None;
                }
                (name.to_owned(), after)
            }
        };
        tokens.push(name.replace('~', "~0").replace('/', "~1"));
        rest = after;
    }
    Some(tokens)
}

/// The length of the quoted text at the start.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    let mut inside = text.bytes().enumerate().skip(1);
    let end = inside.find(|(_, byte)| {
        let is_end = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_end
    });
    end.map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_paths_say_the_same() {
        #[track_caller]
        fn check(pointed: &str, under: &str, written: &str) {
            assert_eq!(path(pointed, under), written);
            assert_eq!(pointer(written, under).as_deref(), Some(pointed), "{written}");
        }
        check("", "", "");
        check("", "params", "params");
        check("/arguments/location", "params", "params.arguments.location");
        check("/content/0/text", "", "content[0].text");
        check("/a.b/c~1d/~0/e\"]f", "", r#"["a.b"]["c/d"]["~"]["e\"]f"]"#);
        check("//x", "params", r#"params[""].x"#);
    }

    #[test]
    fn other_spellings_are_understood_and_nonsense_is_not() {
        assert_eq!(pointer("$.params.a[2]", "params").as_deref(), Some("/a/2"));
        assert_eq!(pointer("/params/a~1b", "params").as_deref(), Some("/a~1b"));
        assert_eq!(pointer("arguments.a", "params").as_deref(), Some("/arguments/a"));
        for nonsense in ["a..b", "a[", r#"a["b]"#, "a.", r#"["a"x"#] {
            assert_eq!(pointer(nonsense, ""), None, "{nonsense}");
        }
    }
}
