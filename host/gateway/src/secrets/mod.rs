//! Where secrets come from: the environment and `.env` files, asked in the order the operator gave.
//!
//! A catalog entry gets only the secrets it declares, by name; see [`Secrets::find`] for which variable of the environment
//! that may be. Values are never printed: every type here that holds one hides it.

mod dotenv;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;

pub use dotenv::read as read_dotenv;

/// The variable prefix under which any entry, trusted or not, finds a secret: `WASMGATE_SECRET_<NAME>`.
const PREFIX: &str = "WASMGATE_SECRET_";

/// One source of secrets, loaded.
#[derive(Debug, Clone)]
pub enum Store {
    /// Variables of the gateway's environment.
    Environment(BTreeMap<String, SecretString>),
    /// The lines of a `.env` file, by Docker's secret names.
    File {
        /// The file as it is named to people.
        label: String,
        /// What it says.
        lines: BTreeMap<String, SecretString>,
    },
}

/// Every source, first wins.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    stores: Vec<Store>,
    /// What was found so far, by name.
    found: Arc<Mutex<BTreeMap<String, SecretString>>>,
}

/// What an entry asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The secret's name, such as `github.personal_access_token`.
    pub name: &'a str,
    /// The variable the server gets it as; empty when it gets none.
    pub env: &'a str,
    /// Whether the entry is the operator's own and may therefore name variables of the gateway's environment.
    pub trusted: bool,
}

impl Secrets {
    /// Sources in the order they are asked.
    pub fn new(stores: Vec<Store>) -> Self {
        Self { stores, found: Arc::default() }
    }

    /// Looks a secret up. A file answers by name. The environment answers to `WASMGATE_SECRET_<NAME>` (upper case, anything
    /// else than letters and digits as `_`) for every entry, and to the entry's own variable and to the name itself for
    /// entries of the operator, so that a catalog from elsewhere cannot collect variables by naming them.
    pub fn find(&self, wanted: Wanted<'_>) -> Option<SecretString> {
        let found = self.stores.iter().find_map(|store| match store {
            Store::File { lines, .. } => lines.get(wanted.name).cloned(),
            Store::Environment(vars) => variables(wanted).iter().find_map(|name| vars.get(name).cloned()),
        })?;
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(wanted.name.to_owned(), found.clone());
        Some(found)
    }

    /// Every secret that was looked up and is there: what the gateway hands to somebody, by name.
    pub fn found(&self) -> Vec<(String, SecretString)> {
        let all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Where [`Secrets::find`] looks, for people.
    pub fn places(&self, wanted: Wanted<'_>) -> String {
        let place = |store: &Store| match store {
            Store::File { label, .. } => format!("`{}=...` in {label}", wanted.name),
            Store::Environment(_) => {
                let names: Vec<_> = variables(wanted).iter().map(|name| format!("`{name}`")).collect();
                format!("{} in the environment", names.join(" or "))
            }
        };
        match self.stores.as_slice() {
            [] => "nowhere, because `secrets` names no source".to_owned(),
            stores => stores.iter().map(place).collect::<Vec<_>>().join("; "),
        }
    }
}

/// The variables of the environment that may hold a secret, in the order they are asked.
fn variables(wanted: Wanted<'_>) -> Vec<String> {
    let own = [wanted.env, wanted.name].into_iter().filter(|name| wanted.trusted && !name.is_empty());
    own.map(str::to_owned).chain([variable(wanted.name)]).collect()
}

/// The variable of the environment that any entry may be given a secret by.
pub fn variable(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(plain).collect();
    format!("{PREFIX}{name}")
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretString> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect()
    }

    fn file(pairs: &[(&str, &str)]) -> Store {
        Store::File { label: "s.env".to_owned(), lines: map(pairs) }
    }

    #[test]
    fn the_first_source_wins_and_strangers_cannot_name_variables() {
        let env = map(&[("AWS_KEY", "env"), ("WASMGATE_SECRET_A_KEY", "general")]);
        let secrets =
            Secrets::new(vec![Store::Environment(env), file(&[("a.key", "file"), ("b", "file b")])]);
        let find = |name, env, trusted| {
            secrets.find(Wanted { name, env, trusted }).map(|value| value.expose_secret().to_owned())
        };
        assert_eq!(find("a.key", "AWS_KEY", true).as_deref(), Some("env"));
        assert_eq!(find("a.key", "AWS_KEY", false).as_deref(), Some("general"));
        assert_eq!(find("b", "AWS_OTHER", false).as_deref(), Some("file b"));
        assert_eq!(find("AWS_KEY", "", false), None);
        assert_eq!(find("AWS_KEY", "", true).as_deref(), Some("env"));
        let found = secrets.found();
        assert_eq!(
            found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["AWS_KEY", "a.key", "b"]
        );
        assert_eq!(
            secrets.places(Wanted { name: "no.key", env: "", trusted: true }),
            "`no.key` or `WASMGATE_SECRET_NO_KEY` in the environment; `no.key=...` in s.env"
        );
        assert_eq!(
            Secrets::default().places(Wanted { name: "x", env: "", trusted: true }),
            "nowhere, because `secrets` names no source"
        );
    }

    #[test]
    fn values_do_not_print() {
        let shown = format!("{:?}", Secrets::new(vec![file(&[("name", "hunter2")])]));
        assert!(shown.contains("name") && !shown.contains("hunter2"), "{shown}");
    }
}
