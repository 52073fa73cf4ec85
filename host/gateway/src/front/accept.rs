//! What a client sends and can read: `Content-Type` and `Accept`.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};

/// What a client can read. At least one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepts {
    pub(super) json: bool,
    pub(super) events: bool,
}

impl Accepts {
    /// None when the client can read neither. Clients MUST list both; those that list nothing mean everything, and those
    /// that list one get that one.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut accepts = Self { json: false, events: false };
        let mut listed = false;
        for value in headers.get_all(ACCEPT) {
            listed = true;
            for range in value.to_str().ok()?.split(',').map(media_type) {
                let is_any = range == "*/*";
                accepts.json |= is_any || is_one_of(range, ["application/json", "application/*"]);
                accepts.events |= is_any || is_one_of(range, ["text/event-stream", "text/*"]);
            }
        }
        if !listed {
            return Some(Self { json: true, events: true });
        }
        (accepts.json || accepts.events).then_some(accepts)
    }
}

/// Whether the body is plain JSON. Asked for strictly: pages of other sites can send some types without asking first.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else { return false };
    let is_json = one.to_str().is_ok_and(|one| media_type(one).eq_ignore_ascii_case("application/json"));
    is_json && headers.get(CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity")
}

fn media_type(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

fn is_one_of(range: &str, types: [&str; 2]) -> bool {
    types.iter().any(|known| range.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn clients_get_what_they_can_read() {
        let both = Some(Accepts { json: true, events: true });
        for (values, expected) in [
            (&["application/json, text/event-stream"][..], both),
            (&["application/json", "text/event-stream"], both),
            (&["text/event-stream;q=0.5,Application/JSON; q=1"], both),
            (&["*/*"], both),
            (&[], both),
            (&["application/json"], Some(Accepts { json: true, events: false })),
            (&["text/event-stream"], Some(Accepts { json: false, events: true })),
            (&["text/html"], None),
            (&[""], None),
        ] {
            assert_eq!(Accepts::of(&headers(ACCEPT, values)), expected, "{values:?}");
        }
    }

    #[test]
    fn bodies_are_json_and_nothing_else() {
        for good in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
            assert!(is_json(&headers(CONTENT_TYPE, &[good])), "{good}");
        }
        for bad in [&[][..], &["text/plain"], &["application/jsonx"], &["application/json", "text/plain"]] {
            assert!(!is_json(&headers(CONTENT_TYPE, bad)), "{bad:?}");
        }
        let mut packed = headers(CONTENT_TYPE, &["application/json"]);
        packed.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(!is_json(&packed));
    }
}
