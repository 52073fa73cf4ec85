//! The checker against the pass over the whole text.

use proptest::prelude::*;

use super::*;
use crate::json::arbitrary::{cases, object, value};
use crate::json::{Json, Members};

/// What is told of a text that comes in pieces cut at these places; None when it is refused.
fn told(text: &[u8], cuts: &[usize]) -> Option<Vec<String>> {
    let mut checker = Checker::new();
    let mut marks = Vec::new();
    let mut each = |mark: Mark<'_>| marks.push(format!("{mark:?}"));
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    for pair in cuts.windows(2) {
        checker.push(&text[pair[0]..pair[1]], &mut each).ok()?;
    }
    checker.finish().ok()?;
    Some(marks)
}

/// Each byte a piece.
fn dripped(text: &[u8]) -> Option<Vec<String>> {
    told(text, &(0..=text.len()).collect::<Vec<_>>())
}

/// What must be told of an acceptable text, by the walk over the whole of it.
fn expected(text: &[u8]) -> Vec<String> {
    let mut marks = Vec::new();
    let start = text.iter().take_while(|byte| is_space(**byte)).count();
    if text[start] == b'{' {
        walk(text, start, 0, &mut marks);
    } else if text[start] == b'[' {
        elements(text, start, &mut marks);
    }
    marks
}

fn walk(text: &[u8], start: usize, level: usize, marks: &mut Vec<String>) {
    let own = &text[start..];
    let mut last = None;
    for member in Members::of(own).unwrap() {
        let (begins, ends) = (start + member.value.start, start + member.value.end);
        if let Some(last) = last {
            let comma = last + text[last..].iter().position(|byte| *byte == b',').unwrap();
            marks.push(format!("{:?}", Mark::Comma { level, at: comma as u64 }));
        }
        let name = member.name.meant();
        marks.push(format!("{:?}", Mark::Begins { level, name, at: begins as u64, first: text[begins] }));
        if level == 0 && text[begins] == b'{' {
            walk(text, begins, 1, marks);
        }
        marks.push(format!("{:?}", Mark::Ends { level, at: ends as u64 }));
        last = Some(ends);
    }
}

/// Objects in an outermost array lie as deep as those of level 1.
fn elements(text: &[u8], start: usize, marks: &mut Vec<String>) {
    for element in crate::json::Elements::of(&text[start..]).unwrap() {
        if text[start + element.start] == b'{' {
            walk(text, start + element.start, 1, marks);
        }
    }
}

#[track_caller]
fn agree(text: &[u8], cuts: &[usize]) {
    let whole = Json::parse(text.to_vec()).is_ok().then(|| expected(text));
    assert_eq!(told(text, cuts), whole, "{:?} cut at {cuts:?}", String::from_utf8_lossy(text));
    assert_eq!(dripped(text), whole, "{:?} byte by byte", String::from_utf8_lossy(text));
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn what_comes_in_pieces_is_judged_as_the_whole(text in value(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        agree(text.as_bytes(), &cuts);
    }

    #[test]
    fn members_are_told_wherever_a_text_is_cut(text in object(object(value())), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        agree(text.as_bytes(), &cuts);
    }

    #[test]
    fn a_text_with_one_byte_changed_is_judged_as_the_whole(
        text in object(object(value())),
        place in any::<usize>(),
        byte in prop_oneof![prop::sample::select(b"{}[],:\"\\01-.e \nut\xc3\xff\x01".as_slice()), any::<u8>()],
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let mut text = text.into_bytes();
        let place = place % text.len();
        text[place] = byte;
        agree(&text, &cuts);
        text.truncate(place);
        agree(&text, &cuts);
    }
}

#[test]
fn every_short_text_is_judged_as_the_whole() {
    let alphabet = b"{}[],:\"\\01-.e \n";
    for frame in ["_", "[_]", "{\"a\":_}", "\"_\"", "{_:1}", "\"\\u00_\"", "{\"a\":{_}}"] {
        let (before, after) = frame.split_once('_').unwrap();
        for length in 0..=3 {
            for number in 0..alphabet.len().pow(length) {
                let place = |place| alphabet[number / alphabet.len().pow(place) % alphabet.len()];
                let text = [before.as_bytes(), &(0..length).map(place).collect::<Vec<_>>(), after.as_bytes()];
                let text = text.concat();
                assert_eq!(dripped(&text).is_some(), Json::parse(text.clone()).is_ok(), "{text:?}");
            }
        }
    }
}

#[test]
fn odd_texts_are_judged_as_the_whole() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for text in [
        deep(MAX_DEPTH),
        deep(MAX_DEPTH + 1),
        objects(MAX_DEPTH),
        objects(MAX_DEPTH + 1),
        r#"{"a":1,"\u0061":2}"#.to_owned(),
        r#"{"a":{"b":1,"c":2,"\u0062":2}}"#.to_owned(),
        r#"{"x":[{"a":{"b":1,"c":2,"\u0062":2}}]}"#.to_owned(),
        r#"{"x":[{"a":1},{"a":1}],"a":{"a":{"a":1}}}"#.to_owned(),
        r#""\ud83d\ude00""#.to_owned(),
        r#""\ud83d""#.to_owned(),
        r#""\ud83dx""#.to_owned(),
        r#""\ud83d\n""#.to_owned(),
        r#""\ud83d\ud83d""#.to_owned(),
        r#""\ude00""#.to_owned(),
        "\"\u{1f600}\u{e4}\u{ffff}\"".to_owned(),
        "\u{a0}1".to_owned(),
        "\u{feff}1".to_owned(),
        " 12 ".to_owned(),
        "12".to_owned(),
        "1.".to_owned(),
        "1e".to_owned(),
        "-".to_owned(),
        "tru".to_owned(),
        "truex".to_owned(),
        String::new(),
        " ".to_owned(),
    ] {
        assert_eq!(dripped(text.as_bytes()).is_some(), Json::parse(text.clone()).is_ok(), "{text}");
    }
    for bytes in [
        &b"\"\xff\""[..],
        b"\"\xc3\"",
        b"\"\xc3",
        b"\"\xe2\x82\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
    ] {
        assert!(dripped(bytes).is_none() && told(bytes, &[]).is_none(), "{bytes:?}");
    }
}

fn members(count: usize) -> String {
    let members: Vec<_> = (0..count).map(|number| format!("\"m{number}\":{number}")).collect();
    members.join(",")
}

#[test]
fn names_are_compared_in_large_objects_as_in_small_ones() {
    for count in [15, 16, 17, 18, 1000] {
        let once = members(count);
        for last in [0, count / 2, count - 1] {
            let twice = format!("{{\"a\":[{{{once},\"m{last}\":1}}]}}");
            assert!(told(twice.as_bytes(), &[]).is_none(), "{count} and {last} again");
        }
        let siblings = format!("[{{{once}}},{{{once},\"x\":{{{once}}}}},{{{once}}}]");
        assert!(told(siblings.as_bytes(), &[]).is_some(), "{count}");
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let many = members(MAX_NAMES + 10);
    assert!(told(format!("{{\"a\":[{{{many}}}]}}").as_bytes(), &[]).is_some(), "deep down they are let pass");
    assert!(
        told(format!("{{\"a\":{{{many}}}}}").as_bytes(), &[]).is_none(),
        "those that are told of are not"
    );
    let long = format!("{{\"{}\":1}}", "x".repeat(MAX_NAME + 1));
    assert!(told(long.as_bytes(), &[]).is_none());
    let mut checker = Checker::new();
    checker.push(b"{\"a\":[", &mut |_| ()).unwrap();
    for _ in 0..100 {
        checker.push(format!("{{{}}},", members(1000)).as_bytes(), &mut |_| ()).unwrap();
    }
    assert!(checker.names.stack.capacity() < 4096 && checker.names.many.capacity() < 4096);
}
