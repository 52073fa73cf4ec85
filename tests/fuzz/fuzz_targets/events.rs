//! Any bytes as an event stream, in any pieces: the same events however it was cut, none larger than allowed, and a
//! stream that our own writer made reads back as what was written.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "not everything of the parser is looked at")]
#[path = "."]
mod upstream {
    #[path = "../../../host/gateway/src/upstream/framer.rs"]
    mod framer;
    #[path = "../../../host/gateway/src/upstream/sse.rs"]
    mod sse;

    use sse::{SseFrame, SseParser};

    /// Name and data of each event (None: too long), and where to resume.
    pub(super) fn parse(pieces: &[&[u8]], cap: usize) -> (Vec<(String, Option<Vec<u8>>)>, Option<String>) {
        let mut parser = SseParser::new(cap);
        let mut events = Vec::new();
        for piece in pieces {
            parser.feed(piece, &mut |frame| {
                events.push(match frame {
                    SseFrame::Event { name, data } => (name, Some(data.to_vec())),
                    SseFrame::TooLong(head) => {
                        assert!(head.len() <= framer::KEPT);
                        (String::new(), None)
                    }
                });
            });
        }
        (events, parser.last_id().map(str::to_owned))
    }
}

/// Larger events are cut.
const CAP: usize = 64;

fuzz_target!(|input: &[u8]| {
    // The first byte says how it is cut.
    let Some((size, bytes)) = input.split_first() else { return };
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(size % 40) + 1).collect();
    let (events, id) = upstream::parse(&[bytes], CAP);
    assert_eq!((events.clone(), id), upstream::parse(&pieces, CAP));
    assert!(events.iter().flat_map(|(_, data)| data).all(|data| data.len() <= CAP + 6));
    // As a writer would: one line of data an event.
    let lines: Vec<&[u8]> = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty()).collect();
    let written: Vec<u8> = lines.iter().flat_map(|line| [b"event: message\ndata: ", *line, b"\n\n"].concat()).collect();
    let (read, _) = upstream::parse(&[&written], bytes.len() + 16);
    let expected: Vec<_> = lines.iter().map(|line| ("message".to_owned(), Some(line.to_vec()))).collect();
    assert_eq!(read, expected);
});
