//! A registry of a few artifacts, as far as the client needs one, which a rule can make answer anything at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::oci::artifact::Artifact;
use crate::oci::digest::Digest;

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    /// With the query.
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
    /// How many requests of this method and path there were before.
    pub(super) before: usize,
}

impl Asked {
    pub(super) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }

    pub(super) fn login(&self) -> Option<&str> {
        self.headers.get("authorization").map(String::as_str)
    }
}

/// Bytes to answer with, and what happens then.
pub(super) struct Raw {
    pub(super) bytes: Vec<u8>,
    /// Keep the connection and say nothing more.
    pub(super) hang: bool,
}

/// A whole answer.
pub(super) fn reply(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Raw {
    let body = body.as_ref();
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut bytes = (head + "\r\n").into_bytes();
    bytes.extend_from_slice(body);
    Raw { bytes, hang: false }
}

/// The registry; it serves until dropped.
pub(super) struct Double {
    address: String,
    content: Arc<Content>,
    task: tokio::task::JoinHandle<()>,
}

type Rule = Box<dyn Fn(&Asked) -> Option<Raw> + Send + Sync>;

struct Content {
    rule: Rule,
    blobs: Mutex<BTreeMap<String, Vec<u8>>>,
    /// By `repository/manifests/version`.
    manifests: Mutex<BTreeMap<String, Vec<u8>>>,
    asked: Mutex<Vec<Asked>>,
}

impl Double {
    #[expect(clippy::disallowed_methods, reason = "a test's peer, not a task of the product")]
    pub(super) async fn start(rule: impl Fn(&Asked) -> Option<Raw> + Send + Sync + 'static) -> Self {
        let content = Arc::new(Content {
            rule: Box::new(rule),
            blobs: Mutex::default(),
            manifests: Mutex::default(),
            asked: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::clone(&content);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, content, task }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Has an artifact under a tag of `repository:tag`.
    pub(super) fn has(&self, name: &str, artifact: &Artifact) {
        let (repository, tag) = name.split_once(':').unwrap();
        let mut manifests = self.content.manifests.lock().unwrap();
        for version in [tag, &artifact.digest.to_string()] {
            manifests.insert(format!("{repository}/manifests/{version}"), artifact.bytes.to_vec());
        }
        let mut blobs = self.content.blobs.lock().unwrap();
        for body in std::iter::once(&artifact.config).chain(&artifact.layers) {
            blobs.insert(Digest::of(body).to_string(), body.to_vec());
        }
    }

    pub(super) fn manifest(&self, name: &str) -> Option<Vec<u8>> {
        self.content.manifests.lock().unwrap().get(name).cloned()
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.content.asked.lock().unwrap().clone()
    }

    pub(super) fn forget_asked(&self) {
        self.content.asked.lock().unwrap().clear();
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, content: Arc<Content>) {
    let Some(mut asked) = read(&mut stream).await else { return };
    let raw = {
        let mut all = content.asked.lock().unwrap();
        asked.before = all.iter().filter(|a| a.method == asked.method && a.path == asked.path).count();
        all.push(asked.clone());
        drop(all);
        (content.rule)(&asked).unwrap_or_else(|| content.answer(&asked))
    };
    let _ = stream.write_all(&raw.bytes).await;
    if raw.hang {
        std::future::pending::<()>().await;
    }
    let _ = stream.shutdown().await;
    // What is still being sent is read, or the peer would see a reset in place of the answer.
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    };
    let headers: BTreeMap<String, String> = lines.filter_map(header).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Asked { method, path, headers, body, before: 0 })
}

impl Content {
    fn answer(&self, asked: &Asked) -> Raw {
        let path = asked.path.strip_prefix("/v2/").unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let absent = || reply(404, &[], r#"{"errors":[{"code":"UNKNOWN"}]}"#);
        match asked.method.as_str() {
            "GET" | "HEAD" if path.contains("/manifests/") => {
                let manifests = self.manifests.lock().unwrap();
                let Some(bytes) = manifests.get(path) else { return absent() };
                let value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
                let kind = value["mediaType"].as_str().unwrap_or("application/octet-stream").to_owned();
                self.body(asked, bytes, &kind)
            }
            "GET" | "HEAD" if path.contains("/blobs/") => {
                let blobs = self.blobs.lock().unwrap();
                let digest = path.rsplit('/').next().unwrap();
                blobs.get(digest).map_or_else(absent, |b| self.body(asked, b, "application/octet-stream"))
            }
            "POST" if path.ends_with("/blobs/uploads/") => {
                reply(202, &[("Location", &format!("/v2/{path}one?state=x"))], "")
            }
            "PUT" if path.contains("/blobs/uploads/") => {
                let digest = Digest::of(&asked.body).to_string();
                if !query.contains(&format!("digest={}", digest.replace(':', "%3A"))) {
                    return reply(400, &[], "");
                }
                self.blobs.lock().unwrap().insert(digest, asked.body.clone());
                reply(201, &[], "")
            }
            "PUT" if path.contains("/manifests/") => {
                let repository = path.split("/manifests/").next().unwrap();
                let digest = Digest::of(&asked.body).to_string();
                let mut manifests = self.manifests.lock().unwrap();
                manifests.insert(path.to_owned(), asked.body.clone());
                manifests.insert(format!("{repository}/manifests/{digest}"), asked.body.clone());
                reply(201, &[("Docker-Content-Digest", &digest)], "")
            }
            _ => absent(),
        }
    }

    fn body(&self, asked: &Asked, bytes: &[u8], kind: &str) -> Raw {
        let (digest, length) = (Digest::of(bytes).to_string(), bytes.len().to_string());
        let headers =
            [("Content-Type", kind), ("Docker-Content-Digest", &digest), ("Content-Length", &length)];
        reply(200, &headers, if asked.method == "HEAD" { &[] } else { bytes })
    }
}
