//! Names: of servers, of values, of variables.

/// Why a name cannot be a server's in a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadName(pub String);

impl std::fmt::Display for BadName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The most characters that the name of a server has in the gateway.
const LONGEST: usize = 128;

/// A name as Docker's catalogs write it: what is no letter, digit, `_` or `-` becomes `-`, and the first is a letter or
/// digit. `io.github.a/b` is `io-github-a-b`.
///
/// # Errors
/// [`BadName`] when nothing is left of it, or more than the gateway takes.
pub fn server_name(written: &str) -> Result<String, BadName> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '-' };
    let name: String = written.chars().map(plain).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    match name.len() {
        0 => Err(BadName("its name has no letter or digit".to_owned())),
        1..=LONGEST => Ok(name.to_owned()),
        _ => Err(BadName(format!("its name has more than {LONGEST} characters"))),
    }
}

/// A name that a template can look up: letters, digits, `_` and `-`.
pub(crate) fn property_name(wanted: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let name: String = wanted.trim_start_matches('-').chars().map(plain).collect();
    if name.is_empty() { "value".to_owned() } else { name }
}

/// A name for a variable of the environment: capital letters, digits and `_`, a letter or `_` first.
pub fn variable_name(wanted: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = wanted.trim_matches(|c: char| !c.is_ascii_alphanumeric()).chars().map(plain).collect();
    match name.bytes().next() {
        None => "SECRET".to_owned(),
        Some(b'0'..=b'9') => format!("_{name}"),
        Some(_) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_servers() {
        for (written, name) in [
            ("io.github.a/b", "io-github-a-b"),
            ("com.example/my_server.v2", "com-example-my_server-v2"),
            ("-.x", "x"),
            ("a", "a"),
        ] {
            assert_eq!(server_name(written).as_deref(), Ok(name), "{written}");
        }
        assert_eq!(
            server_name("/./").map_err(|bad| bad.0),
            Err("its name has no letter or digit".to_owned())
        );
        assert!(server_name(&"a".repeat(129)).is_err());
    }

    #[test]
    fn names_of_values() {
        for (wanted, name) in
            [("--read-only", "read-only"), ("X-Api.Key", "X-Api_Key"), ("{a}|b", "_a__b"), ("--", "value")]
        {
            assert_eq!(property_name(wanted), name);
        }
    }

    #[test]
    fn names_of_variables() {
        for (wanted, name) in
            [("X-Api-Key", "X_API_KEY"), ("--token", "TOKEN"), ("2fa", "_2FA"), ("-", "SECRET")]
        {
            assert_eq!(variable_name(wanted), name);
        }
    }
}
