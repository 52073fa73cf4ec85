//! A validator that uses what the message says, a line a use, and finds what came of it: `kv add global hits 1`. Only for
//! tests.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

use wasmgate_plugin::http::Request;
use wasmgate_plugin::kv::Scope;
use wasmgate_plugin::{
    Call, Config, Descriptor, Finding, Hook, Interceptor, Problem, clock, http, kv, labels, log, random,
    secrets,
};

/// What came of the uses that the configuration asks for.
pub struct Capable(String);

impl Interceptor for Capable {
    fn describe() -> Descriptor {
        Descriptor::new("capable", "1.0.0", "Uses what it is told to.")
            .hook(Hook::validate(&["tools/call"]).request())
            .config_schema(r#"{"type":"object","properties":{"do":{"type":"string","maxLength":100}},"additionalProperties":false}"#)
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        let lines = config.text().split('"').nth(3).unwrap_or_default();
        Ok(Self(
            lines
                .split("\\n")
                .filter(|line| !line.is_empty())
                .map(without_call)
                .collect::<Vec<_>>()
                .join("; "),
        ))
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        if !self.0.is_empty() {
            return Ok(vec![Finding::info(&*self.0)]);
        }
        let lines = call.get_string("/do").ok_or("nothing to do")?;
        let done: Vec<_> = lines.lines().map(|line| with_call(line, call)).collect();
        if lines.ends_with("\nfail") {
            return Err("as told".into());
        }
        Ok(vec![Finding::info(done.join("; "))])
    }
}

wasmgate_plugin::export!(Capable);

fn with_call(line: &str, call: &Call<'_>) -> String {
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["find", under] => match call.known_secrets(under) {
            Ok(found) if found.len() > 9 => format!("{} places", found.len()),
            Ok(found) => {
                let place = |s: &secrets::Sighting| format!("{} at {} {:?}", s.secret, s.pointer, s.range);
                found.iter().map(place).collect::<Vec<_>>().join(", ")
            }
            Err(refusal) => refusal.to_string(),
        },
        ["fetch-message"] => fetch(Request {
            method: call.get_string("/method").unwrap_or_else(|| "GET".into()),
            url: call.get_string("/url").unwrap_or_default(),
            headers: header(call, "/header").into_iter().collect(),
            body: call.get_string("/body").map(String::into_bytes),
            ..Request::default()
        }),
        _ => without_call(line),
    }
}

fn header(call: &Call<'_>, at: &str) -> Option<(String, String)> {
    let text = call.get_string(at)?;
    let (name, value) = text.split_once('=')?;
    Some((name.to_owned(), value.to_owned()))
}

fn without_call(line: &str) -> String {
    let shown = |result: Result<String, wasmgate_plugin::Refusal>| {
        result.unwrap_or_else(|refusal| refusal.to_string())
    };
    let words: Vec<_> = line.split(' ').collect();
    match words.as_slice() {
        ["kv", what, scope, key, rest @ ..] => store(what, self::scope(scope), key, rest),
        ["labels"] => shown(labels::all().map(|all| all.join(","))),
        ["label", label] => shown(labels::add(label).map(|()| "put".into())),
        ["label-flood"] => {
            let put = (0..1000).take_while(|n| labels::add(&n.to_string()).is_ok()).count();
            format!("{put} put")
        }
        ["random", count] => {
            shown(random::bytes(number(count)).map(|bytes| format!("{} bytes", bytes.len())))
        }
        ["names"] => secrets::names().join(","),
        ["clock"] => format!("{}", clock::unix_ms() > 0 && clock::monotonic_ms() < clock::unix_ms()),
        ["seed"] => format!("{:x}", RandomState::new().hash_one("x")),
        ["get", url] => fetch(Request::new("GET", url)),
        ["get", url, secret] => fetch(Request::new("GET", url).bearer(secret)),
        ["get-within", ms, url] => {
            fetch(Request { timeout_ms: Some(number(ms)), ..Request::new("GET", url) })
        }
        ["sockets", address] => sockets(address),
        ["log-flood"] => {
            (0..1000).for_each(|_| log::info("again", &[]));
            "logged".into()
        }
        ["count"] => {
            log::count("done", 1);
            "counted".into()
        }
        ["print"] => printed(),
        ["fail"] => "fails".into(),
        _ => format!("cannot {line}"),
    }
}

#[expect(clippy::print_stdout, reason = "the output is the point")]
fn printed() -> String {
    println!("printed");
    "printed".into()
}

fn scope(word: &str) -> Scope {
    match word {
        "session" => Scope::Session,
        "principal" => Scope::Principal,
        _ => Scope::Global,
    }
}

fn store(what: &str, scope: Scope, key: &str, rest: &[&str]) -> String {
    let text =
        |value: Option<Vec<u8>>| value.map_or("nothing".into(), |v| String::from_utf8_lossy(&v).into_owned());
    let done = match (what, rest) {
        ("get", []) => kv::get(scope, key).map(text),
        ("set", [value]) => kv::set(scope, key, value.as_bytes(), None).map(|()| "set".into()),
        ("set-large", [bytes]) => {
            kv::set(scope, key, &vec![b'x'; number(bytes) as usize], None).map(|()| "set".into())
        }
        ("set-long", [bytes]) => {
            kv::set(scope, &key.repeat(number(bytes) as usize), b"", None).map(|()| "set".into())
        }
        ("set-for", [value, ms]) => {
            kv::set(scope, key, value.as_bytes(), Some(number(ms).into())).map(|()| "set".into())
        }
        ("delete", []) => kv::delete(scope, key).map(|()| "deleted".into()),
        ("add", [delta]) => kv::add(scope, key, number(delta).into(), None).map(|sum| sum.to_string()),
        ("swap", [expected, value]) => {
            let expected = (*expected != "nothing").then_some(expected.as_bytes());
            kv::swap(scope, key, expected, value.as_bytes(), None).map(|done| done.to_string())
        }
        ("bomb", []) => {
            let kept = (0..1_000_000)
                .take_while(|n| kv::set(scope, &format!("{key}{n}"), b"", None).is_ok())
                .count();
            Ok(format!("{kept} kept"))
        }
        _ => Ok(format!("cannot {what}")),
    };
    done.unwrap_or_else(|refusal| refusal.to_string())
}

fn fetch(request: Request) -> String {
    match request.send() {
        Ok(http::Response { status, headers, body }) => {
            let names: Vec<_> = headers.into_iter().map(|(name, _)| name).collect();
            format!("{status} [{}] {}", names.join(","), String::from_utf8_lossy(&body))
        }
        Err(refusal) => refusal.to_string(),
    }
}

/// What of the network can be had through WASI.
fn sockets(address: &str) -> String {
    let connected = TcpStream::connect(address).is_ok();
    let listening = TcpListener::bind("0.0.0.0:0").is_ok();
    let sending = UdpSocket::bind("0.0.0.0:0").is_ok();
    let resolved = "localhost:80".to_socket_addrs().is_ok();
    format!("{connected} {listening} {sending} {resolved}")
}

fn number(word: &str) -> u32 {
    word.parse().unwrap_or_default()
}
