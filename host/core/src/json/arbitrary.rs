//! Arbitrary JSON texts for property tests: not only every value, but every way to write it.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;

/// How many cases each property is tried on; nothing is written to disk when one fails.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Any acceptable value, with white space, in any spelling.
pub(crate) fn value() -> BoxedStrategy<String> {
    nested(prop_oneof![literal(), any_number(), string().prop_map(|s| s.0)].boxed())
}

/// Any acceptable value whose numbers `serde_json` can hold exactly.
pub(crate) fn tame_value() -> BoxedStrategy<String> {
    let number = any::<i64>().prop_map(|n| n.to_string());
    nested(prop_oneof![literal(), number, string().prop_map(|s| s.0)].boxed())
}

/// Any object.
pub(crate) fn object(of: BoxedStrategy<String>) -> BoxedStrategy<String> {
    vec((string(), of, space(), space()), 0..5)
        .prop_flat_map(|members| (Just(members), space()))
        .prop_map(|(members, end)| {
            let mut names = HashSet::new();
            let members = members.into_iter().filter(|((_, meant), ..)| names.insert(meant.clone()));
            let members: Vec<_> =
                members.map(|((name, _), value, a, b)| format!("{a}{name}{b}:{a}{value}{b}")).collect();
            format!("{{{}{end}}}", members.join(","))
        })
        .boxed()
}

/// Any string: as written, and what it means.
pub(crate) fn string() -> impl Strategy<Value = (String, String)> {
    let character = prop_oneof![4 => prop::char::range('a', 'e'), 1 => any::<char>(), 1 => special()];
    vec((character, 0..4_u8), 0..6).prop_map(|characters| {
        let written: String = characters.iter().map(|(meant, style)| spell(*meant, *style)).collect();
        (format!("\"{written}\""), characters.into_iter().map(|(meant, _)| meant).collect())
    })
}

/// White space of any kind, mostly none.
pub(crate) fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\n\t"), 1 => Just("\r\n ")]
}

fn nested(leaf: BoxedStrategy<String>) -> BoxedStrategy<String> {
    leaf.prop_recursive(4, 24, 4, |inner| prop_oneof![array(inner.clone()), object(inner)]).boxed()
}

fn array(of: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    (vec((of, space(), space()), 0..4), space()).prop_map(|(elements, end)| {
        let elements: Vec<_> = elements.into_iter().map(|(value, a, b)| format!("{a}{value}{b}")).collect();
        format!("[{}{end}]", elements.join(","))
    })
}

fn literal() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned)
}

fn any_number() -> impl Strategy<Value = String> {
    let odd = vec![
        "1e400",
        "-0",
        "-0.0",
        "12345678901234567890123",
        "1E+05",
        "0.10",
        "1e-999999",
        "9007199254740993",
    ];
    let written = "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?";
    prop_oneof![prop::sample::select(odd).prop_map(str::to_owned), written.prop_map(|n: String| n)]
}

fn special() -> impl Strategy<Value = char> {
    prop::sample::select(vec!['"', '\\', '/', '~', '\n', '\0', '\u{2028}', '\u{7f}', '\u{ffff}', '\u{1f600}'])
}

fn spell(meant: char, style: u8) -> String {
    let mut units = [0; 2];
    let escape = |unit: &u16, upper| if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
    match (style, meant) {
        (0, _) => meant.encode_utf16(&mut units).iter().map(|unit| escape(unit, false)).collect(),
        (1, _) => meant.encode_utf16(&mut units).iter().map(|unit| escape(unit, true)).collect(),
        (_, '"' | '\\') => format!("\\{meant}"),
        (2, '/') => "\\/".to_owned(),
        (_, '\n') => "\\n".to_owned(),
        (_, '\0'..='\u{1f}') => escape(&(meant as u16), false),
        _ => meant.to_string(),
    }
}
