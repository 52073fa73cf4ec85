//! `notes`: a notebook in memory. Notes are resources; a template reads any of them, completion knows their titles.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rmcp::handler::server::router::prompt::PromptRouter;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CompleteRequestParams, CompleteResult, ListResourceTemplatesResult, ListResourcesResult,
    PaginatedRequestParams, PromptMessage, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, Reference, Resource, ResourceContents, ResourceTemplate, Role, ServerCapabilities,
    ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{
    ErrorData, Peer, RoleServer, ServerHandler, prompt, prompt_handler, prompt_router, schemars, tool,
    tool_handler, tool_router,
};
use serde::Deserialize;

/// What a note's URI begins with.
const SCHEME: &str = "note:///";
/// The most notes kept.
const MOST: usize = 100;
const TITLE: usize = 200;
const TEXT: usize = 64 * 1024;

/// The server.
pub(super) struct Notes {
    tool_router: ToolRouter<Self>,
    prompt_router: PromptRouter<Self>,
    notes: Mutex<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct NoteArguments {
    /// The note's title; a note of that title is replaced.
    title: String,
    /// Its text.
    text: String,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct TitleArguments {
    /// The note's title.
    title: String,
}

#[tool_router]
impl Notes {
    pub(super) fn new() -> Self {
        let first =
            ("Welcome".to_owned(), "This notebook lives in memory and ends with its server.".to_owned());
        Self {
            tool_router: Self::tool_router(),
            prompt_router: Self::prompt_router(),
            notes: Mutex::new(BTreeMap::from([first])),
        }
    }

    fn notes(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a note and tells the client that the list changed.
    #[tool(description = "Writes a note; it then is a resource.")]
    async fn write_note(
        &self,
        client: Peer<RoleServer>,
        Parameters(NoteArguments { title, text }): Parameters<NoteArguments>,
    ) -> Result<String, ErrorData> {
        if title.is_empty() || title.len() > TITLE || text.len() > TEXT {
            return Err(ErrorData::invalid_params("a title has 1 to 200 bytes, a text at most 64 KiB", None));
        }
        let uri = uri(&title);
        {
            let mut notes = self.notes();
            if notes.len() >= MOST && !notes.contains_key(&title) {
                return Err(ErrorData::invalid_params("the notebook is full: remove a note first", None));
            }
            notes.insert(title, text);
        }
        let _gone = client.notify_resource_list_changed().await;
        Ok(format!("written to {uri}"))
    }

    /// Removes a note and tells the client that the list changed.
    #[tool(description = "Removes a note.", annotations(destructive_hint = true))]
    async fn remove_note(
        &self,
        client: Peer<RoleServer>,
        Parameters(TitleArguments { title }): Parameters<TitleArguments>,
    ) -> Result<String, ErrorData> {
        if self.notes().remove(&title).is_none() {
            return Err(ErrorData::invalid_params("there is no note of that title", None));
        }
        let _gone = client.notify_resource_list_changed().await;
        Ok("removed".to_owned())
    }
}

#[prompt_router]
impl Notes {
    /// A prompt that carries a note.
    #[prompt(name = "summarise", description = "Asks for a summary of a note.")]
    async fn summarise(
        &self,
        Parameters(TitleArguments { title }): Parameters<TitleArguments>,
    ) -> Result<Vec<PromptMessage>, ErrorData> {
        let text = self.notes().get(&title).cloned();
        let text = text.ok_or_else(|| ErrorData::invalid_params("there is no note of that title", None))?;
        Ok(vec![PromptMessage::new_text(
            Role::User,
            format!("Summarise this note in one sentence.\n\n{text}"),
        )])
    }
}

#[tool_handler(router = self.tool_router)]
#[prompt_handler(router = self.prompt_router)]
impl ServerHandler for Notes {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_completions()
            .build();
        super::about("notes", capabilities, "Notes are resources `note:///{title}`; write_note makes one.")
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resource = |(title, text): (&String, &String)| {
            Resource::new(uri(title), title.as_str())
                .with_mime_type("text/plain")
                .with_size(text.len() as u64)
        };
        Ok(ListResourcesResult::with_all_items(self.notes().iter().map(resource).collect()))
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let template = ResourceTemplate::new(format!("{SCHEME}{{title}}"), "note")
            .with_description("A note by its title.")
            .with_mime_type("text/plain");
        Ok(ListResourceTemplatesResult::with_all_items(vec![template]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let title = title(&request.uri);
        let text = title.and_then(|title| self.notes().get(&title).cloned());
        let text = text.ok_or_else(|| ErrorData::resource_not_found("there is no such note", None))?;
        let contents = ResourceContents::text(text, request.uri).with_mime_type("text/plain");
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let known = match &request.r#ref {
            Reference::Prompt(prompt) => prompt.name == "summarise",
            Reference::Resource(template) => template.uri == format!("{SCHEME}{{title}}"),
            _ => false,
        };
        if !known || request.argument.name != "title" {
            return Err(ErrorData::invalid_params("only titles of notes can be completed", None));
        }
        let begun = request.argument.value.to_lowercase();
        let fitting =
            self.notes().keys().filter(|title| title.to_lowercase().starts_with(&begun)).cloned().collect();
        super::tools::completion(fitting)
    }
}

fn uri(title: &str) -> String {
    format!("{SCHEME}{}", utf8_percent_encode(title, NON_ALPHANUMERIC))
}

fn title(uri: &str) -> Option<String> {
    let escaped = uri.strip_prefix(SCHEME)?;
    percent_decode_str(escaped).decode_utf8().ok().map(|title| title.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_survive_their_uri() {
        for text in ["Welcome", "a b/c?d=ü%"] {
            assert_eq!(title(&uri(text)).as_deref(), Some(text));
        }
        assert_eq!(title("file:///x"), None);
    }
}
