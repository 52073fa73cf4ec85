//! What a registry wants to see before it answers, and getting it: Basic logins and bearer tokens.
//!
//! The flow is the registry's to start: it answers 401 with a challenge, which names a scheme and, for tokens, the service
//! that gives them (the distribution project's "Token Authentication Specification"). A login goes only to the registry it
//! is for and to the token service that registry names; a token only to the registry.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::credentials::Login;
use super::error::OciError;
use super::transport::{Message, Transport};

/// What a request does to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Read,
    Write,
}

/// What a request is for: the registry, the repository and the action.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) registry: String,
    pub(super) repository: String,
    pub(super) action: Action,
}

impl Scope {
    fn text(&self) -> String {
        let actions = match self.action {
            Action::Read => "pull",
            Action::Write => "pull,push",
        };
        format!("repository:{}:{actions}", self.repository)
    }

    pub(super) fn verb(&self) -> &'static str {
        match self.action {
            Action::Read => "read",
            Action::Write => "write",
        }
    }
}

/// What was got in answer to a challenge.
pub(super) struct Granted {
    pub(super) header: HeaderValue,
    to: Grantee,
}

/// Whom a registry takes us for.
enum Grantee {
    /// Whoever has the password, which the registry itself checks.
    Login,
    /// Whom the token service knows.
    Known,
    /// Anybody; why there is no login.
    Anybody(Option<String>),
}

impl Granted {
    /// What it means that the registry still answers 401.
    pub(super) fn not_accepted(self, scope: &Scope) -> OciError {
        match self.to {
            Grantee::Login => OciError::LoginRefused { registry: scope.registry.clone() },
            Grantee::Known => denied(scope),
            Grantee::Anybody(hint) => no_login(scope, hint),
        }
    }
}

/// What registries have accepted, until it expires.
#[derive(Default)]
pub(super) struct Accepted {
    /// Tokens are for a scope.
    tokens: Mutex<HashMap<Scope, (HeaderValue, Instant)>>,
    /// Logins are for a registry.
    logins: Mutex<HashMap<String, HeaderValue>>,
}

impl Accepted {
    /// What to send along without being asked.
    pub(super) fn header(&self, scope: &Scope) -> Option<HeaderValue> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens.get(scope).filter(|(_, until)| Instant::now() < *until);
        if let Some((header, _)) = token {
            return Some(header.clone());
        }
        drop(tokens);
        self.logins.lock().unwrap_or_else(PoisonError::into_inner).get(&scope.registry).cloned()
    }

    /// It was not accepted after all.
    pub(super) fn forget(&self, scope: &Scope) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(scope);
        self.logins.lock().unwrap_or_else(PoisonError::into_inner).remove(&scope.registry);
    }

    fn keep_token(&self, scope: &Scope, header: HeaderValue, lasts: Duration) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        tokens.retain(|_, (_, until)| now < *until);
        tokens.insert(scope.clone(), (header, now + lasts));
    }

    fn keep_login(&self, registry: &str, header: HeaderValue) {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.insert(registry.to_owned(), header);
    }
}

/// A challenge this program can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The best of the challenges in a response: a token before a login.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges = values.flat_map(|value| http_auth::ChallengeParser::new(value).flatten());
        let mut basic = None;
        for challenge in challenges {
            let parameter = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = parameter("realm")
            {
                return Some(Self::Bearer {
                    realm,
                    service: parameter("service"),
                    scope: parameter("scope"),
                });
            }
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Self::Basic);
            }
        }
        basic
    }
}

impl Transport {
    /// Answers a challenge: what to send with the request that is repeated.
    pub(super) async fn answer(&self, scope: &Scope, headers: &HeaderMap) -> Result<Granted, OciError> {
        let unknown = || odd(scope, "401 without a challenge that can be answered");
        let challenge = Challenge::of(headers).ok_or_else(unknown)?;
        let login = self.credentials().of(&scope.registry).await;
        match challenge {
            Challenge::Basic => self.answer_basic(scope, login),
            Challenge::Bearer { realm, service, scope: wanted } => {
                let wanted = wanted.filter(|wanted| !wanted.is_empty()).unwrap_or_else(|| scope.text());
                let realm = self.realm(scope, &realm)?;
                let token = self.token(scope, &TokenFor { realm, service, wanted }, &login).await?;
                let header = token.header().ok_or_else(|| odd(scope, "without a usable token"))?;
                self.accepted().keep_token(scope, header.clone(), token.lasts());
                let to = match login {
                    Login::Missing(hint) => Grantee::Anybody(hint),
                    _ => Grantee::Known,
                };
                Ok(Granted { header, to })
            }
        }
    }

    fn answer_basic(&self, scope: &Scope, login: Login) -> Result<Granted, OciError> {
        let header = match login {
            Login::Password(user, password) => basic(&user, &password),
            Login::Missing(hint) => return Err(no_login(scope, hint)),
            Login::Identity(_) => {
                let hint = "it takes a name and a password, and this machine has a token".to_owned();
                return Err(no_login(scope, Some(hint)));
            }
        };
        let header = header.ok_or_else(|| OciError::LoginRefused { registry: scope.registry.clone() })?;
        self.accepted().keep_login(&scope.registry, header.clone());
        Ok(Granted { header, to: Grantee::Login })
    }

    /// The token service, if a login may be sent to it: over https, or beside a registry that is spoken plain http with.
    fn realm(&self, scope: &Scope, realm: &str) -> Result<Url, OciError> {
        let bad = |target: &str, why: &str| OciError::BadTarget {
            registry: scope.registry.clone(),
            target: target.to_owned(),
            why: why.to_owned(),
        };
        let url = Url::parse(realm).map_err(|_| bad("a token service", "its address is not a URL"))?;
        let target = super::transport::origin(&url);
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.may_be_plain(&scope.registry, &url) => Ok(url),
            _ => Err(bad(&target, "a token service must be asked over https")),
        }
    }

    /// With a login if there is one, else for anybody.
    async fn token(&self, scope: &Scope, ask: &TokenFor, login: &Login) -> Result<Token, OciError> {
        let most = self.largest_token();
        let send = async |message| self.once_whole(&scope.registry, &message, most).await;
        let answer = match login {
            Login::Missing(_) => send(ask.query(None)).await?,
            Login::Identity(token) => send(ask.form(Grant::Refresh(token))).await?,
            Login::Password(user, password) => {
                let answer = send(ask.query(Some((user, password)))).await?;
                // Services that only have the newer way.
                if [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&answer.status) {
                    send(ask.form(Grant::Password(user, password))).await?
                } else {
                    answer
                }
            }
        };
        let registry = scope.registry.clone();
        match (answer.status.as_u16(), login) {
            (200, _) => serde_json::from_slice(&answer.body)
                .map_err(|_| odd(scope, "with a token that cannot be read")),
            (400 | 401 | 403, Login::Missing(hint)) => Err(no_login(scope, hint.clone())),
            // OAuth 2 says 400 `invalid_grant` for a refresh token that is no longer good (RFC 6749, 5.2).
            (400 | 401, _) => Err(OciError::LoginRefused { registry }),
            (403, _) => Err(denied(scope)),
            (429, _) => Err(OciError::TooMany { registry }),
            (status @ 500.., _) => Err(OciError::Failed { registry, status }),
            (status, _) => Err(odd(scope, &format!("status {status} for a token"))),
        }
    }
}

/// Which token is wanted, and from whom.
struct TokenFor {
    realm: Url,
    service: Option<String>,
    wanted: String,
}

/// By what right (RFC 6749).
enum Grant<'a> {
    Refresh(&'a SecretString),
    Password(&'a str, &'a SecretString),
}

impl TokenFor {
    /// The way of the distribution project: GET with the login as Basic.
    fn query(&self, login: Option<(&str, &SecretString)>) -> Message {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &self.service {
                query.append_pair("service", service);
            }
            // Several scopes come in one challenge, separated by spaces, and are several parameters.
            for scope in self.wanted.split(' ').filter(|scope| !scope.is_empty()) {
                query.append_pair("scope", scope);
            }
            if let Some((user, _)) = login {
                query.append_pair("account", user);
            }
        }
        let mut message = Message::new(Method::GET, url);
        if let Some(header) = login.and_then(|(user, password)| basic(user, password)) {
            message.headers.insert(AUTHORIZATION, header);
        }
        message
    }

    /// The way of OAuth 2: POST with everything in a form.
    fn form(&self, grant: Grant<'_>) -> Message {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_id", "wasmgate").append_pair("scope", &self.wanted);
        if let Some(service) = &self.service {
            form.append_pair("service", service);
        }
        match grant {
            Grant::Refresh(token) => {
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("refresh_token", token.expose_secret());
            }
            Grant::Password(user, password) => {
                form.append_pair("grant_type", "password");
                form.append_pair("username", user);
                form.append_pair("password", password.expose_secret());
            }
        }
        let mut message = Message::new(Method::POST, self.realm.clone());
        message.body = Bytes::from(form.finish());
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        message.headers.insert(CONTENT_TYPE, form);
        message
    }
}

/// What token services answer: `token` in the older way, `access_token` in the newer one, or both.
#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Token {
    fn header(&self) -> Option<HeaderValue> {
        let mut header = HeaderValue::from_str(&format!("Bearer {}", self.text()?)).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    fn text(&self) -> Option<&str> {
        let token = self.token.as_ref().or(self.access_token.as_ref());
        token.map(String::as_str).filter(|token| !token.is_empty())
    }

    /// A fifth less than it says, so that it does not run out on the way. The specification's default is a minute.
    fn lasts(&self) -> Duration {
        Duration::from_secs(self.expires_in.unwrap_or(60).min(LONGEST_TOKEN)) * 4 / 5
    }
}

fn odd(scope: &Scope, what: &str) -> OciError {
    OciError::Odd { registry: scope.registry.clone(), what: what.to_owned() }
}

pub(super) fn denied(scope: &Scope) -> OciError {
    OciError::Denied {
        registry: scope.registry.clone(),
        action: scope.verb(),
        repository: scope.repository.clone(),
    }
}

fn no_login(scope: &Scope, hint: Option<String>) -> OciError {
    OciError::NoLogin { registry: scope.registry.clone(), hint }
}

/// RFC 7617.
fn basic(user: &str, password: &SecretString) -> Option<HeaderValue> {
    let pair = format!("{user}:{}", password.expose_secret());
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    let mut header = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// A day: longer than any registry's.
const LONGEST_TOKEN: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&str], expected: Option<Challenge>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        assert_eq!(Challenge::of(&headers), expected, "{values:?}");
    }

    #[test]
    fn the_best_challenge_is_taken() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.into(),
                service: service.map(str::to_owned),
                scope: scope.map(str::to_owned),
            })
        };
        check(&[], None);
        check(&["Digest realm=\"x\", nonce=\"y\""], None);
        check(&["Basic realm=\"x\""], Some(Challenge::Basic));
        check(&["Bearer service=\"no realm\""], None);
        check(
            &["Bearer realm=\"https://a/token\",service=\"s\",scope=\"repository:a/b:pull,push\""],
            bearer("https://a/token", Some("s"), Some("repository:a/b:pull,push")),
        );
        check(&["basic realm=\"x\"", "BEARER Realm=\"https://a/\""], bearer("https://a/", None, None));
        check(&["Basic realm=\"x\", Bearer realm=\"https://a/\""], bearer("https://a/", None, None));
    }

    #[test]
    fn tokens_of_both_ways_are_read() {
        let read = |text: &str| {
            let token: Token = serde_json::from_str(text).unwrap();
            (token.text().map(str::to_owned), token.lasts().as_secs())
        };
        assert_eq!(read(r#"{"token":"a","access_token":"b","expires_in":300}"#), (Some("a".into()), 240));
        assert_eq!(read(r#"{"access_token":"b"}"#), (Some("b".into()), 48));
        assert_eq!(read(r#"{"token":"","expires_in":99999999}"#), (None, 69_120));
    }
}
