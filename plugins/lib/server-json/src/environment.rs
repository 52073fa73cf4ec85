//! Variables of the environment of packages.

use catalog_entry::{Entry, Piece, Text};

use crate::Reason;
use crate::input::{Part, Reading, described, parts, secret};
use crate::model::Input;

/// Adds the variables to the entry.
pub(crate) fn add(entry: &mut Entry, variables: &[(String, Input)], reading: Reading) -> Result<(), Reason> {
    for (name, input) in variables {
        one(entry, name, input, reading)?;
    }
    Ok(())
}

/// Adds one variable to the entry.
pub(crate) fn one(entry: &mut Entry, name: &str, input: &Input, reading: Reading) -> Result<(), Reason> {
    if name.is_empty() && input.value.is_none() && input.default.is_none() && !input.required {
        entry.note("an empty item among its variables is passed over");
        return Ok(());
    }
    let bad = |c: char| c == '=' || c == '\0' || c.is_whitespace();
    if name.is_empty() || name.contains(bad) {
        return Err(Reason::new(format!("`{name}` cannot name a variable of an environment")));
    }
    if input.secret && input.value.is_none() {
        entry.secret(name, secret(input, input.required));
        return Ok(());
    }
    if let Some(secret) = whole_secret(input) {
        entry.secret(name, secret);
        return Ok(());
    }
    let text = reading.text(entry, name, input);
    if input.secret && text.literal().is_some() {
        entry.note(format!("the value of the secret `{name}` is published with the server"));
    }
    if !entry.variable(name, &text) {
        entry.note(format!("`{name}` is set twice; the first counts"));
    }
    unset(entry, name, &text);
    Ok(())
}

/// The secret that a value is, where it is one variable and nothing else: delivered as it is, without a second name.
fn whole_secret(input: &Input) -> Option<catalog_entry::Secret> {
    let [Part::Name(name)] = parts(input.value.as_deref()?, &input.variables)[..] else { return None };
    let variable =
        input.variables.get(name).filter(|variable| variable.secret && variable.value.is_none())?;
    Some(secret(&described(variable, input), variable.required || input.required))
}

/// A variable that is missing from a longer value leaves a gap, which is for people to know.
fn unset(entry: &mut Entry, name: &str, text: &Text) {
    let gap = |piece: &Piece| match piece {
        Piece::Value(property) | Piece::Path(property) => {
            let property = entry.properties().get(property)?;
            (!property.required && property.default.is_none()).then_some(())
        }
        _ => None,
    };
    if text.pieces().len() > 1 && text.pieces().iter().find_map(gap).is_some() {
        entry.note(format!("`{name}` has a gap where an optional value is not set"));
    }
}
