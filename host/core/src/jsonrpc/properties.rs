//! Properties of the envelope: whatever is inside arrives as it was sent.

use proptest::prelude::*;

use super::*;
use crate::json::arbitrary::{cases, object, space, string, value};

/// What the writers do to white space that would break the line.
fn on_one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// An envelope written in any order, with white space and unknown members.
fn envelope(members: Vec<(&'static str, String)>) -> impl Strategy<Value = String> {
    let unknown = string().prop_filter("must be unknown", |(_, name)| name.len() < 2 || !name.is_ascii());
    (Just(members), prop::option::of((unknown, value())), space(), space())
        .prop_map(|(members, unknown, before, after)| {
            let members =
                members.into_iter().map(|(name, value)| format!("\"{name}\"{before}:{after}{value}"));
            let unknown = unknown.map(|((name, _), value)| format!("{name}:{value}"));
            (members.chain(unknown).collect::<Vec<_>>(), before, after)
        })
        .prop_flat_map(|(members, before, after)| (Just(members).prop_shuffle(), Just(before), Just(after)))
        .prop_map(|(members, before, after)| {
            format!("{before}{{{after}{}{before}}}{after}", members.join(&format!("{after},{before}")))
        })
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![string().prop_map(|(written, _)| written), any::<i64>().prop_map(|n| n.to_string())]
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn params_arrive_as_they_were_sent(
        (id, (method, meant), params, text) in (id(), string(), object(value())).prop_flat_map(|(id, method, params)| {
            let members = vec![
                ("jsonrpc", "\"2.0\"".to_owned()), ("id", id.clone()), ("method", method.0.clone()),
                ("params", params.clone()),
            ];
            (Just(id), Just(method), Just(params), envelope(members))
        })
    ) {
        let read_back = |bytes: Vec<u8>| match read(bytes.into()) {
            Ok(Message::Request { id, method, params: Some(params) }) => (id, method, params),
            other => panic!("{other:?}"),
        };
        let first = read_back(text.into_bytes());
        prop_assert_eq!(first.0.to_string(), id);
        prop_assert_eq!(&*first.1, meant, "{}", method);
        prop_assert_eq!(first.2.as_str(), &params);
        let written = write_request(&first.0, &first.1, Some(&first.2));
        prop_assert!(!written.contains(&b'\n') && !written.contains(&b'\r'));
        let second = read_back(written);
        prop_assert_eq!((second.0, second.1), (first.0, first.1));
        prop_assert_eq!(second.2.as_str(), on_one_line(&params));
    }

    #[test]
    fn results_and_errors_arrive_as_they_were_sent(
        (id, failed, payload, text) in (id(), any::<bool>(), object(value())).prop_flat_map(|(id, failed, payload)| {
            let name = if failed { "error" } else { "result" };
            let members = vec![("jsonrpc", "\"2.0\"".to_owned()), ("id", id.clone()), (name, payload.clone())];
            (Just(id), Just(failed), Just(payload), envelope(members))
        })
    ) {
        let read_back = |bytes: Vec<u8>| match read(bytes.into()) {
            Ok(Message::Response { id: Some(id), outcome }) => (id, outcome),
            other => panic!("{other:?}"),
        };
        let (first_id, outcome) = read_back(text.into_bytes());
        prop_assert_eq!(first_id.to_string(), id);
        prop_assert_eq!(outcome.is_err(), failed);
        let (Ok(sent) | Err(sent)) = outcome;
        prop_assert_eq!(sent.as_str(), &payload);
        let written = if failed { write_error(Some(&first_id), &sent) } else { write_result(&first_id, &sent) };
        let (second_id, outcome) = read_back(written);
        prop_assert_eq!(second_id, first_id);
        let (Ok(received) | Err(received)) = outcome;
        prop_assert_eq!(received.as_str(), on_one_line(&payload));
    }

    #[test]
    fn an_id_is_seen_in_a_message_cut_off_anywhere_or_not_at_all(
        text in (object(value()), 0..1000_u32).prop_flat_map(|(params, id)| envelope(vec![
            ("jsonrpc", "\"2.0\"".to_owned()), ("id", id.to_string()), ("params", params),
        ])),
    ) {
        let whole = peek_id(text.as_bytes());
        prop_assert!(whole.is_some(), "{}", text);
        let mut seen = false;
        for end in 0..text.len() {
            let cut = peek_id(&text.as_bytes()[..end]);
            prop_assert!(cut.is_none() && !seen || cut == whole, "{} at {}", text, end);
            seen |= cut.is_some();
        }
    }
}
