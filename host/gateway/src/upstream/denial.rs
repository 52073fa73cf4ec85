//! Why a remote does not let us in, as far as it says (RFC 6750 section 3; 2026-07-28 basic/authorization).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// A remote's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The HTTP status: 401, 403 or 407.
    pub status: u16,
    /// What it wants.
    pub wants: Wants,
    /// The scope it asks for, in its own words.
    pub scope: Option<Box<str>>,
}

/// What would make a remote let us in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// Credentials, or others than it got.
    Credentials,
    /// The same ones with more rights.
    Scope,
    /// It does not say.
    Nothing,
}

impl Denial {
    /// What a response with this status and these headers says.
    pub(super) fn of(status: u16, headers: &HeaderMap) -> Self {
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges = challenges.filter(|text| text.len() <= LONGEST);
        let challenges = challenges
            .flat_map(|text| http_auth::parse_challenges(text).unwrap_or_default().into_iter().map(said));
        let mut denial = Self::from(status);
        for (error, scope) in challenges {
            if status == 403 && error.as_deref() == Some("insufficient_scope") {
                denial.wants = Wants::Scope;
            }
            denial.scope = denial.scope.or(scope);
        }
        denial
    }
}

/// One that says nothing but its status.
impl From<u16> for Denial {
    fn from(status: u16) -> Self {
        let wants = if status == 403 { Wants::Nothing } else { Wants::Credentials };
        Self { status, wants, scope: None }
    }
}

/// The error and the scope of a challenge.
fn said(challenge: http_auth::ChallengeRef<'_>) -> (Option<String>, Option<Box<str>>) {
    let of = |wanted: &str| {
        let (_, value) = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        Some(value.to_unescaped())
    };
    (of("error"), of("scope").filter(|scope| is_scope(scope)).map(String::into_boxed_str))
}

/// RFC 6749 section 3.3.
fn is_scope(text: &str) -> bool {
    let is_allowed = |byte| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
    !text.is_empty() && text.len() <= LONGEST_SCOPE && text.bytes().all(is_allowed)
}

/// A longer header says nothing.
const LONGEST: usize = 4096;
const LONGEST_SCOPE: usize = 512;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(status: u16, challenge: &'static str, wants: Wants, scope: Option<&str>) {
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))]);
        let denial = Denial::of(status, &headers);
        assert_eq!((denial.status, denial.wants, denial.scope.as_deref()), (status, wants, scope));
    }

    #[test]
    fn a_challenge_says_what_is_wanted() {
        check(401, r#"Bearer realm="x", scope="files:read""#, Wants::Credentials, Some("files:read"));
        check(401, "", Wants::Credentials, None);
        let more =
            r#"Bearer error="insufficient_scope", scope="files:read files:write", error_description="no""#;
        check(403, more, Wants::Scope, Some("files:read files:write"));
        check(403, r#"Basic realm="x", Bearer error="insufficient_scope""#, Wants::Scope, None);
        check(403, r#"Bearer error="invalid_token""#, Wants::Nothing, None);
        check(403, "Bearer scope=\"a\\\"b\"", Wants::Nothing, None);
        check(403, "not , a = challenge \"", Wants::Nothing, None);
        check(407, "Basic", Wants::Credentials, None);
    }
}
