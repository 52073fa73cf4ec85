//! Finds the id of a message that cannot be read as a whole: too long, cut off, or refused.

use bytes::Bytes;

use super::Id;
use crate::json::{Json, Members};

/// The id in the start of a message, which may be cut off anywhere and need not be valid. None when there is none that
/// is complete, when it is no valid id, or when there are two.
pub fn peek_id(prefix: &[u8]) -> Option<Id> {
    let start = prefix.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let message = prefix.get(start..)?;
    let mut found = None;
    for member in Members::of(message)? {
        if !member.name.is("id") {
            continue;
        }
        // At the very end a number might go on.
        let is_complete = member.value.end < message.len();
        if found.is_some() || !is_complete {
            return None;
        }
        found = Some(message.get(member.value)?);
    }
    Id::of(&Json::parse(Bytes::copy_from_slice(found?)).ok()?)
}
