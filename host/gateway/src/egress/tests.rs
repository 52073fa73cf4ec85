//! Connections to real sockets: which are used again, and what is lost when they end.

#![expect(clippy::disallowed_methods, reason = "servers that end with their test")]

use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, Instant, timeout};

use super::*;

/// What a server does with its connections.
#[derive(Clone, Copy)]
enum Habit {
    /// Goes on.
    Keeps,
    /// Closes after each answer, and does not say so.
    Closes,
    /// Closes instead of answering.
    HangsUp,
}

/// A server that answers everything with the same bytes.
struct Server {
    uri: String,
    accepted: Arc<AtomicUsize>,
    /// Connections that have ended.
    ended: Arc<AtomicUsize>,
}

async fn server(answer: &'static str, habit: Habit) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/path?query", listener.local_addr().unwrap());
    let (accepted, ended) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (counted, over) = (Arc::clone(&accepted), Arc::clone(&ended));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                serve(stream, answer, habit).await;
                over.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    Server { uri, accepted, ended }
}

async fn serve(mut stream: TcpStream, answer: &str, habit: Habit) {
    let mut read = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut read).await {
        if !read.ends_with(b"\r\n\r\nask") {
            continue;
        }
        let head = String::from_utf8_lossy(&read);
        assert!(
            head.starts_with("POST /path?query HTTP/1.1\r\n") && head.contains("host: 127.0.0.1:"),
            "{head}"
        );
        read.clear();
        if matches!(habit, Habit::HangsUp) {
            return;
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        if matches!(habit, Habit::Closes) {
            return;
        }
    }
}

impl Server {
    async fn ask(&self, egress: &Egress) -> Result<Response<Body>, EgressError> {
        let request = Request::post(&self.uri).body(Full::new(Bytes::from_static(b"ask"))).unwrap();
        egress.send(Reach::Named, request).await
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    async fn has_ended(&self, count: usize) {
        let all = async {
            while self.ended.load(Ordering::SeqCst) < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(5), all).await.expect("its connections have ended");
    }
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_connection_is_used_again_when_its_answer_has_been_read() {
    for (answer, said) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsaid", "said"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nsa\r\n2\r\nid\r\n0\r\n\r\n", "said"),
        ("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n", ""),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
    ] {
        let (server, egress) = (server(answer, Habit::Keeps).await, Egress::new());
        for _ in 0..3 {
            assert_eq!(text(server.ask(&egress).await.unwrap()).await, said);
        }
        assert_eq!(server.accepted(), 1, "{answer}");
        // What is there already is read to its end when nobody wants it.
        drop(server.ask(&egress).await.unwrap());
        assert_eq!(text(server.ask(&egress).await.unwrap()).await, said);
        assert_eq!(server.accepted(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_says_it_closes_is_not_used_again() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nsaid";
    let (server, egress) = (server(answer, Habit::Keeps).await, Egress::new());
    for asked in 1..=3 {
        assert_eq!(text(server.ask(&egress).await.unwrap()).await, "said");
        assert_eq!(server.accepted(), asked);
    }
    server.has_ended(3).await;
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_was_idle_costs_no_request() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsaid";
    let (server, egress) = (server(answer, Habit::Closes).await, Egress::new());
    for asked in 1..=20 {
        assert_eq!(text(server.ask(&egress).await.unwrap()).await, "said");
        server.has_ended(asked).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(server.accepted(), 20);
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_request_is_no_reason_to_send_it_again() {
    let (server, egress) = (server("", Habit::HangsUp).await, Egress::new());
    let broken = server.ask(&egress).await;
    assert!(matches!(broken, Err(EgressError::Broken(_))), "{:?}", broken.map(|_| ()));
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn what_is_dropped_before_its_end_closes_its_connection() {
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsaid\r\n";
    let (endless, silent) = (server(endless, Habit::Keeps).await, server("", Habit::Keeps).await);
    let egress = Egress::new();
    let mut body = endless.ask(&egress).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "said");
    drop(body);
    endless.has_ended(1).await;
    let waited = timeout(Duration::from_millis(50), silent.ask(&egress)).await;
    assert!(waited.is_err(), "nothing answers");
    silent.has_ended(1).await;
}

#[tokio::test]
async fn idle_connections_are_closed_after_a_while_and_forgotten_when_the_other_side_closes_them() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsaid";
    let (keeps, closes) = (server(answer, Habit::Keeps).await, server(answer, Habit::Closes).await);
    let egress = Egress::new();
    let kept = &egress.inner.named.kept;
    text(keeps.ask(&egress).await.unwrap()).await;
    text(closes.ask(&egress).await.unwrap()).await;
    closes.has_ended(1).await;
    let soon = async {
        while kept.idle() != 1 {
            kept.sweep(Instant::now());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), soon).await.expect("one of them is seen to be closed");
    assert!(kept.sweep(Instant::now() + Duration::from_secs(59)), "the other is kept for a minute");
    assert!(!kept.sweep(Instant::now() + Duration::from_secs(61)), "and nothing is left to look after");
    keeps.has_ended(1).await;
    assert_eq!(text(keeps.ask(&egress).await.unwrap()).await, "said");
    assert_eq!(keeps.accepted(), 2);
}

#[tokio::test]
async fn requests_at_the_same_time_have_connections_of_their_own() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsaid";
    let (server, egress) = (server(answer, Habit::Keeps).await, Egress::new());
    for _ in 0..2 {
        let asked = (0..200).map(|_| server.ask(&egress));
        let answered = futures_util::future::join_all(asked).await;
        for response in answered {
            assert_eq!(text(response.unwrap()).await, "said");
        }
    }
    // More than are kept: the second time some are new.
    assert_eq!(egress.inner.named.kept.idle(), 128);
    assert_eq!(server.accepted(), 200 + (200 - 128));
}
