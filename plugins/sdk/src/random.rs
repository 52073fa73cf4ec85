//! Unpredictable bytes. Needs the grant `random`.

use crate::Refusal;

/// Unpredictable bytes, 4096 at most.
///
/// # Errors
/// [`Refusal`]
#[cfg(target_arch = "wasm32")]
pub fn bytes(count: u32) -> Result<Vec<u8>, Refusal> {
    Ok(crate::guest::random::bytes(count)?)
}

/// The bytes 0, 1, 2, ...: native tests repeat.
///
/// # Errors
/// [`Refusal`] for more than 4096.
#[cfg(not(target_arch = "wasm32"))]
pub fn bytes(count: u32) -> Result<Vec<u8>, Refusal> {
    if count > 4096 {
        return Err(Refusal::Exceeded("4096 bytes at once".to_owned()));
    }
    Ok((0..count).map(|number| (number % 256) as u8).collect())
}
