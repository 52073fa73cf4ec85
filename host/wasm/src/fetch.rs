//! What a plugin asks to be sent, held against its grants before anything is dialled. No I/O.
//!
//! The URL is parsed once, here; what is granted, what is checked and what is dialled are the same parsed value.

use bytes::Bytes;
use secrecy::ExposeSecret as _;
use url::Url;

use crate::bindings::http::{Request, SecretHeader};
use crate::bindings::types::Refusal;
use crate::grants::{Grants, HttpGrant, Origin};

/// Bytes of the longest URL and the largest body, headers of one request and their bytes together.
const MAX_URL_BYTES: usize = 8 << 10;
const MAX_BODY_BYTES: usize = 1 << 20;
const MAX_HEADERS: usize = 32;
const MAX_HEADER_BYTES: usize = 16 << 10;

/// Headers that say how a message is framed, routed or kept: whoever sends it writes them.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Methods that make a proxy or a server do something else than answer a request.
const FORBIDDEN_METHODS: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

/// A request that may be sent.
pub(crate) struct Checked {
    pub(crate) method: String,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// Whether the name may lead to a private address.
    pub(crate) private: bool,
}

/// Holds a request against the grants and fills secrets in. `besides` are origins of this call alone.
///
/// # Errors
/// `denied` when a grant is missing, `exceeded` when it is too large, `failed` when it is no request.
pub(crate) fn checked(request: Request, grants: &Grants, besides: &[HttpGrant]) -> Result<Checked, Refusal> {
    let url = url(&request.url)?;
    let origin = Origin::of(&url).ok_or_else(|| failed("the URL is not http or https"))?;
    let mut granted = grants.http.iter().chain(besides).filter(|grant| grant.origin == origin).peekable();
    if granted.peek().is_none() {
        return Err(Refusal::Denied(format!("`http: [\"{origin}\"]` is not granted")));
    }
    let private = origin.is_literal() || granted.any(|grant| grant.private);
    if !is_token(&request.method) || request.method.len() > 32 {
        return Err(failed("the method is not one of HTTP"));
    }
    if FORBIDDEN_METHODS.iter().any(|method| request.method.eq_ignore_ascii_case(method)) {
        return Err(Refusal::Denied(format!("the method {} is not for plugins", request.method)));
    }
    let body = request.body.unwrap_or_default();
    if body.len() > MAX_BODY_BYTES {
        return Err(Refusal::Exceeded(format!("a body of {MAX_BODY_BYTES} bytes")));
    }
    let headers = headers(request.headers, request.secrets, &origin, grants)?;
    Ok(Checked { method: request.method, url, headers, body: body.into(), private })
}

/// What is left out of a response: how it was framed, and cookies, which are somebody's session.
pub(crate) fn is_kept(header: &str) -> bool {
    !is_own(header) && !header.eq_ignore_ascii_case("set-cookie")
}

fn url(text: &str) -> Result<Url, Refusal> {
    if text.len() > MAX_URL_BYTES {
        return Err(Refusal::Exceeded(format!("a URL of {MAX_URL_BYTES} bytes")));
    }
    // The parser would drop these without a word.
    if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(failed("the URL has blanks or control characters"));
    }
    let mut url = Url::parse(text).map_err(|_| failed("the URL is not absolute, or not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(failed("the URL has a user name or password; credentials are headers"));
    }
    url.set_fragment(None);
    Ok(url)
}

fn headers(
    plain: Vec<(String, String)>,
    secrets: Vec<SecretHeader>,
    origin: &Origin,
    grants: &Grants,
) -> Result<Vec<(String, String)>, Refusal> {
    let mut all = plain;
    let own = all.len();
    if own + secrets.len() > MAX_HEADERS {
        return Err(Refusal::Exceeded(format!("{MAX_HEADERS} headers")));
    }
    let bytes = all.iter().map(|(name, value)| name.len() + value.len());
    let of_secrets = secrets.iter().map(|secret| secret.header.len() + secret.prefix.len());
    if bytes.chain(of_secrets).sum::<usize>() > MAX_HEADER_BYTES {
        return Err(Refusal::Exceeded(format!("{MAX_HEADER_BYTES} bytes of headers")));
    }
    for secret in secrets {
        if all.iter().any(|(name, _)| name.eq_ignore_ascii_case(&secret.header)) {
            return Err(failed("a header with a secret is there twice"));
        }
        let value = filled(&secret, origin, grants)?;
        all.push((secret.header, value));
    }
    for (name, value) in &all {
        if !is_token(name) {
            return Err(failed("a header's name is not one of HTTP"));
        }
        if is_own(name) {
            return Err(Refusal::Denied(format!("the header `{name}` is the gateway's to write")));
        }
        if !is_value(value) {
            return Err(failed(&format!("the header `{name}` has characters that no header has")));
        }
    }
    Ok(all)
}

/// The header's value with the secret in it; a name that is not granted and one that does not exist are the same.
fn filled(header: &SecretHeader, origin: &Origin, grants: &Grants) -> Result<String, Refusal> {
    let named = grants.secrets.iter().find(|grant| grant.name == header.secret);
    let Some(grant) = named.filter(|grant| grant.origins.contains(origin)) else {
        return Err(Refusal::Denied(format!("that secret is not granted for {origin} (`grants.secrets`)")));
    };
    Ok(format!("{}{}", header.prefix, grant.value.expose_secret()))
}

fn is_own(name: &str) -> bool {
    OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own))
        || name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("proxy-"))
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

fn is_value(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t')
}

fn failed(what: &str) -> Refusal {
    Refusal::Failed(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::SecretGrant;
    use expect_test::{Expect, expect};

    fn checked(request: Request, grants: &Grants) -> Result<Checked, Refusal> {
        super::checked(request, grants, &[])
    }

    fn origin(text: &str) -> Origin {
        Origin::parse(text).unwrap()
    }

    fn grants() -> Grants {
        let http = ["https://granted.example", "http://127.0.0.1:8080", "http://other.example"]
            .map(|text| HttpGrant { origin: origin(text), private: false });
        let key = SecretGrant {
            name: "KEY".into(),
            value: "s3cret-value".into(),
            origins: vec![origin("https://granted.example")],
        };
        let broken = SecretGrant { name: "BROKEN".into(), value: "a\r\nb: c".into(), ..key.clone() };
        Grants { http: http.into(), secrets: vec![key, broken], ..Grants::default() }
    }

    fn request(url: &str) -> Request {
        Request {
            method: "GET".into(),
            url: url.into(),
            headers: Vec::new(),
            secrets: Vec::new(),
            body: None,
            timeout_ms: None,
        }
    }

    fn words(checked: Result<Checked, Refusal>) -> String {
        match checked {
            Ok(ok) => format!(
                "{} {} {:?}{}",
                ok.method,
                ok.url,
                ok.headers,
                if ok.private { " private" } else { "" }
            ),
            Err(Refusal::Denied(what)) => format!("denied: {what}"),
            Err(Refusal::Exceeded(what)) => format!("exceeded: {what}"),
            Err(Refusal::Failed(what)) => format!("failed: {what}"),
        }
    }

    /// Ways to write where one is not allowed to go, among those where one is.
    const TRIED: &[&str] = &[
        "https://granted.example/path?q=1#fragment",
        "https://GRANTED.example:443",
        "https://granted.example/http://evil.example/",
        "https://granted.example/%2e%2e//evil.example",
        "https:granted.example",
        "https:\\\\granted.example\\@evil.example",
        "http://127.0.0.1:8080/",
        "http://2130706433:8080/",
        "http://0x7f.1:8080/",
        "http://127.0.0.1:8080@evil.example/",
        "https://granted.example@evil.example/",
        "https://u:p@granted.example/",
        "https://granted.example.evil.example/",
        "https://evil.example/https://granted.example",
        "https://evil.example#@granted.example",
        "https://evil.example\\@granted.example",
        "https://granted.example./",
        "https://granted.example:8443/",
        "http://granted.example/",
        "http://127.0.0.1/",
        "http://[::ffff:127.0.0.1]:8080/",
        "http://localhost:8080/",
        "ftp://granted.example/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "//granted.example/",
        "/path",
        "",
        "https://",
        "https://granted.example/a b",
        "https://granted\t.example/",
        "https://granted.example/\r\nhost: evil",
    ];

    #[test]
    fn only_what_is_granted_is_reached() {
        let found: String =
            TRIED.iter().map(|url| format!("{}\n", words(checked(request(url), &grants())))).collect();
        expect![[r#"
            GET https://granted.example/path?q=1 []
            GET https://granted.example/ []
            GET https://granted.example/http://evil.example/ []
            GET https://granted.example//evil.example []
            GET https://granted.example/ []
            GET https://granted.example/@evil.example []
            GET http://127.0.0.1:8080/ [] private
            GET http://127.0.0.1:8080/ [] private
            GET http://127.0.0.1:8080/ [] private
            failed: the URL has a user name or password; credentials are headers
            failed: the URL has a user name or password; credentials are headers
            failed: the URL has a user name or password; credentials are headers
            denied: `http: ["https://granted.example.evil.example"]` is not granted
            denied: `http: ["https://evil.example"]` is not granted
            denied: `http: ["https://evil.example"]` is not granted
            denied: `http: ["https://evil.example"]` is not granted
            denied: `http: ["https://granted.example."]` is not granted
            denied: `http: ["https://granted.example:8443"]` is not granted
            denied: `http: ["http://granted.example"]` is not granted
            denied: `http: ["http://127.0.0.1"]` is not granted
            denied: `http: ["http://[::ffff:7f00:1]:8080"]` is not granted
            denied: `http: ["http://localhost:8080"]` is not granted
            failed: the URL is not http or https
            failed: the URL is not http or https
            failed: the URL is not http or https
            failed: the URL is not absolute, or not a URL
            failed: the URL is not absolute, or not a URL
            failed: the URL is not absolute, or not a URL
            failed: the URL is not absolute, or not a URL
            failed: the URL has blanks or control characters
            failed: the URL has blanks or control characters
            failed: the URL has blanks or control characters
        "#]]
        .assert_eq(&found);
        let long = format!("https://granted.example/{}", "x".repeat(MAX_URL_BYTES));
        assert_eq!(words(checked(request(&long), &grants())), "exceeded: a URL of 8192 bytes");
        assert!(words(checked(request("https://granted.example"), &Grants::default())).starts_with("denied"));
    }

    #[test]
    fn methods_and_bodies() {
        for (method, start) in [
            ("PROPFIND", "PROPFIND https"),
            ("CONNECT", "denied: the method CONNECT"),
            ("trace", "denied: the method trace"),
            ("", "failed: the method"),
            ("GET / HTTP/1.1\r\nhost: evil\r\n\r\nGET", "failed: the method"),
            (&"X".repeat(33), "failed: the method"),
        ] {
            let found = words(checked(
                Request { method: method.into(), ..request("https://granted.example") },
                &grants(),
            ));
            assert!(found.starts_with(start), "{method}: {found}");
        }
        let body = Some(vec![0; MAX_BODY_BYTES + 1]);
        let found = words(checked(Request { body, ..request("https://granted.example") }, &grants()));
        assert_eq!(found, "exceeded: a body of 1048576 bytes");
    }

    #[track_caller]
    fn with_headers(headers: &[(&str, &str)], expected: Expect) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let asked = Request { headers, ..request("https://granted.example") };
        expected.assert_eq(&words(checked(asked, &grants())));
    }

    #[test]
    fn headers_are_held_against_what_http_and_the_gateway_allow() {
        with_headers(
            &[("X-One", "1"), ("accept", "a/b;\tq=1")],
            expect![[r#"GET https://granted.example/ [("X-One", "1"), ("accept", "a/b;\tq=1")]"#]],
        );
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "connection",
            "TE",
            "trailer",
            "upgrade",
            "expect",
            "keep-alive",
            "Proxy-Authorization",
            "proxy-x",
        ] {
            let headers = vec![(name.to_owned(), "1".to_owned())];
            let found = words(checked(Request { headers, ..request("https://granted.example") }, &grants()));
            assert_eq!(found, format!("denied: the header `{name}` is the gateway's to write"));
        }
        with_headers(&[("", "1")], expect!["failed: a header's name is not one of HTTP"]);
        with_headers(&[("x one", "1")], expect!["failed: a header's name is not one of HTTP"]);
        with_headers(&[("x:host", "1")], expect!["failed: a header's name is not one of HTTP"]);
        with_headers(
            &[("x-one", "1\r\nhost: evil")],
            expect!["failed: the header `x-one` has characters that no header has"],
        );
        with_headers(
            &[("x-one", "\u{e9}")],
            expect!["failed: the header `x-one` has characters that no header has"],
        );
        with_headers(&[("x-one", "1"); MAX_HEADERS + 1], expect!["exceeded: 32 headers"]);
        with_headers(
            &[("x-one", &"x".repeat(MAX_HEADER_BYTES))],
            expect!["exceeded: 16384 bytes of headers"],
        );
    }

    #[track_caller]
    fn with_secret(url: &str, header: &str, secret: &str, expected: Expect) {
        let secret = SecretHeader { header: header.into(), prefix: "Bearer ".into(), secret: secret.into() };
        let headers = vec![("x-one".to_owned(), "1".to_owned())];
        expected.assert_eq(&words(checked(
            Request { headers, secrets: vec![secret], ..request(url) },
            &grants(),
        )));
    }

    #[test]
    fn a_secret_goes_where_it_may_and_nowhere_else() {
        with_secret(
            "https://granted.example",
            "authorization",
            "KEY",
            expect![[
                r#"GET https://granted.example/ [("x-one", "1"), ("authorization", "Bearer s3cret-value")]"#
            ]],
        );
        with_secret(
            "http://other.example",
            "authorization",
            "KEY",
            expect!["denied: that secret is not granted for http://other.example (`grants.secrets`)"],
        );
        with_secret(
            "https://granted.example",
            "authorization",
            "OTHER",
            expect!["denied: that secret is not granted for https://granted.example (`grants.secrets`)"],
        );
        with_secret(
            "https://granted.example",
            "host",
            "KEY",
            expect!["denied: the header `host` is the gateway's to write"],
        );
        with_secret(
            "https://granted.example",
            "X-One",
            "KEY",
            expect!["failed: a header with a secret is there twice"],
        );
        with_secret(
            "https://granted.example",
            "authorization",
            "BROKEN",
            expect!["failed: the header `authorization` has characters that no header has"],
        );
    }

    #[test]
    fn cookies_and_framing_stay_out_of_responses() {
        let kept: Vec<_> =
            ["content-type", "Set-Cookie", "transfer-encoding", "proxy-authenticate", "location"]
                .into_iter()
                .filter(|header| is_kept(header))
                .collect();
        assert_eq!(kept, ["content-type", "location"]);
    }
}
