//! Every rule of the pipeline as a table: which stages run, in which order, on what, and what the client gets.

use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use futures_util::FutureExt as _;

use super::super::{About, Compat, FilterFuture, Hook, Pattern, StageFuture, StageInfo};
use super::*;
use crate::name::ServerName;

/// What a fake stage does with a payload: a mutator appends its name to the member `by`.
#[derive(Clone, Copy)]
enum Does {
    Append,
    Answer,
    Find(Severity),
    Fail,
    WrongKind,
    /// As a list filter: hides the items of this name.
    Hide,
    /// As a list filter: appends its name to every item's name.
    Rename,
    /// As a list filter: changes an item that is not there.
    Beyond,
}

struct Fake {
    info: StageInfo,
    does: Does,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Stage for Fake {
    fn info(&self) -> &StageInfo {
        &self.info
    }

    fn run<'a>(&'a self, _: &'a Exchange, phase: Phase, payload: &'a Json) -> StageFuture<'a> {
        self.seen.lock().unwrap().push(format!("{} {phase:?} {}", self.info.name, payload.as_str()));
        let name = &*self.info.name;
        let answer = match self.does {
            Does::Append => {
                let by = payload
                    .member("by")
                    .and_then(|by| by.string().map(|by| by.into_owned()))
                    .unwrap_or_default();
                Ok(StageAnswer::Changed(payload.with_member("by", &Json::of(&format!("{by}{name}")))))
            }
            Does::Answer => Ok(StageAnswer::Answer(Json::of("cached"))),
            Does::Find(severity) => Ok(StageAnswer::Findings(vec![Finding {
                path: None,
                message: format!("{name} objects"),
                severity,
                suggestion: None,
            }])),
            Does::Fail => Err(StageError::Exceeded("time")),
            Does::WrongKind if self.info.kind == Kind::Validator => Ok(StageAnswer::Unchanged),
            _ => Ok(StageAnswer::Findings(Vec::new())),
        };
        std::future::ready(answer).boxed()
    }

    fn filter<'a>(&'a self, _: &'a Exchange, items: &'a [ListItem]) -> FilterFuture<'a> {
        let names: Vec<&str> = items.iter().map(|item| &*item.name).collect();
        self.seen.lock().unwrap().push(format!("{} filters {}", self.info.name, names.join(" ")));
        let rename =
            |name: &str| Json::of(&serde_json::json!({ "name": format!("{name}{}", self.info.name) }));
        let changes = match self.does {
            Does::Hide => Ok(names
                .iter()
                .enumerate()
                .filter(|(_, name)| name.starts_with("secret"))
                .map(|(index, _)| (index, ItemChange::Hide))
                .collect()),
            Does::Rename => Ok(names
                .iter()
                .enumerate()
                .map(|(index, name)| (index, ItemChange::Patch(rename(name))))
                .collect()),
            Does::Beyond => Ok(vec![(items.len(), ItemChange::Hide)]),
            _ => Err(StageError::Exceeded("time")),
        };
        std::future::ready(changes).boxed()
    }
}

/// A stage line: `name kind does [p=request/response] [audit] [open] [request|response] [on=events] [min=..] [max=..]`.
fn stage(line: &str, seen: &Arc<Mutex<Vec<String>>>) -> Arc<dyn Stage> {
    let words: Vec<&str> = line.split(' ').collect();
    let has = |word: &str| words.contains(&word);
    let (request, response) =
        words.iter().find_map(|w| w.strip_prefix("p=")?.split_once('/')).unwrap_or(("0", "0"));
    let event = words.iter().find_map(|w| w.strip_prefix("on=")).unwrap_or("*");
    let bound = |which: &str| words.iter().find_map(|w| w.strip_prefix(which)).map(Into::into);
    let info = StageInfo {
        name: words[0].into(),
        kind: match words[1] {
            "mutator" => Kind::Mutator,
            "filter" => Kind::Filter,
            _ => Kind::Validator,
        },
        about: About::default(),
        compat: Compat { min: bound("min="), max: bound("max=") },
        hooks: vec![Hook {
            events: vec![Pattern::new(event)],
            request: !has("response"),
            response: !has("request"),
            servers: Vec::new(),
            subjects: words.iter().filter_map(|w| w.strip_prefix("of=")).map(Pattern::new).collect(),
        }],
        priority_request: request.parse().unwrap(),
        priority_response: response.parse().unwrap(),
        mode: if has("audit") { Mode::Audit } else { Mode::Enforce },
        fail_open: has("open"),
    };
    let does = match words[2] {
        "append" => Does::Append,
        "answer" => Does::Answer,
        "info" => Does::Find(Severity::Info),
        "warn" => Does::Find(Severity::Warn),
        "error" => Does::Find(Severity::Error),
        "fail" => Does::Fail,
        "hide" => Does::Hide,
        "rename" => Does::Rename,
        "beyond" => Does::Beyond,
        _ => Does::WrongKind,
    };
    Arc::new(Fake { info, does, seen: Arc::clone(seen) })
}

/// Sends `{}` through `lines` and, when it gets that far, `{"r":1}` back; shows what ran and what came out.
#[track_caller]
fn check(lines: &[&str], expected: &Expect) {
    check_begun_by(Party::Client, lines, expected);
}

/// The same for an exchange that `initiator` begins.
#[track_caller]
fn check_begun_by(initiator: Party, lines: &[&str], expected: &Expect) {
    let (pipeline, seen) = pipeline(lines);
    let exchange = Exchange::new(Operation { initiator, ..operation("tools/call") });
    let verdict = pipeline.request(&exchange, Json::empty_object()).now_or_never().unwrap();
    seen.lock().unwrap().push(format!("-> {verdict:?}"));
    if matches!(verdict, Verdict::Continue(_)) {
        let result = Json::parse(r#"{"r":1}"#.to_owned()).unwrap();
        let back = pipeline.response(&exchange, result).now_or_never().unwrap();
        seen.lock().unwrap().push(format!("<- {back:?}"));
    }
    expected.assert_eq(&seen.lock().unwrap().join("\n"));
}

/// Filters a list of `a`, `secret-b` and `c`; shows what ran and what is left.
#[track_caller]
fn check_list(lines: &[&str], expected: &Expect) {
    let (pipeline, seen) = pipeline(lines);
    let item = |name: &str| ListItem {
        name: name.into(),
        server: ServerName::new("s").unwrap(),
        item: Json::of(&serde_json::json!({ "name": name, "title": "t" })),
    };
    let items = ["a", "secret-b", "c"].map(item).to_vec();
    let exchange = Exchange::new(operation("tools/list"));
    let left = pipeline.filter(&exchange, items).now_or_never().unwrap();
    let left = left.map(|kept| kept.into_iter().map(|kept| (kept.index, kept.item)).collect::<Vec<_>>());
    seen.lock().unwrap().push(format!("= {left:?}"));
    expected.assert_eq(&seen.lock().unwrap().join("\n"));
}

fn pipeline(lines: &[&str]) -> (Pipeline, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let remarked = Arc::clone(&seen);
    let pipeline = Pipeline::new(lines.iter().map(|line| stage(line, &seen)).collect(), move |_, remark| {
        remarked.lock().unwrap().push(format!("remark {remark:?}"));
    });
    (pipeline, seen)
}

fn operation(event: &str) -> Operation {
    Operation {
        id: "1".into(),
        event: event.into(),
        server: ServerName::new("s").ok(),
        subject: Some("t".into()),
        principal: "p".into(),
        session: None,
        version: "2025-11-25",
        initiator: Party::Client,
    }
}

#[test]
fn mutate_then_validate_in_and_validate_then_mutate_out() {
    check(
        &["v validator info", "b mutator append p=1/1", "a mutator append p=2/0", "c mutator append p=1/1"],
        &expect![[r#"
            b Request {}
            c Request {"by":"b"}
            a Request {"by":"bc"}
            v Request {"by":"bca"}
            remark Found("v", Finding { path: None, message: "v objects", severity: Info, suggestion: None })
            -> Continue({"by":"bca"})
            v Response {"r":1}
            remark Found("v", Finding { path: None, message: "v objects", severity: Info, suggestion: None })
            a Response {"r":1}
            b Response {"r":1,"by":"a"}
            c Response {"r":1,"by":"ab"}
            <- Ok({"r":1,"by":"abc"})"#]],
    );
}

#[test]
fn one_refusal_lists_every_error() {
    check(
        &["x validator error", "y validator warn", "z validator error"],
        &expect![[r#"
            x Request {}
            y Request {}
            z Request {}
            remark Found("y", Finding { path: None, message: "y objects", severity: Warn, suggestion: None })
            -> Refuse(Invalid([("x", Finding { path: None, message: "x objects", severity: Error, suggestion: None }), ("z", Finding { path: None, message: "z objects", severity: Error, suggestion: None })]))"#]],
    );
}

#[test]
fn an_answer_ends_the_request_phase() {
    check(
        &["a mutator answer", "b mutator append", "v validator error"],
        &expect![[r#"
        a Request {}
        -> Answer("cached")"#]],
    );
}

#[test]
fn a_failed_mutator_blocks_and_none_of_the_changes_apply() {
    check(
        &["a mutator append", "b mutator fail p=1/1"],
        &expect![[r#"
        a Request {}
        b Request {"by":"a"}
        -> Refuse(StageFailed { stage: "b", error: Exceeded("time") })"#]],
    );
}

#[test]
fn a_stage_that_fails_open_is_passed_over() {
    check(
        &["a mutator append", "b mutator fail p=1/1 open", "v validator fail open"],
        &expect![[r#"
            a Request {}
            b Request {"by":"a"}
            remark LetPass { stage: "b", error: Exceeded("time"), fail_open: true }
            v Request {"by":"a"}
            remark LetPass { stage: "v", error: Exceeded("time"), fail_open: true }
            -> Continue({"by":"a"})
            v Response {"r":1}
            remark LetPass { stage: "v", error: Exceeded("time"), fail_open: true }
            a Response {"r":1}
            b Response {"r":1,"by":"a"}
            remark LetPass { stage: "b", error: Exceeded("time"), fail_open: true }
            <- Ok({"r":1,"by":"a"})"#]],
    );
}

#[test]
fn a_failed_validator_blocks_even_where_another_passes() {
    check(
        &["v validator fail", "w validator warn"],
        &expect![[r#"
            v Request {}
            w Request {}
            remark Found("w", Finding { path: None, message: "w objects", severity: Warn, suggestion: None })
            -> Refuse(StageFailed { stage: "v", error: Exceeded("time") })"#]],
    );
}

#[test]
fn audit_reports_and_changes_nothing() {
    check(
        &["a mutator append audit", "v validator error audit", "w validator fail audit"],
        &expect![[r#"
            a Request {}
            remark WouldChange("a", [Added("/by")])
            v Request {}
            w Request {}
            remark Found("v", Finding { path: None, message: "v objects", severity: Error, suggestion: None })
            remark LetPass { stage: "w", error: Exceeded("time"), fail_open: false }
            -> Continue({})
            v Response {"r":1}
            w Response {"r":1}
            remark Found("v", Finding { path: None, message: "v objects", severity: Error, suggestion: None })
            remark LetPass { stage: "w", error: Exceeded("time"), fail_open: false }
            a Response {"r":1}
            remark WouldChange("a", [Added("/by")])
            <- Ok({"r":1})"#]],
    );
}

#[test]
fn an_answer_in_the_other_kinds_words_is_a_failure() {
    check(
        &["v validator wrong"],
        &expect![[r#"
        v Request {}
        -> Refuse(StageFailed { stage: "v", error: Failed("answered in the other kind's words") })"#]],
    );
    check(
        &["m mutator wrong"],
        &expect![[r#"
        m Request {}
        -> Refuse(StageFailed { stage: "m", error: Failed("answered in the other kind's words") })"#]],
    );
}

#[test]
fn only_stages_that_want_a_message_see_it() {
    check(
        &[
            "a mutator append on=prompts/*",
            "b mutator append response",
            "v validator error request on=*/list",
        ],
        &expect![[r#"
            -> Continue({})
            b Response {"r":1}
            <- Ok({"r":1,"by":"b"})"#]],
    );
}

#[test]
fn an_answer_in_the_response_phase_is_a_failure() {
    check(
        &["a mutator answer response"],
        &expect![[r#"
            -> Continue({})
            a Response {"r":1}
            <- Err(StageFailed { stage: "a", error: Failed("answered where there is nothing to answer") })"#]],
    );
}

#[test]
fn what_a_server_asks_is_validated_before_it_is_mutated_and_its_answer_after() {
    check_begun_by(
        Party::Server,
        &["v validator warn", "a mutator append p=2/1", "b mutator append p=1/2"],
        &expect![[r#"
            v Request {}
            remark Found("v", Finding { path: None, message: "v objects", severity: Warn, suggestion: None })
            b Request {}
            a Request {"by":"b"}
            -> Continue({"by":"ba"})
            a Response {"r":1}
            b Response {"r":1,"by":"a"}
            v Response {"r":1,"by":"ab"}
            remark Found("v", Finding { path: None, message: "v objects", severity: Warn, suggestion: None })
            <- Ok({"r":1,"by":"ab"})"#]],
    );
}

#[test]
fn nobody_answers_in_the_clients_place() {
    check_begun_by(
        Party::Server,
        &["a mutator answer"],
        &expect![[r#"
        a Request {}
        -> Refuse(StageFailed { stage: "a", error: Failed("answered where there is nothing to answer") })"#]],
    );
}

#[test]
fn a_protocol_version_outside_the_range_is_a_failure_of_the_stage() {
    check(
        &["v validator info min=2026-07-28"],
        &expect![[
            r#"-> Refuse(StageFailed { stage: "v", error: Failed("is not made for protocol version 2025-11-25") })"#
        ]],
    );
    check(
        &["m mutator append max=2025-06-18 open", "v validator info min=2025-11-25 max=2025-11-25"],
        &expect![[r#"
            remark LetPass { stage: "m", error: Failed("is not made for protocol version 2025-11-25"), fail_open: true }
            v Request {}
            remark Found("v", Finding { path: None, message: "v objects", severity: Info, suggestion: None })
            -> Continue({})
            v Response {"r":1}
            remark Found("v", Finding { path: None, message: "v objects", severity: Info, suggestion: None })
            remark LetPass { stage: "m", error: Failed("is not made for protocol version 2025-11-25"), fail_open: true }
            <- Ok({"r":1})"#]],
    );
    check_list(
        &["f filter hide max=2025-06-18"],
        &expect![[
            r#"= Err(StageFailed { stage: "f", error: Failed("is not made for protocol version 2025-11-25") })"#
        ]],
    );
}

#[test]
fn filters_see_what_the_one_before_left() {
    check_list(
        &["x filter rename p=0/2", "h filter hide p=0/1", "n filter rename on=prompts/list"],
        &expect![[r#"
            h filters a secret-b c
            x filters a c
            = Ok([(0, {"name":"ax","title":"t"}), (2, {"name":"cx","title":"t"})])"#]],
    );
}

#[test]
fn a_filter_sees_the_items_its_hooks_are_for() {
    check_list(
        &["x filter rename of=*c", "h filter hide of=*-b of=a p=0/1"],
        &expect![[r#"
            x filters c
            h filters a secret-b
            = Ok([(0, {"name":"a","title":"t"}), (2, {"name":"cx","title":"t"})])"#]],
    );
}

#[test]
fn an_audited_filter_only_counts() {
    check_list(
        &["h filter hide audit", "r filter rename audit"],
        &expect![[r#"
        h filters a secret-b c
        remark WouldFilter("h", 1)
        r filters a secret-b c
        remark WouldFilter("r", 3)
        = Ok([(0, {"name":"a","title":"t"}), (1, {"name":"secret-b","title":"t"}), (2, {"name":"c","title":"t"})])"#]],
    );
}

#[test]
fn a_filter_that_fails_shows_nothing_unless_it_may() {
    check_list(
        &["f filter fail"],
        &expect![[r#"
        f filters a secret-b c
        = Err(StageFailed { stage: "f", error: Exceeded("time") })"#]],
    );
    check_list(
        &["f filter fail open", "h filter hide p=0/1"],
        &expect![[r#"
        f filters a secret-b c
        remark LetPass { stage: "f", error: Exceeded("time"), fail_open: true }
        h filters a secret-b c
        = Ok([(0, {"name":"a","title":"t"}), (2, {"name":"c","title":"t"})])"#]],
    );
    check_list(
        &["f filter beyond"],
        &expect![[r#"
        f filters a secret-b c
        = Err(StageFailed { stage: "f", error: Failed("changed item 3 of 3") })"#]],
    );
    check_list(
        &["f filter beyond audit"],
        &expect![[r#"
        f filters a secret-b c
        remark LetPass { stage: "f", error: Failed("changed item 3 of 3"), fail_open: false }
        = Ok([(0, {"name":"a","title":"t"}), (1, {"name":"secret-b","title":"t"}), (2, {"name":"c","title":"t"})])"#]],
    );
}

#[test]
fn names_break_ties_and_the_most_extreme_priorities_hold() {
    check(
        &[
            "z mutator append p=-2147483648/2147483647",
            "b mutator append",
            "a mutator append",
            "y mutator append p=2147483647/-2147483648",
        ],
        &expect![[r#"
            z Request {}
            a Request {"by":"z"}
            b Request {"by":"za"}
            y Request {"by":"zab"}
            -> Continue({"by":"zaby"})
            y Response {"r":1}
            a Response {"r":1,"by":"y"}
            b Response {"r":1,"by":"ya"}
            z Response {"r":1,"by":"yab"}
            <- Ok({"r":1,"by":"yabz"})"#]],
    );
}

#[test]
fn context_is_read_where_it_stands_and_what_was_set_goes_before_it() {
    let mut exchange = Exchange::new(operation("tools/call"));
    let json = |text: &str| Json::parse(text.to_owned()).unwrap();
    assert_eq!(exchange.context(), []);
    exchange.client = Some(json(r#"{"name":"c","version":"1"}"#));
    exchange.tool = Some(json(r#"{"name":"t","inputSchema":{},"annotations":{"readOnlyHint":true}}"#));
    exchange.attributes = vec![("trace.id", json("7")), ("tool.input-schema", json("true"))];
    let context = [
        ("trace.id", json("7")),
        ("tool.input-schema", json("true")),
        ("tool.annotations", json(r#"{"readOnlyHint":true}"#)),
        ("client.name", json(r#""c""#)),
    ];
    assert_eq!(exchange.context(), context);
    for (name, value) in context {
        assert_eq!(exchange.attribute(name), Some(value), "{name}");
    }
    assert_eq!(exchange.attribute("tool.output-schema"), None);
}
