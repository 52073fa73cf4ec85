//! Where the requests of a connection begin and end, as far as it must be known to see one thing that the HTTP library does
//! not show: a request with both `Content-Length` and `Transfer-Encoding`. Whoever sends that wants two readers to disagree
//! about where it ends (RFC 9112 section 6.3: it "ought to be handled as an error").
//!
//! Only looks; the library reads the same bytes and decides everything else. What cannot be followed counts as ambiguous and
//! is not looked at any further, so that nobody gets out of sight by confusing this reader alone.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that looks at what it reads.
pub(super) struct Framed<T> {
    inner: T,
    framing: Framing,
    ambiguous: Arc<AtomicBool>,
}

impl<T> Framed<T> {
    /// `ambiguous` becomes true when a request says its length in two ways, or in one that is not understood, and stays so.
    pub(super) fn new(inner: T, ambiguous: Arc<AtomicBool>) -> Self {
        Self { inner, framing: Framing::default(), ambiguous }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Framed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if self.framing.look(buf.filled().get(before..).unwrap_or_default()) {
            self.ambiguous.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Framed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Where in the requests of a connection we are.
#[derive(Default)]
struct Framing {
    at: At,
    /// The line that is being read, as much of it as matters.
    line: Vec<u8>,
    /// Whether there was more of it.
    is_cut: bool,
    /// The last byte of it but one, and the last.
    end: (u8, u8),
    /// Of the head that is being read.
    length: Option<u64>,
    chunked: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Head,
    /// So many bytes are left of a body, or of a chunk and its end.
    Body(u64),
    Chunk(u64),
    /// The length of the next chunk.
    ChunkSize,
    Trailers,
    /// Not followed any more.
    Lost,
}

impl Framing {
    /// Looks at the next bytes; true when a head in them says two lengths, or a length is not understood.
    fn look(&mut self, mut bytes: &[u8]) -> bool {
        let mut is_ambiguous = false;
        while !bytes.is_empty() {
            bytes = match self.at {
                At::Lost => return is_ambiguous,
                At::Body(left) => self.skip(bytes, left, At::Body, At::Head),
                At::Chunk(left) => self.skip(bytes, left, At::Chunk, At::ChunkSize),
                At::Head | At::ChunkSize | At::Trailers => match memchr::memchr(b'\n', bytes) {
                    None => {
                        self.keep(bytes);
                        return is_ambiguous;
                    }
                    Some(end) => {
                        let (line, rest) = bytes.split_at(end + 1);
                        self.keep(line);
                        is_ambiguous |= self.line();
                        self.line.clear();
                        self.is_cut = false;
                        rest
                    }
                },
            };
        }
        is_ambiguous
    }

    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64, here: fn(u64) -> At, then: At) -> &'a [u8] {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - count as u64;
        self.at = if left == 0 { then } else { here(left) };
        bytes.get(count..).unwrap_or_default()
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.end = match *bytes {
            [] => self.end,
            [last] => (self.end.1, last),
            [.., before, last] => (before, last),
        };
        if self.at == At::Head
            && let Some(first) = self.line.first().or(bytes.first()).copied()
            && (is_other(first) || self.line.is_empty() && is_other_line(bytes))
        {
            self.line.clear();
            self.line.push(first);
            return;
        }
        for byte in bytes {
            if self.is_padding(*byte) {
                continue;
            }
            if self.line.len() == LINE {
                self.is_cut = true;
                return;
            }
            self.line.push(*byte);
        }
    }

    /// Blanks before a value and zeros before a number: the library takes any number of them, so they must not fill the line.
    fn is_padding(&self, byte: u8) -> bool {
        match byte {
            b' ' | b'\t' => self.at == At::Head && self.line.ends_with(b":"),
            b'0' if self.at == At::ChunkSize => self.line == b"0",
            b'0' => self.line.ends_with(b":0"),
            _ => false,
        }
    }

    /// Takes a whole line.
    fn line(&mut self) -> bool {
        match self.at {
            At::Head => self.head_line(),
            At::ChunkSize => {
                let size = self.chunk_size();
                self.at = match size {
                    None => At::Lost,
                    Some(0) => At::Trailers,
                    // Its own end of line belongs to it.
                    Some(size) => At::Chunk(size.saturating_add(2)),
                };
                size.is_none()
            }
            At::Trailers => {
                // To the library a line feed alone ends a line of a head, but none of the trailers.
                let is_whole = self.end == (b'\r', b'\n');
                self.at = match self.line.as_slice() {
                    _ if !is_whole => At::Lost,
                    b"\r\n" => At::Head,
                    _ => At::Trailers,
                };
                !is_whole
            }
            At::Body(_) | At::Chunk(_) | At::Lost => false,
        }
    }

    fn head_line(&mut self) -> bool {
        let line = self.line.trim_ascii();
        if line.is_empty() {
            return self.head_over();
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or_default();
        let (name, value) = line.split_at(colon);
        self.chunked |= name.eq_ignore_ascii_case(b"transfer-encoding");
        if !name.eq_ignore_ascii_case(b"content-length") {
            return false;
        }
        let length = number(value.get(1..).unwrap_or_default(), 10).filter(|_| !self.is_cut);
        if length.is_none() {
            self.at = At::Lost;
        }
        self.length = length;
        length.is_none()
    }

    fn chunk_size(&self) -> Option<u64> {
        let (size, is_whole) = match self.line.iter().position(|byte| *byte == b';') {
            Some(end) => (self.line.get(..end)?, true),
            None => (self.line.as_slice(), !self.is_cut),
        };
        number(size, 16).filter(|_| is_whole)
    }

    fn head_over(&mut self) -> bool {
        let (length, chunked) = (self.length.take(), std::mem::take(&mut self.chunked));
        self.at = match length {
            _ if chunked => At::ChunkSize,
            Some(length) if length > 0 => At::Body(length),
            _ => At::Head,
        };
        chunked && length.is_some()
    }
}

/// Whether a line of a head that begins like this is neither empty nor one of those that matter.
const fn is_other(first: u8) -> bool {
    !matches!(first, b'c' | b'C' | b't' | b'T') && !first.is_ascii_whitespace()
}

/// Whether these are a whole line of a head, from its beginning, and not of those that matter. Blanks before a name are the
/// line's own business.
fn is_other_line(bytes: &[u8]) -> bool {
    let begins = |name: &[u8]| bytes.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
    let is_plain = bytes.first().is_some_and(|first| !first.is_ascii_whitespace());
    is_plain && bytes.ends_with(b"\n") && !begins(b"content-length") && !begins(b"transfer-encoding")
}

/// Blanks around it aside.
fn number(text: &[u8], radix: u32) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text.trim_ascii()).ok()?, radix).ok()
}

/// Longer than every line that matters, without its padding.
const LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole, and byte by byte.
    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(Framing::default().look(text.as_bytes()), expected, "{text:?}");
        let mut framing = Framing::default();
        let pieces = text.as_bytes().chunks(1).fold(false, |so_far, piece| so_far | framing.look(piece));
        assert_eq!(pieces, expected, "{text:?} byte by byte");
    }

    const BOTH: &str = "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

    #[test]
    fn two_lengths_are_seen_in_either_order_and_spelling() {
        check(BOTH, true);
        check("POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nCONTENT-LENGTH:0\r\n\r\n", true);
        check("POST / HTTP/1.1\nTransfer-Encoding: chunked\nContent-Length: x\n\n", true);
        check("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", false);
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false);
        check("GET / HTTP/1.1\r\nX: Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false);
    }

    #[test]
    fn names_that_only_begin_like_the_two_are_others() {
        let like = "Content-Type: x\r\nCookie: Content-Length: 5\r\nTE: trailers\r\nContent-Lengthy: 9\r\n";
        for (more, expected) in [
            ("Content-Length: 0\r\n", false),
            ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", true),
            ("Transfer-Encodings: chunked\r\n", false),
        ] {
            check(&format!("POST / HTTP/1.1\r\n{like}{more}{like}\r\n"), expected);
        }
    }

    #[test]
    fn every_request_of_a_connection_is_looked_at_and_no_body() {
        let inside = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{inside}", inside.len());
        let chunks = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x};a=b\r\n{inside}\r\n0\r\nTrailer: x\r\n\r\n",
            inside.len()
        );
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let many = |what: &str| what.repeat(100);
        let (blanks, zeros) = (many(" \t"), many("0"));
        let padded = format!("POST / HTTP/1.1\r\nContent-Length:{blanks}{zeros}\r\n\r\n");
        let padded_body = format!("POST / HTTP/1.1\r\nContent-Length:{blanks}{zeros}5\r\n\r\nhello");
        let padded_chunks = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{zeros}3;{}\r\nabc\r\n{zeros}\r\n \r\nX: {}\r\n\r\n",
            many("x"),
            many("x")
        );
        for before in [&*body, &*chunks, get, &*padded, &*padded_body, &*padded_chunks] {
            check(before, false);
            check(&format!("{before}{get}{before}"), false);
            check(&format!("{before}{BOTH}"), true);
        }
    }

    #[test]
    fn a_length_that_is_not_understood_hides_nothing() {
        let blanks = " ".repeat(100);
        for length in ["", "x", "-1", "5, 5", "99999999999999999999", &format!("5{blanks}"), &"1".repeat(100)]
        {
            check(&format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"), true);
        }
        for size in ["", "zz", "-1", "0x1", "10000000000000000", &format!("5{blanks};x"), &"1".repeat(100)] {
            check(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n"), true);
        }
        let chunks = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
        for trailers in ["\n", "X: x\n\n", &format!("X: {blanks}\n\n")] {
            check(&format!("{chunks}{trailers}POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n"), true);
        }
    }

    #[test]
    fn what_is_no_http_is_not_followed() {
        check(&"x".repeat(1000), false);
        check(&format!("{}: Content-Length\r\n\r\n", "x".repeat(1000)), false);
    }
}
