//! Who asks: the bearer token of an HTTP request. Decided before anything else of the request is read.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret as _, SecretString};

/// Decides who sent a request.
pub(super) struct Authority {
    token: Option<SecretString>,
    bearer: Arc<str>,
    anyone: Arc<str>,
}

/// Why nobody can be told. The texts go to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unauthenticated {
    #[error("a bearer token is required: send the header `Authorization: Bearer <token>`")]
    Missing,
    #[error("exactly one `Authorization` header is allowed")]
    Ambiguous,
    #[error("the bearer token is not valid here")]
    Wrong,
}

impl Authority {
    pub(super) fn new(token: Option<SecretString>) -> Self {
        Self { token, bearer: "bearer".into(), anyone: "anonymous".into() }
    }

    /// The principal behind these headers.
    pub(super) fn principal(&self, headers: &HeaderMap) -> Result<Arc<str>, Unauthenticated> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let first = given.next();
        if given.next().is_some() {
            return Err(Unauthenticated::Ambiguous);
        }
        let Some(token) = &self.token else { return Ok(Arc::clone(&self.anyone)) };
        let presented = bearer(first.ok_or(Unauthenticated::Missing)?.as_bytes());
        let expected = token.expose_secret().as_bytes();
        match presented.is_some_and(|presented| same(presented, expected)) {
            true => Ok(Arc::clone(&self.bearer)),
            false => Err(Unauthenticated::Wrong),
        }
    }
}

impl Unauthenticated {
    /// The challenge of RFC 6750 section 3: an error code only when credentials were presented.
    pub(super) const fn challenge(self) -> &'static str {
        match self {
            Self::Missing => "Bearer realm=\"wasmgate\"",
            Self::Ambiguous => "Bearer realm=\"wasmgate\", error=\"invalid_request\"",
            Self::Wrong => "Bearer realm=\"wasmgate\", error=\"invalid_token\"",
        }
    }
}

/// The token in `Bearer <token>`; the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Compares in a time that depends on the lengths only.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |so_far, (a, b)| std::hint::black_box(so_far | (a ^ b)));
    a.len() == b.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(token: Option<&str>, given: &[&str], expected: Result<&str, Unauthenticated>) {
        let authority = Authority::new(token.map(SecretString::from));
        let headers = given.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect();
        let principal = authority.principal(&headers);
        assert_eq!(principal.as_deref().map_err(|refusal| *refusal), expected, "{given:?}");
    }

    #[test]
    fn only_the_one_token_opens() {
        let token = Some("s3cret");
        check(token, &["Bearer s3cret"], Ok("bearer"));
        check(token, &["bearer s3cret"], Ok("bearer"));
        check(token, &["BEARER   s3cret "], Ok("bearer"));
        check(token, &[], Err(Unauthenticated::Missing));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer s3cre",
            "Bearer s3crets",
            "Bearer S3CRET",
            "Basic s3cret",
            "s3cret",
        ] {
            check(token, &[wrong], Err(Unauthenticated::Wrong));
        }
        check(token, &["Bearer s3cret", "Bearer s3cret"], Err(Unauthenticated::Ambiguous));
    }

    #[test]
    fn without_a_token_everyone_is_anonymous_and_duplicates_are_still_refused() {
        check(None, &[], Ok("anonymous"));
        check(None, &["Bearer whatever"], Ok("anonymous"));
        check(None, &["Bearer a", "Bearer b"], Err(Unauthenticated::Ambiguous));
    }
}
