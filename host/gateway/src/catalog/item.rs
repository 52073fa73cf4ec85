//! One item of a list of servers: an entry, or one of Docker's wrappers around an entry (`{type, image, snapshot}`).

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json, json};

use super::{Refusal, plain_name};

/// An item, unwrapped.
pub(super) struct Item {
    /// The name it gives itself.
    pub(super) name: Option<String>,
    /// Its entry, or why there is none.
    pub(super) document: Result<Json, Refusal>,
    /// The tools that are allowed.
    pub(super) tools: Option<Vec<String>>,
    /// The values that came with it.
    pub(super) values: Map<String, Json>,
    /// Where the name may be taken from when it has none.
    from: Option<String>,
}

impl Item {
    /// An entry that is not wrapped.
    pub(super) fn plain(entry: Json) -> Self {
        Self::new(Ok(entry))
    }

    /// An entry, or why there is none.
    pub(super) fn new(document: Result<Json, Refusal>) -> Self {
        Self { name: None, document, tools: None, values: Map::new(), from: None }
    }

    /// Unwraps an item of `servers:`.
    pub(super) fn read(item: Json) -> Self {
        let inner = item.pointer("/snapshot/server");
        let text = |key: &str| item.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
        let bare = match (text("type"), text("image"), text("endpoint"), text("source")) {
            (Some("image"), Some(image), ..) => {
                Some((Ok(json!({ "type": "server", "image": image })), image))
            }
            (Some("remote"), _, Some(url), _) => Some((
                Ok(
                    json!({ "type": "remote", "remote": { "url": url, "transport_type": "streamable-http" } }),
                ),
                url,
            )),
            (Some("registry"), .., Some(source)) => Some((Err(elsewhere(source)), source)),
            _ => None,
        };
        let document = match (inner, bare.clone()) {
            (Some(inner), _) => Ok(with_launch(inner.clone(), &item)),
            (None, Some((document, _))) => document,
            (None, None) => {
                let name = text("name").map(str::to_owned);
                return Self { name, ..Self::plain(item) };
            }
        };
        let names = |list: &Vec<Json>| list.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        Self {
            name: inner.and_then(|inner| inner.get("name")).and_then(Json::as_str).map(str::to_owned),
            document,
            tools: item.get("tools").and_then(Json::as_array).map(names),
            values: item.get("config").and_then(Json::as_object).cloned().unwrap_or_default(),
            from: bare.map(|(_, from)| from.to_owned()),
        }
    }

    /// A name made of the image, the host, or the registry's name for it.
    pub(super) fn guess(&self) -> Option<String> {
        let from = self.from.as_deref()?;
        let name = match from.split_once("://") {
            None => from.split('@').next()?.rsplit('/').next()?.split(':').next()?.to_owned(),
            Some((_, rest)) => match rest.split_once("/servers/") {
                Some((_, name)) => {
                    percent_decode_str(name.split('/').next()?).decode_utf8().ok()?.into_owned()
                }
                None => rest.split(['/', '?', '#']).next()?.to_owned(),
            },
        };
        Some(plain_name(&name)).filter(|name| !name.is_empty())
    }
}

fn elsewhere(source: &str) -> Refusal {
    Refusal::new(format!(
        "it is only named here, as `{source}`: add that address to `catalogs`, or import it with `wasmgate server import`"
    ))
}

/// The wrapper's `image` or `endpoint` stands in where the snapshot says neither.
fn with_launch(mut entry: Json, wrapper: &Json) -> Json {
    let own_way =
        ["image", "remote", "process"].iter().any(|key| entry.get(key).is_some_and(|way| !is_blank(way)));
    let poci = entry.get("type").and_then(Json::as_str) == Some("poci");
    if let (false, false, Some(members)) = (own_way, poci, entry.as_object_mut()) {
        if let Some(image) = wrapper.get("image").and_then(Json::as_str) {
            members.insert("image".to_owned(), image.into());
        } else if let Some(url) = wrapper.get("endpoint").and_then(Json::as_str) {
            members.insert("remote".to_owned(), json!({ "url": url }));
        }
    }
    entry
}

/// Docker's own writer leaves no key out: `"image": ""`, `"remote": {}`.
fn is_blank(way: &Json) -> bool {
    match way {
        Json::String(text) => text.is_empty(),
        Json::Object(members) => members.is_empty(),
        other => other.is_null(),
    }
}
