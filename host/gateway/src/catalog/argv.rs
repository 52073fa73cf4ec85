//! Arguments from templates: how many there are is decided by the catalog and by lists, never by what a text contains.

use serde_json::Value as Json;

use super::mount::Binds;
use super::refusal::Refusal;
use super::template::{Piece, Template, Value, to_text};
use super::vars::{Bit, split};
use crate::document::Text;

/// Looks up `$VAR` in an argument; an error refuses the entry.
pub(super) type Vars<'a> = dyn Fn(&str) -> Result<String, Refusal> + 'a;

/// Evaluates a command line: one argument per template, or one per element where a template is a single list.
///
/// # Errors
/// When a text that was put there would start an option, or a variable may not be used.
pub(super) fn arguments(
    templates: &[Text],
    root: &Json,
    vars: &Vars<'_>,
    binds: &Binds,
) -> Result<Vec<String>, Refusal> {
    let mut argv = Vec::new();
    for Text(text) in templates {
        let template = Template::parse(text);
        let pieces = template.evaluate(root);
        let named = || template.paths().next().unwrap_or_default();
        match pieces.as_slice() {
            [Piece::Value(Value::List(items))] => {
                for item in items {
                    argv.push(checked(&placed(item, binds), &named())?);
                }
            }
            [Piece::Value(value)] => argv.push(checked(&placed(value, binds), &named())?),
            many => argv.push(joined(many, vars, &named())?),
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
        other => other.clone(),
    }
}

fn joined(pieces: &[Piece], vars: &Vars<'_>, named: &str) -> Result<String, Refusal> {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => out.push_str(&expanded(text, vars)?),
            Piece::Value(value) if out.is_empty() => out.push_str(&checked(value, named)?),
            Piece::Value(value) => out.push_str(&plain(&value.to_inline_text(), named)?),
        }
    }
    Ok(out)
}

/// Replaces the variables in what a catalog wrote.
///
/// # Errors
/// Those of `vars`.
pub(super) fn expanded(text: &str, vars: &Vars<'_>) -> Result<String, Refusal> {
    let bit = |bit: &Bit<'_>| match bit {
        Bit::Text(text) => Ok((*text).to_owned()),
        Bit::Var(name) => vars(name),
    };
    split(text).iter().map(bit).collect()
}

/// A value that begins an argument: text must not start an option. Numbers and booleans cannot be one.
fn checked(value: &Value, named: &str) -> Result<String, Refusal> {
    let text = to_text(&[Piece::Value(value.clone())]);
    if !matches!(value, Value::Plain(_)) && text.starts_with('-') {
        return Err(Refusal::new(format!(
            "the value of `{named}` starts with `-` and would become an option of the server's command: change it under `config`"
        )));
    }
    plain(&text, named)
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

    fn run(templates: &[&str], root: Json) -> Result<Vec<String>, Refusal> {
        let templates: Vec<_> = templates.iter().map(|text| Text((*text).to_owned())).collect();
        let binds = Binds { home: Some("/home/me".into()), ..Binds::default() };
        arguments(&templates, &root, &|name| Ok(format!("<{name}>")), &binds)
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
            assert!(refused.0.contains("would become an option"), "{template}: {refused}");
        }
        assert_eq!(run(&["--flag={{k}}"], json!({"k": "-x"})).unwrap(), ["--flag=-x"]);
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
