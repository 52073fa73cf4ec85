//! Plain requests in absolute form (RFC 9112, 3.2.2): checked, freed of what belongs to the connection, sent on.

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::Shared;
use super::answer::{Answer, Refusal};
use crate::egress::OF_CONNECTION;

impl Shared {
    /// Passes a request on and the response back.
    pub(super) async fn forward(&self, mut request: Request<Incoming>) -> Result<Response<Answer>, Refusal> {
        let authority = absolute(&request)?;
        let (host, port) = (authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(80));
        let not_named = || Refusal::forbidden(format!("`{host}:{port}` is not among the allowed hosts"));
        let permit = self.way.allowed.permits(&host, port).ok_or_else(not_named)?;
        if !permit.carries.http() {
            return Err(Refusal::forbidden(format!("`{host}:{port}` is allowed for TLS only")));
        }
        let outer = self.ledger.count(self.dial(permit, &host, port).await?);
        let (idle, stop) = (outer.idle(), self.stop.clone());
        let broke = |error: hyper::Error| Refusal::unreachable(format!("{host}:{port}: {error}"));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(outer)).await.map_err(broke)?;
        self.tasks.spawn("egress request", async move {
            tokio::select! {
                // How it ends shows in the response.
                _ = connection => {}
                () = idle => {}
                () = stop.cancelled() => {}
            }
        });
        *request.uri_mut() = origin_form(request.uri());
        leave_out(request.headers_mut());
        let value = HeaderValue::from_str(authority.as_str());
        request.headers_mut().insert(HOST, value.map_err(|_| Refusal::bad("not a host"))?);
        let mut response = sender.send_request(request).await.map_err(broke)?;
        leave_out(response.headers_mut());
        Ok(response.map(|body| body.boxed()))
    }
}

/// The authority of a request in absolute form, which its `Host` must not contradict.
fn absolute<B>(request: &Request<B>) -> Result<Authority, Refusal> {
    let uri = request.uri();
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
    let authority =
        authority.ok_or_else(|| Refusal::bad("a proxy takes CONNECT and requests for http:// addresses"))?;
    if authority.as_str().contains('@') {
        return Err(Refusal::bad("an address for a proxy has no name and password"));
    }
    let place =
        |authority: &Authority| (authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(80));
    for host in request.headers().get_all(HOST) {
        let host: Option<Authority> = host.to_str().ok().and_then(|host| host.parse().ok());
        if host.as_ref().map(place) != Some(place(authority)) {
            return Err(Refusal::forbidden(
                "the `Host` of a request was not the host of its address".to_owned(),
            ));
        }
    }
    Ok(authority.clone())
}

fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    path.map_or_else(|| Uri::from_static("/"), Uri::from)
}

/// Takes out what belongs to one connection: the usual names, and those that `Connection` lists. How long the body is,
/// hyper writes anew.
fn leave_out(headers: &mut HeaderMap) {
    let listed = headers.get_all("connection").iter().filter_map(|value| value.to_str().ok());
    let listed: Vec<HeaderName> =
        listed.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in listed {
        headers.remove(name);
    }
    for name in OF_CONNECTION {
        headers.remove(name);
    }
}
