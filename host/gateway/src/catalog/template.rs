//! Docker's template language, `{{server.key|filter}}`, typed and single-pass.
//!
//! A template is parsed once, from catalog text only. What is put into it is data: it is never parsed again, so a value
//! can become neither a template, nor a `$VAR`, nor (see [`super::argv`] and [`super::mount`]) a second argument, an
//! option or a mount flag. Filters: `into`, `first`, `last`, `or:x`, `or:[a,b]`, `volume`, `volume-target`,
//! `mount_as:/path[:ro]`; unknown ones are passed over, lone braces are dropped
//! (those of `${VAR}` are not), a missing key is the empty text.
//!
//! Ours: `option:--port` gives the flag and the value as two arguments, `option:--port=` as one, both nothing where there is
//! no value; `flag:--verbose` gives the flag where the value is true; `{{'text'}}` is that text, braces and all.
//!
//! Where Docker's gateway (v0.43) does something else:
//! - **typed scalars**: a number or boolean alone in an argument is its text, not `<int Value>`;
//! - **single pass**: `$VAR` is expanded in what the catalog wrote, never in a value put there;
//! - **`or:[a,b]` on text**: gives the list also when the key is missing, not the text `[a,b]`;
//! - **lists in text**: an environment value that is one list becomes `a,b`, and a list amid text is JSON, not `[a b]`;
//! - **`volume` and `mount_as`** give a mount, not text with colons: a `:` in the value stays in the path and is refused.

use serde_json::Value as Json;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Term { path: Vec<String>, filters: Vec<Filter> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Into,
    First,
    Last,
    Or(String),
    OrList(Vec<String>),
    Volume,
    VolumeTarget,
    MountAs { target: String, option: Option<String> },
    Option(String),
    Flag(String),
}

/// What a term evaluates to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A text; empty where a key is missing.
    Text(String),
    /// A number or boolean, as its text: it can be no option, whatever its sign.
    Plain(String),
    /// A path that `volume-target` gave: where `volume` mounts the same value.
    Path(String),
    /// Several values.
    List(Vec<Self>),
    /// A mount, made by `volume` or `mount_as`.
    Mount(Mounted),
    /// A flag that the catalog wrote.
    Written(String),
    /// A flag that the catalog wrote, up to its `=`, and the value after it.
    Flagged(String, Box<Self>),
}

/// A mount as a filter made it: parts, not text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    /// The value, untouched.
    pub source: String,
    /// Where it goes; for `volume`, the source (a Windows drive as `/C/...`).
    pub target: String,
    /// What the template wrote after a second colon.
    pub option: Option<String>,
}

/// A stretch of an evaluated template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// What the catalog wrote.
    Literal(String),
    /// What was put there.
    Value(Value),
}

impl Template {
    /// Reads a template. Any text is one.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some((inside, after)) = term(rest) {
                match parse_term(inside) {
                    Part::Literal(text) => add_literal(&mut parts, &text),
                    part => parts.push(part),
                }
                rest = after;
            } else if matches!(first, '{' | '}') {
                rest = rest.get(1..).unwrap_or_default();
            } else {
                let (literal, after) = rest.split_at(literal_end(rest));
                add_literal(&mut parts, literal);
                rest = after;
            }
        }
        Self { parts }
    }

    /// Puts values from `root` (an object) into the template.
    pub(super) fn evaluate(&self, root: &Json) -> Vec<Piece> {
        let piece = |part: &Part| match part {
            Part::Literal(text) => Piece::Literal(text.clone()),
            Part::Term { path, filters } => {
                Piece::Value(filters.iter().fold(dig(root, path), |value, filter| filter.apply(value)))
            }
        };
        self.parts.iter().map(piece).collect()
    }

    /// The dotted paths the template reads.
    pub(super) fn paths(&self) -> impl Iterator<Item = String> + '_ {
        self.parts.iter().filter_map(|part| match part {
            Part::Term { path, .. } => Some(path.join(".")),
            Part::Literal(_) => None,
        })
    }
}

impl Value {
    /// The value as one text; a list as its elements joined by commas.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Text(text) | Self::Plain(text) | Self::Path(text) | Self::Written(text) => text.clone(),
            Self::Flagged(flag, value) => format!("{flag}{}", value.to_text()),
            Self::List(items) => items.iter().map(Self::to_text).collect::<Vec<_>>().join(","),
            Self::Mount(mount) => {
                let option = mount.option.as_ref().map(|option| format!(":{option}")).unwrap_or_default();
                format!("{}:{}{option}", mount.source, mount.target)
            }
        }
    }

    /// The value amid other text: as [`Value::to_text`], but a list as JSON.
    pub(super) fn to_inline_text(&self) -> String {
        match self {
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| Json::String(item.to_text())).collect();
                Json::Array(items).to_string()
            }
            other => other.to_text(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) | Self::Path(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Plain(_) | Self::Mount(_) | Self::Written(_) | Self::Flagged(..) => false,
        }
    }

    fn each(self, change: impl Fn(Self) -> Self) -> Self {
        match self {
            Self::List(items) => Self::List(items.into_iter().map(change).collect()),
            one => change(one),
        }
    }

    fn into_list(self) -> Vec<Self> {
        match self {
            Self::List(items) => items,
            one => vec![one],
        }
    }

    fn empty() -> Self {
        Self::Text(String::new())
    }
}

/// The whole of an evaluated template as one text.
pub(super) fn to_text(pieces: &[Piece]) -> String {
    match pieces {
        [Piece::Value(value)] => value.to_text(),
        many => many
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.clone(),
                Piece::Value(value) => value.to_inline_text(),
            })
            .collect(),
    }
}

/// Where the text before the next brace ends; the braces of `${VAR}` are part of it.
fn literal_end(text: &str) -> usize {
    let brace = text.find(['{', '}']).unwrap_or(text.len());
    let (before, after) = text.split_at(brace);
    let inner = after.strip_prefix('{').filter(|inner| before.ends_with('$') && !inner.starts_with('{'));
    match inner.and_then(|inner| {
        inner.find(['{', '}']).filter(|end| inner.get(*end..).is_some_and(|e| e.starts_with('}')))
    }) {
        Some(end) => brace + end + 2,
        None => brace,
    }
}

/// Splits `{{inside}}after`; a term never spans lines.
fn term(text: &str) -> Option<(&str, &str)> {
    let body = text.strip_prefix("{{")?;
    let (inside, after) = body.split_once("}}")?;
    (!inside.contains('\n')).then_some((inside, after))
}

fn parse_term(inside: &str) -> Part {
    let quoted = inside.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    if let Some(text) = quoted {
        return Part::Literal(text.to_owned());
    }
    let (path, filters) = inside.split_once('|').map_or((inside, None), |(path, rest)| (path, Some(rest)));
    let path = path.split('.').map(|step| step.trim().to_owned()).collect();
    let filters = filters.into_iter().flat_map(|text| text.split('|')).filter_map(Filter::parse).collect();
    Part::Term { path, filters }
}

fn add_literal(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Literal(before)) => before.push_str(text),
        _ => parts.push(Part::Literal(text.to_owned())),
    }
}

/// The template that is this text and nothing else, where `$VAR` counts too.
pub(super) fn literal(text: &str) -> String {
    braces(&text.replace('$', "$$"))
}

/// The template that is this text and nothing else, where `$` means nothing.
pub(super) fn braces(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '{' => out.push_str("{{'{'}}"),
            '}' => out.push_str("{{'}'}}"),
            other => out.push(other),
        }
    }
    out
}

fn dig(root: &Json, path: &[String]) -> Value {
    find(root, path).map_or_else(Value::empty, typed)
}

/// A value by its path; what is left of a path may also be one key with dots in it, as Docker's profiles write them.
fn find<'v>(at: &'v Json, path: &[String]) -> Option<&'v Json> {
    match path {
        [] => Some(at),
        [step, rest @ ..] => {
            at.get(step).and_then(|inner| find(inner, rest)).or_else(|| at.get(path.join(".")))
        }
    }
}

fn typed(json: &Json) -> Value {
    match json {
        Json::Null => Value::empty(),
        Json::Bool(value) => Value::Plain(value.to_string()),
        Json::Number(number) => Value::Plain(number_text(number)),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(typed).collect()),
        Json::Object(_) => Value::Text(json.to_string()),
    }
}

/// `1.0` is written `1`, as Docker writes it.
fn number_text(number: &serde_json::Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

impl Filter {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (name, rest) =
            text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest.trim())));
        match (name, rest) {
            ("into", None) => Some(Self::Into),
            ("first", None) => Some(Self::First),
            ("last", None) => Some(Self::Last),
            ("volume", None) => Some(Self::Volume),
            ("volume-target", None) => Some(Self::VolumeTarget),
            ("or", Some(default)) => Some(Self::or(default)),
            ("option", Some(flag)) if !flag.is_empty() => Some(Self::Option(flag.to_owned())),
            ("flag", Some(flag)) if !flag.is_empty() => Some(Self::Flag(flag.to_owned())),
            ("mount_as", Some(path)) => {
                let (target, option) = path.split_once(':').map_or((path, None), |(at, how)| (at, Some(how)));
                Some(Self::MountAs { target: target.to_owned(), option: option.map(str::to_owned) })
            }
            _ => None,
        }
    }

    fn or(default: &str) -> Self {
        match default.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
            Some("") => Self::OrList(Vec::new()),
            Some(list) => Self::OrList(list.split(',').map(str::to_owned).collect()),
            None => Self::Or(default.to_owned()),
        }
    }

    fn apply(&self, value: Value) -> Value {
        match self {
            Self::Into => Value::List(value.into_list()),
            Self::First => value.into_list().into_iter().next().unwrap_or_else(Value::empty),
            Self::Last => value.into_list().pop().unwrap_or_else(Value::empty),
            Self::Or(default) if value.is_empty() => Value::Text(default.clone()),
            Self::OrList(default) if value.is_empty() => {
                Value::List(default.iter().cloned().map(Value::Text).collect())
            }
            Self::Or(_) | Self::OrList(_) => value,
            Self::Volume => value.each(|one| mounted(one, linux_path, None)),
            Self::VolumeTarget => value.each(|one| Value::Path(linux_path(&one.to_text()))),
            Self::MountAs { target, option } => {
                let first = Self::First.apply(value);
                mounted(first, |_| target.clone(), option.clone())
            }
            Self::Option(flag) => {
                Value::List(value.into_list().into_iter().flat_map(|one| option(flag, one)).collect())
            }
            Self::Flag(flag) if value.to_text() == "true" => Value::List(vec![Value::Written(flag.clone())]),
            Self::Flag(_) => Value::List(Vec::new()),
        }
    }
}

/// A flag with its value: one argument where the flag ends in `=`, else two; none without a value.
fn option(flag: &str, value: Value) -> Vec<Value> {
    match flag.ends_with('=') {
        _ if value.is_empty() => Vec::new(),
        true => vec![Value::Flagged(flag.to_owned(), Box::new(value))],
        false => vec![Value::Written(flag.to_owned()), value],
    }
}

fn mounted(value: Value, target: impl Fn(&str) -> String, option: Option<String>) -> Value {
    if value.is_empty() {
        return Value::empty();
    }
    let source = value.to_text();
    Value::Mount(Mounted { target: target(&source), source, option })
}

/// `C:\a\b` as `/C/a/b`; any other path as it stands.
fn linux_path(path: &str) -> String {
    let mut chars = path.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some(drive), Some(':'), Some('\\')) if drive.is_ascii_alphabetic() => {
            format!("/{drive}/{}", chars.as_str().replace('\\', "/"))
        }
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(template: &str, root: Json, expected: &str) {
        assert_eq!(shown(&Template::parse(template).evaluate(&root)), expected, "{template}");
    }

    /// Text in quotes, other scalars bare, lists in brackets, mounts in angles.
    fn shown(pieces: &[Piece]) -> String {
        match pieces {
            [Piece::Value(value)] => show(value),
            _ => format!("{:?}", to_text(pieces)),
        }
    }

    fn show(value: &Value) -> String {
        match value {
            Value::Text(text) | Value::Path(text) => format!("{text:?}"),
            Value::Written(_) | Value::Flagged(..) => format!("!{}", value.to_text()),
            Value::Plain(text) => text.clone(),
            Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            Value::Mount(_) => format!("<{}>", value.to_text()),
        }
    }

    #[test]
    fn text_lookup_and_blanks() {
        check("constant", json!({}), r#""constant""#);
        check("", json!({}), r#""""#);
        check("{{key0}}", json!({"key0": "v"}), r#""v""#);
        check("{{ key1 }}", json!({"key1": "v"}), r#""v""#);
        check("{{k1}}:{{k2}}", json!({"k1": "a", "k2": "b"}), r#""a:b""#);
        check("{{top . key}}", json!({"top": {"key": "v"}}), r#""v""#);
        check("{{a.b.c}}", json!({"a": {"b": {"c": "v"}}}), r#""v""#);
        check("{{top.key|safe}}", json!({"top": {"key": "v"}}), r#""v""#);
        check("{{a.b.c}}", json!({"a": {"b.c": "v"}}), r#""v""#);
        check("{{unknown}}", json!({}), r#""""#);
        check("{{top.unknown}}", json!({"top": null}), r#""""#);
    }

    #[test]
    fn types_are_kept() {
        check("{{k}}", json!({"k": 8080}), "8080");
        check("{{k}}", json!({"k": true}), "true");
        check("{{k}}", json!({"k": 1.0}), "1");
        check("--port={{k}}", json!({"k": 8080}), r#""--port=8080""#);
        check("{{k}}", json!({"k": ["a", 1]}), r#"["a" 1]"#);
    }

    #[test]
    fn braces_alone_are_dropped() {
        check(r#"{"a": "{{k}}"}"#, json!({"k": "v"}), r#""\"a\": \"v\"""#);
        check("a}b{c", json!({}), r#""abc""#);
        check("{{k", json!({"k": "v"}), r#""k""#);
        check("a${V}b}{{k}}${{k}}", json!({"k": "v"}), r#""a${V}bv$v""#);
    }

    #[test]
    fn list_filters() {
        check("{{k|into}}", json!({"k": "v"}), r#"["v"]"#);
        check("{{k|into}}", json!({"k": ["a", "b"]}), r#"["a" "b"]"#);
        for (filter, of_two) in [("first", "\"v1\""), ("last", "\"v2\"")] {
            check(&format!("{{{{k|{filter}}}}}"), json!({"k": "v"}), r#""v""#);
            check(&format!("{{{{k|{filter}}}}}"), json!({"k": ["v1", "v2"]}), of_two);
            check(&format!("{{{{k|{filter}}}}}"), json!({"k": []}), r#""""#);
            check(&format!("{{{{k|{filter}|into}}}}"), json!({"k": ["v1", "v2"]}), &format!("[{of_two}]"));
        }
    }

    #[test]
    fn defaults() {
        check("{{k|or:default}}", json!({}), r#""default""#);
        check("{{k|or:default}}", json!({"k": ""}), r#""default""#);
        check("{{k|or:default}}", json!({"k": "v"}), r#""v""#);
        check("{{k|or:v}}", json!({"k": []}), r#""v""#);
        check("{{k|or:[]}}", json!({"k": []}), "[]");
        check("{{k|or:[]}}", json!({}), "[]");
        check("{{k|or:[a,b]}}", json!({}), r#"["a" "b"]"#);
        check("{{k|or:[]|volume|into}}", json!({}), "[]");
        check("{{k|or:0}}", json!({"k": false}), "false");
    }

    #[test]
    fn mounts() {
        check("{{k|volume}}", json!({"k": "/a"}), "</a:/a>");
        check("{{k|volume|into}}", json!({"k": ["/a", "/b"]}), "[</a:/a> </b:/b>]");
        check("{{k|volume}}", json!({"k": ""}), r#""""#);
        check("{{k|volume}}", json!({"k": r"C:\test\folder"}), r"<C:\test\folder:/C/test/folder>");
        check("{{k|volume-target}}", json!({"k": "/a"}), r#""/a""#);
        check("{{k|volume-target|into}}", json!({"k": [r"D:\x\y"]}), r#"["/D/x/y"]"#);
        check("{{k|mount_as:/path}}", json!({}), r#""""#);
        check("{{k|mount_as:/logs:ro}}", json!({"k": "/local"}), "</local:/logs:ro>");
        check("{{k|mount_as: /path }}", json!({"k": ["/one", "/two"]}), "</one:/path>");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_template(text in "[{}|$.:a\\[\\] \n]{0,40}", value in ".{0,20}") {
            let pieces = Template::parse(&text).evaluate(&json!({"a": value}));
            if !text.contains(['{', '}']) {
                proptest::prop_assert_eq!(to_text(&pieces), text);
            }
        }
    }

    #[test]
    fn options_and_flags() {
        check("{{k|option:--port|into}}", json!({"k": 80}), "[!--port 80]");
        check("{{k|option:--port=}}", json!({"k": "a=b"}), "[!--port=a=b]");
        check("{{k|option:-p}}", json!({"k": ["x", "", null]}), r#"[!-p "x"]"#);
        check("{{k|option:-p}}", json!({}), "[]");
        check("{{k|option: }}", json!({"k": "v"}), r#""v""#);
        check("{{k|flag:--v|into}}", json!({"k": true}), "[!--v]");
        for off in [json!({}), json!({"k": false}), json!({"k": "yes"}), json!({"k": null})] {
            check("{{k|flag:--v|into}}", off, "[]");
        }
    }

    #[test]
    fn quoted_text_is_itself() {
        check("a{{'{'}}b{{ '}' }}", json!({}), r#""a{b}""#);
        check("{{'{{k'}}", json!({"k": "v"}), r#""{{k""#);
        check(&literal(r#"{"a": "{{k}}"}"#), json!({"k": "v"}), r#""{\"a\": \"{{k}}\"}""#);
    }

    #[test]
    fn a_value_is_never_a_template() {
        check("{{k}}", json!({"k": "{{secret}}", "secret": "x"}), r#""{{secret}}""#);
        check("a{{k}}", json!({"k": "{{secret}}", "secret": "x"}), r#""a{{secret}}""#);
    }
}
