//! A loaded plugin as a stage of the pipeline: what of a guest's answer becomes the stage's answer.

use std::sync::Arc;

use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{
    Exchange, FilterFuture, Finding, ItemChange, Kind, ListItem, Phase, ReconfigureFuture, Severity, Stage,
    StageAnswer, StageError, StageFuture, StageInfo,
};

use crate::bindings::{list_filter, mutator, types};
use crate::body::Body;
use crate::call::Entered;
use crate::guest::{Message, Shown};
use crate::hooks::{Interest, Role, Sight};
use crate::limits::OUTPUT;
use crate::load;
use crate::text::printable;

/// Findings of one call.
const MAX_FINDINGS: usize = 256;

/// Bytes of a finding's message, and of the words with which a plugin says that it failed.
const MAX_WORDS: usize = 1 << 10;

/// One role of a loaded plugin.
pub struct Interceptor {
    pub(crate) info: StageInfo,
    pub(crate) role: Role,
    pub(crate) interest: Interest,
    pub(crate) body: Arc<Body>,
}

impl std::fmt::Debug for Interceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interceptor").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Stage for Interceptor {
    fn info(&self) -> &StageInfo {
        &self.info
    }

    fn run<'a>(&'a self, exchange: &'a Exchange, phase: Phase, payload: &'a Json) -> StageFuture<'a> {
        Box::pin(async move {
            let payload = match self.interest.sight(&exchange.operation, phase, payload) {
                Sight::Nothing => return Ok(self.nothing()),
                Sight::Operation => &NOTHING,
                Sight::Payload => payload,
            };
            self.inspect(exchange, phase, payload).await
        })
    }

    fn filter<'a>(&'a self, exchange: &'a Exchange, items: &'a [ListItem]) -> FilterFuture<'a> {
        Box::pin(self.inspect_list(exchange, items))
    }

    fn reconfigured(&self, config: Json) -> ReconfigureFuture<'_> {
        Box::pin(async move {
            let made = load::reconfigured(&self.body, config).await.map_err(|error| words(&error))?;
            let same = made.into_iter().find(|interceptor| interceptor.role == self.role);
            let stage = same.ok_or("has nothing to do under this configuration")?;
            Ok(stage as Arc<dyn Stage>)
        })
    }
}

/// An error and what caused it.
fn words(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", words(source)),
        None => error.to_string(),
    }
}

/// What is shown to a plugin that does not read payloads.
static NOTHING: Json = Json::null();

enum Answer {
    Findings(Vec<types::Finding>),
    Outcome(mutator::Outcome),
}

impl Interceptor {
    /// The plugin's counters since it was loaded, over all its roles.
    pub fn counters(&self) -> Vec<(String, u64)> {
        self.body.identity.counters.all()
    }

    async fn inspect(
        &self,
        exchange: &Exchange,
        phase: Phase,
        payload: &Json,
    ) -> Result<StageAnswer, StageError> {
        let limits = self.body.limits.for_message(payload.bytes().len());
        let work = async |entered: &mut Entered| {
            let may_edit = self.role == Role::Mutate;
            let shown = Shown { json: payload, may_edit };
            let operation = entered.store.data_mut().receive(exchange, phase, shown);
            let answer = self.ask(entered, &operation).await?;
            let guest = entered.store.data_mut();
            let message = guest.give_back();
            let answer = match answer {
                Ok(answer) => answer,
                Err(words) => return Ok(Err(failed(&words))),
            };
            guest.usage.output(answer.bytes())?;
            let note =
                message.as_ref().filter(|message| message.noted).and_then(|message| message.note.clone());
            Ok(settle(answer, phase, message).map(|answer| (answer, note)))
        };
        let (answer, note) = self.body.call(exchange, &limits, work).await?;
        if let Some(note) = note {
            exchange.put_note(&self.body.identity.name, note);
        }
        Ok(answer)
    }

    async fn inspect_list(
        &self,
        exchange: &Exchange,
        items: &[ListItem],
    ) -> Result<Vec<(usize, ItemChange)>, StageError> {
        let bytes = items.iter().map(|item| item.item.bytes().len()).sum();
        let limits = self.body.limits.for_message(bytes);
        let items: Vec<_> = items.iter().map(list_item).collect();
        let work = async |entered: &mut Entered| {
            let shown = Shown { json: &NOTHING, may_edit: false };
            let operation = entered.store.data_mut().receive(exchange, Phase::Response, shown);
            let Entered { store, instance, .. } = entered;
            let indices = self.body.linked.filters.as_ref().ok_or_else(no_export)?;
            let exports = indices.load(&mut *store, instance)?;
            let changes =
                exports.wasmgate_plugin_list_filter().call_filter(&mut *store, &operation, &items).await?;
            let guest = store.data_mut();
            guest.give_back();
            let changes = match changes {
                Ok(changes) => changes,
                Err(words) => return Ok(Err(failed(&words))),
            };
            let bytes = changes.iter().map(|(_, change)| match change {
                list_filter::Change::Hide => 0,
                list_filter::Change::Patch(patch) => patch.len(),
            });
            guest.usage.output(bytes.sum())?;
            Ok(changes.into_iter().map(item_change).collect())
        };
        self.body.call(exchange, &limits, work).await
    }

    async fn ask(
        &self,
        entered: &mut Entered,
        operation: &types::Operation,
    ) -> wasmtime::Result<Result<Answer, String>> {
        let Entered { store, instance, validates, mutates, .. } = entered;
        let linked = &self.body.linked;
        if self.role == Role::Validate {
            let exports = match validates {
                Some(exports) => exports,
                None => {
                    let indices = linked.validates.as_ref().ok_or_else(no_export)?;
                    validates.insert(indices.load(&mut *store, instance)?)
                }
            };
            let found = exports.wasmgate_plugin_validator().call_validate(store, operation).await?;
            return Ok(found.map(Answer::Findings));
        }
        let exports = match mutates {
            Some(exports) => exports,
            None => {
                let indices = linked.mutates.as_ref().ok_or_else(no_export)?;
                mutates.insert(indices.load(&mut *store, instance)?)
            }
        };
        let outcome = exports.wasmgate_plugin_mutator().call_mutate(store, operation).await?;
        Ok(outcome.map(Answer::Outcome))
    }

    fn nothing(&self) -> StageAnswer {
        match self.info.kind {
            Kind::Validator => StageAnswer::Findings(Vec::new()),
            Kind::Mutator | Kind::Filter => StageAnswer::Unchanged,
        }
    }
}

/// The plugin says that it failed itself.
fn failed(words: &str) -> StageError {
    StageError::Failed(printable(words, MAX_WORDS))
}

/// Cannot happen: hooks for what is not exported are refused when a plugin is loaded.
fn no_export() -> wasmtime::Error {
    wasmtime::format_err!("does not export what was to be called")
}

fn list_item(item: &ListItem) -> list_filter::Item {
    let description = item.item.member("description");
    list_filter::Item {
        name: item.name.to_string(),
        server: item.server.as_str().to_owned(),
        description: description.as_ref().and_then(|text| Some(text.string()?.into_owned())),
        item: item.item.as_str().to_owned(),
    }
}

fn item_change((index, change): (u32, list_filter::Change)) -> Result<(usize, ItemChange), StageError> {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    Ok((
        index,
        match change {
            list_filter::Change::Hide => ItemChange::Hide,
            list_filter::Change::Patch(patch) => match Json::parse(patch) {
                Ok(patch) if patch.is_object() => ItemChange::Patch(patch),
                Ok(_) => return Err(StageError::Failed("patched with something else than an object".into())),
                Err(error) => {
                    return Err(StageError::Failed(format!("patched with what is not JSON: {error}")));
                }
            },
        },
    ))
}

impl Answer {
    fn bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let finding = |f: &types::Finding| f.message.len() + length(&f.path) + length(&f.suggestion);
        match self {
            Self::Findings(findings) => findings.iter().map(finding).sum(),
            Self::Outcome(mutator::Outcome::Answer(json)) => json.len(),
            Self::Outcome(mutator::Outcome::Unchanged | mutator::Outcome::Changed) => 0,
        }
    }
}

/// Checks what a guest said and turns it into the pipeline's words.
fn settle(answer: Answer, phase: Phase, message: Option<Message>) -> Result<StageAnswer, StageError> {
    let failed = |words: String| Err(StageError::Failed(words));
    match answer {
        Answer::Findings(findings) if findings.len() > MAX_FINDINGS => Err(StageError::Exceeded(OUTPUT.0)),
        Answer::Findings(findings) => Ok(StageAnswer::Findings(findings.into_iter().map(finding).collect())),
        Answer::Outcome(mutator::Outcome::Unchanged) => Ok(StageAnswer::Unchanged),
        Answer::Outcome(mutator::Outcome::Changed) => Ok(match message {
            Some(message) if message.edited => StageAnswer::Changed(message.payload),
            _ => StageAnswer::Unchanged,
        }),
        Answer::Outcome(mutator::Outcome::Answer(_)) if phase == Phase::Response => {
            failed("answered in the response phase".to_owned())
        }
        Answer::Outcome(mutator::Outcome::Answer(json)) => match Json::parse(json) {
            Ok(result) if result.is_object() => Ok(StageAnswer::Answer(result)),
            Ok(_) => failed("answered with something else than an object".to_owned()),
            Err(error) => failed(format!("answered with what is not JSON: {error}")),
        },
    }
}

/// A finding reaches clients and terminals, so its words are bounded and printable.
fn finding(raw: types::Finding) -> Finding {
    Finding {
        path: raw.path.map(|path| printable(&path, MAX_WORDS)),
        message: printable(&raw.message, MAX_WORDS),
        severity: match raw.severity {
            types::Severity::Info => Severity::Info,
            types::Severity::Warn => Severity::Warn,
            types::Severity::Error => Severity::Error,
        },
        suggestion: raw.suggestion.and_then(|value| Json::parse(value).ok()),
    }
}
