//! Payloads of the standard and what a stage sees of them: requests come as `{"method", "params"}` or bare, results bare,
//! and errors as `{"error": {...}}`.

use wasmgate_core::json::Json;
use wasmgate_core::pipeline::Phase;

/// One payload.
pub(in crate::interceptors) struct Payload {
    /// As it came.
    pub(in crate::interceptors) whole: Json,
    /// What the stage sees.
    pub(in crate::interceptors) seen: Json,
    /// The member of `whole` that `seen` is, where it is not the whole.
    pub(in crate::interceptors) under: &'static str,
}

impl Payload {
    /// Takes a payload, or says in words what is wrong with it.
    pub(in crate::interceptors) fn read(whole: Json, event: &str, phase: Phase) -> Result<Self, String> {
        if whole.is_null() {
            return Ok(Self { seen: Json::empty_object(), whole, under: "" });
        }
        let members = whole.members().ok_or("payload: must be an object")?;
        let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        let [method, params, error] = whole.pick(["method", "params", "error"]);
        let method = method.as_ref().and_then(Json::string);
        let wrapped = names.iter().all(|name| matches!(*name, "method" | "params"));
        match (phase, method, error) {
            (Phase::Request, Some(method), _) if wrapped => {
                if method != event {
                    return Err(format!("payload.method: is not `{event}`, the event"));
                }
                let seen = params.unwrap_or_else(Json::empty_object);
                if !seen.is_object() {
                    return Err("payload.params: must be an object".to_owned());
                }
                Ok(Self { whole, seen, under: "params" })
            }
            (Phase::Response, _, Some(error)) if names.len() == 1 && error.is_object() => {
                Ok(Self { whole, seen: error, under: "error" })
            }
            _ => Ok(Self { seen: whole.clone(), whole, under: "" }),
        }
    }

    /// The whole payload with what the stage made of its part.
    pub(in crate::interceptors) fn with(&self, seen: &Json) -> Json {
        if self.under.is_empty() { seen.clone() } else { self.whole.with_member(self.under, seen) }
    }

    /// Whether it is the error of a request that failed.
    pub(in crate::interceptors) fn failed(&self) -> bool {
        self.under == "error"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(phase: Phase, whole: &str, expected: Result<(&str, &str), &str>) {
        let payload = Payload::read(Json::parse(whole.to_owned()).unwrap(), "tools/call", phase);
        match (payload, expected) {
            (Ok(payload), Ok((seen, again))) => {
                assert_eq!(payload.seen.as_str(), seen, "{whole}");
                assert_eq!(payload.with(&Json::parse(r#"{"new":1}"#).unwrap()).as_str(), again, "{whole}");
            }
            (Err(words), Err(expected)) => assert!(words.contains(expected), "{whole}: {words}"),
            (payload, _) => panic!("{whole}: {:?}", payload.map(|payload| payload.seen)),
        }
    }

    #[test]
    fn requests_come_wrapped_or_bare() {
        let request = Phase::Request;
        check(
            request,
            r#"{"method":"tools/call","params":{"name":"t"}}"#,
            Ok((r#"{"name":"t"}"#, r#"{"method":"tools/call","params":{"new":1}}"#)),
        );
        check(
            request,
            r#"{"method":"tools/call"}"#,
            Ok(("{}", r#"{"method":"tools/call","params":{"new":1}}"#)),
        );
        check(request, r#"{"name":"t"}"#, Ok((r#"{"name":"t"}"#, r#"{"new":1}"#)));
        let more = r#"{"method":"x","params":{},"name":"t"}"#;
        check(request, more, Ok((more, r#"{"new":1}"#)));
        check(request, "null", Ok(("{}", r#"{"new":1}"#)));
        check(request, r#"{"method":"tools/list","params":{}}"#, Err("payload.method"));
        check(request, r#"{"method":"tools/call","params":[]}"#, Err("payload.params"));
        check(request, "[]", Err("must be an object"));
    }

    #[test]
    fn results_come_bare_and_errors_wrapped() {
        let response = Phase::Response;
        check(response, r#"{"content":[]}"#, Ok((r#"{"content":[]}"#, r#"{"new":1}"#)));
        check(response, r#"{"error":{"code":1}}"#, Ok((r#"{"code":1}"#, r#"{"error":{"new":1}}"#)));
        check(response, r#"{"error":"text"}"#, Ok((r#"{"error":"text"}"#, r#"{"new":1}"#)));
    }
}
