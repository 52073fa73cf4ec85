//! Arguments of packages: what real entries mean by them is in the README, under "Arguments".

use catalog_entry::{Entry, Kind, Text};

use crate::Reason;
use crate::input::{Reading, property};
use crate::model::{Argument, Format, Input};

/// Adds the arguments to the entry's command.
pub(crate) fn add<'a>(
    entry: &mut Entry,
    arguments: impl IntoIterator<Item = &'a Argument>,
    reading: Reading,
) -> Result<(), Reason> {
    for argument in arguments {
        for word in words(entry, argument, reading)? {
            entry.push("command", word);
        }
    }
    Ok(())
}

fn words(entry: &mut Entry, argument: &Argument, reading: Reading) -> Result<Vec<String>, Reason> {
    match &argument.name {
        None => Ok(positional(entry, argument, reading)),
        Some(name) => {
            let flag = flag(entry, name)?;
            Ok(named(entry, &flag, argument, reading))
        }
    }
}

/// A flag as a command takes it. Without dashes, as some write it, it gets them.
fn flag(entry: &mut Entry, name: &str) -> Result<String, Reason> {
    if name.contains(['<', '>', '$', '|', '{', '}', '\0']) || name.contains(char::is_whitespace) {
        return Err(Reason::new(format!("its argument `{name}` has a name that is no flag")));
    }
    if name.starts_with('-') {
        return Ok(name.to_owned());
    }
    let dashes = if name.chars().count() == 1 { "-" } else { "--" };
    let flag = format!("{dashes}{name}");
    entry.note(format!("the argument `{name}` is taken as `{flag}`"));
    Ok(flag)
}

fn positional(entry: &mut Entry, argument: &Argument, reading: Reading) -> Vec<String> {
    let input = &argument.input;
    let owner = argument.hint.as_deref().unwrap_or("argument");
    if left_out(entry, owner, input) {
        return Vec::new();
    }
    let text = text(entry, owner, argument, reading);
    match text.value() {
        Some((property, filter)) => vec![entry.template(property, &format!("or:[]|{filter}into"))],
        None => vec![entry.argument(&text)],
    }
}

fn named(entry: &mut Entry, flag: &str, argument: &Argument, reading: Reading) -> Vec<String> {
    let input = &argument.input;
    let owner = flag.trim_matches(['-', '=']);
    if let Some(value) = &input.value {
        if let Some(words) = spelled_out(flag, value) {
            entry.note(format!("the value of the argument `{flag}` repeats the flag"));
            return words;
        }
    } else if !takes_value(argument) {
        return switch(entry, flag, argument);
    }
    if left_out(entry, owner, input) {
        return Vec::new();
    }
    let text = text(entry, owner, argument, reading);
    if let Some((property, filter)) = text.value() {
        return vec![entry.template(property, &format!("{filter}option:{flag}|into"))];
    }
    let value = entry.argument(&text);
    if flag.ends_with('=') { vec![format!("{flag}{value}")] } else { vec![flag.to_owned(), value] }
}

/// What an argument says, as one text; what may be given several times is a list.
fn text(entry: &mut Entry, owner: &str, argument: &Argument, reading: Reading) -> Text {
    let input = &argument.input;
    if argument.repeated && input.value.is_none() && !input.secret {
        let list = catalog_entry::Property { kind: Kind::List, ..property(input, input.required) };
        let name = entry.property(owner, list);
        return Text::from(vec![reading.piece(entry, name, input)]);
    }
    if argument.repeated {
        entry.note(format!("the argument `{owner}` may be given several times; it is given once"));
    }
    reading.text(entry, owner, input)
}

/// `--port 80` and `--port=80` as the value of `--port`, as some write it.
fn spelled_out(flag: &str, value: &str) -> Option<Vec<String>> {
    let rest = value.strip_prefix(flag).filter(|_| !value.contains(['{', '$']))?;
    if rest.is_empty() {
        return Some(vec![flag.to_owned()]);
    }
    if rest.starts_with('=') {
        return Some(vec![value.to_owned()]);
    }
    rest.starts_with(' ').then(|| vec![flag.to_owned(), rest.trim().to_owned()])
}

/// Whether a flag without a value wants one from the user: it says what kind, or what for example.
fn takes_value(argument: &Argument) -> bool {
    let input = &argument.input;
    let says = input.required
        || input.secret
        || argument.repeated
        || argument.hint.is_some()
        || input.placeholder.is_some()
        || !input.choices.is_empty()
        || input.default.is_some();
    match input.format {
        Some(Format::Boolean) => says && !is_off(input),
        Some(_) => true,
        None => says,
    }
}

/// A switch whose default is to be off can be left out.
fn is_off(input: &Input) -> bool {
    input.choices.is_empty() && input.default.as_deref().is_none_or(|text| text.eq_ignore_ascii_case("false"))
}

/// A flag alone: always there where nothing is said about it, else there when its value is `true`.
fn switch(entry: &mut Entry, flag: &str, argument: &Argument) -> Vec<String> {
    let input = &argument.input;
    let untold = input.format.is_none();
    if untold && input.description.is_empty() {
        return vec![flag.to_owned()];
    }
    let boolean = catalog_entry::Property { kind: Kind::Boolean, ..property(input, false) };
    let name = entry.property(flag, boolean);
    if untold {
        entry.note(format!(
            "nothing says that the argument `{flag}` takes a value: it is given, alone, when `{name}` is true"
        ));
    }
    vec![entry.template(&name, &format!("flag:{flag}|into"))]
}

/// A secret that may be missing cannot be an argument: an empty one would stand in its place.
fn left_out(entry: &mut Entry, owner: &str, input: &Input) -> bool {
    let hidden = |input: &Input| input.secret && !input.required;
    let own = input.value.is_none() && hidden(input);
    let used = input.value.is_some() && !input.required && input.variables.values().any(hidden);
    if own || used {
        entry.note(format!(
            "the argument `{owner}` is an optional secret and left out: set it in `command` of the server in wasmgate.yaml"
        ));
    }
    own || used
}
