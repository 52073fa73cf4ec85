//! Any bytes on a pipe, in any pieces: both readers of lines (from servers, from clients) find the same lines as a split
//! at line feeds does, hold no more than they may, and lose only what is too long.
#![no_main]

use bytes::Bytes;
use futures_util::FutureExt as _;
use libfuzzer_sys::fuzz_target;
use tokio::io::BufReader;

#[allow(dead_code, reason = "not everything of the reader is looked at")]
#[path = "."]
mod upstream {
    #[path = "../../../host/gateway/src/upstream/framer.rs"]
    mod framer;

    use framer::{Frame, Framer};

    /// What is left of each line: all of it, or its first and last bytes.
    pub(super) fn cut(pieces: &[&[u8]], cap: usize) -> Vec<Result<Vec<u8>, (Vec<u8>, Vec<u8>)>> {
        let mut framer = Framer::new(cap);
        let mut lines = Vec::new();
        let mut take = |frame| match frame {
            Frame::Line(line) => lines.push(Ok(line.to_vec())),
            // Whether it comes before the rest of its line is a matter of pieces.
            Frame::Overflow(head) => assert!(head.len() <= framer::KEPT),
            Frame::TooLong { head, tail } => {
                assert!(head.len() <= framer::KEPT && tail.len() <= framer::KEPT);
                lines.push(Err((head.to_vec(), tail.to_vec())));
            }
        };
        for piece in pieces {
            framer.spare().extend_from_slice(piece);
            while let Some(frame) = framer.next() {
                take(frame);
            }
        }
        framer.finish().into_iter().for_each(&mut take);
        lines
    }
}

#[allow(dead_code, reason = "not everything of the reader is looked at")]
#[path = "."]
mod front {
    #[path = "../../../host/gateway/src/front/lines.rs"]
    mod lines;

    use super::*;
    use lines::{Line, Lines};

    /// The lines that are not blank; None for one that was too long.
    pub(super) fn read(bytes: &[u8], capacity: usize, most: usize) -> Vec<Option<Bytes>> {
        let mut lines = Lines::new(BufReader::with_capacity(capacity, bytes), most);
        let mut all = Vec::new();
        while let Some(line) = lines.next().now_or_never().expect("a slice is always ready").expect("a slice") {
            all.push(match line {
                Line::Whole(line) => Some(line),
                Line::TooLong(_) => None,
            });
        }
        all
    }
}

/// Longer lines are cut.
const CAP: usize = 24;

fuzz_target!(|input: &[u8]| {
    // The first byte says how it is cut.
    let Some((size, bytes)) = input.split_first() else { return };
    let size = usize::from(size % 40) + 1;
    let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
    let found = upstream::cut(&pieces, CAP);
    assert_eq!(found, upstream::cut(&[bytes], CAP), "pieces of {size} bytes");
    let mut expected: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // What follows the last line feed is a line only when there is something.
    expected.pop_if(|last| last.is_empty());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        match found {
            Ok(line) => assert_eq!(line, expected),
            Err((head, tail)) => {
                assert!(expected.len() > CAP, "a line that was not too long is lost");
                assert!(expected.starts_with(head) && expected.ends_with(tail));
            }
        }
    }
    let read = front::read(bytes, size, CAP);
    let kept = expected.iter().filter(|line| line.len() > CAP || !line.trim_ascii().is_empty());
    let kept: Vec<Option<Bytes>> =
        kept.map(|line| (line.len() <= CAP).then(|| Bytes::copy_from_slice(line))).collect();
    assert_eq!(read, kept);
});
