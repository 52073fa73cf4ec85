//! `wasmgate plugin test` of a catalog source: what it answers, held against what is expected.

use std::path::Path;

use serde_json::Value;
use wasmgate_wasm::SourceServer;

use super::super::{Failed, output};
use super::component;
use super::replay::{Answered, Replay};
use super::test::{Tally, compare};
use crate::cases::{Cases, ExpectedPage, ExpectedRefused, ExpectedServer, SourceCase};

/// Asks the cases of one file, given with its number and its text.
pub(super) async fn file(
    replay: &Replay,
    (number, file, text): (usize, &Path, &str),
    update: bool,
    tally: &mut Tally,
) -> Result<(), Failed> {
    let shown = file.display();
    let unusable =
        |error: &dyn std::error::Error| Failed::Usage(format!("{shown} {}", component::chain(error)));
    let mut cases = Cases::<SourceCase>::parse(text).map_err(|error| unusable(&error))?;
    let answers = match replay.ask(&format!("case-{number}"), cases.all()).await {
        Ok(answers) => answers,
        Err(words) => {
            tally.failed += cases.all().len();
            output::print(&format!("FAIL  {shown}\n        {words}"));
            return Ok(());
        }
    };
    let several = cases.all().len() > 1;
    let mut changed = false;
    for (index, (case, answer)) in cases.all_mut().iter_mut().zip(answers).enumerate() {
        let place = if several { format!("{shown} [{}]", index + 1) } else { shown.to_string() };
        let happened = happened(answer);
        let complaints = complaints(case.expected.as_ref(), &happened);
        if complaints.is_empty() {
            tally.passed += 1;
            output::print(&format!("ok    {place}"));
        } else if update {
            tally.updated += 1;
            changed = true;
            output::print(&format!("new   {place}"));
            case.expected = Some(happened);
        } else {
            tally.failed += 1;
            output::print(&format!("FAIL  {place}\n        {}", complaints.join("\n        ")));
        }
    }
    if changed {
        cases.write(file).map_err(|error| unusable(&error))?;
    }
    Ok(())
}

/// An answer in the words of a case.
fn happened(answer: Answered) -> ExpectedPage {
    let server = |server: SourceServer| ExpectedServer {
        name: server.name.to_string(),
        version: Some(server.version),
        document: serde_json::from_str(server.document.as_str()).ok(),
        provenance: Some(server.provenance),
        notes: Some(server.notes),
    };
    match answer {
        Err(failure) => ExpectedPage { failure: Some(failure.to_string()), ..ExpectedPage::default() },
        Ok(page) => ExpectedPage {
            servers: Some(page.servers.into_iter().map(server).collect()),
            refused: Some(
                page.refused
                    .into_iter()
                    .map(|r| ExpectedRefused {
                        name: r.name,
                        version: Some(r.version),
                        reason: Some(r.reason),
                    })
                    .collect(),
            ),
            removed: Some(page.removed.iter().map(ToString::to_string).collect()),
            next: page.next,
            validator: page.validator,
            failure: None,
        },
    }
}

/// How what happened differs from what was expected.
fn complaints(expected: Option<&ExpectedPage>, happened: &ExpectedPage) -> Vec<String> {
    let text = |page: &ExpectedPage| serde_json::to_string(page).unwrap_or_default();
    let Some(expected) = expected else {
        return vec![format!(
            "nothing is expected yet, and this happened: {}; accept it with --update",
            text(happened)
        )];
    };
    let mut complaints = Vec::new();
    match (&expected.failure, &happened.failure) {
        (Some(words), Some(got)) if got.contains(words.as_str()) => return complaints,
        (Some(words), Some(got)) => return vec![format!("failure: expected `{words}` in `{got}`")],
        (Some(words), None) => return vec![format!("failure: expected `{words}`, got {}", text(happened))],
        (None, Some(got)) => return vec![format!("expected a page, got the failure `{got}`")],
        (None, None) => {}
    }
    if let Some(servers) = &expected.servers {
        let got = happened.servers.as_deref().unwrap_or_default();
        listed("servers", servers, got, &mut complaints);
    }
    if let Some(refused) = &expected.refused {
        listed("refused", refused, happened.refused.as_deref().unwrap_or_default(), &mut complaints);
    }
    if let Some(removed) = &expected.removed {
        let got = happened.removed.as_deref().unwrap_or_default();
        if removed != got {
            complaints.push(format!("removed: expected {removed:?}, got {got:?}"));
        }
    }
    for (what, expected, got) in
        [("next", &expected.next, &happened.next), ("validator", &expected.validator, &happened.validator)]
    {
        if expected.is_some() && expected != got {
            complaints.push(format!("{what}: expected {expected:?}, got {got:?}"));
        }
    }
    complaints
}

/// Compares lists item by item, each as far as it matters.
fn listed<T: serde::Serialize>(what: &str, expected: &[T], got: &[T], complaints: &mut Vec<String>) {
    if expected.len() != got.len() {
        let text = |items: &[T]| serde_json::to_string(items).unwrap_or_default();
        complaints.push(format!("{what}: expected {}, got {}: {}", expected.len(), got.len(), text(got)));
        return;
    }
    for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
        let members = |item: &T| serde_json::to_value(item).unwrap_or_default();
        let (Value::Object(expected), got) = (members(expected), members(got)) else { continue };
        for (name, value) in expected {
            let found = got.get(&name).unwrap_or(&Value::Null);
            compare(&format!("{what}/{index}/{name}"), &value, found, complaints);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expected: &str, happened: &str, complaints: &[&str]) {
        let page = |text: &str| serde_json::from_str::<ExpectedPage>(text).unwrap();
        assert_eq!(super::complaints(Some(&page(expected)), &page(happened)), complaints);
    }

    const PAGE: &str =
        r#"{"servers":[{"name":"a","version":"1","document":{"image":"x"}}],"refused":[],"next":"2"}"#;

    #[test]
    fn what_is_not_said_is_not_compared() {
        check("{}", PAGE, &[]);
        check(r#"{"servers":[{"name":"a"}],"next":"2"}"#, PAGE, &[]);
        check(r#"{"failure":"not found"}"#, r#"{"failure":"not found: b"}"#, &[]);
    }

    #[test]
    fn differences_are_shown_where_they_are() {
        check(
            r#"{"servers":[{"name":"a","document":{"image":"y"}}],"next":"3"}"#,
            PAGE,
            &[
                r#"servers/0/document/image: expected "y", got "x""#,
                r#"next: expected Some("3"), got Some("2")"#,
            ],
        );
        check(r#"{"refused":[{"name":"b"}]}"#, PAGE, &["refused: expected 1, got 0: []"]);
        check("{}", r#"{"failure":"it broke"}"#, &["expected a page, got the failure `it broke`"]);
        check(r#"{"failure":"x"}"#, r#"{"failure":"y"}"#, &["failure: expected `x` in `y`"]);
    }

    #[test]
    fn nothing_expected_is_a_failure_that_says_how_to_accept() {
        let said = complaints(None, &ExpectedPage::default());
        assert!(said[0].contains("--update"), "{said:?}");
    }
}
