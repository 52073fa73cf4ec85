//! Certificates of a test's own, made by `openssl`: an authority, and servers it vouches for, rightly or not.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Whether certificates can be made here.
pub fn there() -> Result<(), String> {
    let found = Command::new("openssl").arg("version").output();
    found.map(|_| ()).map_err(|error| format!("no openssl: {error}"))
}

/// An authority with a directory of its own.
pub struct Authority(PathBuf);

/// What a server shows.
pub struct Identity(Arc<ServerConfig>);

impl Authority {
    #[expect(clippy::new_without_default, reason = "a test makes one; nothing asks for a default")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("wasmgate-tls-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        let authority = Self(dir);
        let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        authority.openssl(&format!("{key} -keyout ca.key -out ca.pem -subj /CN=wasmgate-tests"));
        authority
    }

    /// What has to be trusted.
    pub fn path(&self) -> String {
        self.0.join("ca.pem").to_str().expect("UTF-8").to_owned()
    }

    /// A certificate for this name (`DNS:localhost`, `IP:127.0.0.1`) that is valid for so many days from now on.
    pub fn vouch(&self, name: &str, days: i32) -> Identity {
        std::fs::write(self.0.join("names"), format!("subjectAltName={name}\n")).expect("a file");
        let key = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        self.openssl(&format!("{key} -keyout server.key -out server.csr -subj /CN=server"));
        let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names";
        self.openssl(&format!("{sign} -days {days} -out server.pem"));
        let file = |name: &str| std::fs::read(self.0.join(name)).expect("as openssl wrote it");
        let chain =
            CertificateDer::pem_slice_iter(&file("server.pem")).map(|one| one.expect("PEM")).collect();
        let key = PrivateKeyDer::from_pem_slice(&file("server.key")).expect("PEM");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_no_client_auth()
            .with_single_cert(chain, key);
        Identity(Arc::new(config.expect("a certificate and its key")))
    }

    fn openssl(&self, line: &str) {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(&self.0).output();
        let output = output.expect("openssl, as before");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Identity {
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}
