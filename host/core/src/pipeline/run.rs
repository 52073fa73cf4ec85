//! Runs the stages of one exchange in the order SEP-2624 gives them.

use std::sync::Arc;

use futures_util::future::join_all;

use super::diff::{Difference, differences};
use super::exchange::{Exchange, Operation};
use super::stage::{
    Finding, ItemChange, Kind, ListItem, Mode, Party, Phase, Severity, Stage, StageAnswer, StageError,
};
use crate::json::Json;
use crate::name::ServerName;

/// What the request phase decided.
#[derive(Debug)]
pub enum Verdict {
    /// Send this.
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
    /// A stage failed and let the message pass: because it may, or because it only audits.
    LetPass {
        /// The stage.
        stage: Arc<str>,
        /// What happened to it.
        error: StageError,
        /// Whether failing is allowed (`failOpen`): a warning. It is an error otherwise.
        fail_open: bool,
    },
    /// An audit mutator would have changed the message here.
    WouldChange(Arc<str>, Vec<Difference>),
    /// An audit mutator would have answered in the server's place.
    WouldAnswer(Arc<str>),
    /// An audit list filter would have changed that many items.
    WouldFilter(Arc<str>, usize),
}

/// Who is told of remarks.
type Remarks = dyn Fn(&Operation, Remark) + Send + Sync;

/// One item of a list as the filters left it.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its position in the list that was filtered.
    pub index: usize,
    /// The item as clients see it.
    pub item: Json,
}

/// The interceptors of one generation of configuration, in order.
#[derive(Default)]
pub struct Pipeline {
    /// As they were registered.
    stages: Vec<Arc<dyn Stage>>,
    request_mutators: Vec<Arc<dyn Stage>>,
    response_mutators: Vec<Arc<dyn Stage>>,
    validators: Vec<Arc<dyn Stage>>,
    filters: Vec<Arc<dyn Stage>>,
    remarks: Option<Box<Remarks>>,
}

impl Pipeline {
    /// Sorts `stages` into their running order. `remarks` is told what did not change anything for the client.
    pub fn new(
        stages: Vec<Arc<dyn Stage>>,
        remarks: impl Fn(&Operation, Remark) + Send + Sync + 'static,
    ) -> Self {
        let of = |kind: Kind| -> Vec<_> {
            stages.iter().filter(|stage| stage.info().kind == kind).map(Arc::clone).collect()
        };
        let by = |mut stages: Vec<Arc<dyn Stage>>, priority: fn(&dyn Stage) -> i32| {
            stages.sort_by_key(|stage| (priority(&**stage), Arc::clone(&stage.info().name)));
            stages
        };
        Self {
            request_mutators: by(of(Kind::Mutator), |stage| stage.info().priority_request),
            response_mutators: by(of(Kind::Mutator), |stage| stage.info().priority_response),
            filters: by(of(Kind::Filter), |stage| stage.info().priority_response),
            validators: by(of(Kind::Validator), |_| 0),
            stages,
            remarks: Some(Box::new(remarks)),
        }
    }

    /// Every stage, as registered.
    pub fn stages(&self) -> &[Arc<dyn Stage>] {
        &self.stages
    }

    /// Whether any validator or mutator wants to see this operation at all, in either phase.
    pub fn interested(&self, operation: &Operation) -> bool {
        let wants = |stage: &Arc<dyn Stage>| {
            let hooks = &stage.info().hooks;
            hooks.iter().any(|h| h.wants(operation, Phase::Request) || h.wants(operation, Phase::Response))
        };
        self.validators.iter().any(wants) || self.request_mutators.iter().any(wants)
    }

    /// The same of what `server` may say of its own accord, before it says it.
    pub fn interested_in_event(&self, event: &str, server: Option<&ServerName>) -> bool {
        let wants =
            |stage: &Arc<dyn Stage>| stage.info().hooks.iter().any(|hook| hook.wants_any(event, server));
        self.validators.iter().any(wants) || self.request_mutators.iter().any(wants)
    }

    /// The same in one phase alone.
    pub fn interested_in(&self, operation: &Operation, phase: Phase) -> bool {
        let wants = |stage: &Arc<dyn Stage>| wanted(stage, operation, phase);
        self.validators.iter().any(wants) || self.request_mutators.iter().any(wants)
    }

    /// Whether a list filter wants to see this list.
    pub fn filters(&self, operation: &Operation) -> bool {
        self.filters.iter().any(|stage| wants_list(stage, operation))
    }

    /// The request, or a notification. Away from whoever sends it over our boundary (towards the server when the client
    /// began): mutators by priority, then every validator on what will be sent. In over our boundary (the server
    /// began): every validator, then the mutators.
    pub async fn request(&self, exchange: &Exchange, params: Json) -> Verdict {
        let done = match exchange.operation.initiator {
            Party::Client => self.outward(exchange, Phase::Request, params).await,
            Party::Server => self.inward(exchange, Phase::Request, params).await,
        };
        match done {
            Ok(Mutated::Payload(payload)) => Verdict::Continue(payload),
            Ok(Mutated::Answer(result)) => Verdict::Answer(result),
            Err(blocked) => Verdict::Refuse(blocked),
        }
    }

    /// The answer: from the server every validator on what it said, then mutators by priority; from the client (the server
    /// began) the other way round. Failures pass here too: set [`Exchange::failed`] and hand in the error object.
    ///
    /// # Errors
    /// [`Blocked`] when the payload must not go on.
    pub async fn response(&self, exchange: &Exchange, payload: Json) -> Result<Json, Blocked> {
        let done = match exchange.operation.initiator {
            Party::Client => self.inward(exchange, Phase::Response, payload).await,
            Party::Server => self.outward(exchange, Phase::Response, payload).await,
        };
        done.map(|(Mutated::Payload(payload) | Mutated::Answer(payload))| payload)
    }

    /// Leaving for the server: prepare, then check what will be sent.
    async fn outward(&self, exchange: &Exchange, phase: Phase, payload: Json) -> Result<Mutated, Blocked> {
        let mutated = self.mutate(exchange, phase, payload).await?;
        if let Mutated::Payload(payload) = &mutated {
            self.validate(exchange, phase, payload).await?;
        }
        Ok(mutated)
    }

    /// Coming in from the server: check what came, then prepare it.
    async fn inward(&self, exchange: &Exchange, phase: Phase, payload: Json) -> Result<Mutated, Blocked> {
        self.validate(exchange, phase, &payload).await?;
        self.mutate(exchange, phase, payload).await
    }

    /// Passes all items of a list through the list filters, by priority, each seeing what the one before left of the items
    /// its hooks are for.
    ///
    /// # Errors
    /// [`Blocked`] when a filter that may not fail open failed: the list is not shown at all.
    pub async fn filter(&self, exchange: &Exchange, items: Vec<ListItem>) -> Result<Vec<Kept>, Blocked> {
        let mut kept: Vec<Option<ListItem>> = items.into_iter().map(Some).collect();
        for stage in self.filters.iter().filter(|stage| wants_list(stage, &exchange.operation)) {
            let wanted = |item: &ListItem| stage.info().hooks.iter().any(|hook| hook.wants_item(item));
            let (places, shown): (Vec<usize>, Vec<ListItem>) = kept
                .iter()
                .enumerate()
                .filter_map(|(index, item)| Some((index, item.clone().filter(wanted)?)))
                .unzip();
            let answer = match self.fits(exchange, stage) {
                Ok(()) => stage.filter(exchange, &shown).await.and_then(|changes| apply(&shown, changes)),
                Err(error) => Err(error),
            };
            let info = stage.info();
            match (info.mode, answer) {
                (_, Err(error)) => self.failed(exchange, stage, error)?,
                (Mode::Audit, Ok(after)) => {
                    let touched = after.iter().zip(&shown).filter(|(after, before)| {
                        after.as_ref().is_none_or(|after| after.item != before.item)
                    });
                    let remark = Remark::WouldFilter(Arc::clone(&info.name), touched.count());
                    self.remark(exchange, remark);
                }
                (Mode::Enforce, Ok(after)) => {
                    for (place, item) in places.into_iter().zip(after) {
                        if let Some(kept) = kept.get_mut(place) {
                            *kept = item;
                        }
                    }
                }
            }
        }
        let kept = kept.into_iter().enumerate();
        Ok(kept.filter_map(|(index, item)| Some(Kept { index, item: item?.item })).collect())
    }

    async fn mutate(&self, exchange: &Exchange, phase: Phase, original: Json) -> Result<Mutated, Blocked> {
        let stages = match phase {
            Phase::Request => &self.request_mutators,
            Phase::Response => &self.response_mutators,
        };
        let mut payload = original;
        for stage in stages {
            let info = stage.info();
            if !wanted(stage, &exchange.operation, phase) {
                continue;
            }
            let answer = self.run(exchange, stage, phase, &payload).await;
            match (info.mode, self.settled(exchange, stage, sensible(exchange, phase, answer))) {
                // Atomic: an error leaves this function with none of the phase's changes applied.
                (_, Err(blocked)) => return Err(blocked),
                (Mode::Audit, Ok(Some(StageAnswer::Changed(next)))) => {
                    let changes = differences(&payload, &next, MAX_DIFFERENCES);
                    self.remark(exchange, Remark::WouldChange(Arc::clone(&info.name), changes));
                }
                (Mode::Audit, Ok(Some(StageAnswer::Answer(_)))) => {
                    self.remark(exchange, Remark::WouldAnswer(Arc::clone(&info.name)));
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
            [only] => vec![self.run(exchange, only, phase, payload).await],
            several => join_all(several.iter().map(|stage| self.run(exchange, stage, phase, payload))).await,
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

    async fn run(
        &self,
        exchange: &Exchange,
        stage: &Arc<dyn Stage>,
        phase: Phase,
        payload: &Json,
    ) -> Result<StageAnswer, StageError> {
        self.fits(exchange, stage)?;
        stage.run(exchange, phase, payload).await
    }

    /// A stage cannot judge messages of protocol versions it does not know.
    fn fits(&self, exchange: &Exchange, stage: &Arc<dyn Stage>) -> Result<(), StageError> {
        let version = exchange.operation.version;
        if stage.info().compat.covers(version) {
            return Ok(());
        }
        Err(StageError::Failed(format!("is not made for protocol version {version}")))
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
        let kind = stage.info().kind;
        let fits = |answer: &StageAnswer| match answer {
            StageAnswer::Findings(_) => kind == Kind::Validator,
            StageAnswer::Unchanged | StageAnswer::Changed(_) | StageAnswer::Answer(_) => {
                kind == Kind::Mutator
            }
        };
        let error = match answer {
            Ok(answer) if fits(&answer) => return Ok(Some(answer)),
            Ok(_) => StageError::Failed("answered in the other kind's words".into()),
            Err(error) => error,
        };
        self.failed(exchange, stage, error).map(|()| None)
    }

    /// The block of a stage that failed, unless it may or only audits.
    fn failed(&self, exchange: &Exchange, stage: &Arc<dyn Stage>, error: StageError) -> Result<(), Blocked> {
        let info = stage.info();
        let stage = Arc::clone(&info.name);
        if info.fail_open || info.mode == Mode::Audit {
            self.remark(exchange, Remark::LetPass { stage, error, fail_open: info.fail_open });
            return Ok(());
        }
        Err(Blocked::StageFailed { stage, error })
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

/// Only the server's answer to the client can be given in its place, and only before it was asked.
fn sensible(
    exchange: &Exchange,
    phase: Phase,
    answer: Result<StageAnswer, StageError>,
) -> Result<StageAnswer, StageError> {
    match (exchange.operation.initiator, phase, answer) {
        (Party::Client, Phase::Request, answer) => answer,
        (_, _, Ok(StageAnswer::Answer(_))) => {
            Err(StageError::Failed("answered where there is nothing to answer".into()))
        }
        (_, _, answer) => answer,
    }
}

/// The items after a filter's changes; None where one is hidden. A change of what is not there, and a patch that leaves no
/// object, are the filter's failure.
fn apply(items: &[ListItem], changes: Vec<(usize, ItemChange)>) -> Result<Vec<Option<ListItem>>, StageError> {
    let mut after: Vec<Option<ListItem>> = items.iter().cloned().map(Some).collect();
    for (index, change) in changes {
        let place = after
            .get_mut(index)
            .ok_or_else(|| StageError::Failed(format!("changed item {index} of {}", items.len())))?;
        match (change, place.as_mut()) {
            (ItemChange::Hide, _) => *place = None,
            (ItemChange::Patch(_), None) => {}
            (ItemChange::Patch(patch), Some(item)) => {
                item.item = item.item.merged(&patch);
                if !item.item.is_object() {
                    return Err(StageError::Failed("left an item that is no object".into()));
                }
                let name = ["name", "uri", "uriTemplate"].iter().find_map(|name| item.item.member(name));
                if let Some(name) = name.as_ref().and_then(Json::string) {
                    item.name = name.into();
                }
            }
        }
    }
    Ok(after)
}

fn wanted(stage: &Arc<dyn Stage>, operation: &Operation, phase: Phase) -> bool {
    stage.info().hooks.iter().any(|hook| hook.wants(operation, phase))
}

/// A list is of many servers, so a filter's server and subject patterns choose among its items.
fn wants_list(stage: &Arc<dyn Stage>, operation: &Operation) -> bool {
    stage.info().hooks.iter().any(|hook| hook.wants_event(&operation.event, Phase::Response))
}

/// Places a diff of an audit names.
const MAX_DIFFERENCES: usize = 64;

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
