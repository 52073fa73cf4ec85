//! Resource URIs: kept as they are where one server can be told from them, else made unique; and which template a URI fits.
//!
//! A URI that is made unique has the server's own behind the server's name, letter for letter. So a template can be made
//! unique, too, and whatever clients expand it to has the server's own expansion in it.

use super::List;
use crate::name::ServerName;

/// Who uses a scheme.
#[derive(Debug)]
pub(super) struct Users {
    /// The first one, in configuration order.
    pub(super) first: ServerName,
    /// Whether there are others.
    pub(super) shared: bool,
    /// Those of its templates that are listed as they are, by place in their list.
    pub(super) templates: Vec<usize>,
}

impl Users {
    /// Whether the first user lists a template that this URI can be an expansion of. Of very many templates one is taken to
    /// fit unseen.
    pub(super) fn first_has_template_for(&self, uri: &str, templates: &List) -> bool {
        let fits = |at: &usize| templates.entries().get(*at).is_some_and(|entry| fits(&entry.own, uri));
        self.templates.len() > MOST_TEMPLATES || self.templates.iter().any(fits)
    }
}

/// A URI, or template, of `server` made unique and reversible. MCP Apps need their scheme, so `ui:` stays `ui:`.
pub(super) fn make_unique(server: &ServerName, uri: &str) -> String {
    let base = if scheme(uri) == Some("ui") { APPS } else { OTHERS };
    format!("{base}{server}/{uri}")
}

/// The server and its own URI, when `uri` was made by [`make_unique`].
pub(super) fn take_apart(uri: &str) -> Option<(&str, &str)> {
    let (rest, is_app) = match uri.strip_prefix(OTHERS) {
        Some(rest) => (rest, false),
        None => (uri.strip_prefix(APPS)?, true),
    };
    let (server, own) = rest.split_once('/')?;
    (!own.is_empty() && (scheme(own) == Some("ui")) == is_app).then_some((server, own))
}

/// Whether a URI looks like one of [`make_unique`]'s. A server may have such ones, too: another gateway. They are always
/// made unique.
pub(super) fn is_ours(uri: &str) -> bool {
    uri.starts_with(OTHERS) || uri.starts_with(APPS)
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

const OTHERS: &str = "wasmgate://";
const APPS: &str = "ui://wasmgate/";
/// So many templates of one scheme are looked at.
const MOST_TEMPLATES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unique_uri_gives_back_server_and_uri() {
        let server = ServerName::new("notes").unwrap();
        for uri in
            ["file:///a/b c?d#e%2F", "ui://app/main", "x:é", "wasmgate://b/x:1", "ui://wasmgate/b/ui://y"]
        {
            let unique = make_unique(&server, uri);
            assert_eq!(scheme(&unique) == Some("ui"), uri.starts_with("ui:"), "{unique}");
            assert!(is_ours(&unique), "{unique}");
            assert_eq!(take_apart(&unique), Some(("notes", uri)));
        }
        for never_made in [
            "wasmgate://nobody",
            "wasmgate://a/",
            "wasmgate://a/ui://b",
            "ui://wasmgate/a/x:b",
            "x:wasmgate://a/b",
        ] {
            assert_eq!(take_apart(never_made), None, "{never_made}");
        }
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
