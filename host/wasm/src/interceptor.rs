//! A loaded plugin as a stage of the pipeline: what of a guest's answer becomes the stage's answer.

use std::sync::Arc;

use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{
    Exchange, Finding, Kind, Phase, Severity, Stage, StageAnswer, StageError, StageFuture, StageInfo,
};

use crate::bindings::{mutator, types};
use crate::call::{Entered, contained, enter};
use crate::compile::Compiled;
use crate::engine::Engine;
use crate::guest::{Guest, Identity, Message};
use crate::hooks::Interest;
use crate::limits::{Limits, OUTPUT};
use crate::link::{Linked, Role};
use crate::load::Descriptor;
use crate::text::printable;

/// Findings of one call.
const MAX_FINDINGS: usize = 256;

/// Bytes of a finding's message, and of the words with which a plugin says that it failed.
const MAX_WORDS: usize = 1 << 10;

/// A loaded plugin. Every call runs in a fresh instance of it.
pub struct Interceptor {
    pub(crate) info: StageInfo,
    pub(crate) descriptor: Descriptor,
    pub(crate) engine: Engine,
    pub(crate) identity: Arc<Identity>,
    /// Keeps the compiled code findable for the next interceptor of the same bytes.
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) linked: Linked,
    pub(crate) interest: Interest,
    pub(crate) config: String,
    pub(crate) limits: Limits,
}

impl std::fmt::Debug for Interceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interceptor")
            .field("info", &self.info)
            .field("descriptor", &self.descriptor)
            .finish_non_exhaustive()
    }
}

impl Stage for Interceptor {
    fn info(&self) -> &StageInfo {
        &self.info
    }

    fn run<'a>(&'a self, exchange: &'a Exchange, phase: Phase, payload: &'a Json) -> StageFuture<'a> {
        Box::pin(async move {
            if self.interest.wants(&exchange.operation, phase, payload) {
                self.inspect(exchange, phase, payload).await
            } else {
                Ok(self.nothing())
            }
        })
    }
}

/// What the guest said, and the message as it left it.
struct Said {
    answer: Result<Answer, String>,
    message: Option<Message>,
}

enum Answer {
    Findings(Vec<types::Finding>),
    Outcome(mutator::Outcome),
}

impl Interceptor {
    /// What the plugin says about itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The plugin's counters since it was loaded.
    pub fn counters(&self) -> Vec<(String, u64)> {
        self.identity.counters.all()
    }

    async fn inspect(
        &self,
        exchange: &Exchange,
        phase: Phase,
        payload: &Json,
    ) -> Result<StageAnswer, StageError> {
        let limits = self.limits.for_message(payload.bytes().len());
        let guest = Guest::new(&self.identity, &limits);
        let output = guest.stdio.clone();
        let work = async {
            let mut entered = enter(&self.engine, &self.linked, guest).await?;
            self.configure(&mut entered).await?;
            let operation = entered.store.data_mut().receive(exchange, phase, payload);
            let answer = self.ask(&mut entered, &operation).await?;
            let guest = entered.store.data_mut();
            if let Ok(answer) = &answer {
                guest.usage.output(answer.bytes())?;
            }
            if guest.log.dropped() > 0 {
                tracing::warn!(target: "wasmgate::plugin", plugin = %self.info.name, request = guest.request(), dropped = guest.log.dropped(), "logged too many lines");
            }
            Ok(Said { answer, message: guest.give_back() })
        };
        let said = contained(&self.engine, &self.identity, &limits, work).await;
        output.log(&self.info.name, &exchange.operation.id);
        let Said { answer, message } = said?;
        let answer = answer.map_err(|words| StageError::Failed(printable(&words, MAX_WORDS)))?;
        let note = message.as_ref().filter(|message| message.noted).and_then(|message| message.note.clone());
        let answer = settle(answer, phase, message)?;
        if let Some(note) = note {
            exchange.put_note(&self.info.name, note);
        }
        Ok(answer)
    }

    /// Every instance is fresh, so every instance is told its configuration.
    async fn configure(&self, entered: &mut Entered) -> wasmtime::Result<()> {
        let exports = self.linked.describes.load(&mut entered.store, &entered.instance)?;
        let plugin = exports.wasmgate_plugin_plugin();
        plugin.call_configure(&mut entered.store, &self.config).await?.map_err(|_problems| {
            wasmtime::format_err!("refused the configuration that it accepted when it was loaded")
        })
    }

    async fn ask(
        &self,
        entered: &mut Entered,
        operation: &types::Operation,
    ) -> wasmtime::Result<Result<Answer, String>> {
        let Entered { store, instance } = entered;
        match &self.linked.role {
            Role::Validator(indices) => {
                let exports = indices.load(&mut *store, instance)?;
                let found = exports.wasmgate_plugin_validator().call_validate(store, operation).await?;
                Ok(found.map(Answer::Findings))
            }
            Role::Mutator(indices) => {
                let exports = indices.load(&mut *store, instance)?;
                let outcome = exports.wasmgate_plugin_mutator().call_mutate(store, operation).await?;
                Ok(outcome.map(Answer::Outcome))
            }
        }
    }

    fn nothing(&self) -> StageAnswer {
        match self.info.kind {
            Kind::Validator => StageAnswer::Findings(Vec::new()),
            Kind::Mutator | Kind::Filter => StageAnswer::Unchanged,
        }
    }
}

impl Answer {
    fn bytes(&self) -> usize {
        let finding = |f: &types::Finding| f.message.len() + f.path.as_ref().map_or(0, String::len);
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
        suggestion: None,
    }
}
