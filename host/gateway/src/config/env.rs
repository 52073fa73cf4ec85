//! The environment, read once. Nothing else in the program looks at it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::catalog::SHARED;

/// What a child process may inherit of the gateway's own environment.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "TMPDIR"];

/// What the environment says.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The token clients show: `WASMGATE_AUTH_TOKEN`, else `MCP_GATEWAY_AUTH_TOKEN`.
    pub auth_token: Option<SecretString>,
    /// Roots below which host paths may be mounted: `TMPDIR` and `MCP_GATEWAY_DOCKER_BIND_ALLOWED_PATHS`.
    pub bind_allow: Vec<PathBuf>,
    /// `MCP_GATEWAY_DOCKER_BIND_ALLOW_WRITABLE_PATHS`.
    pub bind_allow_writable: Vec<PathBuf>,
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// Where Docker keeps its logins: `config.json` in `$DOCKER_CONFIG`, else in `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// `WASMGATE_LOG`: a tracing filter.
    pub log: Option<String>,
    /// The home directory.
    pub home: Option<PathBuf>,
    /// Where compiled plugins may be kept: `$XDG_CACHE_HOME/wasmgate`, else `~/.cache/wasmgate`.
    pub cache: Option<PathBuf>,
    /// Where artifacts are kept: `$XDG_DATA_HOME/wasmgate`, else `~/.local/share/wasmgate`.
    pub data: Option<PathBuf>,
    /// The working directory; `/` when there is none.
    pub directory: PathBuf,
    /// This program.
    pub executable: Option<PathBuf>,
    /// The variables a child process may inherit.
    pub inherited: Vec<(OsString, OsString)>,
    /// Every variable, for the secret source `env`; never printed.
    pub(super) variables: BTreeMap<String, SecretString>,
}

impl Environment {
    /// Reads it.
    pub fn read() -> Self {
        let mut environment = Self::new(std::env::vars_os());
        environment.directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        environment.executable = std::env::current_exe().ok();
        environment
    }

    /// An environment of these variables. An empty variable counts as unset.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let all: BTreeMap<OsString, OsString> =
            variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let path = |name: &str| all.get(&OsString::from(name)).map(PathBuf::from);
        let text =
            |name: &str| all.get(&OsString::from(name)).and_then(|value| value.to_str()).map(str::to_owned);
        let paths = |name: &str| {
            let list = all.get(&OsString::from(name));
            list.map(|list| std::env::split_paths(list).filter(|path| path.is_absolute()).collect())
                .unwrap_or_default()
        };
        let temporary = path("TMPDIR")
            .filter(|path| path.is_absolute() && !SHARED.iter().any(|root| path == Path::new(root)));
        let mut bind_allow = Vec::from_iter(temporary);
        bind_allow.extend::<Vec<_>>(paths("MCP_GATEWAY_DOCKER_BIND_ALLOWED_PATHS"));
        let home = path("HOME").filter(|path| path.is_absolute());
        let cache = path("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        let data = path("XDG_DATA_HOME").filter(|path| path.is_absolute());
        let secret = |(name, value): (&OsString, &OsString)| {
            Some((name.to_str()?.to_owned(), SecretString::from(value.to_str()?.to_owned())))
        };
        Self {
            auth_token: text("WASMGATE_AUTH_TOKEN")
                .or_else(|| text("MCP_GATEWAY_AUTH_TOKEN"))
                .map(SecretString::from),
            bind_allow,
            bind_allow_writable: paths("MCP_GATEWAY_DOCKER_BIND_ALLOW_WRITABLE_PATHS"),
            docker_host: text("DOCKER_HOST"),
            docker_config: path("DOCKER_CONFIG")
                .or_else(|| home.as_ref().map(|home| home.join(".docker")))
                .map(|dir| dir.join("config.json")),
            log: text("WASMGATE_LOG"),
            cache: cache
                .or_else(|| home.as_ref().map(|home| home.join(".cache")))
                .map(|root| root.join("wasmgate")),
            data: data
                .or_else(|| home.as_ref().map(|home| home.join(".local/share")))
                .map(|root| root.join("wasmgate")),
            home,
            directory: PathBuf::from("/"),
            executable: None,
            inherited: INHERITED
                .iter()
                .filter_map(|name| {
                    all.get(&OsString::from(name)).map(|value| (OsString::from(name), value.clone()))
                })
                .collect(),
            variables: all.iter().filter_map(secret).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn ours_before_docker_s_and_empty_is_unset() {
        let read = |pairs: &[(&str, &str)]| {
            Environment::new(pairs.iter().map(|(name, value)| (name.into(), value.into())))
        };
        let token =
            |pairs: &[(&str, &str)]| read(pairs).auth_token.map(|token| token.expose_secret().to_owned());
        assert_eq!(
            token(&[("WASMGATE_AUTH_TOKEN", ""), ("MCP_GATEWAY_AUTH_TOKEN", "b")]).as_deref(),
            Some("b")
        );
        assert_eq!(
            token(&[("WASMGATE_AUTH_TOKEN", "a"), ("MCP_GATEWAY_AUTH_TOKEN", "b")]).as_deref(),
            Some("a")
        );
        let env = read(&[
            ("HOME", "/home/me"),
            ("SECRET", "hunter2"),
            ("MCP_GATEWAY_DOCKER_BIND_ALLOWED_PATHS", "/srv:relative:/data"),
        ]);
        assert_eq!(env.cache, Some("/home/me/.cache/wasmgate".into()));
        assert!(env.bind_allow.ends_with(&["/srv".into(), "/data".into()]));
        assert_eq!(env.docker_config, Some("/home/me/.docker/config.json".into()));
        let docker = read(&[("HOME", "/home/me"), ("DOCKER_CONFIG", "/etc/d")]).docker_config;
        assert_eq!(docker, Some("/etc/d/config.json".into()));
        assert_eq!(env.inherited, [("HOME".into(), "/home/me".into())]);
        assert!(!format!("{env:?}").contains("hunter2"));
    }
}
