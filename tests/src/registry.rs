//! A real registry of this machine (Debian's `docker-registry`), with or without a login, and a proxy that makes it fail.
//!
//! It listens on a free port of the loopback address, which clients speak plain http with. What is pushed lies in a
//! directory that is gone with it, unless the test gave one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// Name and password of a registry that wants a login.
pub const LOGIN: (&str, &str) = ("me", "hunter2");

/// As Docker's `config.json` has them.
pub const LOGIN_BASE64: &str = "bWU6aHVudGVyMg==";

/// [`LOGIN`] as htpasswd (bcrypt) has it.
const HTPASSWD: &str = "me:$2y$05$wasmgateRegistryTestsuMr7T0ty81.yOR8UwSVhAnTdtXOZBw4e\n";

/// How a registry is to be.
#[derive(Default)]
pub struct Options {
    /// Wants [`LOGIN`].
    pub login: bool,
    /// Where it keeps what is pushed; else in a directory of its own.
    pub storage: Option<PathBuf>,
}

/// A registry that lives as long as this value.
pub struct Registry {
    /// Host and port, as the first part of a reference.
    pub address: String,
    dir: PathBuf,
    _child: Child,
}

impl Registry {
    /// A reference in it.
    pub fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Whether there is one on this machine.
pub fn there() -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(PROGRAM).is_file());
    if found { Ok(()) } else { Err(format!("`{PROGRAM}` is not installed (Debian: docker-registry)")) }
}

/// A registry for everybody.
pub async fn registry() -> Registry {
    start(Options::default()).await
}

/// A registry of these options, ready to be spoken with.
pub async fn start(options: Options) -> Registry {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("wasmgate-registry-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory");
    let storage = options.storage.unwrap_or_else(|| dir.join("storage"));
    std::fs::write(dir.join("config.yml"), configuration(&dir, &storage, options.login))
        .expect("a configuration");
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg(dir.join("config.yml")).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child =
        command.stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("docker-registry starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let address = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if let Some((_, rest)) = line.split_once("msg=\"listening on ") {
                return rest.split('"').next().unwrap_or_default().to_owned();
            }
        }
        panic!("docker-registry ended instead of listening");
    };
    let address = tokio::time::timeout(Duration::from_secs(60), address).await.expect("it listens");
    // What it says from now on is read, or it would wait for a reader.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Registry { address, dir, _child: child }
}

fn configuration(dir: &Path, storage: &Path, login: bool) -> String {
    let mut text = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
         http: {{addr: \"127.0.0.1:0\"}}\n",
        storage.display()
    );
    if login {
        let path = dir.join("htpasswd");
        std::fs::write(&path, HTPASSWD).expect("a file of logins");
        text += &format!("auth: {{htpasswd: {{realm: tests, path: {}}}}}\n", path.display());
    }
    text
}

/// What becomes of an answer.
pub enum Fault {
    /// It never comes.
    Silence,
    /// This status comes instead, with these headers.
    Status(u16, &'static [(&'static str, &'static str)]),
    /// Its body ends half-way, and the connection with it.
    Truncated,
    /// Its body stops half-way, and the connection stays.
    Stuck,
    /// One byte of its body is another.
    Changed,
}

/// A registry with faults, which lives as long as the test.
pub struct Faulty {
    /// Host and port, as the first part of a reference.
    pub address: String,
    asked: Arc<AtomicUsize>,
}

impl Faulty {
    /// How many requests there were.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A reference in it.
    pub fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }
}

/// In front of what listens at `behind`; `rule` sees every request's first line (`GET /v2/...`) and how many there were
/// before, and says what is to go wrong.
pub async fn faulty(
    behind: &str,
    rule: impl Fn(&str, usize) -> Option<Fault> + Send + Sync + 'static,
) -> Faulty {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let (behind, rule, asked) = (Arc::<str>::from(behind), Arc::new(rule), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (behind, rule, asked) = (Arc::clone(&behind), Arc::clone(&rule), Arc::clone(&counted));
            tokio::spawn(async move {
                let _ = relay(stream, &behind, |line| rule(line, asked.fetch_add(1, Ordering::SeqCst))).await;
            });
        }
    });
    Faulty { address, asked }
}

/// One request and its answer; the connection ends with it.
async fn relay(
    mut client: TcpStream,
    behind: &str,
    rule: impl Fn(&str) -> Option<Fault>,
) -> std::io::Result<()> {
    let (head, body) = message(&mut client, false).await?;
    let fault = rule(head.lines().next().unwrap_or_default());
    match &fault {
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Status(status, headers)) => {
            let headers: String =
                headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let answer =
                format!("HTTP/1.1 {status} Fault\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n");
            client.write_all(answer.as_bytes()).await?;
            return client.shutdown().await;
        }
        _ => {}
    }
    let mut server = TcpStream::connect(behind).await?;
    let is_head = head.starts_with("HEAD ");
    server.write_all(closing(&head).as_bytes()).await?;
    server.write_all(&body).await?;
    let (head, mut body) = message(&mut server, is_head).await?;
    client.write_all(closing(&head).as_bytes()).await?;
    match fault {
        Some(Fault::Truncated) => body.truncate(body.len() / 2),
        Some(Fault::Stuck) => {
            client.write_all(&body[..body.len() / 2]).await?;
            std::future::pending().await
        }
        Some(Fault::Changed) => {
            if let Some(byte) = body.last_mut() {
                *byte ^= 1;
            }
        }
        _ => {}
    }
    client.write_all(&body).await?;
    client.shutdown().await
}

/// Head and body of a request or an answer. What is `bodiless` announces a body that does not come.
async fn message(stream: &mut TcpStream, bodiless: bool) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let mut body = Vec::new();
    if bodiless {
        return Ok((head, body));
    }
    if let Some(length) = header("content-length") {
        body.resize(length.parse().unwrap_or_default(), 0);
        stream.read_exact(&mut body).await?;
    } else if header("transfer-encoding").is_some() {
        // As it comes: the end is the connection's, which was asked to close.
        stream.read_to_end(&mut body).await?;
    }
    Ok((head, body))
}

/// The head with `Connection: close`.
fn closing(head: &str) -> String {
    let kept = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let kept: Vec<&str> = kept.collect();
    format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n"))
}

const PROGRAM: &str = "docker-registry";
