//! What clients and servers may take from the gateway: `limits` of the file. What one server or one plugin may take stands
//! with that server (`deadlines`, `maxInFlight`) or plugin (`limits`).
//!
//! Every key has a default and bounds: beyond them a number is a slip, and is refused with its line.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;

use crate::document::units::{AtOnce, BadQuantity, Memory, Percent, Span};
use crate::document::{Diagnostic, Source, Spanned, Text};

/// Limits, ready to use. The groups are those of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// One HTTP request.
    pub http: HttpLimits,
    /// Open connections.
    pub connections: ConnectionLimits,
    /// Sessions of clients of before 2026-07-28.
    pub sessions: SessionLimits,
    /// Calls at once.
    pub in_flight: InFlightLimits,
    /// Largest message of a server, and of a client on stdio, in bytes.
    pub message: usize,
    /// Largest result that is passed on as it comes, in bytes.
    pub streamed_result: usize,
    /// What servers say unasked.
    pub notifications: NotificationLimits,
    /// How many requests to one remote may be repeated, in percent of all of them.
    pub retries: u8,
    /// What is read at once from files and from elsewhere.
    pub documents: DocumentLimits,
    /// How long calls in flight may take once the gateway is told to stop.
    pub drain: Duration,
}

/// What one HTTP request may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Largest head (request line and headers), in bytes.
    pub headers: usize,
    /// Time for the head. A connection on which nothing is asked ends after it, too.
    pub header_time: Duration,
    /// Largest body, in bytes.
    pub body: usize,
    /// Time for the body.
    pub body_time: Duration,
    /// Slowest body, in bytes a second.
    pub body_rate: usize,
    /// Time in which a client must take something of what is written to it.
    pub write_stall: Duration,
}

/// How many connections may be open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// All of them.
    pub total: NonZeroUsize,
    /// Those from one address, of IPv6 from one network of 64 bits.
    pub per_address: NonZeroUsize,
}

/// How many sessions are kept in memory, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLimits {
    /// All of them.
    pub total: NonZeroUsize,
    /// Those of one principal.
    pub per_principal: NonZeroUsize,
    /// How long one is kept whose client did not come back after `initialize`.
    pub uninitialized: Duration,
    /// How long one is kept that is not used.
    pub idle: Duration,
}

/// How many calls may be under way at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlightLimits {
    /// All of them.
    pub total: NonZeroUsize,
    /// Those with one server, where its entry does not say otherwise.
    pub per_server: NonZeroUsize,
    /// Those of one session.
    pub per_session: NonZeroUsize,
}

/// How many notifications one server may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationLimits {
    /// In a second, in the long run.
    pub per_second: NonZeroUsize,
    /// At once.
    pub burst: NonZeroUsize,
}

/// How large what is read as a whole may be, in bytes. Counts from the next reload on, unlike the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentLimits {
    /// A catalog, from wherever; everything together that one reference to a catalog source yields.
    pub catalog: u64,
    /// A plugin's component, at most [`wasmgate_wasm::MAX_COMPONENT_BYTES`].
    pub component: u64,
    /// What the token service of a registry answers.
    pub token: u64,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Limits::default().documents
    }
}

/// `limits:`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawLimits {
    http: RawHttp,
    connections: RawConnections,
    sessions: RawSessions,
    in_flight: RawInFlight,
    message: Written,
    streamed_result: Written,
    notifications: RawNotifications,
    retries: Written,
    documents: RawDocuments,
    drain: Written,
}

type Written = Option<Spanned<Text>>;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawHttp {
    headers: Written,
    header_time: Written,
    body: Written,
    body_time: Written,
    body_rate: Written,
    write_stall: Written,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawConnections {
    total: Written,
    per_address: Written,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawSessions {
    total: Written,
    per_principal: Written,
    uninitialized: Written,
    idle: Written,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawInFlight {
    total: Written,
    per_server: Written,
    per_session: Written,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawNotifications {
    per_second: Written,
    burst: Written,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawDocuments {
    catalog: Written,
    component: Written,
    token: Written,
}

impl Default for Limits {
    fn default() -> Self {
        let nothing = Source { file: "", text: "" };
        limits(RawLimits::default(), &nothing, &mut Vec::new())
    }
}

/// The limits as written, and the defaults where nothing is.
pub(super) fn limits(raw: RawLimits, source: &Source<'_>, problems: &mut Vec<Diagnostic>) -> Limits {
    let RawLimits { http, connections, sessions, in_flight, .. } = raw;
    let RawLimits { message, streamed_result, notifications, retries, documents, drain, .. } = raw;
    let mut reader = Reader { source, problems };
    Limits {
        http: reader.http(http),
        connections: reader.connections(connections),
        sessions: reader.sessions(sessions),
        in_flight: reader.in_flight(in_flight),
        message: reader.size("message", message, (16 * MIB, 4 * KIB, GIB)),
        streamed_result: reader.size("streamedResult", streamed_result, (GIB, 4 * KIB, 1024 * GIB)),
        notifications: NotificationLimits {
            per_second: reader.number("notifications.perSecond", notifications.per_second, (100, MANY)),
            burst: reader.number("notifications.burst", notifications.burst, (1000, MANY)),
        },
        retries: reader.share("retries", retries, 20),
        documents: reader.documents(documents),
        drain: reader.time("drain", drain, 25 * SECOND),
    }
}

struct Reader<'a> {
    source: &'a Source<'a>,
    problems: &'a mut Vec<Diagnostic>,
}

/// What may be written for a key, and how.
struct Quantity<T> {
    default: T,
    least: T,
    most: T,
    read: fn(&str) -> Result<T, BadQuantity>,
    show: fn(T) -> String,
}

impl Reader<'_> {
    fn http(&mut self, raw: RawHttp) -> HttpLimits {
        HttpLimits {
            headers: self.size("http.headers", raw.headers, (32 * KIB, KIB, 256 * KIB)),
            header_time: self.time("http.headerTime", raw.header_time, 10 * SECOND),
            body: self.size("http.body", raw.body, (4 * MIB, KIB, GIB)),
            body_time: self.time("http.bodyTime", raw.body_time, 30 * SECOND),
            body_rate: self.size("http.bodyRate", raw.body_rate, (KIB, 1, GIB)),
            write_stall: self.time("http.writeStall", raw.write_stall, 30 * SECOND),
        }
    }

    fn connections(&mut self, raw: RawConnections) -> ConnectionLimits {
        let total = self.number("connections.total", raw.total, (4096, MANY));
        // Behind a proxy all come from one address; and whoever has one address only leaves a place to others.
        let most = total.get() - total.get() / 4;
        let per_address = self.number("connections.perAddress", raw.per_address, (most, total.get()));
        ConnectionLimits { total, per_address }
    }

    fn sessions(&mut self, raw: RawSessions) -> SessionLimits {
        let total = self.number("sessions.total", raw.total, (10_000, MANY));
        SessionLimits {
            total,
            // All who share one token are one principal.
            per_principal: self.number(
                "sessions.perPrincipal",
                raw.per_principal,
                (total.get(), total.get()),
            ),
            uninitialized: self.time("sessions.uninitialized", raw.uninitialized, 60 * SECOND),
            idle: self.time("sessions.idle", raw.idle, 30 * 60 * SECOND),
        }
    }

    fn in_flight(&mut self, raw: RawInFlight) -> InFlightLimits {
        let total = self.number("inFlight.total", raw.total, (1024, MANY));
        let of_total = |usual: usize| (usual.min(total.get()), total.get());
        InFlightLimits {
            total,
            per_server: self.number("inFlight.perServer", raw.per_server, of_total(128)),
            per_session: self.number("inFlight.perSession", raw.per_session, of_total(64)),
        }
    }

    fn documents(&mut self, raw: RawDocuments) -> DocumentLimits {
        DocumentLimits {
            // The whole official registry is one.
            catalog: self.bytes("documents.catalog", raw.catalog, (32 * MIB, KIB, GIB)),
            component: self.bytes("documents.component", raw.component, (32 * MIB, KIB, COMPONENT)),
            token: self.bytes("documents.token", raw.token, (256 * KIB, KIB, 16 * MIB)),
        }
    }

    fn size(&mut self, key: &str, written: Written, range: (u64, u64, u64)) -> usize {
        usize::try_from(self.bytes(key, written, range)).unwrap_or(usize::MAX)
    }

    fn bytes(&mut self, key: &str, written: Written, (default, least, most): (u64, u64, u64)) -> u64 {
        let read = |text: &str| text.parse().map(|Memory(bytes)| bytes);
        self.read(key, written, &Quantity { default, least, most, read, show: bytes })
    }

    fn share(&mut self, key: &str, written: Written, default: u8) -> u8 {
        let read = |text: &str| text.parse().map(|Percent(share)| share);
        let show = |share| format!("{share}%");
        self.read(key, written, &Quantity { default, least: 0, most: 100, read, show })
    }

    fn time(&mut self, key: &str, written: Written, default: Duration) -> Duration {
        let read = |text: &str| text.parse().map(|Span(time)| time);
        let show = |time| format!("{time:?}");
        self.read(key, written, &Quantity { default, least: SHORTEST, most: LONGEST, read, show })
    }

    fn number(&mut self, key: &str, written: Written, (default, most): (usize, usize)) -> NonZeroUsize {
        let read = |text: &str| text.parse().map(|AtOnce(number)| number);
        let show = |number: NonZeroUsize| number.to_string();
        let (default, most) = (at_least_one(default), at_least_one(most));
        self.read(key, written, &Quantity { default, least: NonZeroUsize::MIN, most, read, show })
    }

    fn read<T: Copy + PartialOrd>(&mut self, key: &str, written: Written, quantity: &Quantity<T>) -> T {
        let Quantity { default, least, most, read, show } = quantity;
        let Some(Spanned { value: Text(text), referenced: spot, .. }) = written else { return *default };
        let (wrong, cure) = match read(&text) {
            Ok(value) if value < *least => ("is too little", format!("write at least `{}`", show(*least))),
            Ok(value) if value > *most => ("is too much", format!("write at most `{}`", show(*most))),
            Ok(value) => return value,
            Err(error) => {
                self.problems.push(self.source.at(&spot, &text, error.to_string(), String::new()));
                return *default;
            }
        };
        let cure = format!("{cure}, or leave it out for `{}`", show(*default));
        self.problems.push(self.source.at(
            &spot,
            &text,
            format!("`{text}` {wrong} for `limits.{key}`"),
            cure,
        ));
        *default
    }
}

/// In the largest unit that makes it a whole number.
fn bytes(size: u64) -> String {
    let units = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    let unit = units.iter().find(|(unit, _)| size >= *unit && size.is_multiple_of(*unit));
    unit.map_or_else(|| size.to_string(), |(unit, name)| format!("{}{name}", size / unit))
}

const fn at_least_one(number: usize) -> NonZeroUsize {
    match NonZeroUsize::new(number) {
        Some(number) => number,
        None => NonZeroUsize::MIN,
    }
}

/// What the engine compiles at most.
const COMPONENT: u64 = wasmgate_wasm::MAX_COMPONENT_BYTES as u64;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: Duration = Duration::from_secs(1);
/// What takes less cannot be told from nothing.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// More than any machine has room for.
const MANY: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::document::render;

    /// What is not the default, or what is wrong.
    #[track_caller]
    fn check(text: &str, expected: Expect) {
        let source = Source { file: "f.yaml", text };
        let mut problems = Vec::new();
        match source.parse().map(|raw| limits(raw, &source, &mut problems)) {
            Err(problem) => problems.push(problem),
            Ok(read) if problems.is_empty() => {
                let (read, usual) = (format!("{read:#?}"), format!("{:#?}", Limits::default()));
                let news = read.lines().zip(usual.lines()).filter(|(read, usual)| read != usual);
                // How deep a line stands says nothing here.
                return expected
                    .assert_eq(&news.map(|(line, _)| format!("{}\n", line.trim())).collect::<String>());
            }
            Ok(_) => {}
        }
        expected.assert_eq(&problems.iter().map(render).collect::<String>());
    }

    #[test]
    fn the_defaults() {
        expect![[r#"
            Limits {
                http: HttpLimits {
                    headers: 32768,
                    header_time: 10s,
                    body: 4194304,
                    body_time: 30s,
                    body_rate: 1024,
                    write_stall: 30s,
                },
                connections: ConnectionLimits {
                    total: 4096,
                    per_address: 3072,
                },
                sessions: SessionLimits {
                    total: 10000,
                    per_principal: 10000,
                    uninitialized: 60s,
                    idle: 1800s,
                },
                in_flight: InFlightLimits {
                    total: 1024,
                    per_server: 128,
                    per_session: 64,
                },
                message: 16777216,
                streamed_result: 1073741824,
                notifications: NotificationLimits {
                    per_second: 100,
                    burst: 1000,
                },
                retries: 20,
                documents: DocumentLimits {
                    catalog: 33554432,
                    component: 33554432,
                    token: 262144,
                },
                drain: 25s,
            }
        "#]]
        .assert_eq(&format!("{:#?}\n", Limits::default()));
    }

    #[test]
    fn every_limit_can_be_written() {
        check(
            "http: {headers: 8KiB, headerTime: 1s, body: 1MiB, bodyTime: 2s, bodyRate: 100, writeStall: 3s}
connections: {total: 100, perAddress: 10}
sessions: {total: 200, perPrincipal: 20, uninitialized: 4s, idle: 5m}
inFlight: {total: 300, perServer: 30, perSession: 3}
message: 1MiB
streamedResult: 8MiB
notifications: {perSecond: 7, burst: 70}
retries: 5%
documents: {catalog: 8MiB, component: 1MiB, token: 64KiB}
drain: 6s
",
            expect![[r#"
                headers: 8192,
                header_time: 1s,
                body: 1048576,
                body_time: 2s,
                body_rate: 100,
                write_stall: 3s,
                total: 100,
                per_address: 10,
                total: 200,
                per_principal: 20,
                uninitialized: 4s,
                idle: 300s,
                total: 300,
                per_server: 30,
                per_session: 3,
                message: 1048576,
                streamed_result: 8388608,
                per_second: 7,
                burst: 70,
                retries: 5,
                catalog: 8388608,
                component: 1048576,
                token: 65536,
                drain: 6s,
            "#]],
        );
    }

    #[test]
    fn a_part_is_no_more_than_the_whole() {
        check(
            "connections: {total: 10}\nsessions: {total: 20}\ninFlight: {total: 30}\n",
            expect![[r#"
                total: 10,
                per_address: 8,
                total: 20,
                per_principal: 20,
                total: 30,
                per_server: 30,
                per_session: 30,
            "#]],
        );
        check(
            "connections: {total: 1}\n",
            expect![[r#"
                total: 1,
                per_address: 1,
            "#]],
        );
        check(
            "connections: {total: 10, perAddress: 11}\n",
            expect![[r#"
            f.yaml:1:38: `11` is too much for `limits.connections.perAddress`
              |
            1 | connections: {total: 10, perAddress: 11}
              |                                      ^^
              write at most `10`, or leave it out for `8`
        "#]],
        );
        check(
            "sessions: {perPrincipal: 10001}\n",
            expect![[r#"
            f.yaml:1:26: `10001` is too much for `limits.sessions.perPrincipal`
              |
            1 | sessions: {perPrincipal: 10001}
              |                          ^^^^^
              write at most `10000`, or leave it out for `10000`
        "#]],
        );
        check(
            "inFlight: {total: 64, perServer: 65}\n",
            expect![[r#"
            f.yaml:1:34: `65` is too much for `limits.inFlight.perServer`
              |
            1 | inFlight: {total: 64, perServer: 65}
              |                                  ^^
              write at most `64`, or leave it out for `64`
        "#]],
        );
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one case after the other, each with its message")]
    fn nonsense_is_refused_with_its_line_and_the_cure() {
        check(
            "http: {body: 0}\n",
            expect![[r#"
            f.yaml:1:14: `0` is too little for `limits.http.body`
              |
            1 | http: {body: 0}
              |              ^
              write at least `1KiB`, or leave it out for `4MiB`
        "#]],
        );
        check(
            "http:\n  body: lots\n",
            expect![[r#"
            f.yaml:2:9: `lots` is not an amount of memory: write a number and a unit, such as `512MiB` or `2GiB`
              |
            2 |   body: lots
              |         ^^^^
        "#]],
        );
        check(
            "http: {headers: 1MiB}\n",
            expect![[r#"
            f.yaml:1:17: `1MiB` is too much for `limits.http.headers`
              |
            1 | http: {headers: 1MiB}
              |                 ^^^^
              write at most `256KiB`, or leave it out for `32KiB`
        "#]],
        );
        check(
            "http: {headerTime: 10}\n",
            expect![[r#"
            f.yaml:1:20: `10` is not a length of time: write a number and a unit, such as `500ms`, `30s` or `2m`
              |
            1 | http: {headerTime: 10}
              |                    ^^
        "#]],
        );
        check(
            "drain: 1ms\n",
            expect![[r#"
            f.yaml:1:8: `1ms` is too little for `limits.drain`
              |
            1 | drain: 1ms
              |        ^^^
              write at least `100ms`, or leave it out for `25s`
        "#]],
        );
        check(
            "inFlight: {perSession: 0}\n",
            expect![[r#"
            f.yaml:1:24: `0` is not how many at once: write a whole number, 1 or more
              |
            1 | inFlight: {perSession: 0}
              |                        ^
        "#]],
        );
        check(
            "inFlight: {perSession: -1}\n",
            expect![[r#"
            f.yaml:1:24: `-1` is not how many at once: write a whole number, 1 or more
              |
            1 | inFlight: {perSession: -1}
              |                        ^^
        "#]],
        );
        check(
            "retries: 101%\n",
            expect![[r#"
            f.yaml:1:10: `101%` is too much for `limits.retries`
              |
            1 | retries: 101%
              |          ^^^^
              write at most `100%`, or leave it out for `20%`
        "#]],
        );
        check(
            "retries: 20\n",
            expect![[r#"
            f.yaml:1:10: `20` is not a share: write whole percent, such as `20%`
              |
            1 | retries: 20
              |          ^^
        "#]],
        );
        check(
            "documents: {component: 200MiB}\n",
            expect![[r#"
            f.yaml:1:24: `200MiB` is too much for `limits.documents.component`
              |
            1 | documents: {component: 200MiB}
              |                        ^^^^^^
              write at most `128MiB`, or leave it out for `32MiB`
        "#]],
        );
        check(
            "documents: {tokens: 1MiB}\n",
            expect![[r#"
            f.yaml:1:13: unknown key `tokens`
              |
            1 | documents: {tokens: 1MiB}
              |             ^^^^^^
              did you mean `token`?
        "#]],
        );
        check(
            "connections: {totl: 5}\n",
            expect![[r#"
            f.yaml:1:15: unknown key `totl`
              |
            1 | connections: {totl: 5}
              |               ^^^^
              did you mean `total`?
        "#]],
        );
        check(
            "inflight: {}\n",
            expect![[r#"
            f.yaml:1:1: unknown key `inflight`
              |
            1 | inflight: {}
              | ^^^^^^^^
              did you mean `inFlight`?
        "#]],
        );
    }

    #[test]
    fn bounds_are_kept_to_the_byte() {
        let fits = |text: &str| {
            let source = Source { file: "f.yaml", text };
            let mut problems = Vec::new();
            limits(source.parse().unwrap(), &source, &mut problems);
            problems.is_empty()
        };
        for (key, least, most) in [
            ("http: {headers: N}", 1024_u64, 262_144_u64),
            ("http: {body: N}", 1024, GIB),
            ("http: {bodyRate: N}", 1, GIB),
            ("message: N", 4096, GIB),
            ("streamedResult: N", 4096, 1024 * GIB),
            ("connections: {total: N}", 1, 1_000_000),
            ("connections: {total: 8, perAddress: N}", 1, 8),
            ("sessions: {total: N}", 1, 1_000_000),
            ("sessions: {total: 8, perPrincipal: N}", 1, 8),
            ("inFlight: {total: N}", 1, 1_000_000),
            ("inFlight: {total: 8, perServer: N}", 1, 8),
            ("inFlight: {total: 8, perSession: N}", 1, 8),
            ("notifications: {perSecond: N}", 1, 1_000_000),
            ("notifications: {burst: N}", 1, 1_000_000),
            ("documents: {catalog: N}", 1024, GIB),
            ("documents: {component: N}", 1024, 128 * MIB),
            ("documents: {token: N}", 1024, 16 * MIB),
        ] {
            let with = |number: u64| fits(&key.replace('N', &number.to_string()));
            assert_eq!(
                (with(least - 1), with(least), with(most), with(most + 1)),
                (false, true, true, false),
                "{key}"
            );
        }
        for key in [
            "http: {headerTime: N}",
            "http: {bodyTime: N}",
            "http: {writeStall: N}",
            "drain: N",
            "sessions: {uninitialized: N}",
            "sessions: {idle: N}",
        ] {
            let with = |time: &str| fits(&key.replace('N', time));
            assert_eq!(
                (with("99ms"), with("100ms"), with("24h"), with("24h1ms")),
                (false, true, true, false),
                "{key}"
            );
        }
    }
}
