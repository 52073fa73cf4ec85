//! `Mcp-Param-*`: arguments of a tool that its client repeats in headers (2026-07-28 basic/transports/streamable-http,
//! "Custom Headers from Tool Parameters"). Which ones, the tool's schema says; here header and body are held together.

use http::HeaderMap;
use wasmgate_core::json::Json;
use wasmgate_core::mcp::ParamHeader;

use super::classify::Misfit;
use super::headers::{Field, decode, field};

/// Whether every header says what its argument says, and is not there without it. Headers that the tool does not name
/// mean nothing.
pub(super) fn check(
    headers: &HeaderMap,
    arguments: Option<&Json>,
    wanted: &[ParamHeader],
) -> Result<(), Misfit> {
    for ParamHeader { path, name } in wanted {
        let start = arguments.cloned();
        let value = path.iter().fold(start, |at, name| at.and_then(|at| at.member(name)));
        // What has no form as a header counts as not there: clients leave it out.
        let value = value.filter(|value| !value.is_null() && !value.is_object() && !value.is_array());
        let same = match (field(headers, format!("mcp-param-{name}")), value) {
            (Field::Absent, None) => true,
            (Field::One(sent), Some(value)) => decode(sent).is_some_and(|sent| says(&sent, &value)),
            _ => false,
        };
        if !same {
            return Err(Misfit::Header(format!("Mcp-Param-{name}").into()));
        }
    }
    Ok(())
}

/// Whether a text is what a string, number or boolean looks like in a header. Numbers may be spelt in other ways.
fn says(sent: &str, value: &Json) -> bool {
    match value.string() {
        Some(text) => text == sent,
        None => {
            sent == value.as_str() || Number::of(sent).is_some_and(|n| Some(n) == Number::of(value.as_str()))
        }
    }
}

/// A number in one spelling only: the digits without zeros at either end, and the power of ten they are multiplied by.
#[derive(Debug, PartialEq, Eq)]
struct Number {
    is_negative: bool,
    digits: String,
    power: i64,
}

impl Number {
    /// None for everything that is no JSON number.
    fn of(text: &str) -> Option<Self> {
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if !is_number || Json::parse(text.to_owned()).is_err() {
            return None;
        }
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (is_negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_end_matches('0');
        let zeros = i64::try_from(all.len() - digits.len()).ok()?;
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits: String::new(), power: 0 });
        }
        let places = i64::try_from(fraction.len()).ok()?;
        let power = power.parse::<i64>().ok()?.checked_add(zeros)?.checked_sub(places)?;
        Some(Self { is_negative, digits: digits.to_owned(), power })
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[track_caller]
    fn check(arguments: &str, sent: &[(&str, &str)], is_good: bool) {
        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let wanted = [
            ParamHeader { path: path(&["region"]), name: "Region".into() },
            ParamHeader { path: path(&["deep", "n"]), name: "Deep-N".into() },
        ];
        let header = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let headers = sent.iter().map(header).collect();
        let checked = super::check(&headers, Json::parse(arguments.to_owned()).ok().as_ref(), &wanted);
        assert_eq!(checked.is_ok(), is_good, "{arguments} {sent:?}: {checked:?}");
    }

    #[test]
    fn a_header_goes_with_its_argument() {
        let (region, number) = ("mcp-param-region", "mcp-param-deep-n");
        check("{}", &[], true);
        check("{}", &[(region, "eu")], false);
        check(r#"{"region":"eu"}"#, &[(region, "eu")], true);
        check(r#"{"region":"eu"}"#, &[("Mcp-Param-REGION", "eu")], true);
        check(r#"{"region":"eu"}"#, &[(region, "EU")], false);
        check(r#"{"region":"eu"}"#, &[], false);
        check(r#"{"region":"eu"}"#, &[(region, "eu"), (region, "eu")], false);
        check(r#"{"region":"eu"}"#, &[(region, "eu"), ("mcp-param-other", "x")], true);
        check(r#"{"region":null}"#, &[], true);
        check(r#"{"region":null}"#, &[(region, "null")], false);
        check(r#"{"region":""}"#, &[(region, "")], true);
        check(r#"{"region":{"a":1}}"#, &[], true);
        check(r#"{"region":true}"#, &[(region, "true")], true);
        check(r#"{"region":true}"#, &[(region, "True")], false);
        check(r#"{"deep":{"n":7}}"#, &[(number, "7")], true);
        check(r#"{"deep":{"n":7}}"#, &[(number, "8")], false);
        check(r#"{"n":7}"#, &[], true);
        check(r#"{"deep":7}"#, &[], true);
        check("[]", &[], true);
    }

    #[test]
    fn encoded_values_are_decoded_and_everything_else_is_literal() {
        let region = "mcp-param-region";
        check(r#"{"region":"Hello"}"#, &[(region, "=?base64?SGVsbG8=?=")], true);
        check(r#"{"region":"Hello"}"#, &[(region, "=?base64?SGVsbG8?=")], false);
        check(r#"{"region":"Hello"}"#, &[(region, "=?base64?SGVs!!!bG8=?=")], false);
        check(r#"{"region":"SGVsbG8="}"#, &[(region, "SGVsbG8=")], true);
        check(r#"{"region":"=?base64?SGVsbG8="}"#, &[(region, "=?base64?SGVsbG8=")], true);
        check(r#"{"region":"é"}"#, &[(region, "=?base64?w6k=?=")], true);
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        for (sent, value, expected) in [
            ("7", "7", true),
            ("7.0", "7", true),
            ("70e-1", "7", true),
            ("0.7e1", "7.00", true),
            ("-0", "0", true),
            ("-7", "7", false),
            ("07", "7", false),
            ("+7", "7", false),
            ("7.", "7", false),
            ("NaN", "7", false),
            ("9007199254740993", "9007199254740992", false),
            ("9007199254740993.0", "9007199254740993", true),
            ("1e99999999999999999999", "1", false),
            ("\"7\"", "7", false),
            ("7", "\"7\"", true),
            ("7.0", "\"7\"", false),
        ] {
            assert_eq!(says(sent, &Json::parse(value.to_owned()).unwrap()), expected, "{sent} {value}");
        }
    }
}
