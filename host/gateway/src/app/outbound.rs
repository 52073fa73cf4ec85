//! HTTP for plugins: one request, one whole response. What a plugin may reach is decided before (its grants); where a
//! connection may go is decided by `egress`, on the address that is dialled.

use http::header::{CONTENT_LENGTH, HOST, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use tokio::time::timeout;
use wasmgate_wasm::{Outbound, OutboundError, OutboundFuture, OutboundRequest, OutboundResponse};

use crate::egress::{Body, Egress, EgressError, Reach, is_of_connection};

/// Sends requests of plugins through `egress`.
pub(super) struct PluginHttp(pub(super) Egress);

impl Outbound for PluginHttp {
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_> {
        Box::pin(async move {
            let limit = request.timeout;
            timeout(limit, self.exchange(request)).await.unwrap_or(Err(OutboundError::Timeout))
        })
    }
}

impl PluginHttp {
    async fn exchange(&self, asked: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let reach = if asked.private { Reach::Named } else { Reach::Public };
        let most = asked.max_response;
        let response = self.0.send(reach, request(asked)?).await.map_err(|error| match error {
            EgressError::Refused(refused) => OutboundError::Forbidden(refused.to_string()),
            other => OutboundError::Failed(other.to_string()),
        })?;
        whole(response, most).await
    }
}

/// The request as it is sent. `Host` and the length of the body are the HTTP library's to write.
fn request(asked: OutboundRequest) -> Result<Request<Full<bytes::Bytes>>, OutboundError> {
    let failed = |what: &str| OutboundError::Failed(what.to_owned());
    let mut url = asked.url;
    url.set_fragment(None);
    let method = Method::from_bytes(asked.method.as_bytes()).map_err(|_| failed("not an HTTP method"))?;
    // A tunnel is no request.
    if method == Method::CONNECT {
        return Err(failed("the method CONNECT is not for plugins"));
    }
    let mut headers = HeaderMap::with_capacity(asked.headers.len());
    for (name, value) in asked.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| failed("not a header name"))?;
        if is_of_connection(name.as_str()) || name == HOST || name == CONTENT_LENGTH {
            return Err(failed(&format!("the header `{name}` is not for plugins to set")));
        }
        // Any of them may hold a secret.
        let mut value = HeaderValue::from_str(&value).map_err(|_| failed("not a header value"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    let request = Request::builder().method(method).uri(url.as_str()).body(Full::new(asked.body));
    let mut request = request.map_err(|_| failed("not an address for HTTP"))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The response to its end: redirects too are answers, cookies are nobody's.
async fn whole(response: Response<Body>, most: usize) -> Result<OutboundResponse, OutboundError> {
    let (head, body) = response.into_parts();
    let body = match Limited::new(body, most).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(OutboundError::TooLarge(most)),
        Err(_) => return Err(OutboundError::Failed("the response broke off".to_owned())),
    };
    let kept =
        head.headers.iter().filter(|(name, _)| !is_of_connection(name.as_str()) && *name != SET_COOKIE);
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Ok(OutboundResponse { status: head.status.as_u16(), headers: kept.map(text).collect(), body })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn asked(url: &str) -> OutboundRequest {
        OutboundRequest {
            method: "POST".into(),
            url: url.parse().unwrap(),
            headers: vec![("x-one".into(), "1".into())],
            body: bytes::Bytes::from_static(b"body"),
            timeout: Duration::from_secs(10),
            private: true,
            max_response: 64,
        }
    }

    /// Answers one request with this text: what was asked, and what came of it.
    async fn answer(with: &str) -> (String, Result<OutboundResponse, OutboundError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/path?q=1#gone", listener.local_addr().unwrap());
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = vec![0; 4096];
            let count = stream.read(&mut seen).await.unwrap();
            stream.write_all(with.as_bytes()).await.unwrap();
            String::from_utf8(seen[..count].to_vec()).unwrap()
        };
        let plugin_http = PluginHttp(Egress::new());
        tokio::join!(serve, plugin_http.send(asked(&url)))
    }

    #[tokio::test]
    async fn one_request_one_response() {
        let with = "HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\nset-cookie: a=b\r\nkeep-alive: x\r\nx-Two: 2\r\ncontent-length: 2\r\n\r\nhi";
        let (seen, result) = answer(with).await;
        let seen = seen.to_lowercase();
        assert!(seen.starts_with("post /path?q=1 http/1.1\r\n"), "{seen}");
        assert!(seen.contains("host: 127.0.0.1:") && seen.contains("content-length: 4\r\n"), "{seen}");
        assert!(seen.contains("x-one: 1\r\n") && seen.ends_with("\r\n\r\nbody"), "{seen}");
        let response = result.unwrap();
        let names: Vec<_> = response.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((response.status, &*response.body), (302, &b"hi"[..]));
        assert_eq!(names, ["location", "x-two", "content-length"]);
    }

    #[tokio::test]
    async fn limits_hold() {
        let long = "HTTP/1.1 200 OK\r\ncontent-length: 65\r\n\r\n00000000000000000000000000000000000000000000000000000000000000000";
        assert!(matches!(answer(long).await.1, Err(OutboundError::TooLarge(64))));
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let hasty = OutboundRequest { timeout: Duration::from_millis(50), ..asked(&url) };
        assert!(matches!(PluginHttp(Egress::new()).send(hasty).await, Err(OutboundError::Timeout)));
    }

    #[tokio::test]
    async fn what_may_not_be_sent_is_not_sent() {
        let refused = async |change: fn(&mut OutboundRequest)| {
            let mut asked = asked("http://127.0.0.1:9/");
            change(&mut asked);
            PluginHttp(Egress::new()).send(asked).await.unwrap_err().to_string()
        };
        assert!(refused(|asked| asked.private = false).await.contains("may not go there"));
        assert!(
            refused(|asked| asked.url.set_host(Some("169.254.169.254")).unwrap()).await.contains("metadata")
        );
        assert!(refused(|asked| asked.method = "CONNECT".into()).await.contains("CONNECT"));
        for header in ["Host", "content-length", "Transfer-Encoding", "connection"] {
            let mut asked = asked("http://127.0.0.1:9/");
            asked.headers.push((header.into(), "x".into()));
            let error = PluginHttp(Egress::new()).send(asked).await.unwrap_err().to_string();
            assert!(error.contains("not for plugins to set"), "{header}: {error}");
        }
        assert!(
            refused(|asked| asked.headers.push(("a".into(), "b\r\nc: d".into()))).await.contains("value")
        );
    }
}
