//! Reads `text/event-stream` (WHATWG HTML, "Server-sent events") as it arrives.
//!
//! No socket, no clock: bytes come in, [`SseFrame`]s come out, the same ones however the bytes were chunked. Lines may end
//! in LF, CR or CRLF; comments vanish; an event beyond the cap is not held. An event that the end of the stream cut off
//! never comes out.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use super::framer::KEPT;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SseFrame {
    /// A whole event that carries data.
    Event {
        /// Its name; empty means `message`.
        name: String,
        /// Its data lines, joined by line feeds.
        data: Bytes,
    },
    /// An event beyond the cap: the first bytes of its data.
    TooLong(Bytes),
}

/// The parser of one stream.
#[derive(Debug)]
pub(super) struct SseParser {
    cap: usize,
    line: BytesMut,
    data: BytesMut,
    name: String,
    has_data: bool,
    /// The rest of the event is not held.
    is_too_long: bool,
    /// A line feed at the start of the next chunk belongs to a carriage return already seen.
    after_cr: bool,
    is_first_line: bool,
    last_id: Option<String>,
    /// The id of the event that is coming: it counts once that is whole.
    next_id: Option<String>,
    retry: Option<Duration>,
}

impl SseParser {
    /// For events of at most `cap` bytes of data.
    pub(super) fn new(cap: usize) -> Self {
        Self {
            cap,
            line: BytesMut::new(),
            data: BytesMut::new(),
            name: String::new(),
            has_data: false,
            is_too_long: false,
            after_cr: false,
            is_first_line: true,
            last_id: None,
            next_id: None,
            retry: None,
        }
    }

    /// The id to resume after, once the server has given one.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref().filter(|id| !id.is_empty())
    }

    /// A parser for the stream that continues a broken one: half an event is forgotten, id and retry are not.
    pub(super) fn resumed(self) -> Self {
        Self { last_id: self.last_id, retry: self.retry, ..Self::new(self.cap) }
    }

    /// How much of the event that is coming is held, in bytes, as far as it may be a message.
    pub(super) fn held(&self) -> usize {
        let is_message = self.name.is_empty() || self.name == "message";
        if is_message && !self.is_too_long { self.data.len() + self.line.len() } else { 0 }
    }

    /// The data of the event that is coming, as far as it has come; None while its last line may still be something else.
    pub(super) fn coming(&self) -> Option<Bytes> {
        let value = match field(&self.line) {
            _ if self.line.is_empty() => None,
            (b"data", value) if self.line.starts_with(b"data:") && self.line.len() > FIELD_NAME => {
                Some(value)
            }
            _ => return None,
        };
        let mut data = BytesMut::with_capacity(self.data.len() + self.line.len() + 1);
        data.extend_from_slice(&self.data);
        if let Some(value) = value {
            data.extend_from_slice(if self.has_data { b"\n" } else { b"" });
            data.extend_from_slice(value);
        }
        Some(data.freeze())
    }

    /// What reads the rest of the event whose start [`SseParser::coming`] gave.
    pub(super) fn into_tail(self) -> EventTail {
        let place = if self.line.is_empty() { TailPlace::Start } else { TailPlace::Data };
        EventTail { place, line: Vec::new(), after_cr: self.after_cr }
    }

    /// How long the server wants us to wait before we connect again.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes bytes and hands every event they complete to `each`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(SseFrame)) {
        if self.after_cr && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            self.after_cr = false;
        }
        while let Some(end) = memchr2(b'\n', b'\r', bytes) {
            let (part, rest) = bytes.split_at(end);
            self.extend_line(part).into_iter().for_each(&mut *each);
            self.after_cr = rest == b"\r";
            bytes = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..)).unwrap_or_default();
            if let Some(frame) = self.end_line() {
                each(frame);
            }
        }
        self.extend_line(bytes).into_iter().for_each(each);
    }

    /// An event that goes beyond the cap is said so at once: its end may never come.
    fn extend_line(&mut self, part: &[u8]) -> Option<SseFrame> {
        if self.is_too_long {
            // Only whether the line is empty still matters.
            if self.line.is_empty() {
                self.line.extend_from_slice(part.get(..1).unwrap_or_default());
            }
            return None;
        }
        self.make_room(part.len());
        self.line.extend_from_slice(part);
        (self.line.len() + self.data.len() > self.cap + FIELD_NAME).then(|| self.overflow())
    }

    /// Twice as much as before, but no more than an event may take: the last doubling of a long one would cost the most.
    fn make_room(&mut self, more: usize) {
        let needed = self.line.len() + more;
        if needed <= self.line.capacity() {
            return;
        }
        let most = self.cap + FIELD_NAME + more;
        let mut larger = BytesMut::with_capacity(needed.max(2 * self.line.len()).min(most).max(needed));
        larger.extend_from_slice(&self.line);
        self.line = larger;
    }

    fn overflow(&mut self) -> SseFrame {
        let held = if self.data.is_empty() { field(&self.line).1 } else { &self.data };
        let head = Bytes::copy_from_slice(held.get(..KEPT).unwrap_or(held));
        self.is_too_long = true;
        self.data = BytesMut::new();
        self.line = BytesMut::from(&b"x"[..]);
        SseFrame::TooLong(head)
    }

    fn end_line(&mut self) -> Option<SseFrame> {
        let mut line = self.line.split().freeze();
        if std::mem::take(&mut self.is_first_line) && line.starts_with(b"\xef\xbb\xbf") {
            line = line.slice(3..);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        if !self.is_too_long {
            self.take_field(&line);
        }
        None
    }

    fn take_field(&mut self, line: &Bytes) {
        let (name, value) = field(line);
        match name {
            b"data" => {
                if self.has_data {
                    self.data.extend_from_slice(b"\n");
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => self.next_id = Some(String::from_utf8_lossy(value).into_owned()),
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let millis = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.retry = millis.map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<SseFrame> {
        self.last_id = self.next_id.take().or_else(|| self.last_id.take());
        let name = std::mem::take(&mut self.name);
        let data = self.data.split().freeze();
        self.has_data = false;
        if std::mem::take(&mut self.is_too_long) {
            return None;
        }
        (!data.is_empty()).then_some(SseFrame::Event { name, data })
    }
}

/// The rest of one event, whose data is handed on as it comes.
#[derive(Debug)]
pub(super) struct EventTail {
    place: TailPlace,
    /// The start of a line of which it is not known yet what it is.
    line: Vec<u8>,
    after_cr: bool,
}

/// Where in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TailPlace {
    /// In the first bytes of a line.
    Start,
    /// In a line of data.
    Data,
    /// In a line of something else.
    Other,
    /// Behind it.
    Over,
}

impl EventTail {
    /// Whether the event has ended. What comes behind it is not read.
    pub(super) fn is_over(&self) -> bool {
        self.place == TailPlace::Over
    }

    /// Takes bytes and hands on those that are data of the event; says whether it still is a message.
    pub(super) fn feed(&mut self, bytes: &Bytes, each: &mut dyn FnMut(Bytes)) -> bool {
        let mut rest = bytes.clone();
        if self.after_cr && !rest.is_empty() {
            if rest.starts_with(b"\n") {
                rest = rest.slice(1..);
            }
            self.after_cr = false;
        }
        while !rest.is_empty() && !self.is_over() {
            let end = memchr2(b'\n', b'\r', &rest);
            let part = rest.split_to(end.unwrap_or(rest.len()));
            self.extend_line(part, each);
            if end.is_none() {
                return true;
            }
            if !self.end_line(each) {
                return false;
            }
            self.after_cr = rest.as_ref() == b"\r";
            let is_pair = rest.starts_with(b"\r\n");
            rest = rest.slice(if is_pair { 2 } else { 1 }..);
        }
        true
    }

    fn extend_line(&mut self, mut part: Bytes, each: &mut dyn FnMut(Bytes)) {
        if self.place == TailPlace::Start && !part.is_empty() {
            let more = part.split_to(part.len().min(LINE_START - self.line.len()));
            self.line.extend_from_slice(&more);
            if self.line.starts_with(b"data:") && self.line.len() >= FIELD_NAME {
                // One line of data follows another: a line feed is between them.
                each(Bytes::from_static(b"\n"));
                each(Bytes::copy_from_slice(field(&std::mem::take(&mut self.line)).1));
                self.place = TailPlace::Data;
            } else if self.line.len() >= LINE_START {
                self.place = TailPlace::Other;
            }
        }
        if self.place == TailPlace::Data && !part.is_empty() {
            each(part);
        }
    }

    /// Says whether the event still is a message.
    fn end_line(&mut self, each: &mut dyn FnMut(Bytes)) -> bool {
        let line = std::mem::take(&mut self.line);
        let place = std::mem::replace(&mut self.place, TailPlace::Start);
        match (place, field(&line)) {
            (TailPlace::Start, _) if line.is_empty() => self.place = TailPlace::Over,
            (TailPlace::Start, (b"data", value)) => {
                each(Bytes::from_static(b"\n"));
                each(Bytes::copy_from_slice(value));
            }
            (TailPlace::Start | TailPlace::Other, (b"event", value)) => {
                return value.is_empty() || value == b"message";
            }
            _ => {}
        }
        true
    }
}

/// A line's field name and value.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
    let (name, rest) = line.split_at(colon);
    let value = rest.strip_prefix(b":").unwrap_or(rest);
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

/// Room for `data: ` besides the data itself.
const FIELD_NAME: usize = 6;
/// So much of a line tells what it is: a whole `event: message` and more.
const LINE_START: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(cap: usize, chunks: &[&[u8]]) -> (Vec<SseFrame>, SseParser) {
        let mut parser = SseParser::new(cap);
        let mut frames = Vec::new();
        for chunk in chunks {
            parser.feed(chunk, &mut |frame| frames.push(frame));
        }
        (frames, parser)
    }

    #[track_caller]
    fn check(stream: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, data)| SseFrame::Event {
                name: (*name).into(),
                data: Bytes::copy_from_slice(data.as_bytes()),
            })
            .collect();
        assert_eq!(parse(100, &[stream.as_bytes()]).0, expected, "at once");
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(parse(100, &bytes).0, expected, "byte by byte");
    }

    #[test]
    fn events_as_the_standard_says() {
        check("data: a\n\n", &[("", "a")]);
        check("data:a\r\n\r\ndata: b\r\rdata: c\n\n", &[("", "a"), ("", "b"), ("", "c")]);
        check("event: endpoint\ndata: /m\n\n", &[("endpoint", "/m")]);
        check("data: a\ndata: b\ndata\ndata:  c\n\n", &[("", "a\nb\n\n c")]);
        check(": comment\n\n:\n\nid: 1\n\n", &[]);
        check("\u{feff}data: a\n\n", &[("", "a")]);
        check("data: cut off\n", &[]);
        check("retry: 10\nunknown: x\ndata: a\n\n", &[("", "a")]);
        check("event: a\n\ndata: b\n\n", &[("", "b")]);
    }

    #[test]
    fn ids_and_retry_are_remembered() {
        let (_, parser) = parse(100, &[b"id: 7\nretry: 1500\ndata: x\n\nid: a\0b\nretry: 1x\n\n"]);
        assert_eq!((parser.last_id(), parser.retry()), (Some("7"), Some(Duration::from_millis(1500))));
        let (_, parser) = parse(100, &[b"id: 7\n\nid\n\n"]);
        assert_eq!(parser.last_id(), None);
        let (_, parser) = parse(100, &[b"id: 7\ndata: x\n\nid: 8\ndata: cut o"]);
        assert_eq!(parser.last_id(), Some("7"), "an event that was cut off is to be sent again");
    }

    #[test]
    fn an_event_beyond_the_cap_leaves_its_start_and_the_next_event() {
        let stream = format!("data: start{}\ndata: more\n\ndata: b\n\n", "x".repeat(100));
        for size in [1, 7, 1000] {
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            let (frames, parser) = parse(50, &chunks);
            let [SseFrame::TooLong(head), SseFrame::Event { data, .. }] = frames.as_slice() else {
                panic!("{frames:?}")
            };
            assert!(head.starts_with(b"start"));
            assert_eq!(data.as_ref(), b"b");
            assert!(parser.line.capacity() < 1000);
        }
    }

    #[test]
    fn many_lines_together_are_capped_too() {
        let stream = format!("{}\n", "data: 0123456789\n".repeat(100));
        assert!(matches!(parse(50, &[stream.as_bytes()]).0.as_slice(), [SseFrame::TooLong(_)]));
    }

    /// What the tail makes of an event that is cut at `cut`, its rest in pieces of `size` bytes.
    fn tailed(event: &[u8], cut: usize, size: usize) -> Option<(Vec<u8>, bool)> {
        let mut parser = SseParser::new(1000);
        parser.feed(&event[..cut], &mut |frame| panic!("{frame:?}"));
        let mut data = parser.coming()?.to_vec();
        let mut tail = parser.into_tail();
        let mut is_message = true;
        for piece in event[cut..].chunks(size) {
            let piece = Bytes::copy_from_slice(piece);
            is_message = is_message && tail.feed(&piece, &mut |more| data.extend_from_slice(&more));
        }
        assert!(tail.is_over() || !is_message, "{cut} {size}");
        Some((data, is_message))
    }

    #[test]
    fn the_rest_of_an_event_flows_as_the_whole_would_have_come() {
        for event in [
            "data: {\"a\":1}\n\n",
            "id: 1\nevent: message\ndata: {\"a\":\ndata: 1,\ndata:2}\n\n",
            "data: one\r\ndata:  two\r\n\r\n",
            "data: one\rdata: two\rdata\r\r",
            "data: one\n: comment\nid: 7\nretry: 5\nunknown: x\ndata:\ndata: two\n\n",
        ] {
            let expected = match parse(1000, &[event.as_bytes()]).0.as_slice() {
                [SseFrame::Event { data, .. }] => data.to_vec(),
                other => panic!("{other:?}"),
            };
            let first = event.find("data").unwrap() + 7;
            let mut count = 0;
            for cut in first..event.len() - 2 {
                for size in 1..event.len() {
                    let Some(tailed) = tailed(event.as_bytes(), cut, size) else { continue };
                    assert_eq!(tailed, (expected.clone(), true), "{event:?} cut at {cut}, pieces of {size}");
                    count += 1;
                }
            }
            assert!(count > 0, "{event:?}");
        }
    }

    #[test]
    fn an_event_that_turns_out_to_be_of_another_kind_is_no_message() {
        let event = b"data: {}xxxx\nevent: other\n\n";
        assert_eq!(tailed(event, 9, 3).map(|(_, is_message)| is_message), Some(false));
        let event = b"data: {}xxxx\nevent: message\n\n";
        assert_eq!(tailed(event, 9, 3).map(|(_, is_message)| is_message), Some(true));
    }
}
