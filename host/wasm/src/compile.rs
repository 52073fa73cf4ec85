//! From bytes to compiled code: what is refused before the compiler sees it, and how compiling happens once a digest.

use std::sync::{Arc, PoisonError, Weak};

use bytes::Bytes;
use sha2::Sha256;
use wasmtime::component::Component;

use crate::engine::Engine;
use crate::error::LoadError;
use crate::limits::MAX_COMPONENT_BYTES;

/// SHA-256 of a component's bytes.
pub(crate) type Digest = [u8; 32];

/// Compiled once, shared by every interceptor made of it.
pub(crate) struct Compiled {
    pub(crate) component: Component,
    pub(crate) digest: Digest,
}

/// Compiles `bytes`, or finds that it was done before: in this process, or in the cache on disk.
pub(crate) async fn compile(engine: &Engine, bytes: Bytes) -> Result<Arc<Compiled>, LoadError> {
    if bytes.len() > MAX_COMPONENT_BYTES {
        return Err(LoadError::TooLarge { bytes: bytes.len(), max: MAX_COMPONENT_BYTES });
    }
    component_preamble(&bytes)?;
    let digest: Digest = <Sha256 as sha2::Digest>::digest(&bytes).into();
    let stopped = |error: &dyn std::fmt::Display| LoadError::Compile(wasmtime::format_err!("{error}"));
    let turn = Arc::clone(&engine.inner.compiling).acquire_owned().await.map_err(|error| stopped(&error))?;
    let engine = engine.clone();
    // The turn ends with the work, not with whoever waits for it.
    let work = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        known(&engine, &digest).map_or_else(|| fresh(&engine, &bytes, digest), Ok)
    });
    work.await.map_err(|error| stopped(&error))?
}

/// Lower-case hexadecimal.
pub(crate) fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn known(engine: &Engine, digest: &Digest) -> Option<Arc<Compiled>> {
    engine.inner.compiled.lock().unwrap_or_else(PoisonError::into_inner).get(digest)?.upgrade()
}

fn fresh(engine: &Engine, bytes: &[u8], digest: Digest) -> Result<Arc<Compiled>, LoadError> {
    let cached = engine.inner.cache.as_ref().and_then(|cache| cache.load(&engine.inner.wasmtime, &digest));
    let component = match cached {
        Some(component) => component,
        None => {
            let component =
                Component::from_binary(&engine.inner.wasmtime, bytes).map_err(LoadError::Compile)?;
            if let Some(cache) = &engine.inner.cache {
                cache.store(&digest, &component);
            }
            component
        }
    };
    let compiled = Arc::new(Compiled { component, digest });
    let mut all = engine.inner.compiled.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, old| old.strong_count() > 0);
    all.insert(digest, Weak::clone(&Arc::downgrade(&compiled)));
    drop(all);
    Ok(compiled)
}

/// Says what the bytes are when they are no component.
fn component_preamble(bytes: &[u8]) -> Result<(), LoadError> {
    let what = match bytes {
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [b'\0', b'a', b's', b'm', _, _, 0, 0, ..] => {
            "it is a core module (build it for wasm32-wasip2, or wrap it with `wasm-tools component new`)"
        }
        [b'\0', b'a', b's', b'm', ..] => "it is of an unknown version of the binary format",
        [] => "it is empty",
        [0x7f, b'E', b'L', b'F', ..] => "it is native or precompiled code, which is never loaded",
        _ if is_text(bytes) => {
            "it is text (if it is the text format, turn it into binary with `wasm-tools parse`)"
        }
        _ => "it is something else",
    };
    Err(LoadError::NotAComponent(what))
}

fn is_text(bytes: &[u8]) -> bool {
    let start = bytes.get(..512).unwrap_or(bytes);
    let printable = |byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
    std::str::from_utf8(start).is_ok() && start.iter().all(printable)
}

#[cfg(test)]
mod tests {
    use super::component_preamble;

    #[test]
    fn what_is_no_component_is_named() {
        let refused = |bytes: &[u8]| component_preamble(bytes).unwrap_err().to_string();
        for (bytes, word) in [
            (&b""[..], "empty"),
            (b"\0asm\x01\0\0\0", "core module"),
            (b"\0asm\x0d\0\x02\0", "unknown version"),
            (b"\x7fELF\x02\x01", "precompiled"),
            (b"(component)", "text"),
            (b"<html>not found</html>", "text"),
            (b"\x1f\x8b\x08\0\0\0", "something else"),
        ] {
            assert!(refused(bytes).contains(word), "{}", refused(bytes));
        }
        assert!(component_preamble(b"\0asm\x0d\0\x01\0").is_ok());
    }
}
