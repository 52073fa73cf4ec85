//! Where the requests of a connection begin and end, as far as it must be known to see one thing that the HTTP library does
//! not show: a request with both `Content-Length` and `Transfer-Encoding`. Whoever sends that wants two readers to disagree
//! about where it ends (RFC 9112 section 6.3: it "ought to be handled as an error").
//!
//! Only looks; the library reads the same bytes and decides everything else. What cannot be followed is not looked at
//! any further: the library refuses it.

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
    /// `ambiguous` becomes true when a request says its length in two ways, and stays so.
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
    /// Looks at the next bytes; true when a head in them says two lengths.
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
        let room = LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// Takes a whole line.
    fn line(&mut self) -> bool {
        let line = self.line.trim_ascii();
        match self.at {
            At::Head if line.is_empty() => return self.head_over(),
            At::Head => {
                let colon = line.iter().position(|byte| *byte == b':').unwrap_or_default();
                let (name, value) = line.split_at(colon);
                if name.eq_ignore_ascii_case(b"content-length") {
                    self.length = Some(number(value.get(1..).unwrap_or_default(), 10).unwrap_or(u64::MAX));
                }
                self.chunked |= name.eq_ignore_ascii_case(b"transfer-encoding");
            }
            At::ChunkSize => {
                let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
                self.at = match number(size, 16) {
                    None => At::Lost,
                    Some(0) => At::Trailers,
                    // Its own end of line belongs to it.
                    Some(size) => At::Chunk(size.saturating_add(2)),
                };
            }
            At::Trailers if line.is_empty() => self.at = At::Head,
            At::Trailers | At::Body(_) | At::Chunk(_) | At::Lost => {}
        }
        false
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

fn number(text: &[u8], radix: u32) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text.trim_ascii()).ok()?, radix).ok()
}

/// Longer than every line that matters.
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
    fn every_request_of_a_connection_is_looked_at_and_no_body() {
        let inside = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{inside}", inside.len());
        let chunks = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x};a=b\r\n{inside}\r\n0\r\nTrailer: x\r\n\r\n",
            inside.len()
        );
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for before in [&*body, &*chunks, get] {
            check(before, false);
            check(&format!("{before}{get}{before}"), false);
            check(&format!("{before}{BOTH}"), true);
        }
    }

    #[test]
    fn what_is_no_http_is_not_followed() {
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", false);
        check(&"x".repeat(1000), false);
        check(&format!("{}: Content-Length\r\n\r\n", "x".repeat(1000)), false);
    }
}
