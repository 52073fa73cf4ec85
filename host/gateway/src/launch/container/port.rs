//! Containers that serve HTTP: where their port came out on this machine, and when somebody listens there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use url::Url;
use wasmgate_core::catalog::{ContainerTransport, RemoteTransport};

use super::create;
use crate::launch::Channel;

/// The port of this machine's loopback that leads to the container's `port`, which is that very port where both share a
/// network.
pub(super) fn published(container: &ContainerInspectResponse, port: u16) -> Option<SocketAddr> {
    let shared = container.host_config.as_ref().and_then(|host| host.network_mode.as_deref()) == Some("host");
    if shared {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let ports = container.network_settings.as_ref()?.ports.as_ref()?;
    let bindings = ports.get(&create::key(port))?.as_ref()?;
    let number = bindings.iter().find_map(|binding| binding.host_port.as_ref()?.parse().ok())?;
    Some(SocketAddr::from((Ipv4Addr::LOCALHOST, number)))
}

/// How a container that listens at `address` is spoken to; `None` when it speaks over stdio.
pub(super) fn channel(transport: &ContainerTransport, address: SocketAddr) -> Option<Channel> {
    let (path, transport) = match transport {
        ContainerTransport::Stdio => return None,
        ContainerTransport::StreamableHttp { path, .. } => (path, RemoteTransport::StreamableHttp),
        ContainerTransport::Sse { path, .. } => (path, RemoteTransport::Sse),
    };
    let mut url = Url::parse(&format!("http://{address}/")).ok()?;
    let (path, query) =
        path.split_once('?').map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
    url.set_path(path);
    url.set_query(query);
    Some(Channel::Http { url, transport })
}

/// Resolves when a server listens behind `address`.
///
/// A connection alone proves nothing: the engine's own proxy accepts before the server does, and hangs up when it finds
/// nobody. So one harmless request is sent, and any byte of answer, or patience with the silence, is taken as a sign.
pub(super) async fn listening(address: SocketAddr) {
    while timeout(SILENCE, probe(address)).await.is_ok_and(|answer| answer.is_err()) {
        sleep(AGAIN).await;
    }
}

async fn probe(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("HEAD / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let read = stream.read(&mut [0; 1]).await?;
    if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// A listener that says nothing for so long is one: a proxy without a server hangs up.
const SILENCE: Duration = Duration::from_secs(2);
/// How long to wait before the next try.
const AGAIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_url_is_of_this_machine_with_the_entry_path() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 49153));
        for (path, expected) in [
            ("/mcp", "http://127.0.0.1:49153/mcp"),
            ("/", "http://127.0.0.1:49153/"),
            ("/a b?x=1", "http://127.0.0.1:49153/a%20b?x=1"),
            ("//evil.example/", "http://127.0.0.1:49153//evil.example/"),
            ("@evil.example", "http://127.0.0.1:49153/@evil.example"),
        ] {
            let transport = ContainerTransport::StreamableHttp { port: 80, path: path.to_owned() };
            let Some(Channel::Http { url, .. }) = channel(&transport, address) else { panic!("{path}") };
            assert_eq!(url.as_str(), expected);
        }
    }

    #[tokio::test]
    async fn a_proxy_that_hangs_up_is_not_a_server() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = async {
            let mut hung_up = 0;
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                if hung_up == 2 {
                    stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await.unwrap();
                    return hung_up;
                }
                hung_up += 1;
            }
        };
        let ((), hung_up) = tokio::join!(listening(address), served);
        assert_eq!(hung_up, 2);
    }
}
