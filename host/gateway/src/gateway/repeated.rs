//! Which arguments of a tool its clients repeat in headers: those its schema names, as the client is shown it.

use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;
use wasmgate_core::index::Kind;
use wasmgate_core::json::Json;
use wasmgate_core::mcp::{ParamHeader, method, param_headers};

use super::{ClientFacts, Gateway, Request, View};
use crate::mailbox;

impl Gateway {
    /// The arguments of a listed tool that a client repeats in headers. A tool that list filters hide from it has none, as
    /// one that is not there.
    pub async fn param_headers(
        &self,
        view: &View,
        principal: &Arc<str>,
        version: &'static str,
        tool: &str,
    ) -> Vec<ParamHeader> {
        let now = self.current.load_full();
        let Some(index) = now.index(view) else { return Vec::new() };
        let listed = match now.is_filtered(Kind::Tools) {
            false => index.list(Kind::Tools).find(tool).map(|entry| entry.said().clone()),
            true => {
                let looking = Request {
                    view: view.clone(),
                    id: "headers".into(),
                    principal: Arc::clone(principal),
                    session: None,
                    method: method::TOOLS_LIST.into(),
                    params: None,
                    client: Arc::new(ClientFacts {
                        info: None,
                        capabilities: Json::empty_object(),
                        log_level: None,
                    }),
                    version,
                    events: mailbox::channel(1).0,
                };
                // Filters that fail do so for the call, too.
                let shown = self.shown(&now, &looking, Kind::Tools).await.ok().flatten();
                shown.and_then(|list| Some(list.find(tool)?.said().clone()))
            }
        };
        // Most schemas name none, and are not read for that at every call.
        let listed = listed.filter(|item| ANNOTATION.find(item.bytes()).is_some());
        let schema = listed.and_then(|item| item.member("inputSchema"));
        // A tool that nobody could call so is called by nobody who keeps to the rules.
        schema.and_then(|schema| param_headers(&schema).ok()).unwrap_or_default()
    }
}

/// What a schema says of an argument that is repeated.
static ANNOTATION: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"x-mcp-header"));
