//! Messages on a pipe: one a line, of bounded length.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// Reads lines. Nothing is lost when [`Lines::next`] is dropped half-way.
pub(super) struct Lines<R> {
    input: R,
    most: usize,
    line: Vec<u8>,
    is_too_long: bool,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// All of it, without its end.
    Whole(Bytes),
    /// The start of one that was longer than allowed; the rest was skipped.
    TooLong(Vec<u8>),
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) const fn new(input: R, most: usize) -> Self {
        Self { input, most, line: Vec::new(), is_too_long: false }
    }

    /// The next line that is not blank; None at the end of the input, a last line without an end included.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let available = self.input.fill_buf().await?;
            let is_end = available.is_empty();
            let newline = memchr::memchr(b'\n', available);
            let taken = available.get(..newline.unwrap_or(available.len())).unwrap_or_default();
            if self.line.len() + taken.len() > self.most {
                self.is_too_long = true;
            }
            if !self.is_too_long {
                self.line.extend_from_slice(taken);
            } else if self.line.len() < START {
                let missing = taken.len().min(START - self.line.len());
                self.line.extend_from_slice(taken.get(..missing).unwrap_or_default());
            } else {
                self.line.truncate(START);
                self.line.shrink_to_fit();
            }
            let used = newline.map_or(taken.len(), |at| at + 1);
            self.input.consume(used);
            if newline.is_some() || is_end {
                match self.finish() {
                    Some(line) => return Ok(Some(line)),
                    None if is_end => return Ok(None),
                    None => {}
                }
            }
        }
    }

    fn finish(&mut self) -> Option<Line> {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.is_too_long) {
            return Some(Line::TooLong(line));
        }
        (!line.trim_ascii().is_empty()).then(|| Line::Whole(line.into()))
    }
}

/// How much of a line that is too long is kept, to find the id it carries.
const START: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(input: &[u8], most: usize, expected: &[Line]) {
        for capacity in [1, 3, 8192] {
            let mut lines = Lines::new(tokio::io::BufReader::with_capacity(capacity, input), most);
            for line in expected {
                assert_eq!(lines.next().await.unwrap().as_ref(), Some(line), "{capacity}");
            }
            assert_eq!(lines.next().await.unwrap(), None, "{capacity}");
        }
    }

    fn whole(text: &'static str) -> Line {
        Line::Whole(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_are_cut_at_their_ends() {
        check(b"", 9, &[]).await;
        check(b"a\nbc\n", 9, &[whole("a"), whole("bc")]).await;
        check(b"a\r\n\n \r\nb", 9, &[whole("a\r"), whole("b")]).await;
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_costs_itself_only() {
        let long = || Line::TooLong(b"12345".to_vec());
        check(b"1234\n12345\nok\n", 4, &[whole("1234"), long(), whole("ok")]).await;
        check(b"12345", 4, &[long()]).await;
        let huge = [vec![b'x'; 3 * START], b"\nok".to_vec()].concat();
        check(&huge, START, &[Line::TooLong(vec![b'x'; START]), whole("ok")]).await;
    }
}
