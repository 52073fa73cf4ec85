//! Docker's `config.json` as `docker login` and people leave it.

use secrecy::ExposeSecret as _;

use super::*;

/// What is found for a registry, in words.
fn found(config: &str, registry: &str) -> String {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("wasmgate-login-{}-{number}.json", std::process::id()));
    std::fs::write(&path, config).unwrap();
    let login = look_up(&path, &names(registry));
    std::fs::remove_file(&path).unwrap();
    match login {
        Login::Missing(None) => "none".to_owned(),
        Login::Missing(Some(why)) => why,
        Login::Password(user, password) => format!("{user} {}", password.expose_secret()),
        Login::Identity(token) => format!("token {}", token.expose_secret()),
    }
}

#[test]
fn logins_are_found_under_the_registry_s_names() {
    let hub = |key: &str| found(&format!(r#"{{"auths":{{"{key}":{{"auth":"YTpi"}}}}}}"#), "docker.io");
    for key in ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"] {
        assert_eq!(hub(key), "a b", "{key}");
    }
    assert_eq!(hub("ghcr.io"), "none");
    let of = |config: &str| found(config, "r.example:5000");
    assert_eq!(of(r#"{"auths":{"r.example:5000":{"auth":"YTpi"}}}"#), "a b");
    assert_eq!(of(r#"{"auths":{"https://r.example:5000":{"auth":"YTpiOmM="}}}"#), "a b:c");
    assert_eq!(of(r#"{"auths":{"r.example":{"auth":"YTpi"}}}"#), "none");
    assert_eq!(of(r#"{"auths":{"r.example:5000":{"identitytoken":"t"}}}"#), "token t");
    assert_eq!(of(r#"{"auths":{"r.example:5000":{"username":"u","password":"p"}}}"#), "u p");
    assert_eq!(of("{}"), "none");
    assert!(of("[").contains("is not Docker's config.json"));
    assert!(of(r#"{"auths":{"r.example:5000":{"auth":"!"}}}"#).contains("cannot be decoded"));
    assert!(of(r#"{"credHelpers":{"r.example:5000":"absent-of-a-test"}}"#).contains("cannot be run"));
}

#[tokio::test]
async fn no_file_is_no_login() {
    for config in [None, Some(PathBuf::from("/nonexistent/config.json"))] {
        assert!(matches!(Credentials::new(config).of("r.example").await, Login::Missing(None)));
    }
}

#[test]
fn what_helpers_print_is_not_repeated() {
    let failure = |stdout: &str| {
        let error = CredentialRetrievalError::HelperFailure {
            helper: "docker-credential-x".into(),
            stdout: stdout.into(),
            stderr: String::new(),
        };
        reason(&error, Path::new("config.json"))
    };
    assert_eq!(failure("credentials not found in native keychain\n"), None);
    assert_eq!(failure("hunter2"), Some("`docker-credential-x` failed".to_owned()));
}
