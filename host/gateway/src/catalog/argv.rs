//! Arguments from templates: how many there are is decided by the catalog and by lists, never by what a text contains.

use secrecy::SecretString;
use serde_json::Value as Json;
use wasmgate_core::catalog::Argument;

use super::mount::Binds;
use super::template::{Piece, Template, Value, to_text};
use super::vars::{Bit, split};
use super::{Refusal, Resolution};
use crate::document::Text;

/// Looks up `$VAR` in an argument; an error stops the entry.
pub(super) type Vars<'a> = dyn Fn(&str) -> Result<Filled, Resolution> + 'a;

/// What stands for a variable, or an argument on its way.
#[derive(Default)]
pub(super) struct Filled {
    /// The text.
    pub(super) text: String,
    /// Whether a secret is in it.
    pub(super) secret: bool,
}

impl Filled {
    fn argument(self) -> Argument {
        match self.secret {
            true => Argument::Secret(SecretString::from(self.text)),
            false => Argument::Plain(self.text),
        }
    }
}

/// Evaluates a command line: one argument per template, or one per element where a template is a single list.
///
/// # Errors
/// When a text that was put there would start an option, or a variable may not be used.
pub(super) fn arguments(
    templates: &[Text],
    root: &Json,
    vars: &Vars<'_>,
    binds: &Binds,
) -> Result<Vec<Argument>, Resolution> {
    let mut argv = Vec::new();
    for Text(text) in templates {
        let template = Template::parse(text);
        let pieces = template.evaluate(root);
        let named = || template.paths().next().unwrap_or_default();
        match pieces.as_slice() {
            [Piece::Value(Value::List(items))] => {
                for item in items {
                    argv.push(checked(&placed(item, binds), &named())?.into());
                }
            }
            [Piece::Value(value)] => argv.push(checked(&placed(value, binds), &named())?.into()),
            many => argv.push(joined(many, vars, &named())?.argument()),
        }
    }
    Ok(argv)
}

/// The elements of a template that is one list and nothing else; none when it is something else.
///
/// # Errors
/// When an element contains a NUL character.
pub(super) fn listed(template: &str, root: &Json) -> Result<Option<Vec<String>>, Refusal> {
    let template = Template::parse(template);
    let pieces = template.evaluate(root);
    let [Piece::Value(Value::List(items))] = pieces.as_slice() else { return Ok(None) };
    let named = template.paths().next().unwrap_or_default();
    let element = |item: &Value| plain(&to_text(&[Piece::Value(item.clone())]), &named);
    items.iter().map(element).collect::<Result<_, _>>().map(Some)
}

/// A path where its mount is.
fn placed(value: &Value, binds: &Binds) -> Value {
    match value {
        Value::Path(text) => Value::Path(binds.absolute(text)),
        Value::Flagged(flag, value) => Value::Flagged(flag.clone(), Box::new(placed(value, binds))),
        other => other.clone(),
    }
}

fn joined(pieces: &[Piece], vars: &Vars<'_>, named: &str) -> Result<Filled, Resolution> {
    let mut out = Filled::default();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => {
                for bit in split(text) {
                    match bit {
                        Bit::Text(text) => out.text.push_str(text),
                        Bit::Var(name) => {
                            let Filled { text, secret } = vars(name)?;
                            if out.text.is_empty() {
                                starts_no_option(&text, &format!("${name}"))?;
                            }
                            out.secret |= secret;
                            out.text.push_str(&plain(&text, &format!("${name}"))?);
                        }
                    }
                }
            }
            Piece::Value(value) if out.text.is_empty() => out.text.push_str(&checked(value, named)?),
            Piece::Value(value) => out.text.push_str(&plain(&value.to_inline_text(), named)?),
        }
    }
    Ok(out)
}

/// A value that begins an argument: text must not start an option. Numbers and booleans cannot be one, and a flag is the
/// catalog's own.
fn checked(value: &Value, named: &str) -> Result<String, Refusal> {
    let text = to_text(&[Piece::Value(value.clone())]);
    if !matches!(value, Value::Plain(_) | Value::Written(_) | Value::Flagged(..)) {
        starts_no_option(&text, named)?;
    }
    plain(&text, named)
}

fn starts_no_option(text: &str, named: &str) -> Result<(), Refusal> {
    match text.starts_with('-') {
        true => Err(Refusal::new(format!(
            "the value of `{named}` starts with `-` and would become an option of the server's command: change it under `config`"
        ))),
        false => Ok(()),
    }
}

fn plain(text: &str, named: &str) -> Result<String, Refusal> {
    match text.contains('\0') {
        true => Err(Refusal::new(format!("the value of `{named}` contains a NUL character"))),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Secret arguments in double brackets.
    fn run(templates: &[&str], root: Json) -> Result<Vec<String>, String> {
        let templates: Vec<_> = templates.iter().map(|text| Text((*text).to_owned())).collect();
        let binds = Binds { home: Some("/home/me".into()), ..Binds::default() };
        let var = |name: &str| match name {
            "DASH" => Ok(Filled { text: "-rf".to_owned(), secret: false }),
            _ => Ok(Filled { text: format!("<{name}>"), secret: name.starts_with("SECRET") }),
        };
        let shown = |argument: &Argument| match argument.secret() {
            Some(_) => format!("[[{}]]", argument.expose()),
            None => argument.to_string(),
        };
        let argv = arguments(&templates, &root, &var, &binds).map_err(|halt| halt.reason())?;
        Ok(argv.iter().map(shown).collect())
    }

    #[test]
    fn lists_expand_and_texts_do_not() {
        let root = json!({"f": {"paths": ["/a b", "~/c"], "n": -5, "s": "x y $HOME"}});
        let argv =
            run(&["run", "{{f.paths|volume-target|into}}", "{{f.n}}", "{{f.s}}", "--s={{f.s}} $V"], root);
        assert_eq!(argv.unwrap(), ["run", "/a b", "/home/me/c", "-5", "x y $HOME", "--s=x y $HOME <V>"]);
    }

    #[test]
    fn a_value_cannot_start_an_option() {
        for template in ["{{k}}", "{{k}}tail", "{{none}}{{k}}", "{{l|into}}"] {
            let refused = run(&[template], json!({"k": "--rm", "l": ["a", "-x"]})).unwrap_err();
            assert!(refused.contains("would become an option"), "{template}: {refused}");
        }
        assert!(run(&["$DASH"], json!({})).unwrap_err().contains("the value of `$DASH` starts with"));
        assert_eq!(run(&["x$DASH"], json!({})).unwrap(), ["x-rf"]);
        assert_eq!(run(&["--flag={{k}}"], json!({"k": "-x"})).unwrap(), ["--flag=-x"]);
    }

    #[test]
    fn options_and_flags_come_and_go_with_their_values() {
        let templates = [
            "{{s.port|option:--port|into}}",
            "{{s.tag|option:--tag=|into}}",
            "{{s.dir|volume-target|option:--dir=|into}}",
            "{{s.v|flag:--verbose|into}}",
            "end",
        ];
        assert_eq!(run(&templates, json!({"s": {}})).unwrap(), ["end"]);
        assert_eq!(run(&templates, json!({"s": {"port": null, "tag": "", "v": false}})).unwrap(), ["end"]);
        let all = json!({"s": {"port": 80, "tag": ["a b", "-c"], "dir": "~/d", "v": "true"}});
        assert_eq!(
            run(&templates, all).unwrap(),
            ["--port", "80", "--tag=a b", "--tag=-c", "--dir=/home/me/d", "--verbose", "end"]
        );
        let list = json!({"s": {"port": ["x", "", "y"]}});
        assert_eq!(run(&templates, list).unwrap(), ["--port", "x", "--port", "y", "end"]);
        let refused = run(&templates, json!({"s": {"port": "--evil"}})).unwrap_err();
        assert!(refused.contains("the value of `s.port` starts with `-`"), "{refused}");
        assert_eq!(run(&["{{s.v|or:8|option:-p}}"], json!({})).unwrap(), ["-p", "8"]);
    }

    #[test]
    fn an_argument_with_a_secret_is_marked() {
        assert_eq!(
            run(&["a", "--key=$SECRET_A", "$SECRET_B"], json!({})).unwrap(),
            ["a", "[[--key=<SECRET_A>]]", "[[<SECRET_B>]]"]
        );
    }

    #[test]
    fn what_is_escaped_is_literal() {
        let text = r#"{"cost": "$5 {{x}} ${Y}"}"#;
        assert_eq!(run(&[&crate::catalog::template::literal(text)], json!({"x": 1})).unwrap(), [text]);
    }

    proptest! {
        /// Whatever a text contains, it stays one argument and stays itself.
        #[test]
        fn texts_never_change_the_number_of_arguments(value in "[^\0]*", other in "[^\0-][^\0]*") {
            let root = json!({"s": {"a": other, "b": value}});
            let argv = run(&["x", "{{s.a}}", "--b={{s.b}}", "{{s.a|or:d|into}}", "-"], root).unwrap();
            prop_assert_eq!(argv, vec!["x".to_owned(), other.clone(), format!("--b={value}"), other, "-".to_owned()]);
        }
    }
}
