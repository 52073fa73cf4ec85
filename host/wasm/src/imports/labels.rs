//! Marks on sessions.

use crate::bindings::labels::Host;
use crate::bindings::types::Refusal;
use crate::guest::Guest;
use crate::marks::Unmarked;
use crate::owner::Owner;

impl Host for Guest {
    fn all(&mut self) -> wasmtime::Result<Result<Vec<String>, Refusal>> {
        let marks = owner(self).map(|owner| self.engine.inner.marks.all(&owner));
        let bytes = marks.as_ref().map_or(0, |marks| marks.iter().map(String::len).sum());
        self.usage.host_work(bytes)?;
        Ok(marks)
    }

    fn add(&mut self, label: String) -> wasmtime::Result<Result<(), Refusal>> {
        self.usage.host_work(label.len())?;
        let added = owner(self).and_then(|owner| {
            self.engine.inner.marks.add(&owner, &label).map_err(|unmarked| match unmarked {
                Unmarked::Spelling => Refusal::Failed(unmarked.to_string()),
                Unmarked::TooMany => Refusal::Exceeded(unmarked.to_string()),
            })
        });
        Ok(added)
    }
}

/// Whose marks, if the plugin may.
fn owner(guest: &Guest) -> Result<Owner, Refusal> {
    if !guest.identity.grants.labels {
        return Err(Refusal::Denied("`labels: true` is not granted".into()));
    }
    let operation = guest.operation();
    operation
        .map(Owner::session)
        .ok_or_else(|| Refusal::Denied("there is no session outside of a call".into()))
}
