//! Logs every operation: what was asked of which server, the shape of the arguments, how it ended and how long it took.
//!
//! Never a value and never the name of an argument: both can be secrets. It blocks nothing, and a failure of its own
//! lets the message pass.

mod shape;

use wasmgate_plugin::{
    Call, Config, Descriptor, Finding, Hook, Interceptor, Isolation, Operation, Phase, Problem, clock, log,
};

/// The plugin. It has no configuration.
pub struct LogCalls;

impl Interceptor for LogCalls {
    fn describe() -> Descriptor {
        Descriptor::new(
            "log-calls",
            env!("CARGO_PKG_VERSION"),
            "Logs name, argument shape, outcome and duration of every call; never values.",
        )
        .hook(Hook::validate(&["*"]).request().response())
        .wants(&["clock"])
        .fail_open()
        // Nothing of a message stays in its memory, and a fresh instance costs more than most messages do.
        .isolation(Isolation::Pooled)
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        match config.is_empty() {
            true => Ok(Self),
            false => Err(vec![Problem::new("", "log-calls has no configuration")]),
        }
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        match call.operation().phase {
            Phase::Request => request(call),
            Phase::Response => response(call),
        }
        Ok(Vec::new())
    }
}

wasmgate_plugin::export!(LogCalls);

fn request(call: &Call<'_>) {
    let bytes = call.size().to_string();
    // Nobody answers a notification.
    if call.operation().event.starts_with("notifications/") {
        let mut fields = common(call.operation());
        fields.push(("bytes", &bytes));
        return log::info("notification", &fields);
    }
    call.put_note(&clock::monotonic_ms().to_string());
    let arguments = call.get("/arguments");
    let shape = shape::of(arguments.as_deref().unwrap_or("{}"));
    let count = shape.len().to_string();
    let kinds = shape.join(",");
    let mut fields = common(call.operation());
    fields.extend([("arguments", count.as_str()), ("kinds", &kinds), ("bytes", &bytes)]);
    log::info("call", &fields);
}

fn response(call: &Call<'_>) {
    let started = call.note().and_then(|note| note.parse().ok());
    let duration = started.map(|started| clock::monotonic_ms().saturating_sub(started).to_string());
    let bytes = call.size().to_string();
    let mut fields = common(call.operation());
    fields.extend([("outcome", outcome(call)), ("bytes", &bytes)]);
    if let Some(duration) = &duration {
        fields.push(("ms", duration));
    }
    log::info("done", &fields);
    log::count("calls", 1);
}

fn common(operation: &Operation) -> Vec<(&'static str, &str)> {
    let mut fields = vec![("event", operation.event.as_str())];
    if let Some(server) = &operation.server {
        fields.push(("server", server));
    }
    if let Some(subject) = &operation.subject {
        fields.push(("subject", without_credentials(subject)));
    }
    fields
}

/// How it ended: `error` when there is no result, `tool-error` when the result says that the tool failed.
fn outcome(call: &Call<'_>) -> &'static str {
    let is = |value: Option<String>| value.as_deref() == Some("true");
    if is(call.attr("response.failed")) {
        "error"
    } else if is(call.get("/isError")) {
        "tool-error"
    } else {
        "ok"
    }
}

/// A name as it is, a URI without the parts that may carry a credential: user information, query and fragment.
fn without_credentials(subject: &str) -> &str {
    let subject = subject.split(['?', '#']).next().unwrap_or_default();
    match subject.split_once("://") {
        Some((scheme, rest)) if rest.split('/').next().is_some_and(|authority| authority.contains('@')) => {
            scheme
        }
        _ => subject,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmgate_plugin::harness::{Exchange, take_log};

    fn logged(exchange: &Exchange, phase: Phase, payload: &str) -> String {
        exchange.validate(&LogCalls, phase, payload).unwrap();
        let lines = take_log();
        let [(_, message, fields)] = lines.as_slice() else { panic!("one line expected: {lines:?}") };
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{message} {}", fields.join(" "))
    }

    #[test]
    fn a_request_shows_the_shape_and_no_name_or_value() {
        let payload = r#"{"name":"read","arguments":{"password":"hunter2","n":1,"deep":{"a":["b"]}}}"#;
        assert_eq!(
            logged(&Exchange::new("tools/call"), Phase::Request, payload),
            "call event=tools/call server=server subject=subject arguments=3 kinds=string,number,object bytes=75"
        );
    }

    #[test]
    fn a_notification_is_no_call() {
        let payload = r#"{"progressToken":"secret","progress":1}"#;
        assert_eq!(
            logged(&Exchange::new("notifications/progress"), Phase::Request, payload),
            "notification event=notifications/progress server=server subject=subject bytes=39"
        );
    }

    #[test]
    fn a_response_shows_how_it_ended_and_how_long_it_took() {
        let mut exchange = Exchange::new("tools/call");
        logged(&exchange, Phase::Request, "{}");
        assert!(logged(&exchange, Phase::Response, "{}").contains(" outcome=ok bytes=2 ms="));
        assert!(logged(&exchange, Phase::Response, r#"{"isError":true}"#).contains(" outcome=tool-error "));
        exchange.attributes.push(("response.failed".into(), "true".into()));
        assert!(logged(&exchange, Phase::Response, r#"{"code":1}"#).contains(" outcome=error "));
    }

    #[test]
    fn a_uri_loses_what_may_be_a_credential() {
        for (subject, shown) in [
            ("read_file", "read_file"),
            ("https://a.example/b?token=c#d", "https://a.example/b"),
            ("postgres://user:secret@db/x", "postgres"),
            ("https://a.example/users/@me", "https://a.example/users/@me"),
        ] {
            assert_eq!(without_credentials(subject), shown);
        }
    }

    #[test]
    fn a_configuration_is_refused() {
        assert!(LogCalls::configure(Config::new("{}")).is_ok());
        assert!(LogCalls::configure(Config::new(r#"{"a":1}"#)).is_err());
    }
}
