//! What a client can be asked, as a set: what a legacy server is told in its handshake, and what it may then ask.

use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::mcp::{QUESTIONS, code, extension, missing};

/// A set of client capabilities that let a server ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Declared(u8);

impl Declared {
    /// Nothing can be asked.
    pub(super) const NOTHING: Self = Self(0);
    /// What is told a server whose clients are not known yet. Tools in sampling are for those known to have them.
    pub(super) const ANYTHING: Self = Self(FORM | URL | SAMPLING | ROOTS);

    /// What the capabilities of a client let it be asked (2025-11-25 and 2026-07-28 `ClientCapabilities`). An `elicitation`
    /// that names no mode means forms.
    pub(super) fn of(capabilities: &Json) -> Self {
        let object = |of: &Json, name| of.member(name).filter(Json::is_object);
        let [elicitation, sampling, roots] =
            ["elicitation", "sampling", "roots"].map(|name| object(capabilities, name));
        let mut bits = roots.map_or(0, |_| ROOTS);
        if let Some(elicitation) = elicitation {
            let (form, url) = (object(&elicitation, "form"), object(&elicitation, "url"));
            bits |= if form.is_some() || url.is_none() { FORM } else { 0 };
            bits |= url.map_or(0, |_| URL);
        }
        if let Some(sampling) = sampling {
            bits |= SAMPLING;
            bits |= object(&sampling, "tools").map_or(0, |_| TOOLS);
            bits |= object(&sampling, "context").map_or(0, |_| CONTEXT);
        }
        Self(bits)
    }

    /// Whether nothing can be asked.
    pub(super) const fn is_nothing(self) -> bool {
        self.0 == 0
    }

    /// Whether a server that was told so may ask this.
    ///
    /// # Errors
    /// The JSON-RPC code of the refusal: a method or a way of asking that was not declared (2025-11-25
    /// client/elicitation "Error Handling", client/sampling "Capabilities").
    pub(super) fn allows(self, asked: &str, params: Option<&Json>) -> Result<(), i64> {
        if !QUESTIONS.contains(&asked) {
            return Err(code::METHOD_NOT_FOUND);
        }
        let declared = self.to_json();
        let Some(missing) = missing(&declared, asked, params) else { return Ok(()) };
        let has_part = |name: &String| declared.member(name).is_some();
        let missing = missing.members().unwrap_or_default();
        let is_part = missing.iter().any(|(capability, _)| has_part(capability));
        Err(if is_part { code::INVALID_PARAMS } else { code::METHOD_NOT_FOUND })
    }

    /// As `capabilities` of `initialize`. No word of changed roots is ever passed on, so `listChanged` is not said.
    pub(super) fn to_json(self) -> Json {
        let mut all = ObjectWriter::new();
        let parts = |names: &[(u8, &str)]| {
            let present = names.iter().filter(|(bit, _)| self.0 & bit != 0);
            present
                .fold(ObjectWriter::new(), |object, (_, name)| object.member(name, &Json::empty_object()))
                .finish()
        };
        if self.0 & (FORM | URL) != 0 {
            all = all.member("elicitation", &parts(&[(FORM, "form"), (URL, "url")]));
        }
        if self.0 & SAMPLING != 0 {
            all = all.member("sampling", &parts(&[(TOOLS, "tools"), (CONTEXT, "context")]));
        }
        if self.0 & ROOTS != 0 {
            all = all.member("roots", &Json::empty_object());
        }
        all.finish()
    }
}

/// Capabilities that say besides that pages of tools can be shown (MCP Apps, `io.modelcontextprotocol/ui`): many servers list
/// such tools to nobody else, and a list is read once for all clients. Those who cannot show a page see a tool as any other.
pub(super) fn with_pages(capabilities: &Json) -> Json {
    let page = Json::array(&[Json::of("text/html;profile=mcp-app")]);
    let pages = ObjectWriter::new().member("mimeTypes", &page).finish();
    let extensions = ObjectWriter::new().member(extension::UI, &pages).finish();
    capabilities.with_member("extensions", &extensions)
}

const FORM: u8 = 1;
const URL: u8 = 2;
const SAMPLING: u8 = 4;
const TOOLS: u8 = 8;
const CONTEXT: u8 = 16;
const ROOTS: u8 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn a_client_is_declared_as_it_is() {
        for (capabilities, declared) in [
            ("{}", "{}"),
            (r#"{"elicitation":{}}"#, r#"{"elicitation":{"form":{}}}"#),
            (r#"{"elicitation":{"url":{}}}"#, r#"{"elicitation":{"url":{}}}"#),
            (r#"{"elicitation":{"form":{"x":1},"url":{}}}"#, r#"{"elicitation":{"form":{},"url":{}}}"#),
            (r#"{"sampling":{}}"#, r#"{"sampling":{}}"#),
            (r#"{"sampling":{"context":{},"tools":{}}}"#, r#"{"sampling":{"tools":{},"context":{}}}"#),
            (r#"{"roots":{"listChanged":true},"extensions":{"x":{}}}"#, r#"{"roots":{}}"#),
            (r#"{"roots":true,"sampling":null,"elicitation":7}"#, "{}"),
            ("[]", "{}"),
        ] {
            let set = Declared::of(&json(capabilities));
            assert_eq!(set.to_json().as_str(), declared, "{capabilities}");
            assert_eq!(set.is_nothing(), declared == "{}");
        }
        assert_eq!(
            Declared::ANYTHING.to_json().as_str(),
            r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#
        );
    }

    #[test]
    fn what_was_not_declared_is_not_asked() {
        for (capabilities, asked, params, verdict) in [
            (r#"{"elicitation":{}}"#, "elicitation/create", "{}", Ok(())),
            (r#"{"elicitation":{}}"#, "elicitation/create", r#"{"mode":"form"}"#, Ok(())),
            (r#"{"elicitation":{}}"#, "elicitation/create", r#"{"mode":"url"}"#, Err(-32602)),
            (r#"{"elicitation":{"url":{}}}"#, "elicitation/create", r#"{"mode":"url"}"#, Ok(())),
            (r#"{"elicitation":{"url":{}}}"#, "elicitation/create", "{}", Err(-32602)),
            (r#"{"roots":{}}"#, "elicitation/create", "{}", Err(-32601)),
            (r#"{"roots":{}}"#, "roots/list", "{}", Ok(())),
            (r#"{"sampling":{}}"#, "roots/list", "{}", Err(-32601)),
            (r#"{"sampling":{}}"#, "sampling/createMessage", "{}", Ok(())),
            (r#"{"sampling":{}}"#, "sampling/createMessage", r#"{"tools":[]}"#, Err(-32602)),
            (r#"{"sampling":{"tools":{}}}"#, "sampling/createMessage", r#"{"tools":[]}"#, Ok(())),
            (r#"{"sampling":{},"roots":{}}"#, "tasks/get", "{}", Err(-32601)),
        ] {
            let set = Declared::of(&json(capabilities));
            assert_eq!(set.allows(asked, Some(&json(params))), verdict, "{capabilities} {asked} {params}");
        }
        assert_eq!(Declared::ANYTHING.allows("roots/list", None), Ok(()));
    }
}
