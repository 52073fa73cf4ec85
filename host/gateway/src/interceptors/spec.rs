//! `--interceptor when:type:argument`, as Docker's gateway spells it, and the type `wasm` besides.

use std::path::PathBuf;

use url::Url;
use wasmgate_core::name::BadName;

/// One `--interceptor`, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// On which side of the call it runs.
    pub when: When,
    /// What runs.
    pub what: What,
}

/// The side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the server is asked.
    Before,
    /// After it has answered.
    After,
}

/// What an interceptor of the command line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A command line for `/bin/sh -c`.
    Exec(String),
    /// A container, one for each call.
    Docker {
        /// Its image.
        image: String,
        /// Arguments after the image.
        args: Vec<String>,
    },
    /// An HTTP service.
    Http(Url),
    /// A WebAssembly component in a file: the one type that is sandboxed.
    Wasm(PathBuf),
}

/// What is wrong with an `--interceptor`. The argument is never repeated: it may hold a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Too few colons.
    #[error("write `when:type:argument`, such as `before:exec:/usr/local/bin/check`")]
    Shape,
    /// Neither `before` nor `after`.
    #[error("`{0}` is no side of a call: use `before` or `after`")]
    When(String),
    /// No type that is known.
    #[error("`{0}` is no type of interceptor: use `exec`, `docker`, `http` or `wasm`")]
    Type(String),
    /// Nothing behind the second colon.
    #[error("nothing follows `{0}:`: {1}")]
    Empty(&'static str, &'static str),
    /// An option of `docker run` where the image belongs.
    #[error(
        "`{0}` stands where the image belongs: options of `docker run` are not taken, its container is always hardened"
    )]
    Option(String),
    /// Not an address that can be posted to.
    #[error(
        "what follows `http:` is no http or https address: write it out, such as `http:http://127.0.0.1:8080/check`"
    )]
    Address,
    /// A password in the address.
    #[error("a user name or password in the address is not sent: leave it out")]
    Userinfo,
    /// A name that cannot be one; never the case for those made here.
    #[error(transparent)]
    Name(#[from] BadName),
}

/// Understands one `--interceptor`.
///
/// # Errors
/// [`SpecError`], with the cure in its words.
pub fn parse(text: &str) -> Result<Foreign, SpecError> {
    let mut parts = text.splitn(3, ':');
    let (Some(when), Some(kind), Some(argument)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(SpecError::Shape);
    };
    let when = match when.trim().to_ascii_lowercase().as_str() {
        "before" => When::Before,
        "after" => When::After,
        _ => return Err(SpecError::When(when.to_owned())),
    };
    let argument = argument.trim();
    let what = match kind.trim().to_ascii_lowercase().as_str() {
        "exec" => What::Exec(given("exec", argument, "write a command for `/bin/sh -c`")?.to_owned()),
        "docker" => docker(given("docker", argument, "write an image and its arguments")?)?,
        "http" => What::Http(address(given("http", argument, "write an address")?)?),
        "wasm" => What::Wasm(given("wasm", argument, "write the path of a component")?.into()),
        _ => return Err(SpecError::Type(kind.to_owned())),
    };
    Ok(Foreign { when, what })
}

impl Foreign {
    /// Its name as the `number`th of the command line (counted from 1): `before-exec-1`.
    pub fn name(&self, number: usize) -> String {
        let when = match self.when {
            When::Before => "before",
            When::After => "after",
        };
        format!("{when}-{}-{number}", self.what.kind())
    }
}

impl What {
    /// The type, as the command line spells it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Exec(_) => "exec",
            Self::Docker { .. } => "docker",
            Self::Http(_) => "http",
            Self::Wasm(_) => "wasm",
        }
    }
}

fn given<'a>(kind: &'static str, argument: &'a str, cure: &'static str) -> Result<&'a str, SpecError> {
    if argument.is_empty() { Err(SpecError::Empty(kind, cure)) } else { Ok(argument) }
}

/// Words are parted by white space, as Docker's gateway does; nothing is quoted.
fn docker(argument: &str) -> Result<What, SpecError> {
    let mut words = argument.split_whitespace().map(str::to_owned);
    let image = words.next().unwrap_or_default();
    if image.starts_with('-') {
        return Err(SpecError::Option(image));
    }
    Ok(What::Docker { image, args: words.collect() })
}

fn address(argument: &str) -> Result<Url, SpecError> {
    let url = Url::parse(argument).map_err(|_| SpecError::Address)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(SpecError::Address);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SpecError::Userinfo);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Expect) {
        let shown = match parse(text) {
            Ok(foreign) => format!("{} {:?}", foreign.name(1), foreign.what),
            Err(error) => format!("{error}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn docker_s_spelling_is_understood() {
        check("before:exec:/bin/check --x=a:b", expect![[r#"before-exec-1 Exec("/bin/check --x=a:b")"#]]);
        check("AFTER:Exec:jq .", expect![[r#"after-exec-1 Exec("jq .")"#]]);
        check(
            "after:docker:acme/redact:1 --all  x",
            expect![[r#"after-docker-1 Docker { image: "acme/redact:1", args: ["--all", "x"] }"#]],
        );
        check("before:wasm:./check.wasm", expect![[r#"before-wasm-1 Wasm("./check.wasm")"#]]);
        let http = parse("before:http:http://localhost:8080/check?a=b").unwrap();
        assert_eq!(http.what, What::Http("http://localhost:8080/check?a=b".parse().unwrap()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_cure() {
        check("exec", expect!["write `when:type:argument`, such as `before:exec:/usr/local/bin/check`"]);
        check(
            "before:exec",
            expect!["write `when:type:argument`, such as `before:exec:/usr/local/bin/check`"],
        );
        check("around:exec:x", expect!["`around` is no side of a call: use `before` or `after`"]);
        check(
            "before:lua:x",
            expect!["`lua` is no type of interceptor: use `exec`, `docker`, `http` or `wasm`"],
        );
        check("before:exec: ", expect!["nothing follows `exec:`: write a command for `/bin/sh -c`"]);
        check(
            "after:docker:--privileged image",
            expect![[
                "`--privileged` stands where the image belongs: options of `docker run` are not taken, its container is always hardened"
            ]],
        );
        for address in ["localhost:8080", "ftp://a/b", "http://", "/path"] {
            assert_eq!(parse(&format!("before:http:{address}")), Err(SpecError::Address), "{address}");
        }
        assert_eq!(parse("before:http:https://me:secret@host/"), Err(SpecError::Userinfo));
    }
}
