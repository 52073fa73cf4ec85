//! What a server says beside its messages: kept short, made harmless, and shown to whoever debugs.
//!
//! The last 4 KiB stay for the [`super::Exit`]. Lines go to `tracing` at debug (target `wasmgate::server`), a few a
//! second. A server that floods is read slowly, so it slows only itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tracing::Level;
use wasmgate_core::catalog::{Argument, EnvVar};
use wasmgate_core::name::ServerName;

/// What nobody is to read in what one server says. Cheap to clone.
#[derive(Clone, Default)]
pub struct Censor(Arc<[SecretString]>);

impl Censor {
    /// Values of `env` that are long enough to be a secret, and secret arguments.
    fn of(env: &[EnvVar], args: &[Argument]) -> Self {
        let secrets = env.iter().map(|var| &var.value).chain(args.iter().filter_map(Argument::secret));
        Self(secrets.filter(|value| value.expose_secret().len() >= SHORTEST_SECRET).cloned().collect())
    }

    /// The text without them; what is no UTF-8 is replaced.
    pub fn redacted(&self, bytes: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        for secret in self.0.iter() {
            if text.contains(secret.expose_secret()) {
                text = text.replace(secret.expose_secret(), "[redacted]");
            }
        }
        text
    }
}

/// Collects what one instance says. Clones share it.
#[derive(Clone)]
pub(super) struct Stderr {
    server: ServerName,
    censor: Censor,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    tail: VecDeque<u8>,
    line: Vec<u8>,
    window: Option<Instant>,
    bytes: usize,
    lines: u32,
    dropped: u64,
}

impl Stderr {
    /// Starts empty. Values of `env` that are long enough to be a secret are never shown, nor are secret arguments.
    pub(super) fn new(server: &ServerName, env: &[EnvVar], args: &[Argument]) -> Self {
        Self { server: server.clone(), censor: Censor::of(env, args), state: Arc::default() }
    }

    /// What is not shown.
    pub(super) fn censor(&self) -> Censor {
        self.censor.clone()
    }

    /// Reads until the end.
    pub(super) async fn drain(self, mut from: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            self.take(buffer.get(..read).unwrap_or_default()).await;
        }
    }

    /// Takes some bytes, and time when they come too fast.
    pub(super) async fn take(&self, bytes: &[u8]) {
        if let Some(pause) = self.push(bytes, Instant::now()) {
            tokio::time::sleep(pause).await;
        }
    }

    /// The last lines, harmless to print, at most 4 KiB.
    pub(super) fn tail(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = state.tail.iter().copied().collect();
        drop(state);
        let text = self.harmless(&bytes);
        let text = text.trim_end();
        let surplus = text.len().saturating_sub(TAIL);
        let start = (surplus..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
        text.get(start..).unwrap_or_default().to_owned()
    }

    /// Keeps `bytes` and says how long to wait before the next.
    fn push(&self, bytes: &[u8], now: Instant) -> Option<Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = *state.window.get_or_insert(now);
        let age = now.saturating_duration_since(opened);
        if age >= WINDOW {
            let dropped = std::mem::take(&mut state.dropped);
            (state.window, state.bytes, state.lines) = (Some(now), 0, 0);
            if dropped > 0 {
                tracing::debug!(target: "wasmgate::server", server = %self.server, dropped, "stderr lines not shown");
            }
        }
        state.bytes += bytes.len();
        state.keep(bytes);
        if tracing::enabled!(target: "wasmgate::server", Level::DEBUG) {
            self.show(&mut state, bytes);
        }
        (state.bytes > WINDOW_BYTES).then(|| WINDOW.saturating_sub(age))
    }

    /// Logs the lines that `bytes` complete.
    fn show(&self, state: &mut State, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let room = LINE.saturating_sub(state.line.len());
            state.line.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
            if !piece.ends_with(b"\n") {
                continue;
            }
            let line = std::mem::take(&mut state.line);
            if state.lines >= WINDOW_LINES {
                state.dropped += 1;
                continue;
            }
            state.lines += 1;
            let text = self.harmless(&line);
            tracing::debug!(target: "wasmgate::server", server = %self.server, "{}", text.trim_end());
        }
    }

    fn harmless(&self, bytes: &[u8]) -> String {
        neutralise(&self.censor.redacted(bytes))
    }
}

impl State {
    fn keep(&mut self, bytes: &[u8]) {
        // Twice the size shown, so that a secret cut by the edge of what is shown is still recognised.
        let kept = bytes.get(bytes.len().saturating_sub(2 * TAIL)..).unwrap_or_default();
        let surplus = (self.tail.len() + kept.len()).saturating_sub(2 * TAIL);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend(kept);
    }
}

/// Replaces what a terminal or a log viewer would obey instead of show.
pub(super) fn neutralise(text: &str) -> String {
    let obeyed = |c: char| {
        let direction =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        direction || (c.is_control() && !matches!(c, '\n' | '\t'))
    };
    text.replace("\r\n", "\n").chars().map(|c| if obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// Bytes kept for [`super::Exit`].
const TAIL: usize = 4 * 1024;
/// Longest line shown.
const LINE: usize = 1024;
/// What comes within this time counts together.
const WINDOW: Duration = Duration::from_millis(500);
/// Lines shown per window.
const WINDOW_LINES: u32 = 20;
/// Bytes read per window before the server has to wait.
const WINDOW_BYTES: usize = 1024 * 1024;
/// Shorter values are words that also stand in ordinary messages.
const SHORTEST_SECRET: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn stderr(env: &[(&str, &str)]) -> Stderr {
        let env: Vec<EnvVar> =
            env.iter().map(|(name, value)| EnvVar { name: (*name).into(), value: (*value).into() }).collect();
        Stderr::new(
            &ServerName::new("s").unwrap(),
            &env,
            &["--key=".into(), Argument::Secret("battery staple".into())],
        )
    }

    #[track_caller]
    fn check(said: &[u8], shown: &str) {
        let stderr = stderr(&[("TOKEN", "correct horse"), ("MODE", "fast")]);
        stderr.push(said, Instant::now());
        assert_eq!(stderr.tail(), shown);
    }

    #[test]
    fn the_tail_is_harmless() {
        check(b"plain\n", "plain");
        check(b"\x1b[2Jgone\x07", "\u{fffd}[2Jgone\u{fffd}");
        check("a\u{202e}b\r\nc\td".as_bytes(), "a\u{fffd}b\nc\td");
        check(b"bad \xff byte", "bad \u{fffd} byte");
        check(b"token is correct horse, mode is fast", "token is [redacted], mode is fast");
        check(b"--key= battery staple", "--key= [redacted]");
    }

    #[test]
    fn the_tail_is_the_last_four_kib() {
        let stderr = stderr(&[]);
        for n in 0..100_000 {
            stderr.push(format!("{n}\n").as_bytes(), Instant::now());
        }
        let tail = stderr.tail();
        assert!(tail.len() <= TAIL && tail.ends_with("99998\n99999"), "{} bytes", tail.len());
        let wide = self::stderr(&[]);
        wide.push(&[0x1b; 3 * TAIL], Instant::now());
        assert!(wide.tail().len() <= TAIL);
    }

    #[test]
    fn a_flood_has_to_wait() {
        let stderr = stderr(&[]);
        let start = Instant::now();
        assert_eq!(stderr.push(b"hello", start), None);
        let pause = stderr.push(&vec![b'x'; WINDOW_BYTES], start).unwrap();
        assert_eq!(pause, WINDOW);
        assert_eq!(stderr.push(b"again", start + pause), None);
    }
}
