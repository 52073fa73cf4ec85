//! Marks on the session (where there is none: on the principal), seen by every plugin that may. Needs the grant `labels`.

use crate::Refusal;

/// All marks, in the order they were put.
///
/// # Errors
/// [`Refusal`]
#[cfg(target_arch = "wasm32")]
pub fn all() -> Result<Vec<String>, Refusal> {
    Ok(crate::guest::labels::all()?)
}

/// Puts a mark: `[a-z0-9._:/-]`, at most 128 bytes. Putting one again does nothing.
///
/// # Errors
/// [`Refusal`]
#[cfg(target_arch = "wasm32")]
pub fn add(label: &str) -> Result<(), Refusal> {
    Ok(crate::guest::labels::add(label)?)
}

/// All marks put on this thread.
///
/// # Errors
/// None in native tests.
#[cfg(not(target_arch = "wasm32"))]
pub fn all() -> Result<Vec<String>, Refusal> {
    Ok(LABELS.with_borrow(Clone::clone))
}

/// Puts a mark.
///
/// # Errors
/// None in native tests.
#[cfg(not(target_arch = "wasm32"))]
pub fn add(label: &str) -> Result<(), Refusal> {
    LABELS.with_borrow_mut(|labels| {
        if !labels.iter().any(|known| known == label) {
            labels.push(label.to_owned());
        }
    });
    Ok(())
}

#[cfg(not(target_arch = "wasm32"))]
thread_local! {
    static LABELS: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}
