//! What `json` accepts, cuts and splices, rule by rule.

use super::*;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

#[test]
fn members_are_spliced_in_place() {
    let check = |text: &str, changes: &[(&str, Option<&Json>)], expected: &str| {
        assert_eq!(json(text).with_members(changes).as_str(), expected, "{text}");
    };
    let (one, text) = (json("1"), json(r#""x""#));
    check("{}", &[("a", Some(&one))], r#"{"a":1}"#);
    check("{ }", &[("a", Some(&one))], r#"{"a":1 }"#);
    check(r#"{ "a" : 0 , "b":2 }"#, &[("a", Some(&one))], r#"{ "a" : 1 , "b":2 }"#);
    check(r#"{ "a" : 0 , "b":2 }"#, &[("a", None)], r#"{ "b":2 }"#);
    check(r#"{ "a" : 0 , "b":2 }"#, &[("b", None)], r#"{ "a" : 0 }"#);
    check(r#"{"a":0,"b":2,"c":3}"#, &[("b", None)], r#"{"a":0,"c":3}"#);
    check(r#"{"a":0,"b":2}"#, &[("b", None), ("a", None)], "{}");
    check(r#"{"a":0,"b":2}"#, &[("b", None), ("a", None), ("c", Some(&one))], r#"{"c":1}"#);
    check(r#"{"\u0061":0}"#, &[("a", Some(&one))], r#"{"\u0061":1}"#);
    check(r#"{"a":0}"#, &[("z", Some(&one)), ("a", Some(&text)), ("z", Some(&text))], r#"{"a":"x","z":"x"}"#);
    check(r#"{"a":0}"#, &[("a", Some(&one)), ("a", None)], "{}");
    check(r#"{"a":0}"#, &[("q", Some(&one)), ("q", None)], r#"{"a":0}"#);
    check(r#"{"a":0}"#, &[("\"\n", Some(&one))], r#"{"a":0,"\"\n":1}"#);
    check("[1]", &[("a", Some(&one))], "[1]");
}

#[test]
fn any_number_of_members_is_set_at_once() {
    let (old, new) = (json("0"), json("1"));
    let names: Vec<String> = (0..200).map(|n| format!("n{n}")).collect();
    let every_other = names.iter().step_by(2).map(|name| (name.as_str(), &old));
    let changes: Vec<_> = names.iter().map(|name| (name.as_str(), Some(&new))).collect();
    let changed = Json::object(every_other).with_members(&changes);
    let even = names.iter().step_by(2);
    let odd = names.iter().skip(1).step_by(2);
    assert_eq!(changed, Json::object(even.chain(odd).map(|name| (name.as_str(), &new))));
}

#[test]
fn members_beside_the_named_ones_are_seen() {
    let check = |text: &str, expected: bool| assert_eq!(json(text).sort(["a", "b"]).1, expected, "{text}");
    check("{}", false);
    check(r#"{"a":{"c":1}}"#, false);
    check(r#"{"b":0,"\u0061":1}"#, false);
    check(r#"{"b":0,"c":1}"#, true);
    check("[]", false);
}

#[test]
fn texts_are_accepted_or_refused() {
    use JsonErrorKind as Kind;
    let check = |text: &[u8], expected: Result<(), (usize, Kind)>| {
        let found = Json::parse(text.to_vec()).map(drop).map_err(|error| (error.offset, error.kind));
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(text));
    };
    for fine in [
        "null",
        " true\n",
        "-0",
        "0.5e-10",
        "1e999999",
        "12345678901234567890123",
        r#""""#,
        "[]",
        "{}",
        "[ 1 , 2 ]",
        r#"{"a":{"a":[{"a":1},{"a":2}]},"A":3}"#,
        r#"{"__proto__":1,"name":2,"Name":3}"#,
        r#""\ud83d\ude00\/""#,
        "\"\u{7f}\u{2028}\"",
    ] {
        check(fine.as_bytes(), Ok(()));
    }
    check(b"", Err((0, Kind::End)));
    check(b"[1,", Err((3, Kind::End)));
    check(b"\"a", Err((2, Kind::End)));
    check(b"\xef\xbb\xbf{}", Err((0, Kind::Expected("a value"))));
    check(b"[1,]", Err((3, Kind::Expected("a value"))));
    check(b"{\"a\":1,}", Err((7, Kind::Expected("a member name"))));
    check(b"{\"a\" 1}", Err((5, Kind::Expected("`:`"))));
    check(b"{\"a\":1 \"b\":2}", Err((7, Kind::Expected("`,` or `}`"))));
    check(b"[1 2]", Err((3, Kind::Expected("`,` or `]`"))));
    check(b"{a:1}", Err((1, Kind::Expected("a member name"))));
    check(b"01", Err((1, Kind::Trailing)));
    check(b"{} {}", Err((3, Kind::Trailing)));
    check(b"1.", Err((2, Kind::End)));
    check(b"1.e5", Err((2, Kind::Expected("a digit"))));
    check(b"+1", Err((0, Kind::Expected("a value"))));
    check(b"NaN", Err((0, Kind::Expected("a value"))));
    check(b"nul", Err((0, Kind::Expected("a value"))));
    check(b"// 1", Err((0, Kind::Expected("a value"))));
    check(b"\"a\x1fb\"", Err((2, Kind::Control)));
    check(b"\"123456789\n\"", Err((10, Kind::Control)));
    check(b"\"\\x41\"", Err((1, Kind::Escape)));
    check(b"\"\\u00g0\"", Err((1, Kind::Escape)));
    check(b"\"\xff\"", Err((1, Kind::Utf8)));
    check(b"\"\xed\xa0\x80\"", Err((1, Kind::Utf8)));
    check(b"\"\\ud800\"", Err((1, Kind::LoneSurrogate)));
    check(b"\"\\udc00\"", Err((1, Kind::LoneSurrogate)));
    check(b"\"\\ud800\\u0041\"", Err((1, Kind::LoneSurrogate)));
    check(b"\"\\ud800\\n\"", Err((1, Kind::LoneSurrogate)));
    check(b"{\"\\ud800\":1}", Err((2, Kind::LoneSurrogate)));
    check(b"{\"a\":1,\"a\":1}", Err((7, Kind::DuplicateMember)));
    check(b"{\"a\":1,\"\\u0061\":1}", Err((7, Kind::DuplicateMember)));
    check(b"[{\"\":{\"b\":1,\"c\":{},\"b\":1}}]", Err((19, Kind::DuplicateMember)));
}

#[test]
fn depth_is_limited_and_costs_no_stack() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Json::parse(nested(MAX_DEPTH)).is_ok());
    let too_deep = JsonError { offset: MAX_DEPTH, kind: JsonErrorKind::TooDeep };
    assert_eq!(Json::parse(nested(MAX_DEPTH + 1)), Err(too_deep));
    assert_eq!(Json::parse("[".repeat(100_000)), Err(too_deep));
    assert_eq!(
        Json::parse("{\"a\":".repeat(100_000)),
        Err(JsonError { offset: 5 * MAX_DEPTH, kind: JsonErrorKind::TooDeep })
    );
}

#[test]
fn large_objects_and_strings_take_linear_time() {
    let members = |count: usize| (0..count).map(|n| format!("\"{n}\":{n}")).collect::<Vec<_>>().join(",");
    let large = json(&format!("{{{}}}", members(20_000)));
    assert_eq!(large.member("19999"), Some(json("19999")));
    let twice = format!("{{{},\"\\u0033\":0}}", members(20_000));
    assert_eq!(Json::parse(twice).unwrap_err().kind, JsonErrorKind::DuplicateMember);
    // Small ones inside a large one, and a large one inside a small one: each has names of its own.
    assert!(
        Json::parse(format!("{{\"a\":{large:},\"0\":{{{}}}}}", members(20), large = large.as_str())).is_ok()
    );
    let long = format!("\"{}\\n{}\"", "x".repeat(2_000_000), "\u{e9}".repeat(500_000));
    assert_eq!(json(&long).string().unwrap().len(), 3_000_001);
}

#[test]
fn parts_are_slices_of_the_message() {
    let whole = json(r#" {"a":{"b":[1,"x\ty",{"c/d~":null}]}, "e":2} "#);
    let part = whole.pointer("/a/b/1").unwrap();
    assert!(whole.bytes().as_ptr_range().contains(&part.bytes().as_ptr()));
    assert_eq!(part.string().unwrap(), "x\ty");
    assert!(matches!(json("\"plain\"").string(), Some(Cow::Borrowed("plain"))));
    assert_ne!(part.detached().bytes().as_ptr(), part.bytes().as_ptr());
    assert_eq!(whole.pick(["e", "zz", "a"]).map(|p| p.map(|p| p.bytes().len())), [Some(1), None, Some(30)]);
    assert_eq!(json("[1]").pick(["a"]), [None]);
}

#[test]
fn pointers_follow_rfc_6901() {
    let whole =
        json(r#"{"foo":["bar","baz"],"":0,"a/b":1,"m~n":8,"0":9,"":{}}"#.replace(",\"\":{}", "").as_str());
    let check = |pointer: &str, expected: Option<&str>| {
        assert_eq!(whole.pointer(pointer).as_ref().map(Json::as_str), expected, "{pointer}");
    };
    check("", Some(whole.as_str()));
    check("/foo", Some(r#"["bar","baz"]"#));
    check("/foo/0", Some(r#""bar""#));
    check("/", Some("0"));
    check("/a~1b", Some("1"));
    check("/m~0n", Some("8"));
    check("/0", Some("9"));
    for nothing in
        ["foo", "/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/foo/01", "/m~2n", "/m~", "/bar", "/foo/0/x"]
    {
        check(nothing, None);
    }
}

#[test]
fn string_leaves_are_found_below_a_place() {
    let whole = json(r#"{"name":"t","arguments":{"a":["xx","\u0078",{"k~/":"yyy"}],"b":"zz","n":1}}"#);
    let check = |under: &str, min_bytes: usize, expected: &[(&str, &str)]| {
        let found = whole.strings(under, min_bytes);
        let found: Vec<_> = found.iter().map(|(pointer, text)| (pointer.as_str(), text.as_str())).collect();
        assert_eq!(found, expected, "{under}");
    };
    let deep = ("/arguments/a/2/k~0~1", "yyy");
    check("/arguments", 2, &[("/arguments/a/0", "xx"), deep, ("/arguments/b", "zz")]);
    check("/arguments/a/1", 1, &[("/arguments/a/1", "x")]);
    check("", 3, &[deep]);
    check("/nowhere", 0, &[]);
}

#[test]
fn edits_are_made_in_order_or_not_at_all() {
    let whole = json(r#"{ "a" : [1, 2 ,3], "b":{"c":"d"} }"#);
    let set = |pointer: &str, value: &str| Edit::Set(pointer.to_owned(), json(value));
    let text = |pointer: &str, value: &str| Edit::SetString(pointer.to_owned(), value.to_owned());
    let remove = |pointer: &str| Edit::Remove(pointer.to_owned());
    let check = |edits: &[Edit], expected: Result<&str, EditError>| {
        assert_eq!(whole.apply(edits), expected.map(json), "{edits:?}");
    };
    check(&[], Ok(whole.as_str()));
    check(&[set("/a/1", "{}"), text("/b/c", "\"")], Ok(r#"{ "a" : [1, {} ,3], "b":{"c":"\""} }"#));
    check(&[set("/a/1", "{}"), set("/a/1/x", "0")], Ok(r#"{ "a" : [1, {"x":0} ,3], "b":{"c":"d"} }"#));
    check(&[set("/b/c", "0"), set("/b", "1")], Ok(r#"{ "a" : [1, 2 ,3], "b":1 }"#));
    check(&[set("/a/-", "4"), set("/a/3", "5")], Ok(r#"{ "a" : [1, 2 ,3,5], "b":{"c":"d"} }"#));
    check(&[remove("/a/0"), remove("/a/1")], Ok(r#"{ "a" : [2], "b":{"c":"d"} }"#));
    check(&[remove("/b/c"), set("/b/e~1", "0")], Ok(r#"{ "a" : [1, 2 ,3], "b":{"e/":0} }"#));
    check(&[remove("/a"), remove("/b")], Ok("{  }"));
    check(&[set("", "7")], Ok("7"));
    let missing = |pointer: &str| Err(EditError::Missing(pointer.to_owned()));
    check(&[set("/b/c", "0"), set("/a/3", "0")], missing("/a/3"));
    check(&[remove("/a/3")], missing("/a/3"));
    check(&[set("/x/y", "0")], missing("/x/y"));
    check(&[set("/b/c/d", "0")], missing("/b/c/d"));
    check(&[set("/b", "0"), set("/b/c", "0")], missing("/b/c"));
    check(&[remove("")], Err(EditError::RemovesAll));
    check(&[set("a", "0")], Err(EditError::BadPointer("a".to_owned())));
    check(&[set("/a~", "0")], Err(EditError::BadPointer("/a~".to_owned())));
    let deep = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
    check(&[set("/b", &deep)], Err(EditError::TooDeep("/b".to_owned())));
    check(&[set("", &deep)], Ok(&deep));
}

#[test]
fn many_edits_take_few_passes() {
    let many = 2_000;
    let whole = Json::of(&vec![["a long text"]; many]);
    let edits = |step: usize| {
        (0..many).map(move |n| n * step % many).map(|n| Edit::SetString(format!("/{n}/0"), "x".into()))
    };
    for step in [1, 791] {
        let edited = whole.apply(&edits(step).collect::<Vec<_>>()).unwrap();
        assert_eq!(edited, Json::of(&vec![["x"]; many]));
    }
    // Additions and removals take a copy each, and those have a budget.
    let additions = vec![Edit::Set("/-".to_owned(), Json::null()); 10];
    let long = Json::of(&["x".repeat(1_000)]);
    assert!(long.apply_within(11_000, &additions).is_ok());
    assert_eq!(long.apply_within(9_000, &additions), Err(EditError::TooMany));
}

#[test]
fn objects_are_written_member_by_member() {
    let object = ObjectWriter::new().member("a", &json("[ 1 ]")).string("b\"", "\n").finish();
    assert_eq!(object.as_str(), r#"{"a":[ 1 ],"b\"":"\n"}"#);
    assert_eq!(ObjectWriter::default().finish(), Json::empty_object());
    assert_eq!(Json::of(&vec![Json::null(), object]).as_str(), r#"[null,{"a":[ 1 ],"b\"":"\n"}]"#);
    assert_eq!(Json::array([]).as_str(), "[]");
}

#[test]
fn the_debug_form_is_short() {
    assert_eq!(format!("{:?}", json(r#"{"a":"b"}"#)), r#"{"a":"b"}"#);
    let long = format!("{:?}", Json::of(&"\u{e9}".repeat(1000)));
    assert!(long.ends_with("\u{e9}... (2002 bytes)") && long.len() < 300, "{long}");
}

#[test]
fn gathered_values_are_the_same_in_one_piece() {
    let values = [r#"{"a":1}"#, "null", r#""x""#].map(|text| Json::parse(text.to_owned()).unwrap());
    let gathered = Json::gathered(&values);
    assert_eq!(gathered, values);
    let start = gathered[0].bytes().as_ptr();
    assert_eq!(gathered[2].bytes().as_ptr() as usize - start as usize, r#"{"a":1}null"#.len());
    assert_eq!(Json::gathered(&[]), []);
}
