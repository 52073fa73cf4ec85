//! How mutators change the payload: on a draft that only counts when the call succeeds.

use wasmgate_core::json::{Edit, Json};

use super::messages::read;
use crate::bindings::edits::{self, Host};
use crate::bindings::types::Message;
use crate::guest::Guest;

impl Host for Guest {
    fn apply(&mut self, m: Message, changes: Vec<edits::Edit>) -> wasmtime::Result<Result<(), String>> {
        let payload = read(self, m)?;
        if let Err(refused) = may_edit(self, m)? {
            return Ok(Err(refused));
        }
        self.usage.output(changes.iter().map(bytes).sum())?;
        let changed = changes
            .into_iter()
            .map(convert)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|edits| payload.apply(&edits).map_err(|error| error.to_string()));
        Ok(match changed {
            Ok(next) => {
                keep(self, m, next)?;
                Ok(())
            }
            Err(reason) => Err(reason),
        })
    }

    fn replace(&mut self, m: Message, value: String) -> wasmtime::Result<Result<(), String>> {
        self.usage.output(value.len())?;
        self.usage.host_work(value.len())?;
        if let Err(refused) = may_edit(self, m)? {
            return Ok(Err(refused));
        }
        Ok(match Json::parse(value) {
            Ok(next) => {
                keep(self, m, next)?;
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        })
    }
}

/// Validators look and never touch; whoever asked not to see the payload has nothing to edit.
fn may_edit(guest: &mut Guest, m: Message) -> wasmtime::Result<Result<(), String>> {
    Ok(match guest.message(m)?.may_edit {
        true => Ok(()),
        false => Err("only a mutator that reads the payload may edit it".to_owned()),
    })
}

fn keep(guest: &mut Guest, m: Message, next: Json) -> wasmtime::Result<()> {
    let message = guest.message(m)?;
    (message.payload, message.edited) = (next, true);
    Ok(())
}

fn bytes(edit: &edits::Edit) -> usize {
    match edit {
        edits::Edit::Set((pointer, value)) | edits::Edit::SetString((pointer, value)) => {
            pointer.len() + value.len()
        }
        edits::Edit::Remove(pointer) => pointer.len(),
    }
}

fn convert(edit: edits::Edit) -> Result<Edit, String> {
    Ok(match edit {
        edits::Edit::Set((pointer, value)) => {
            let value = Json::parse(value).map_err(|error| format!("the value for `{pointer}`: {error}"))?;
            Edit::Set(pointer, value)
        }
        edits::Edit::SetString((pointer, text)) => Edit::SetString(pointer, text),
        edits::Edit::Remove(pointer) => Edit::Remove(pointer),
    })
}
