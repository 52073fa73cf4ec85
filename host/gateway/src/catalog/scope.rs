//! What one entry's templates may read: its values, its declared secrets, and nothing of any other server.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;
use wasmgate_core::catalog::EnvVar;
use wasmgate_core::name::ServerName;

use super::argv::Filled;
use super::template::{Piece, Template, to_text};
use super::vars::{Bit, split};
use super::{Entry, Grants, Listed, Origin, Refusal, Resolution, SecretEntry};
use crate::document::EnvList;
use crate::secrets::{Secrets, Wanted, variable};

/// A variable that `$NAME` may stand for.
#[derive(Debug, Clone)]
pub(super) struct Var {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: SecretString,
    /// Whether it is a secret or was made with one.
    pub secret: bool,
}

/// Everything an entry may read.
pub(super) struct Scope<'a> {
    /// Whose scope it is.
    pub server: &'a ServerName,
    /// What that server is granted.
    pub grants: &'a Grants,
    /// Values for `{{...}}`.
    pub root: Json,
    /// Secrets and logins that were found, in the entry's order.
    pub vars: Vec<Var>,
    /// Variables of secrets that the entry can do without and nobody has.
    pub absent: Vec<String>,
    /// Who named the entry.
    pub origin: Origin,
    /// The OAuth access token, when one was supplied.
    pub token: Option<SecretString>,
    /// For entries of wasmgate.yaml, which may name any secret.
    pub secrets: &'a Secrets,
}

/// A scope and what is missing from it.
pub(super) struct Gathered<'a> {
    scope: Scope<'a>,
    missing: Vec<(String, String)>,
    login: Option<(String, String, String)>,
}

/// Looks up the secrets and logins an entry declares.
pub(super) fn gather<'a>(listed: &'a Listed, entry: &Entry, secrets: &'a Secrets) -> Gathered<'a> {
    let trusted = listed.origin.is_operator();
    let (server, grants, origin) = (&listed.name, &listed.grants, listed.origin);
    let (vars, absent) = (Vec::new(), Vec::new());
    let scope = Scope { server, grants, root: Json::Null, vars, absent, origin, token: None, secrets };
    let mut gathered = Gathered { scope, missing: Vec::new(), login: None };
    let providers = entry.oauth.iter().flat_map(|oauth| &oauth.providers);
    for provider in providers {
        match secrets.find(Wanted { name: &provider.secret, env: &provider.env, trusted }) {
            Some(token) => {
                gathered.scope.push(&provider.env, token.clone(), true);
                gathered.scope.token = Some(token);
            }
            None => {
                let hint = where_to_set(&provider.secret, &provider.env, trusted);
                gathered.login = Some((provider.provider.clone(), provider.env.clone(), hint));
            }
        }
    }
    for secret in &entry.secrets {
        match secrets.find(Wanted { name: &secret.name, env: &secret.env, trusted }) {
            Some(value) => gathered.scope.push(&secret.env, value, true),
            None if gathered.scope.var(&secret.env).is_some() => {}
            None if secret.required == Some(false) => gathered.scope.absent.push(secret.env.clone()),
            None => {
                let hint = where_to_set(&secret.name, &secret.env, trusted) + &about(secret);
                gathered.missing.push((secret.name.clone(), hint));
            }
        }
    }
    gathered
}

fn where_to_set(name: &str, env: &str, trusted: bool) -> String {
    let env = if trusted && !env.is_empty() { env.to_owned() } else { variable(name) };
    format!("`{name}=...` in a file of `secrets`, or the variable `{env}`")
}

/// What the entry says about a secret, in brackets and not too long for a line.
fn about(secret: &SecretEntry) -> String {
    let words = secret.description.iter().flat_map(|text| text.split_whitespace());
    let words: Vec<String> = words.map(|word| word.chars().filter(|c| !c.is_control()).collect()).collect();
    let text = words.join(" ");
    match text.char_indices().nth(DESCRIPTION) {
        _ if text.is_empty() => text,
        Some((end, _)) => format!(" ({}...)", text.get(..end).unwrap_or_default()),
        None => format!(" ({text})"),
    }
}

/// Characters of a description that are shown.
const DESCRIPTION: usize = 120;

impl<'a> Gathered<'a> {
    /// `; and the secret ...`, for whoever has something else to say first.
    pub(super) fn missing_hint(&self) -> String {
        let names: Vec<_> = self.missing.iter().map(|(name, _)| format!("`{name}`")).collect();
        match names.as_slice() {
            [] => String::new(),
            [one] => format!("; it also needs the secret {one}"),
            many => format!("; it also needs the secrets {}", many.join(", ")),
        }
    }

    /// The scope, when nothing is missing. A login counts as done when its variable is set by a secret.
    pub(super) fn complete(self) -> Result<Scope<'a>, Resolution> {
        if !self.missing.is_empty() {
            let (names, hints): (Vec<_>, Vec<_>) = self.missing.into_iter().unzip();
            return Err(Resolution::NeedsSecret {
                names,
                hint: format!("set the secret {}", hints.join("; and ")),
            });
        }
        match self.login {
            Some((provider, env, hint)) if self.scope.token.is_none() && self.scope.var(&env).is_none() => {
                let hint = format!(
                    "it wants an OAuth login at `{provider}`, which is not available yet: set an access token as the secret {hint}"
                );
                Err(Resolution::NeedsAuth { provider, hint })
            }
            _ => Ok(self.scope),
        }
    }
}

impl Scope<'_> {
    fn push(&mut self, name: &str, value: SecretString, secret: bool) {
        if !name.is_empty() {
            self.vars.push(Var { name: name.to_owned(), value, secret });
        }
    }

    /// A declared variable.
    pub(super) fn var(&self, name: &str) -> Option<&Var> {
        self.vars.iter().rev().find(|var| var.name == name)
    }

    /// A variable of a text that may hold secrets: a declared one, or for entries of wasmgate.yaml any secret. `Ok(None)`:
    /// nothing declares it.
    ///
    /// # Errors
    /// [`Resolution::NeedsSecret`] for an entry of wasmgate.yaml that names a secret nobody has.
    pub(super) fn lookup(&self, name: &str) -> Result<Option<Var>, Resolution> {
        if let Some(var) = self.var(name) {
            return Ok(Some(var.clone()));
        }
        if self.origin != Origin::Inline {
            return Ok(None);
        }
        let found = self.secrets.find(Wanted { name, env: name, trusted: true });
        let var = found.map(|value| Var { name: name.to_owned(), value, secret: true });
        var.map(Some).ok_or_else(|| Resolution::NeedsSecret {
            names: vec![name.to_owned()],
            hint: format!("set the secret {}", where_to_set(name, name, true)),
        })
    }

    /// A variable of a text that is shown in process lists and logs, where no secret may go.
    ///
    /// # Errors
    /// When it is a secret.
    pub(super) fn public(&self, name: &str, place: &str) -> Result<String, Refusal> {
        match self.lookup(name) {
            Ok(Some(var)) if var.secret => Err(Refusal::new(format!(
                "`${name}` would put a secret into its {place}, where others can read it: pass it in `env` instead"
            ))),
            Ok(Some(var)) => Ok(var.value.expose_secret().to_owned()),
            Ok(None) | Err(_) => Ok(String::new()),
        }
    }

    /// A variable of a command line: unknown ones are empty, as with Docker.
    ///
    /// # Errors
    /// Those of [`Scope::lookup`].
    pub(super) fn word(&self, name: &str) -> Result<Filled, Resolution> {
        let var = self.lookup(name)?;
        Ok(var.map_or_else(Filled::default, |var| Filled {
            text: var.value.expose_secret().to_owned(),
            secret: var.secret,
        }))
    }

    /// The server's environment: declared secrets, then `env` in order; later ones win and empty ones are left out.
    pub(super) fn environment(&self, lists: &[&EnvList]) -> Result<(Self, Vec<EnvVar>), Resolution>
    where
        Self: Sized,
    {
        let mut scope = Scope {
            root: self.root.clone(),
            token: self.token.clone(),
            absent: self.absent.clone(),
            vars: self.vars.clone(),
            ..*self
        };
        for (name, written) in lists.iter().flat_map(|list| &list.0) {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(
                    Refusal::new("a variable of its `env` has a name that no environment can hold").into()
                );
            }
            let (value, secret) = scope.value(written)?;
            if !value.expose_secret().is_empty() {
                scope.push(name, value, secret);
            }
        }
        let mut env: Vec<EnvVar> = Vec::new();
        for var in scope.vars.iter().filter(|var| !var.value.expose_secret().is_empty()) {
            env.retain(|earlier| earlier.name != var.name);
            env.push(EnvVar { name: var.name.clone(), value: var.value.clone() });
        }
        Ok((scope, env))
    }

    /// A value of `env`: a template where it holds `{{` and `}}`, else `$VAR`s, unknown ones empty.
    fn value(&self, written: &str) -> Result<(SecretString, bool), Resolution> {
        let text = if written.contains("{{") && written.contains("}}") {
            (to_text(&Template::parse(written).evaluate(&self.root)), false)
        } else {
            let (mut text, mut secret) = (String::new(), false);
            for bit in split(written) {
                match bit {
                    Bit::Text(literal) => text.push_str(literal),
                    Bit::Var(name) => {
                        if let Some(var) = self.lookup(name)? {
                            secret |= var.secret;
                            text.push_str(var.value.expose_secret());
                        }
                    }
                }
            }
            (text, secret)
        };
        if text.0.contains('\0') {
            return Err(Refusal::new("a value of its `env` contains a NUL character").into());
        }
        Ok((SecretString::from(text.0), text.1))
    }

    /// Whether a text names a secret that the entry can do without and nobody has.
    pub(super) fn lacks(&self, written: &str) -> bool {
        let absent =
            |bit: Bit<'_>| matches!(bit, Bit::Var(name) if self.absent.iter().any(|known| known == name));
        split(written).into_iter().any(absent)
    }

    /// A text with templates and variables that may hold secrets, such as a header.
    pub(super) fn secret_text(&self, written: &str, place: &str) -> Result<SecretString, Resolution> {
        let mut out = String::new();
        for piece in Template::parse(written).evaluate(&self.root) {
            match piece {
                Piece::Value(value) => out.push_str(&value.to_text()),
                Piece::Literal(literal) => {
                    for bit in split(&literal) {
                        out.push_str(&self.secret_bit(bit, place)?);
                    }
                }
            }
        }
        Ok(SecretString::from(out))
    }

    fn secret_bit(&self, bit: Bit<'_>, place: &str) -> Result<String, Resolution> {
        match bit {
            Bit::Text(text) => Ok(text.to_owned()),
            Bit::Var(name) => match self.lookup(name)? {
                Some(var) => Ok(var.value.expose_secret().to_owned()),
                None => Err(Refusal::new(format!(
                    "its {place} uses `${name}`, which the entry does not declare under `secrets`"
                ))
                .into()),
            },
        }
    }

    /// A text with templates and variables that is public, such as a user.
    pub(super) fn public_text(&self, written: &str, place: &str) -> Result<String, Refusal> {
        match Template::parse(written).evaluate(&self.root).as_slice() {
            [Piece::Literal(literal)] => {
                let bit = |bit: &Bit<'_>| match bit {
                    Bit::Text(text) => Ok((*text).to_owned()),
                    Bit::Var(name) => self.public(name, place),
                };
                split(literal).iter().map(bit).collect()
            }
            pieces => Ok(to_text(pieces)),
        }
    }
}
