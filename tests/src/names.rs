//! A name server of the test's own, and gateways that ask it: they run in a mount namespace of their own with another
//! `/etc/resolv.conf`, so nothing else on this machine notices.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::net::UdpSocket;

use crate::Gateway;

/// What is said of a name.
#[derive(Debug, Clone, Copy)]
pub enum Name {
    /// It is there.
    At(Ipv4Addr),
    /// There is no such name.
    Unknown,
    /// The server cannot say.
    Failure,
    /// Nothing at all.
    Silence,
}

/// A name server that lives as long as the test.
pub struct Names {
    address: Ipv4Addr,
    asked: Arc<AtomicUsize>,
}

/// Whether a process may have a mount namespace of its own here.
pub fn there() -> Result<(), String> {
    let tried = Command::new("unshare").args(["-m", "true"]).output();
    let is_allowed = tried.is_ok_and(|output| output.status.success());
    if is_allowed { Ok(()) } else { Err("no mount namespaces (`unshare -m`) without being root".into()) }
}

/// Answers every question for an IPv4 address as `answer` says, which is told how many there were before. There are no
/// IPv6 addresses.
pub async fn names(answer: impl Fn(usize) -> Name + Send + 'static) -> Names {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    // Port 53 cannot be chosen in resolv.conf, but this machine has many addresses.
    let process = u8::try_from(std::process::id() % 250).unwrap_or_default();
    let address = Ipv4Addr::new(127, 53, process, NEXT.fetch_add(1, Ordering::Relaxed));
    let socket =
        UdpSocket::bind(SocketAddr::from((address, 53))).await.expect("port 53 of a loopback address");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question).await {
            let question = &question[..length];
            let Some(end) = end(question) else { continue };
            let is_ipv4 = question[end - 4..end - 2] == [0, 1];
            let said = match is_ipv4 {
                true => answer(count.fetch_add(1, Ordering::SeqCst)),
                // The answer to its twin decides.
                false => answer(count.load(Ordering::SeqCst).saturating_sub(1)),
            };
            if let Some(reply) = reply(&question[..end], said, is_ipv4) {
                let _ = socket.send_to(&reply, from).await;
            }
        }
    });
    Names { address, asked }
}

impl Names {
    /// How often an IPv4 address was asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The gateway asks this name server and no other.
    pub fn serve(&self, gateway: Gateway) -> Gateway {
        let text = format!("nameserver {}\noptions timeout:30 attempts:1\n", self.address);
        let file = gateway.file("resolv.conf", &text);
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        gateway.below(&["unshare", "-m", "sh", "-c", script, &file])
    }
}

/// RFC 1035 section 4: the question comes back with at most one answer.
fn reply(question: &[u8], said: Name, is_ipv4: bool) -> Option<Vec<u8>> {
    let (code, address) = match said {
        Name::At(address) => (0, Some(address).filter(|_| is_ipv4)),
        Name::Unknown => (3, None),
        Name::Failure => (2, None),
        Name::Silence => return None,
    };
    let mut reply = question.to_vec();
    reply[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    if let Some(address) = address {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

/// Where the question itself ends, without what may be added to it.
fn end(message: &[u8]) -> Option<usize> {
    let end = 12 + message.get(12..)?.iter().position(|byte| *byte == 0)? + 5;
    (end <= message.len()).then_some(end)
}
