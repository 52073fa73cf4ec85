//! Runs a plugin's logic natively, so that plain `cargo test` covers it. The payload functions mean what they mean in
//! the gateway; limits, isolation and the conversion to components are the gateway's own tests' business.

use std::cell::{Cell, RefCell};

use serde_json::Value;

use crate::http::{Request, Response};
use crate::log::Level;
use crate::secrets::Sighting;
use crate::source::{Failure, Page, Refused, Server};
use crate::{
    Call, Change, Draft, Edit, Edits, Finding, Interceptor, Item, Leaf, Operation, Outcome, Payload, Phase,
    Refusal, Source,
};

/// Runs one hook of a validator on `payload`, JSON text.
///
/// # Errors
/// The payload is not JSON, or the plugin's own failure.
pub fn validate<I: Interceptor>(
    plugin: &I,
    event: &str,
    phase: Phase,
    payload: &str,
) -> Result<Vec<Finding>, String> {
    Exchange::new(event).validate(plugin, phase, payload)
}

/// Runs one hook of a mutator on `payload`, JSON text: what it made of it, and the payload as it then stands.
///
/// # Errors
/// The payload is not JSON, or the plugin's own failure.
pub fn mutate<I: Interceptor>(
    plugin: &I,
    event: &str,
    phase: Phase,
    payload: &str,
) -> Result<(Outcome, String), String> {
    Exchange::new(event).mutate(plugin, phase, payload)
}

/// Runs a list filter on items given as `(server, JSON text)`; the name is the item's `name` or `uri`.
///
/// # Errors
/// An item is not JSON, or the plugin's own failure.
pub fn filter<I: Interceptor>(
    plugin: &I,
    event: &str,
    items: &[(&str, &str)],
) -> Result<Vec<(usize, Change)>, String> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let item = |(server, json): &(&str, &str)| {
        let value: Value = serde_json::from_str(json).map_err(|error| format!("item: {error}"))?;
        Ok(Item {
            name: text(&value, "name").or_else(|| text(&value, "uri")).unwrap_or_default(),
            server: (*server).to_owned(),
            description: text(&value, "description"),
            item: (*json).to_owned(),
        })
    };
    let items = items.iter().map(item).collect::<Result<Vec<_>, String>>()?;
    let mut operation = Exchange::new(event).operation;
    (operation.phase, operation.server, operation.subject) = (Phase::Response, None, None);
    plugin.filter(&operation, &items)
}

/// Answers this thread's requests of catalog sources and others: each of these URLs with its text, every other with 404.
/// [`crate::http::answer_with`] answers in other ways.
pub fn web(pages: &[(&str, &str)]) {
    let pages: Vec<_> =
        pages.iter().map(|(url, text)| ((*url).to_owned(), text.as_bytes().to_vec())).collect();
    crate::http::answer_with(move |request: &Request| {
        let found = pages.iter().find(|(url, _)| request.url == *url).map(|(_, body)| body.clone());
        let status = if found.is_some() { 200 } else { 404 };
        Ok(Response { status, headers: Vec::new(), body: found.unwrap_or_default() })
    });
}

/// Everything that a catalog source has of `reference`, all its pages in one. As in the gateway a server that cannot be one
/// is among the refused.
///
/// # Errors
/// The source's own failure, or that it goes in circles.
pub fn fetch<S: Source>(source: &S, reference: &str) -> Result<Page, Failure> {
    let mut request = crate::source::Request::new(reference);
    let mut whole = Page::default();
    loop {
        let page = source.fetch(&request)?;
        for server in page.servers {
            match wrong(&server) {
                None => whole.servers.push(server),
                Some(reason) => {
                    whole.refused.push(Refused { name: server.name, version: server.version, reason });
                }
            }
        }
        whole.refused.extend(page.refused);
        whole.removed.extend(page.removed);
        whole.validator = page.validator.or(whole.validator);
        if page.next.is_some() && page.next == request.cursor {
            return Err(Failure::Failed("`next` is the page that it was asked for".to_owned()));
        }
        request.cursor = page.next;
        if request.cursor.is_none() {
            return Ok(whole);
        }
    }
}

/// Why a server cannot be one.
fn wrong(server: &Server) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let first = server.name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !first || !server.name.bytes().all(plain) || server.name.len() > 128 {
        return Some("its name is none for a server: 1 to 128 letters, digits, `.`, `_` or `-`, a letter or digit first".to_owned());
    }
    match serde_json::from_str::<Value>(&server.document) {
        Ok(Value::Object(_)) => None,
        Ok(_) => Some("its document is not a JSON object".to_owned()),
        Err(error) => Some(format!("its document is not JSON: {error}")),
    }
}

/// One line a plugin logged: level, message, fields.
pub type Line = (Level, String, Vec<(String, String)>);

/// The lines logged on this thread since the last time.
pub fn take_log() -> Vec<Line> {
    LOG.take()
}

/// A request and its outcome: notes and attributes live as long as it does.
pub struct Exchange {
    /// What the plugin is told is being done; the phase is set by each run.
    pub operation: Operation,
    /// Attributes by name, JSON text.
    pub attributes: Vec<(String, String)>,
    note: Cell<Option<String>>,
}

impl Exchange {
    /// An exchange of `event` with server `server`, subject `subject` and principal `tester`.
    pub fn new(event: &str) -> Self {
        let operation = Operation {
            id: "1".into(),
            event: event.into(),
            phase: Phase::Request,
            session: None,
            server: Some("server".into()),
            subject: Some("subject".into()),
            principal: Some("tester".into()),
        };
        Self { operation, attributes: Vec::new(), note: Cell::default() }
    }

    /// The same of another server and another tool, prompt or URI.
    #[must_use]
    pub fn on(mut self, server: &str, subject: &str) -> Self {
        (self.operation.server, self.operation.subject) = (Some(server.into()), Some(subject.into()));
        self
    }

    /// The same within a session.
    #[must_use]
    pub fn session(mut self, session: &str) -> Self {
        self.operation.session = Some(session.into());
        self
    }

    /// The same for another principal.
    #[must_use]
    pub fn principal(mut self, principal: &str) -> Self {
        self.operation.principal = Some(principal.into());
        self
    }

    /// The same with one more attribute, JSON text.
    #[must_use]
    pub fn attribute(mut self, name: &str, json: &str) -> Self {
        self.attributes.push((name.into(), json.into()));
        self
    }

    /// What [`Call::texts`] finds in `payload`.
    ///
    /// # Errors
    /// The payload is not JSON.
    pub fn texts(&self, phase: Phase, payload: &str) -> Result<Vec<Leaf>, String> {
        let held = Held::new(self, payload)?;
        Ok(Call::new(&Operation { phase, ..self.operation.clone() }, &held).texts())
    }

    /// Runs one hook of a validator.
    ///
    /// # Errors
    /// The payload is not JSON, or the plugin's own failure.
    pub fn validate<I: Interceptor>(
        &self,
        plugin: &I,
        phase: Phase,
        payload: &str,
    ) -> Result<Vec<Finding>, String> {
        let held = Held::new(self, payload)?;
        let operation = Operation { phase, ..self.operation.clone() };
        let findings = plugin.validate(&Call::new(&operation, &held))?;
        self.note.set(held.note.into_inner());
        Ok(findings)
    }

    /// Runs one hook of a mutator: what it made of the payload, and the payload as it then stands.
    ///
    /// # Errors
    /// The payload is not JSON, or the plugin's own failure.
    pub fn mutate<I: Interceptor>(
        &self,
        plugin: &I,
        phase: Phase,
        payload: &str,
    ) -> Result<(Outcome, String), String> {
        let held = Held::new(self, payload)?;
        let operation = Operation { phase, ..self.operation.clone() };
        let outcome = plugin.mutate(&Draft::new(&operation, &held))?;
        let after = if outcome == Outcome::Changed { held.text() } else { payload.to_owned() };
        self.note.set(held.note.into_inner());
        Ok((outcome, after))
    }
}

pub(crate) fn keep_line(level: Level, message: &str, fields: &[(&str, &str)]) {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    LOG.with_borrow_mut(|lines| lines.push((level, message.to_owned(), fields)));
}

thread_local! {
    static LOG: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// A payload held as a tree.
struct Held<'a> {
    exchange: &'a Exchange,
    value: RefCell<Value>,
    note: RefCell<Option<String>>,
}

impl<'a> Held<'a> {
    fn new(exchange: &'a Exchange, payload: &str) -> Result<Self, String> {
        let value = serde_json::from_str(payload).map_err(|error| format!("payload: {error}"))?;
        let note = exchange.note.take();
        exchange.note.set(note.clone());
        Ok(Self { exchange, value: RefCell::new(value), note: RefCell::new(note) })
    }
}

impl Payload for Held<'_> {
    fn size(&self) -> u64 {
        self.text().len() as u64
    }

    fn text(&self) -> String {
        self.value.borrow().to_string()
    }

    fn get(&self, pointer: &str) -> Option<String> {
        self.value.borrow().pointer(pointer).map(Value::to_string)
    }

    fn get_string(&self, pointer: &str) -> Option<String> {
        self.value.borrow().pointer(pointer)?.as_str().map(str::to_owned)
    }

    fn strings(&self, under: &str, min_bytes: u32) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        if let Some(value) = self.value.borrow().pointer(under) {
            collect(value, under, min_bytes as usize, &mut leaves);
        }
        leaves
    }

    fn attr(&self, name: &str) -> Option<String> {
        self.exchange.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn note(&self) -> Option<String> {
        self.note.borrow().clone()
    }

    fn put_note(&self, value: &str) {
        *self.note.borrow_mut() = Some(value.to_owned());
    }

    fn known_secrets(&self, under: &str) -> Result<Vec<Sighting>, Refusal> {
        crate::secrets::find_in(&self.strings(under, 0))
    }
}

impl Edits for Held<'_> {
    fn apply(&self, changes: &[Edit]) -> Result<(), String> {
        let mut next = self.value.borrow().clone();
        for change in changes {
            match change {
                Edit::Set(pointer, json) => {
                    let value = serde_json::from_str(json).map_err(|error| format!("{pointer}: {error}"))?;
                    set(&mut next, pointer, value)?;
                }
                Edit::SetString(pointer, text) => set(&mut next, pointer, Value::String(text.clone()))?,
                Edit::Remove(pointer) => remove(&mut next, pointer)?,
            }
        }
        *self.value.borrow_mut() = next;
        Ok(())
    }

    fn replace(&self, value: &str) -> Result<(), String> {
        *self.value.borrow_mut() = serde_json::from_str(value).map_err(|error| error.to_string())?;
        Ok(())
    }
}

fn collect(value: &Value, at: &str, min: usize, into: &mut Vec<Leaf>) {
    match value {
        Value::String(text) if text.len() >= min => {
            into.push(Leaf { pointer: at.to_owned(), text: text.clone() });
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{at}/{index}"), min, into);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                collect(member, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), min, into);
            }
        }
        _ => {}
    }
}

fn set(root: &mut Value, pointer: &str, value: Value) -> Result<(), String> {
    if pointer.is_empty() {
        *root = value;
        return Ok(());
    }
    let nothing = || format!("{pointer}: nothing there");
    let (parent, last) = parent(root, pointer).ok_or_else(nothing)?;
    match parent {
        Value::Object(members) => {
            members.insert(last, value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let index: usize = last.parse().map_err(|_| nothing())?;
            *items.get_mut(index).ok_or_else(nothing)? = value;
        }
        _ => return Err(nothing()),
    }
    Ok(())
}

fn remove(root: &mut Value, pointer: &str) -> Result<(), String> {
    let nothing = || format!("{pointer}: nothing there");
    let (parent, last) = parent(root, pointer).ok_or_else(nothing)?;
    match parent {
        Value::Object(members) => {
            members.remove(&last).ok_or_else(nothing)?;
        }
        Value::Array(items) => {
            let index = last.parse().ok().filter(|index| *index < items.len()).ok_or_else(nothing)?;
            items.remove(index);
        }
        _ => return Err(nothing()),
    }
    Ok(())
}

/// The container a pointer points into, and the last part of the pointer, unescaped.
fn parent<'a>(root: &'a mut Value, pointer: &str) -> Option<(&'a mut Value, String)> {
    let (parent, last) = pointer.rsplit_once('/')?;
    Some((root.pointer_mut(parent)?, last.replace("~1", "/").replace("~0", "~")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Descriptor, Problem};

    struct Redact;

    impl Interceptor for Redact {
        fn describe() -> Descriptor {
            Descriptor::new("redact", "1.0.0", "Hides ssn.")
        }

        fn configure(_config: Config<'_>) -> Result<Self, Vec<Problem>> {
            Ok(Self)
        }

        fn mutate(&self, draft: &Draft<'_>) -> Result<Outcome, String> {
            if draft.get("/a/ssn").is_none() {
                return Ok(Outcome::Unchanged);
            }
            draft.put_note("true");
            draft.apply(&[
                Edit::SetString("/a/ssn".into(), "***".into()),
                Edit::Set("/a/list/-".into(), "4".into()),
                Edit::Remove("/a/list/0".into()),
            ])?;
            Ok(Outcome::Changed)
        }
    }

    #[test]
    fn edits_apply_in_order() {
        let (outcome, after) =
            mutate(&Redact, "tools/call", Phase::Request, r#"{"a":{"ssn":"1","list":[1,2]}}"#).unwrap();
        assert_eq!(outcome, Outcome::Changed);
        assert_eq!(after, r#"{"a":{"ssn":"***","list":[2,4]}}"#);
    }

    #[test]
    fn an_edit_that_cannot_be_made_leaves_everything() {
        let exchange = Exchange::new("tools/call");
        let held = Held::new(&exchange, r#"{"a":1}"#).unwrap();
        let changes = [Edit::Set("/a".into(), "2".into()), Edit::Remove("/b".into())];
        assert_eq!(held.apply(&changes), Err("/b: nothing there".into()));
        assert_eq!(held.text(), r#"{"a":1}"#);
    }

    #[test]
    fn notes_last_for_the_exchange() {
        let exchange = Exchange::new("tools/call");
        exchange.mutate(&Redact, Phase::Request, r#"{"a":{"ssn":"1","list":[1]}}"#).unwrap();
        assert_eq!(Held::new(&exchange, "1").unwrap().note().as_deref(), Some("true"));
    }

    struct Numbers;

    impl Source for Numbers {
        fn describe() -> Descriptor {
            Descriptor::new("numbers", "1.0.0", "Counts.")
        }

        fn configure(_config: Config<'_>) -> Result<Self, Vec<Problem>> {
            Ok(Self)
        }

        fn claims(&self) -> Vec<String> {
            vec!["https://*".to_owned()]
        }

        fn fetch(&self, request: &crate::source::Request) -> Result<Page, Failure> {
            let page = request.cursor.as_deref().unwrap_or("1");
            let response = Request::new("GET", &format!("{}/{page}", request.reference)).send()?;
            if let Some(failure) = Failure::of(&response) {
                return Err(failure);
            }
            let document = String::from_utf8_lossy(&response.body);
            let next = (page == "1").then(|| "2".to_owned());
            Ok(Page { servers: vec![Server::new(format!("n{page}"), document)], next, ..Page::default() })
        }
    }

    #[test]
    fn all_pages_of_a_source_are_one() {
        web(&[("https://a.example/1", "{}"), ("https://a.example/2", "[]")]);
        let whole = fetch(&Numbers, "https://a.example").unwrap();
        assert_eq!(whole.servers, [Server::new("n1", "{}")]);
        assert_eq!(whole.refused, [Refused::new("n2", "its document is not a JSON object")]);
        let failure = fetch(&Numbers, "https://b.example").unwrap_err();
        assert_eq!(failure, Failure::NotFound("the server answered 404".into()));
    }

    #[test]
    fn strings_are_found_everywhere_with_their_pointers() {
        let exchange = Exchange::new("tools/call");
        let held = Held::new(&exchange, r#"{"a":["long enough","x"],"b/c":{"~":"also long"}}"#).unwrap();
        let found: Vec<_> = held.strings("", 5).into_iter().map(|leaf| leaf.pointer).collect();
        assert_eq!(found, ["/a/0", "/b~1c/~0"]);
    }
}
