//! Runs the stages of one exchange in the order SEP-2624 gives them.

use std::sync::Arc;

use futures_util::future::join_all;

use super::exchange::{Exchange, Operation};
use super::stage::{Finding, Kind, Mode, Phase, Severity, Stage, StageAnswer, StageError};
use crate::json::Json;

/// What the request phase decided.
#[derive(Debug)]
pub enum Verdict {
    /// Send this to the server.
    Continue(Json),
    /// A stage answered in the server's place.
    Answer(Json),
    /// Nothing is sent.
    Refuse(Blocked),
}

/// Why a message was stopped.
#[derive(Debug)]
pub enum Blocked {
    /// Validators found errors: every one of them, with the stage that found it.
    Invalid(Vec<(Arc<str>, Finding)>),
    /// A stage that may not fail open failed.
    StageFailed {
        /// The stage.
        stage: Arc<str>,
        /// What happened to it.
        error: StageError,
    },
}

/// Something worth a line in the log that changed nothing for the client.
#[derive(Debug)]
pub enum Remark {
    /// An audit validator would have refused, or a finding was below error.
    Found(Arc<str>, Finding),
    /// A stage failed and let the message pass.
    FailedOpen(Arc<str>, StageError),
    /// An audit mutator would have changed the message.
    WouldChange(Arc<str>),
}

/// Who is told of remarks.
type Remarks = dyn Fn(&Operation, Remark) + Send + Sync;

/// The interceptors of one generation of configuration, in order.
#[derive(Default)]
pub struct Pipeline {
    request_mutators: Vec<Arc<dyn Stage>>,
    response_mutators: Vec<Arc<dyn Stage>>,
    validators: Vec<Arc<dyn Stage>>,
    remarks: Option<Box<Remarks>>,
}

impl Pipeline {
    /// Sorts `stages` into their running order. `remarks` is told what did not change anything for the client.
    pub fn new(
        stages: Vec<Arc<dyn Stage>>,
        remarks: impl Fn(&Operation, Remark) + Send + Sync + 'static,
    ) -> Self {
        let (mut mutators, mut validators): (Vec<_>, Vec<_>) =
            stages.into_iter().partition(|stage| stage.info().kind == Kind::Mutator);
        validators.sort_by_key(|stage| Arc::clone(&stage.info().name));
        mutators.sort_by_key(|stage| (stage.info().priority_request, Arc::clone(&stage.info().name)));
        let request_mutators = mutators.clone();
        mutators.sort_by_key(|stage| (stage.info().priority_response, Arc::clone(&stage.info().name)));
        Self { request_mutators, response_mutators: mutators, validators, remarks: Some(Box::new(remarks)) }
    }

    /// Whether any stage wants to see this operation at all, in either phase.
    pub fn interested(&self, operation: &Operation) -> bool {
        let wants = |stage: &Arc<dyn Stage>| {
            let hooks = &stage.info().hooks;
            hooks.iter().any(|h| h.wants(operation, Phase::Request) || h.wants(operation, Phase::Response))
        };
        self.validators.iter().any(wants) || self.request_mutators.iter().any(wants)
    }

    /// Towards the server: mutators by priority, then every validator on what will be sent.
    pub async fn request(&self, exchange: &Exchange, params: Json) -> Verdict {
        let mutated = match self.mutate(exchange, Phase::Request, params).await {
            Ok(Mutated::Payload(payload)) => payload,
            Ok(Mutated::Answer(result)) => return Verdict::Answer(result),
            Err(blocked) => return Verdict::Refuse(blocked),
        };
        match self.validate(exchange, Phase::Request, &mutated).await {
            Ok(()) => Verdict::Continue(mutated),
            Err(blocked) => Verdict::Refuse(blocked),
        }
    }

    /// Towards the client: every validator on what the server said, then mutators by priority. Failures pass here too:
    /// set [`Exchange::failed`] and hand in the error object.
    ///
    /// # Errors
    /// [`Blocked`] when the payload must not reach the client.
    pub async fn response(&self, exchange: &Exchange, payload: Json) -> Result<Json, Blocked> {
        self.validate(exchange, Phase::Response, &payload).await?;
        match self.mutate(exchange, Phase::Response, payload).await? {
            Mutated::Payload(payload) | Mutated::Answer(payload) => Ok(payload),
        }
    }

    async fn mutate(&self, exchange: &Exchange, phase: Phase, original: Json) -> Result<Mutated, Blocked> {
        let stages = match phase {
            Phase::Request => &self.request_mutators,
            Phase::Response => &self.response_mutators,
        };
        let mut payload = original.clone();
        for stage in stages {
            let info = stage.info();
            if !wanted(stage, &exchange.operation, phase) {
                continue;
            }
            let answer = stage.run(exchange, phase, &payload).await;
            match (info.mode, self.settled(exchange, stage, sensible(phase, answer))) {
                // Atomic: an error leaves this function with none of the phase's changes applied.
                (_, Err(blocked)) => return Err(blocked),
                (Mode::Audit, Ok(Some(StageAnswer::Changed(_) | StageAnswer::Answer(_)))) => {
                    self.remark(exchange, Remark::WouldChange(Arc::clone(&info.name)));
                }
                (Mode::Enforce, Ok(Some(StageAnswer::Changed(next)))) => payload = next,
                (Mode::Enforce, Ok(Some(StageAnswer::Answer(result)))) => return Ok(Mutated::Answer(result)),
                _ => {}
            }
        }
        Ok(Mutated::Payload(payload))
    }

    /// Runs every interested validator concurrently to its end, so that one refusal lists every error.
    async fn validate(&self, exchange: &Exchange, phase: Phase, payload: &Json) -> Result<(), Blocked> {
        let stages: Vec<_> =
            self.validators.iter().filter(|stage| wanted(stage, &exchange.operation, phase)).collect();
        let answers = match stages.as_slice() {
            [] => return Ok(()),
            [only] => vec![only.run(exchange, phase, payload).await],
            several => join_all(several.iter().map(|stage| stage.run(exchange, phase, payload))).await,
        };
        let mut errors = Vec::new();
        let mut failure = None;
        for (stage, answer) in stages.into_iter().zip(answers) {
            match self.settled(exchange, stage, answer) {
                Ok(Some(StageAnswer::Findings(findings))) => {
                    self.sort_out(exchange, stage, findings, &mut errors);
                }
                Ok(_) => {}
                Err(blocked) => failure = failure.or(Some(blocked)),
            }
        }
        match failure {
            Some(blocked) => Err(blocked),
            None if errors.is_empty() => Ok(()),
            None => Err(Blocked::Invalid(errors)),
        }
    }

    fn sort_out(
        &self,
        exchange: &Exchange,
        stage: &Arc<dyn Stage>,
        findings: Vec<Finding>,
        errors: &mut Vec<(Arc<str>, Finding)>,
    ) {
        let info = stage.info();
        for finding in findings {
            if finding.severity == Severity::Error && info.mode == Mode::Enforce {
                errors.push((Arc::clone(&info.name), finding));
            } else {
                self.remark(exchange, Remark::Found(Arc::clone(&info.name), finding));
            }
        }
    }

    /// Applies a stage's fail policy: its answer, nothing when it failed and may, or the block.
    fn settled(
        &self,
        exchange: &Exchange,
        stage: &Arc<dyn Stage>,
        answer: Result<StageAnswer, StageError>,
    ) -> Result<Option<StageAnswer>, Blocked> {
        let info = stage.info();
        let fits = |answer: &StageAnswer| match answer {
            StageAnswer::Findings(_) => info.kind == Kind::Validator,
            StageAnswer::Unchanged | StageAnswer::Changed(_) | StageAnswer::Answer(_) => {
                info.kind == Kind::Mutator
            }
        };
        let error = match answer {
            Ok(answer) if fits(&answer) => return Ok(Some(answer)),
            Ok(_) => StageError::Failed("answered in the other kind's words".into()),
            Err(error) => error,
        };
        if info.fail_open || info.mode == Mode::Audit {
            self.remark(exchange, Remark::FailedOpen(Arc::clone(&info.name), error));
            return Ok(None);
        }
        Err(Blocked::StageFailed { stage: Arc::clone(&info.name), error })
    }

    fn remark(&self, exchange: &Exchange, remark: Remark) {
        if let Some(remarks) = &self.remarks {
            remarks(&exchange.operation, remark);
        }
    }
}

/// What a chain of mutators left.
enum Mutated {
    Payload(Json),
    Answer(Json),
}

/// In the response phase the server has answered already, so an answer in its place is a failure of the stage.
fn sensible(phase: Phase, answer: Result<StageAnswer, StageError>) -> Result<StageAnswer, StageError> {
    match (phase, answer) {
        (Phase::Response, Ok(StageAnswer::Answer(_))) => {
            Err(StageError::Failed("answered where there is nothing left to answer".into()))
        }
        (_, answer) => answer,
    }
}

fn wanted(stage: &Arc<dyn Stage>, operation: &Operation, phase: Phase) -> bool {
    stage.info().hooks.iter().any(|hook| hook.wants(operation, phase))
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
