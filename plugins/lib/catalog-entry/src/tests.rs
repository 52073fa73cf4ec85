//! Entries as documents: what is written, and that it reads back as what was meant.

use super::*;

fn text(pieces: &[Piece]) -> Text {
    Text::from(pieces.to_vec())
}

fn literal(text: &str) -> Piece {
    Piece::Literal(text.to_owned())
}

fn secret(env: &str) -> Piece {
    Piece::Secret { env: env.to_owned(), required: true }
}

#[test]
fn members_are_sorted_and_lists_are_not() {
    let mut entry = Entry::new("s");
    entry.set("title", "T");
    entry.push("command", "z");
    entry.push("command", "a");
    entry.property(
        "b",
        Property { kind: Kind::Number, default: Some("8080".to_owned()), ..Property::default() },
    );
    entry.property("a", Property { required: true, description: "A".to_owned(), ..Property::default() });
    entry.secret("TOKEN", Secret { required: true, description: "T".to_owned() });
    let (document, _) = entry.finish();
    assert_eq!(
        document.to_string(),
        r#"{"command":["z","a"],"config":[{"description":"Values for s","name":"s","properties":{"a":{"description":"A","type":"string"},"b":{"default":8080,"type":"number"}},"required":["a"],"type":"object"}],"name":"s","secrets":[{"description":"T","env":"TOKEN","name":"s.TOKEN","required":true}],"title":"T"}"#
    );
}

#[test]
fn a_default_decides_the_type() {
    let schema = |kind, default: &str, choices: &[&str]| {
        let choices = choices.iter().map(|c| (*c).to_owned()).collect();
        Property { kind, default: Some(default.to_owned()), choices, ..Property::default() }.schema()
    };
    assert_eq!(schema(Kind::Number, "1.5", &[]), json!({"type": "number", "default": 1.5}));
    assert_eq!(schema(Kind::Number, "auto", &[]), json!({"type": "string", "default": "auto"}));
    assert_eq!(
        schema(Kind::Boolean, "True", &["true", "false"]),
        json!({"type": "boolean", "default": true})
    );
    assert_eq!(
        schema(Kind::Text, "all", &["a"]),
        json!({"type": "string", "default": "all", "enum": ["all", "a"]})
    );
    assert_eq!(schema(Kind::List, "", &[]), json!({"type": "array", "items": {"type": "string"}}));
}

#[test]
fn names_are_unique_unless_they_mean_the_same() {
    let mut entry = Entry::new("s");
    let number = Property { kind: Kind::Number, ..Property::default() };
    assert_eq!(entry.property("--port", Property::default()), "port");
    assert_eq!(entry.property("port", Property::default()), "port-2");
    assert_eq!(entry.shared_property("X", "host", Property::default()), "host");
    assert_eq!(entry.shared_property("Y", "host", Property::default()), "host");
    assert_eq!(entry.shared_property("Y", "host", number), "Y-host");
    assert_eq!(entry.shared_property("Y", "port", Property::default()), "Y-port");
    entry.reserve(["TOKEN"]);
    assert_eq!(entry.secret_of("token", Secret::default()), "TOKEN_2");
}

#[test]
fn text_never_becomes_a_template() {
    let entry = Entry::new("s");
    assert_eq!(entry.argument(&Text::from("--x=1")), "--x=1");
    assert_eq!(entry.argument(&Text::from(r#"--x={"k":"$1"}"#)), r#"--x={{'{'}}"k":"$$1"{{'}'}}"#);
    let url = text(&[literal("https://h/{x}/$"), Piece::Value("k".into())]);
    assert_eq!(entry.url(&url), "https://h/%7Bx%7D/%24{{s.k}}");
    let volume = text(&[literal("a:"), Piece::Value("k".into())]);
    assert_eq!(entry.plain(&volume).as_deref(), Ok("a:{{s.k}}"));
    assert_eq!(entry.plain(&Text::from("$x")), Err(Unfit::Marks));
    assert_eq!(entry.plain(&text(&[secret("T")])), Err(Unfit::Secret));
}

#[test]
fn environments() {
    let mut entry = Entry::new("s");
    entry.property("url", Property::default());
    let url = || Piece::Value("url".into());
    assert!(entry.variable("A", &Text::from("{plain} braces")));
    assert!(entry.variable("B", &Text::from("cost: $5")));
    assert!(entry.variable("C", &text(&[literal("$x {y} "), url()])));
    assert!(entry.variable("D", &text(&[literal("Bearer $ "), secret("T"), literal(" at {x}"), url()])));
    assert!(entry.variable("E", &text(&[secret("T"), literal("{{x}}$")])));
    assert!(entry.variable("F", &Text::from("{{x}} $y")));
    assert!(!entry.variable("D", &Text::from("again")));
    let (document, _) = entry.finish();
    let shown = |e: &Json| format!("{}={}", e["name"].as_str().unwrap(), e["value"].as_str().unwrap());
    let env: Vec<_> = document["env"].as_array().unwrap().iter().map(shown).collect();
    assert_eq!(
        env,
        [
            "A={plain} braces",
            "B=cost: $$5",
            "C=$x {{'{'}}y{{'}'}} {{s.url}}",
            "D__URL={{s.url}}",
            "D=Bearer $$ ${T} at {x}${D__URL}",
            "E__TEXT={{'{'}}{{'{'}}x{{'}'}}{{'}'}}$",
            "E=${T}${E__TEXT}",
            "F={{'{'}}{{'{'}}x{{'}'}}{{'}'}} $y",
        ]
    );
}
