//! `time`: the time now, and conversion between fixed offsets from UTC. It knows no time zones by name.

use std::time::{SystemTime, UNIX_EPOCH};

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::{ErrorData, Json, ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::{Deserialize, Serialize};

/// The server.
pub(super) struct Clock {
    tool_router: ToolRouter<Self>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct NowArguments {
    /// Offset from UTC, such as `+02:00`; `Z` when absent.
    #[serde(default)]
    offset: Option<String>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct ConvertArguments {
    /// A time, such as `2026-03-01T08:30:00+02:00`.
    time: String,
    /// The offset to show it at, such as `-05:00`.
    offset: String,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Moment {
    /// RFC 3339.
    time: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    unix: i64,
    /// The day of the week.
    weekday: String,
}

#[tool_router]
impl Clock {
    pub(super) fn new() -> Self {
        Self { tool_router: Self::tool_router() }
    }

    /// Now.
    #[tool(description = "The time now, in UTC or at an offset.", annotations(read_only_hint = true))]
    async fn now(
        &self,
        Parameters(NowArguments { offset }): Parameters<NowArguments>,
    ) -> Result<Json<Moment>, ErrorData> {
        let offset = parse_offset(offset.as_deref().unwrap_or("Z")).ok_or_else(bad_offset)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Json(moment(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), offset)))
    }

    /// The same moment at another offset.
    #[tool(
        description = "Shows a time at another offset.",
        annotations(read_only_hint = true, idempotent_hint = true)
    )]
    async fn convert(
        &self,
        Parameters(ConvertArguments { time, offset }): Parameters<ConvertArguments>,
    ) -> Result<Json<Moment>, ErrorData> {
        let bad = || ErrorData::invalid_params("write the time as 2026-03-01T08:30:00+02:00", None);
        let offset = parse_offset(&offset).ok_or_else(bad_offset)?;
        Ok(Json(moment(parse_time(&time).ok_or_else(bad)?, offset)))
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Clock {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        super::about("time", capabilities, "Times are RFC 3339; offsets look like +02:00.")
    }
}

fn bad_offset() -> ErrorData {
    ErrorData::invalid_params("write the offset as `Z`, `+02:00` or `-05:30`", None)
}

/// Minutes east of UTC.
fn parse_offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z" | "UTC") {
        return Some(0);
    }
    let (sign, rest) =
        text.strip_prefix('-').map(|rest| (-1, rest)).or_else(|| Some((1, text.strip_prefix('+')?)))?;
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

/// Seconds since 1970 of `YYYY-MM-DDTHH:MM:SS` and an offset.
fn parse_time(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
    let (clock, offset) = rest.split_at_checked(8)?;
    let mut clock = clock.splitn(3, ':');
    let (hour, minute, second) =
        (number(clock.next()?, 2)?, number(clock.next()?, 2)?, number(clock.next()?, 2)?);
    let days = days_before(year, month, day);
    let real = (1..=12).contains(&month)
        && civil(days) == (year, month, day)
        && hour <= 23
        && minute <= 59
        && second <= 59;
    real.then_some(())?;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second - parse_offset(offset)? * 60)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn moment(unix: i64, offset: i64) -> Moment {
    let local = unix.saturating_add(offset * 60);
    let (days, seconds) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let zone = match offset {
        0 => "Z".to_owned(),
        _ => {
            let sign = if offset < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60)
        }
    };
    let names = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    let weekday =
        usize::try_from(days.rem_euclid(7)).ok().and_then(|day| names.get(day)).copied().unwrap_or_default();
    Moment {
        time: format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}"),
        unix,
        weekday: weekday.to_owned(),
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the leap day comes last.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// The date that many days after 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (carry, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (year + era * 400 + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_at_their_offset() {
        for (time, offset, expected, weekday) in [
            ("1970-01-01T00:00:00Z", "Z", "1970-01-01T00:00:00Z", "Thursday"),
            ("2024-02-29T23:30:00Z", "+02:00", "2024-03-01T01:30:00+02:00", "Friday"),
            ("2026-03-01T08:30:00+02:00", "-05:30", "2026-03-01T01:00:00-05:30", "Sunday"),
            ("1969-12-31T23:59:59Z", "Z", "1969-12-31T23:59:59Z", "Wednesday"),
            ("2000-12-31T00:00:00Z", "Z", "2000-12-31T00:00:00Z", "Sunday"),
        ] {
            let shown = moment(parse_time(time).unwrap(), parse_offset(offset).unwrap());
            assert_eq!((shown.time.as_str(), shown.weekday.as_str()), (expected, weekday));
        }
    }

    #[test]
    fn nonsense_is_no_time() {
        for bad in [
            "",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00",
            "x",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
        for bad in ["", "02:00", "+2:00", "+24:00", "+02:60", "+é:00"] {
            assert_eq!(parse_offset(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_has_its_date() {
        for days in -150_000..150_000 {
            let (year, month, day) = civil(days);
            assert_eq!(days_before(year, month, day), days);
        }
    }
}
