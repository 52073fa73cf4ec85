//! A registry of one image on this machine, as far as a pull needs one (OCI distribution spec 1.1).

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Serves until dropped.
pub(crate) struct Registry {
    address: String,
    content: Arc<Content>,
    task: tokio::task::JoinHandle<()>,
}

struct Content {
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
    served: AtomicUsize,
}

impl Registry {
    /// Serves `/probe` of an image with the one program.
    #[expect(clippy::disallowed_methods, reason = "a test's peer, not a task of the product")]
    pub(crate) async fn serve(program: &Path) -> Self {
        let dir = program.parent().unwrap();
        let layer = Command::new("tar").arg("-C").arg(dir).args(["-c", "probe"]).output().unwrap().stdout;
        let config = serde_json::json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": { "Entrypoint": ["/probe"] },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        let config = config.to_string().into_bytes();
        let part = |kind: &str, blob: &[u8]| {
            let kind = format!("application/vnd.oci.image.{kind}");
            serde_json::json!({ "mediaType": kind, "digest": digest(blob), "size": blob.len() })
        };
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": part("config.v1+json", &config),
            "layers": [part("layer.v1.tar", &layer)],
        });
        let (manifest, blobs) = (manifest.to_string().into_bytes(), vec![config, layer]);
        let content = Arc::new(Content { manifest, blobs, served: AtomicUsize::new(0) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::clone(&content);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        Self { address, content, task }
    }

    /// Host and port, as the first part of an image reference.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// How often the manifest itself was fetched.
    pub(crate) fn manifests_served(&self) -> usize {
        self.content.served.load(Ordering::Relaxed)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, content: Arc<Content>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            // A client that tries TLS first would wait for an answer it can read.
            Ok(TLS_HANDSHAKE) if head.is_empty() => return,
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let blob = content.blobs.iter().find(|blob| path.ends_with(&digest(blob)));
    let (status, kind, body) = if path == "/v2/" {
        ("200 OK", "application/json", b"{}".to_vec())
    } else if path.starts_with("/v2/private/") {
        ("401 Unauthorized", "application/json", error("UNAUTHORIZED", "authentication required"))
    } else if let Some(blob) = blob {
        ("200 OK", "application/octet-stream", blob.clone())
    } else if path.starts_with("/v2/probe/manifests/") {
        content.served.fetch_add(usize::from(method == "GET"), Ordering::Relaxed);
        ("200 OK", MANIFEST, content.manifest.clone())
    } else {
        ("404 Not Found", "application/json", error("MANIFEST_UNKNOWN", "manifest unknown"))
    };
    let mut reply =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    if kind == MANIFEST {
        let _ = write!(reply, "Docker-Content-Digest: {}\r\n", digest(&body));
    }
    reply.push_str("Connection: close\r\n\r\n");
    let _ = stream.write_all(reply.as_bytes()).await;
    if method == "GET" {
        let _ = stream.write_all(&body).await;
    }
    let _ = stream.shutdown().await;
}

fn error(code: &str, message: &str) -> Vec<u8> {
    serde_json::json!({ "errors": [{ "code": code, "message": message }] }).to_string().into_bytes()
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// First byte of a TLS connection (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
