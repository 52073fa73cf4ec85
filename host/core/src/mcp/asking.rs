//! What a server may ask of its client in the course of a request, and what a client must have declared for it.

use super::method;
use crate::json::{Json, ObjectWriter};

/// Requests that may be answered with questions (2026-07-28 basic/patterns/mrtr).
pub const MAY_ASK: [&str; 3] = [method::TOOLS_CALL, method::PROMPTS_GET, method::RESOURCES_READ];

/// What a server may ask.
pub const QUESTIONS: [&str; 3] = [method::ELICIT, method::SAMPLE, method::ROOTS_LIST];

/// What a client with these capabilities would have to declare besides to be asked this, as in `requiredCapabilities`;
/// None when it can be asked.
///
/// `elicitation: {}` means forms (2025-11-25 and 2026-07-28 client/elicitation, "Capabilities"). Tools in a sampling
/// request take `sampling.tools`. `includeContext` takes nothing: servers only SHOULD leave it out, and clients MAY
/// ignore it.
pub fn missing(capabilities: &Json, asked: &str, params: Option<&Json>) -> Option<Json> {
    let (capability, part) = match asked {
        method::ELICIT => ("elicitation", Some(mode(params))),
        method::SAMPLE => ("sampling", takes_tools(params).then(|| "tools".to_owned())),
        _ => ("roots", None),
    };
    let declared = capabilities.member(capability).filter(Json::is_object);
    let is_declared = declared.is_some_and(|declared| match part.as_deref() {
        None => true,
        Some("form") => declared.member("form").is_some() || declared.member("url").is_none(),
        Some(part) => declared.member(part).is_some(),
    });
    let required = |part: Option<&String>| {
        let empty = Json::empty_object();
        let parts = part.map_or_else(Json::empty_object, |part| empty.with_member(part, &empty));
        ObjectWriter::new().member(capability, &parts).finish()
    };
    (!is_declared).then(|| required(part.as_ref()))
}

fn mode(params: Option<&Json>) -> String {
    let mode = params.and_then(|params| params.member("mode"));
    let mode = mode.as_ref().and_then(Json::string);
    mode.map_or_else(|| "form".to_owned(), std::borrow::Cow::into_owned)
}

fn takes_tools(params: Option<&Json>) -> bool {
    params.is_some_and(|params| params.pick(["tools", "toolChoice"]).iter().any(Option::is_some))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(capabilities: &str, asked: &str, params: &str, lacking: Option<&str>) {
        let json = |text: &str| Json::parse(text.to_owned()).unwrap();
        let found = missing(&json(capabilities), asked, Some(&json(params)));
        assert_eq!(found.as_ref().map(Json::as_str), lacking, "{capabilities} {asked} {params}");
    }

    #[test]
    fn every_question_takes_its_capability() {
        let form = r#"{"mode":"form"}"#;
        let url = r#"{"mode":"url"}"#;
        check("{}", method::ELICIT, "{}", Some(r#"{"elicitation":{"form":{}}}"#));
        check(r#"{"elicitation":{}}"#, method::ELICIT, "{}", None);
        check(r#"{"elicitation":{}}"#, method::ELICIT, form, None);
        check(r#"{"elicitation":{"form":{}}}"#, method::ELICIT, form, None);
        check(r#"{"elicitation":{"url":{}}}"#, method::ELICIT, form, Some(r#"{"elicitation":{"form":{}}}"#));
        check(r#"{"elicitation":{"url":{},"form":{}}}"#, method::ELICIT, form, None);
        check(r#"{"elicitation":{}}"#, method::ELICIT, url, Some(r#"{"elicitation":{"url":{}}}"#));
        check(r#"{"elicitation":{"url":{}}}"#, method::ELICIT, url, None);
        check(r#"{"elicitation":true}"#, method::ELICIT, form, Some(r#"{"elicitation":{"form":{}}}"#));
        check("{}", method::SAMPLE, "{}", Some(r#"{"sampling":{}}"#));
        check(r#"{"sampling":{}}"#, method::SAMPLE, r#"{"includeContext":"thisServer"}"#, None);
        check(r#"{"sampling":{}}"#, method::SAMPLE, r#"{"tools":[]}"#, Some(r#"{"sampling":{"tools":{}}}"#));
        check(r#"{"sampling":{"tools":{}}}"#, method::SAMPLE, r#"{"toolChoice":{}}"#, None);
        check("{}", method::ROOTS_LIST, "{}", Some(r#"{"roots":{}}"#));
        check(r#"{"roots":{"listChanged":true}}"#, method::ROOTS_LIST, "{}", None);
    }
}
