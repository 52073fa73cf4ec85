//! Requests over HTTP to origins that the operator grants.

use crate::Refusal;

/// One request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Absolute, `http` or `https`, without user and password.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Headers whose values the gateway fills in from secrets.
    pub secrets: Vec<SecretHeader>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// Milliseconds for the whole exchange; the rest of the call's time when absent.
    pub timeout_ms: Option<u32>,
}

/// A header whose value the gateway fills in; this plugin never sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHeader {
    /// The header.
    pub header: String,
    /// What stands before the secret, for example `Bearer `.
    pub prefix: String,
    /// The secret's name, as granted.
    pub secret: String,
}

/// The whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status; redirects are not followed.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A header by its name in lower case; the first where there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, url: &str) -> Self {
        Self { method: method.to_owned(), url: url.to_owned(), ..Self::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds `authorization: Bearer` with a secret of this name.
    #[must_use]
    pub fn bearer(mut self, secret: &str) -> Self {
        let header = SecretHeader {
            header: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
            secret: secret.to_owned(),
        };
        self.secrets.push(header);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn send(self) -> Result<Response, Refusal> {
        fetch(self)
    }
}

#[cfg(target_arch = "wasm32")]
fn fetch(request: Request) -> Result<Response, Refusal> {
    use crate::guest::http;
    let secret =
        |own: SecretHeader| http::SecretHeader { header: own.header, prefix: own.prefix, secret: own.secret };
    let response = http::fetch(&http::Request {
        method: request.method,
        url: request.url,
        headers: request.headers,
        secrets: request.secrets.into_iter().map(secret).collect(),
        body: request.body,
        timeout_ms: request.timeout_ms,
    })?;
    Ok(Response { status: response.status, headers: response.headers, body: response.body })
}

/// Answers requests of this thread's native tests; without it every one is denied.
#[cfg(not(target_arch = "wasm32"))]
pub fn answer_with(answer: impl Fn(&Request) -> Result<Response, Refusal> + 'static) {
    ANSWER.set(Some(Box::new(answer)));
}

#[cfg(not(target_arch = "wasm32"))]
fn fetch(request: Request) -> Result<Response, Refusal> {
    ANSWER.with_borrow(|answer| match answer {
        Some(answer) => answer(&request),
        None => Err(Refusal::Denied("no origin is granted".to_owned())),
    })
}

#[cfg(not(target_arch = "wasm32"))]
type Answer = Box<dyn Fn(&Request) -> Result<Response, Refusal>>;

#[cfg(not(target_arch = "wasm32"))]
thread_local! {
    static ANSWER: std::cell::RefCell<Option<Answer>> = const { std::cell::RefCell::new(None) };
}
