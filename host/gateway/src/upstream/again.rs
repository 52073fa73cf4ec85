//! When a request may be sent to a remote once more: the remote has said when, it has not looked at it or looking changes
//! nothing, and not too many are. No clock but for dates.
//!
//! What a call of a tool has done nobody knows, whatever the tool says of itself: a call is repeated only after 429, which
//! says that nothing was done.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use wasmgate_core::mcp::method;

/// How many requests to one remote may be repeated: a share of all of them.
#[derive(Debug)]
pub(super) struct Allowance {
    /// What each request adds, in hundredths of a repetition.
    share: u8,
    /// In hundredths of a repetition.
    left: u32,
}

impl Allowance {
    /// For so many percent of all, and one to begin with; none at all when nothing may be repeated.
    pub(super) fn of(percent: u8) -> Self {
        Self { share: percent, left: if percent == 0 { 0 } else { ONE } }
    }

    /// A request goes out for the first time.
    pub(super) fn earn(&mut self) {
        self.left = (self.left + u32::from(self.share)).min(MOST);
    }

    /// Whether one may be repeated.
    pub(super) fn spend(&mut self) -> bool {
        let left = self.left.checked_sub(ONE);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

/// What may be done again without looking at the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only reads.
    None,
    /// It may have done something.
    Unknown,
}

impl Effect {
    /// What a request of this method does.
    pub(super) fn of(method: &str) -> Self {
        if READING.contains(&method) { Self::None } else { Self::Unknown }
    }
}

/// How long to wait before a request that was answered like this may be sent again; None when it may not.
pub(super) fn after(status: StatusCode, headers: &HeaderMap, effect: Effect) -> Option<Duration> {
    let may = match status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::SERVICE_UNAVAILABLE => effect == Effect::None,
        _ => false,
    };
    wanted(headers, Timestamp::now()).filter(|pause| may && *pause <= LONGEST)
}

/// What is said when it is not sent again: ` and wants to be left alone for 40 s`.
pub(super) fn in_words(headers: &HeaderMap) -> String {
    wanted(headers, Timestamp::now())
        .map(|pause| format!(" and wants to be left alone for {} s", pause.as_secs()))
        .unwrap_or_default()
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds or a date.
fn wanted(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(date.duration_since(now).try_into().unwrap_or_default())
}

/// Requests that change nothing at the server.
const READING: [&str; 10] = [
    method::INITIALIZE,
    method::DISCOVER,
    method::PING,
    "completion/complete",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "tools/list",
];
/// One repetition, in hundredths.
const ONE: u32 = 100;
/// What is not used gathers no further.
const MOST: u32 = 10 * ONE;
/// Nobody waits longer.
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(value: &'static str, expected: Option<u64>) {
        let now: Timestamp = "2026-07-28T12:00:00Z".parse().unwrap();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        assert_eq!(wanted(&headers, now), expected.map(Duration::from_secs), "{value}");
    }

    #[test]
    fn seconds_and_dates_are_read() {
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("Tue, 28 Jul 2026 12:00:07 GMT", Some(7));
        check("Tue, 28 Jul 2026 11:59:00 GMT", Some(0));
        for nothing in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            check(nothing, None);
        }
    }

    #[test]
    fn only_what_did_nothing_is_repeated_and_only_soon() {
        let headers = |value| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        let may = |status: u16, value, effect| {
            after(StatusCode::from_u16(status).unwrap(), &headers(value), effect).is_some()
        };
        let (reads, calls) = (Effect::of("resources/read"), Effect::of(method::TOOLS_CALL));
        assert!(may(429, "30", reads) && may(429, "30", calls) && may(503, "1", reads));
        assert!(!may(503, "1", calls), "it may have been done");
        assert!(!may(429, "31", reads), "nobody waits so long");
        for status in [200, 500, 502, 504, 404] {
            assert!(!may(status, "0", reads), "{status}");
        }
        assert_eq!(after(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), reads), None);
        assert_eq!(in_words(&headers("40")), " and wants to be left alone for 40 s");
    }

    #[test]
    fn a_share_of_all_requests_may_be_repeated() {
        let repeated = |allowance: &mut Allowance| {
            let may = |_: &usize| {
                allowance.earn();
                allowance.spend()
            };
            (0..1000).filter(may).count()
        };
        for (percent, expected) in [(20, 201), (1, 11), (0, 0), (100, 1000)] {
            let mut allowance = Allowance::of(percent);
            assert_eq!(repeated(&mut allowance), expected, "{percent} %, and one to begin with");
        }
        let mut allowance = Allowance::of(20);
        (0..1000).for_each(|_| allowance.earn());
        assert_eq!((0..100).filter(|_| allowance.spend()).count(), 10, "a quiet hour allows no storm");
    }
}
