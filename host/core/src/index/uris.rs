//! Resource URIs: kept as they are unless two servers offer the same one; and which template a URI fits.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::name::ServerName;

/// Everything that would end or split a path segment, and the percent sign itself, so that decoding gives back exactly
/// what was encoded.
const SEGMENT: &AsciiSet =
    &CONTROLS.add(b' ').add(b'/').add(b'?').add(b'#').add(b'%').add(b'"').add(b'<').add(b'>');

/// A URI of `server` that another server offers too, made unique and reversible. MCP Apps need their scheme, so `ui:`
/// stays `ui:`.
pub(super) fn make_unique(server: &ServerName, uri: &str) -> String {
    let base = if scheme(uri) == Some("ui") { "ui://wasmgate/" } else { "wasmgate://" };
    format!("{base}{server}/{}", utf8_percent_encode(uri, SEGMENT))
}

/// The server and its own URI, when `uri` was made by [`make_unique`].
pub(super) fn take_apart(uri: &str) -> Option<(ServerName, String)> {
    let rest = uri.strip_prefix("wasmgate://").or_else(|| uri.strip_prefix("ui://wasmgate/"))?;
    let (server, encoded) = rest.split_once('/')?;
    let own = percent_decode_str(encoded).decode_utf8().ok()?;
    Some((ServerName::new(server).ok()?, own.into_owned()))
}

/// The scheme of a URI.
pub(super) fn scheme(uri: &str) -> Option<&str> {
    let (scheme, _) = uri.split_once(':')?;
    (!scheme.is_empty()
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')))
    .then_some(scheme)
}

/// Whether `uri` can be an expansion of `template` (RFC 6570): its literal parts occur in order, an expression being
/// any text. Good enough to find the server; the server itself decides.
pub(super) fn fits(template: &str, uri: &str) -> bool {
    let mut rest = uri;
    let mut anchored = true;
    let mut left = template;
    loop {
        let (literal, after) =
            left.split_once('{').map_or((left, None), |(literal, after)| (literal, Some(after)));
        let Some(after) = after else {
            return if anchored { rest == literal } else { rest.ends_with(literal) };
        };
        match (anchored, rest.find(literal)) {
            (true, Some(0)) | (false, Some(_)) => {}
            _ => return false,
        }
        rest =
            rest.split_once(literal).map_or(rest, |(_, tail)| if literal.is_empty() { rest } else { tail });
        let Some((_, next)) = after.split_once('}') else { return false };
        left = next;
        anchored = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unique_uri_gives_back_server_and_uri() {
        let server = ServerName::new("notes").unwrap();
        for uri in ["file:///a/b c?d#e%2F", "ui://app/main", "x:é"] {
            let unique = make_unique(&server, uri);
            assert_eq!(scheme(&unique) == Some("ui"), uri.starts_with("ui:"), "{unique}");
            assert_eq!(take_apart(&unique), Some((server.clone(), uri.to_owned())));
        }
        assert_eq!(take_apart("wasmgate://nobody"), None);
        assert_eq!(take_apart("file:///wasmgate://a/b"), None);
    }

    #[test]
    fn a_template_fits_its_expansions() {
        for (template, uri, fit) in [
            ("test://template/{id}/data", "test://template/7/data", true),
            ("test://template/{id}/data", "test://template/7/dat", false),
            ("file:///{+path}", "file:///a/b", true),
            ("file:///{+path}", "http:///a/b", false),
            ("a:{x}-{y}", "a:1-2", true),
            ("a:{x}-{y}", "a:12", false),
            ("a:plain", "a:plain", true),
            ("a:plain", "a:plainer", false),
            ("a:{x", "a:1", false),
            ("{scheme}://x", "y://x", true),
        ] {
            assert_eq!(fits(template, uri), fit, "{template} {uri}");
        }
    }
}
