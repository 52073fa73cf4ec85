//! `wasmgate plugin test`: a component on recorded messages, without a gateway.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::differences;
use wasmgate_wasm::Limits;

use super::super::{Failed, output};
use super::component;
use super::replay::Replay;
use super::source_test;
use crate::cases::{Case, CaseError, Cases, Expected, ExpectedFinding, SourceCase};
use crate::document::units::{BadQuantity, Span};

/// Run a component on recorded messages, or ask a catalog source, in the gateway's own sandbox and with its limits.
#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// The component: a file, or `builtin:NAME`.
    #[arg(value_name = "FILE|builtin:NAME")]
    component: String,
    /// Files of cases, or directories of `*.json` [default: tests/*.json, here or beside the component].
    cases: Vec<PathBuf>,
    /// Write what happened into the files, as what is expected from now on.
    #[arg(long)]
    update: bool,
    /// CPU time of one call [default: as in the gateway, 50ms; of a catalog source 5s].
    #[arg(long, value_parser = span)]
    cpu: Option<Span>,
    /// Time of one call from start to end [default: as in the gateway, 2s; of a catalog source 60s].
    #[arg(long, value_parser = span)]
    wall: Option<Span>,
}

fn span(text: &str) -> Result<Span, String> {
    text.parse().map_err(|error: BadQuantity| error.to_string())
}

/// How often a kind of thing happened.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) updated: usize,
}

impl Test {
    pub(super) fn run(self) -> Result<(), Failed> {
        let files = self.files()?;
        let tally = component::block_on(async {
            let replay = Replay::new(&self.component, |usual| self.limits(usual))?;
            let mut tally = Tally::default();
            for (number, file) in files.iter().enumerate() {
                self.file(&replay, number, file, &mut tally).await?;
            }
            Ok(tally)
        })?;
        let Tally { passed, failed, updated } = tally;
        let also = if updated > 0 { format!(", {updated} updated") } else { String::new() };
        output::print(&format!("{passed} passed, {failed} failed{also}"));
        match failed {
            0 => Ok(()),
            _ => Err(Failed::Work(format!("{failed} of {} cases failed", passed + failed + updated))),
        }
    }

    async fn file(
        &self,
        replay: &Replay,
        number: usize,
        file: &Path,
        tally: &mut Tally,
    ) -> Result<(), Failed> {
        let shown = file.display();
        let unusable =
            |error: &dyn std::error::Error| Failed::Usage(format!("{shown} {}", component::chain(error)));
        let text = std::fs::read_to_string(file).map_err(|error| unusable(&CaseError::File(error)))?;
        if SourceCase::are_in(&text) {
            return source_test::file(replay, (number, file, &text), self.update, tally).await;
        }
        let mut cases = Cases::<Case>::parse(&text).map_err(|error| unusable(&error))?;
        // A name of its own, so that what the plugin keeps between calls ends with the file.
        let happened = match replay.run(&format!("case-{number}"), cases.all()).await {
            Ok(happened) => happened,
            Err(words) => {
                tally.failed += cases.all().len();
                output::print(&format!("FAIL  {shown}\n        {words}"));
                return Ok(());
            }
        };
        let several = cases.all().len() > 1;
        let mut changed = false;
        for (index, (case, happened)) in cases.all_mut().iter_mut().zip(happened).enumerate() {
            let place = if several { format!("{shown} [{}]", index + 1) } else { shown.to_string() };
            let complaints = complaints(case, &happened);
            if complaints.is_empty() {
                tally.passed += 1;
                output::print(&format!("ok    {place}"));
            } else if self.update {
                tally.updated += 1;
                changed = true;
                output::print(&format!("new   {place}: {}", happened.verdict));
                case.expected = Some(kept(happened));
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

    fn limits(&self, usual: Limits) -> Limits {
        Limits {
            cpu: self.cpu.map_or(usual.cpu, |span| span.0),
            wall: self.wall.map_or(usual.wall, |span| span.0),
            ..usual
        }
    }

    /// The files meant, in order.
    fn files(&self) -> Result<Vec<PathBuf>, Failed> {
        let beside = Path::new(&self.component).with_file_name("tests");
        let usual = [PathBuf::from("tests"), beside].into_iter().find(|place| place.is_dir());
        let places = match self.cases.is_empty() {
            false => self.cases.clone(),
            true => vec![usual.ok_or_else(|| {
                Failed::Usage("there is no directory `tests`: name files of cases".to_owned())
            })?],
        };
        let mut files = Vec::new();
        for place in places {
            if !place.is_dir() {
                files.push(place);
                continue;
            }
            let entries = std::fs::read_dir(&place)
                .map_err(|error| Failed::Usage(format!("{} cannot be read: {error}", place.display())))?;
            let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            found.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
            found.sort();
            if found.is_empty() {
                return Err(Failed::Usage(format!(
                    "there is no case in {}: they are `*.json`",
                    place.display()
                )));
            }
            files.append(&mut found);
        }
        Ok(files)
    }
}

/// What is kept of what happened: the whole payload says more than the places that changed.
fn kept(happened: Expected) -> Expected {
    Expected { changes: None, ..happened }
}

/// How what happened differs from what was expected.
fn complaints(case: &Case, happened: &Expected) -> Vec<String> {
    let Some(expected) = &case.expected else {
        return vec![format!(
            "nothing is expected yet, and this happened: {}; accept it with --update",
            short(happened)
        )];
    };
    let mut complaints = Vec::new();
    if expected.verdict != happened.verdict {
        complaints.push(format!("verdict: expected {}, got {}", expected.verdict, short(happened)));
        return complaints;
    }
    if let Some(findings) = &expected.findings {
        compare_findings(findings, happened.findings.as_deref().unwrap_or_default(), &mut complaints);
    }
    if let Some(payload) = &expected.payload {
        let original = serde_json::from_str(case.payload.get()).unwrap_or_default();
        compare("payload", payload, happened.payload.as_ref().unwrap_or(&original), &mut complaints);
    }
    if let Some(changes) = &expected.changes {
        let got = happened.changes.as_deref().unwrap_or_default();
        if changes != got {
            complaints.push(format!("changes: expected [{}], got [{}]", changes.join(", "), got.join(", ")));
        }
    }
    if let Some(error) = &expected.error {
        let got = happened.error.as_deref().unwrap_or_default();
        if !got.contains(error.as_str()) {
            complaints.push(format!("error: expected `{error}` in `{got}`"));
        }
    }
    complaints
}

fn short(happened: &Expected) -> String {
    serde_json::to_string(&kept(happened.clone())).unwrap_or_default()
}

fn compare_findings(expected: &[ExpectedFinding], got: &[ExpectedFinding], complaints: &mut Vec<String>) {
    fn fits<T: PartialEq>(expected: Option<&T>, got: Option<&T>) -> bool {
        expected.is_none() || expected == got
    }
    let shown = |finding: &ExpectedFinding| serde_json::to_string(finding).unwrap_or_default();
    for (index, expected) in expected.iter().enumerate() {
        match got.get(index) {
            None => complaints.push(format!("findings: missing {}", shown(expected))),
            Some(got) => {
                let same = fits(expected.path.as_ref(), got.path.as_ref())
                    && fits(expected.message.as_ref(), got.message.as_ref())
                    && fits(expected.severity.as_ref(), got.severity.as_ref())
                    && fits(expected.suggestion.as_ref(), got.suggestion.as_ref());
                if !same {
                    complaints.push(format!("findings: expected {}, got {}", shown(expected), shown(got)));
                }
            }
        }
    }
    complaints
        .extend(got.iter().skip(expected.len()).map(|more| format!("findings: unexpected {}", shown(more))));
}

/// Where a value differs; `what` is what it is called.
pub(super) fn compare(what: &str, expected: &Value, got: &Value, complaints: &mut Vec<String>) {
    const MOST: usize = 20;
    if expected == got {
        return;
    }
    let before = complaints.len();
    for difference in differences(&Json::of(expected), &Json::of(got), MOST) {
        let pointer = difference.pointer();
        let at =
            |value: &Value| value.pointer(pointer).map_or_else(|| "nothing".to_owned(), Value::to_string);
        complaints.push(format!("{what}{pointer}: expected {}, got {}", at(expected), at(got)));
    }
    if complaints.len() == before {
        complaints.push(format!("{what}: expected {expected}, got {got}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Verdict;

    #[track_caller]
    fn check(expected: &str, happened: &str, complaints: &[&str]) {
        let text = format!(r#"{{"event":"e","phase":"request","payload":{{"a":1}},"expected":{expected}}}"#);
        let cases = Cases::<Case>::parse(&text).unwrap();
        let happened: Expected = serde_json::from_str(happened).unwrap();
        assert_eq!(super::complaints(&cases.all()[0], &happened), complaints);
    }

    #[test]
    fn what_is_not_said_is_not_compared() {
        check(r#"{"verdict":"changed"}"#, r#"{"verdict":"changed","payload":{"a":2}}"#, &[]);
        check(
            r#"{"verdict":"invalid","findings":[{"path":"/a"}]}"#,
            r#"{"verdict":"invalid","findings":[{"path":"/a","message":"m","severity":"error"}]}"#,
            &[],
        );
    }

    #[test]
    fn differences_are_shown_where_they_are() {
        check(
            r#"{"verdict":"valid"}"#,
            r#"{"verdict":"failed","error":"exceeded its CPU budget"}"#,
            &[r#"verdict: expected valid, got {"verdict":"failed","error":"exceeded its CPU budget"}"#],
        );
        check(
            r#"{"verdict":"changed","payload":{"a":3,"b":[1,2]}}"#,
            r#"{"verdict":"changed","payload":{"a":2,"b":[1]}}"#,
            &["payload/a: expected 3, got 2", "payload/b/1: expected 2, got nothing"],
        );
        check(
            r#"{"verdict":"invalid","findings":[{"path":"/a"},{"path":"/c"}]}"#,
            r#"{"verdict":"invalid","findings":[{"path":"/b"}]}"#,
            &[r#"findings: expected {"path":"/a"}, got {"path":"/b"}"#, r#"findings: missing {"path":"/c"}"#],
        );
    }

    #[test]
    fn nothing_expected_is_a_failure_that_says_how_to_accept() {
        let cases = Cases::<Case>::parse(r#"{"event":"e","phase":"request","payload":{}}"#).unwrap();
        let happened =
            Expected { verdict: Verdict::Valid, findings: None, payload: None, changes: None, error: None };
        let said = complaints(&cases.all()[0], &happened);
        assert!(said[0].contains("--update") && said[0].contains("valid"), "{said:?}");
    }
}
