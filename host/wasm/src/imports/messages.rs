//! The payload as guests read it: bytes in the host, cut where they ask.

use wasmgate_core::json::Json;

use crate::bindings::messages::{Host, Leaf};
use crate::bindings::types::Message;
use crate::guest::Guest;
use crate::limits::OUTPUT;

impl Host for Guest {
    fn size(&mut self, m: Message) -> wasmtime::Result<u64> {
        Ok(self.message(m)?.payload.bytes().len() as u64)
    }

    fn text(&mut self, m: Message) -> wasmtime::Result<String> {
        let payload = read(self, m)?;
        Ok(payload.as_str().to_owned())
    }

    fn get(&mut self, m: Message, pointer: String) -> wasmtime::Result<Option<String>> {
        let payload = read(self, m)?;
        Ok(payload.pointer(&pointer).map(|value| value.as_str().to_owned()))
    }

    fn get_string(&mut self, m: Message, pointer: String) -> wasmtime::Result<Option<String>> {
        let payload = read(self, m)?;
        Ok(payload.pointer(&pointer).and_then(|value| Some(value.string()?.into_owned())))
    }

    fn strings(&mut self, m: Message, under: String, min_bytes: u32) -> wasmtime::Result<Vec<Leaf>> {
        let payload = read(self, m)?;
        let budget = budget(&payload);
        let leaves = payload.strings_within(&under, usize::try_from(min_bytes)?, budget).ok_or(OUTPUT)?;
        self.usage.host_work(leaves.iter().map(|(pointer, text)| pointer.len() + text.len()).sum())?;
        Ok(leaves.into_iter().map(|(pointer, text)| Leaf { pointer, text }).collect())
    }

    fn attr(&mut self, m: Message, name: String) -> wasmtime::Result<Option<String>> {
        let value = self.message(m)?.exchange.attribute(&name);
        charge(self, value.as_ref())?;
        Ok(value.map(|value| value.as_str().to_owned()))
    }

    fn note(&mut self, m: Message) -> wasmtime::Result<Option<String>> {
        let note = self.message(m)?.note.clone();
        charge(self, note.as_ref())?;
        Ok(note.map(|note| note.as_str().to_owned()))
    }

    fn put_note(&mut self, m: Message, value: String) -> wasmtime::Result<()> {
        self.usage.output(value.len())?;
        let note = Json::parse(value)
            .map_err(|error| wasmtime::format_err!("put a note that is not JSON: {error}"))?;
        let message = self.message(m)?;
        (message.note, message.noted) = (Some(note), true);
        Ok(())
    }
}

/// Bytes of pointers and strings that are taken out of a payload at once. Ordinary payloads have a fraction of this; one that
/// nests everything below an endless name would have terabytes.
pub(super) fn budget(payload: &Json) -> usize {
    payload.bytes().len().saturating_mul(16).saturating_add(1 << 20)
}

/// The payload, with one reading of it charged to the call.
pub(super) fn read(guest: &mut Guest, m: Message) -> wasmtime::Result<Json> {
    let payload = guest.message(m)?.payload.clone();
    charge(guest, Some(&payload))?;
    Ok(payload)
}

fn charge(guest: &mut Guest, read: Option<&Json>) -> wasmtime::Result<()> {
    guest.usage.host_work(read.map_or(0, |json| json.bytes().len()))?;
    Ok(())
}
