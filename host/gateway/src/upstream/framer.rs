//! Cuts a server's output into lines, and survives lines that are too long.
//!
//! No socket, no clock: bytes come in, [`Frame`]s come out, the same ones however the bytes were chunked. A line beyond
//! the cap is never held: of it remain its first and last bytes, enough to find out which request it answered.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

/// How much of the start and of the end of an over-long message is kept.
pub(super) const KEPT: usize = 4 * 1024;

/// One line of output, without its line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// A whole line.
    Line(Bytes),
    /// The first [`KEPT`] bytes of a line that has just gone beyond the cap. What is left of it comes once it ends, if it
    /// ever does.
    Overflow(Bytes),
    /// A line beyond the cap: what is left of it.
    TooLong {
        /// Its first [`KEPT`] bytes.
        head: Bytes,
        /// Its last [`KEPT`] bytes.
        tail: Bytes,
    },
}

/// The line cutter of one stream.
#[derive(Debug)]
pub(super) struct Framer {
    buffer: BytesMut,
    /// So many bytes of `buffer` hold no line feed.
    scanned: usize,
    skipping: Option<Skipped>,
    cap: usize,
}

/// An over-long line whose end has not come yet.
#[derive(Debug)]
struct Skipped {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Framer {
    /// For lines of at most `cap` bytes.
    pub(super) fn new(cap: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, skipping: None, cap }
    }

    /// Where the next bytes go: append, then call [`Framer::next`] until it has nothing more.
    pub(super) fn spare(&mut self) -> &mut BytesMut {
        self.buffer.reserve(CHUNK);
        &mut self.buffer
    }

    /// The next complete line.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let fresh = self.buffer.get(self.scanned..).unwrap_or_default();
        if let Some(at) = memchr(b'\n', fresh) {
            let mut line = self.buffer.split_to(self.scanned + at + 1);
            line.truncate(line.len() - 1);
            self.scanned = 0;
            return Some(self.complete(line.freeze()));
        }
        self.scanned = self.buffer.len();
        if self.skipping.is_some() || self.buffer.len() > self.cap {
            return self.skip();
        }
        None
    }

    /// What is left when the stream has ended without a last line feed.
    pub(super) fn finish(&mut self) -> Option<Frame> {
        let rest = self.buffer.split().freeze();
        self.scanned = 0;
        let is_line = !rest.is_empty() || self.skipping.is_some();
        is_line.then(|| self.complete(rest))
    }

    fn complete(&mut self, rest: Bytes) -> Frame {
        if let Some(mut skipped) = self.skipping.take() {
            skipped.absorb(&rest);
            return skipped.frame();
        }
        if rest.len() <= self.cap {
            return Frame::Line(rest);
        }
        Skipped::of(&rest).frame()
    }

    /// Lets go of everything buffered but the ends of the line it belongs to; says so the first time.
    fn skip(&mut self) -> Option<Frame> {
        let held = std::mem::take(&mut self.buffer);
        self.scanned = 0;
        if let Some(skipped) = &mut self.skipping {
            skipped.absorb(&held);
            return None;
        }
        let skipped = self.skipping.insert(Skipped::of(&held));
        Some(Frame::Overflow(Bytes::copy_from_slice(&skipped.head)))
    }
}

impl Skipped {
    fn of(start: &[u8]) -> Self {
        let mut skipped = Self { head: Vec::new(), tail: Vec::new() };
        skipped.absorb(start);
        skipped
    }

    fn absorb(&mut self, bytes: &[u8]) {
        let missing = KEPT - self.head.len();
        self.head.extend_from_slice(bytes.get(..missing).unwrap_or(bytes));
        self.tail.extend_from_slice(last(bytes, KEPT));
        let surplus = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..surplus);
    }

    fn frame(self) -> Frame {
        Frame::TooLong { head: self.head.into(), tail: self.tail.into() }
    }
}

/// The last `n` bytes, or all.
fn last(bytes: &[u8], n: usize) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(n)..).unwrap_or_default()
}

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(cap: usize, chunks: &[&[u8]]) -> Vec<Frame> {
        let mut framer = Framer::new(cap);
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.spare().extend_from_slice(chunk);
            frames.extend(std::iter::from_fn(|| framer.next()));
        }
        frames.extend(framer.finish());
        // Whether that is known before the end of a line is a matter of chunks.
        frames.retain(|frame| !matches!(frame, Frame::Overflow(_)));
        frames
    }

    fn line(text: &str) -> Frame {
        Frame::Line(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn lines_come_out_whole() {
        assert_eq!(frames(10, &[b"a\nbc", b"d\n\n"]), [line("a"), line("bcd"), line("")]);
        assert_eq!(frames(10, &[b"a\r\n", b"rest"]), [line("a\r"), line("rest")]);
        assert_eq!(frames(3, &[b"abc\nabcd\nab\n"]).len(), 3);
    }

    #[test]
    fn a_line_beyond_the_cap_leaves_its_ends_and_the_next_line() {
        let long = format!("head{}tail", "x".repeat(3 * KEPT));
        let text = format!("a\n{long}\nb\n");
        let got = frames(KEPT, &[text.as_bytes()]);
        let [first, Frame::TooLong { head, tail }, second] = got.as_slice() else { panic!("{}", got.len()) };
        assert_eq!((first, second), (&line("a"), &line("b")));
        assert_eq!((head.len(), tail.len()), (KEPT, KEPT));
        assert!(head.starts_with(b"head") && tail.ends_with(b"tail"));
    }

    #[test]
    fn never_more_than_the_cap_and_a_chunk_is_held() {
        let mut framer = Framer::new(1000);
        let mut overflows = 0;
        for _ in 0..10_000 {
            framer.spare().extend_from_slice(&[b'x'; 300]);
            while let Some(frame) = framer.next() {
                assert!(matches!(frame, Frame::Overflow(head) if head.len() <= KEPT));
                overflows += 1;
            }
            assert!(framer.buffer.len() <= 1300);
        }
        assert_eq!(overflows, 1, "said once, and before the line ends");
        assert!(matches!(framer.finish(), Some(Frame::TooLong { .. })));
    }

    /// Whatever the chunks, the lines are the same.
    #[test]
    fn chunking_does_not_matter() {
        let mut state = 7_u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..300 {
            let text: Vec<u8> = (0..random(400)).map(|_| b"ab\n\r{"[random(5) as usize]).collect();
            let expected = frames(24, &[&text]);
            let mut chunks = Vec::new();
            let mut rest = text.as_slice();
            while !rest.is_empty() {
                let (chunk, left) = rest.split_at((1 + random(30) as usize).min(rest.len()));
                chunks.push(chunk);
                rest = left;
            }
            assert_eq!(frames(24, &chunks), expected, "{:?}", String::from_utf8_lossy(&text));
        }
    }
}
