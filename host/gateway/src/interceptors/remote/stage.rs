//! One interceptor of a remote as a stage.

use std::sync::Arc;
use std::time::SystemTime;

use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::pipeline::{
    Exchange, Mode, Phase, ReconfigureFuture, Stage, StageAnswer, StageError, StageFuture, StageInfo,
};

use super::line::{GRACE, Line};
use super::read::{Described, Sent, settle};
use super::wanted::Wanted;
use super::{Remote, TIME, date, read};
use crate::interceptors::door::INVOKE;
use crate::upstream::{Answer, Fault, UpstreamError};

/// One interceptor of a remote.
#[derive(Clone)]
pub(super) struct Distant {
    info: StageInfo,
    theirs: Box<str>,
    /// What both the remote and the operator want, exactly, in the request and in the response phase.
    wanted: Arc<[Wanted; 2]>,
    config: Json,
    line: Arc<Line>,
}

impl Distant {
    pub(super) fn new(remote: &Arc<Remote>, line: &Arc<Line>, described: Described) -> Self {
        let name = match remote.interceptor {
            Some(_) => remote.name.clone(),
            None => format!("{}/{}", remote.name, described.name),
        };
        let wanted = [Phase::Request, Phase::Response].map(|phase| Wanted::new(&described, remote, phase));
        let phases = [Phase::Request, Phase::Response].into_iter().zip(&wanted);
        let hooks = phases.filter_map(|(phase, wanted)| wanted.hook(phase, remote)).collect();
        let audits = remote.mode == Mode::Audit || described.mode == Mode::Audit;
        let info = StageInfo {
            name: name.into(),
            kind: described.kind,
            about: described.about,
            compat: described.compat,
            hooks,
            priority_request: remote.priority_request.unwrap_or(described.priority_request),
            priority_response: remote.priority_response.unwrap_or(described.priority_response),
            mode: if audits { Mode::Audit } else { Mode::Enforce },
            fail_open: remote.fail_open.unwrap_or(described.fail_open),
        };
        let (wanted, config) = (Arc::new(wanted), remote.config.clone());
        Self { info, theirs: described.name, wanted, config, line: Arc::clone(line) }
    }

    async fn invoke(
        &self,
        exchange: &Exchange,
        phase: Phase,
        payload: &Json,
    ) -> Result<StageAnswer, StageError> {
        let event = &*exchange.operation.event;
        let sent = Sent::new(event, phase, payload, exchange.failed);
        let params = self.params(exchange, &sent);
        let asked = self.line.ask(INVOKE, Some(params));
        // The remote was told to give up first; then its own words say so.
        let answer = tokio::time::timeout(self.line.wall + GRACE, asked)
            .await
            .map_err(|_| StageError::Exceeded(TIME))?;
        match answer {
            Ok(Answer::Result(result)) => {
                settle(&result, &self.theirs, self.info.kind, &sent).map_err(StageError::Failed)
            }
            Ok(Answer::Error(error)) => read::error(&error, self.info.kind, phase),
            Ok(Answer::Asks(_) | Answer::Flow(_)) => {
                Err(StageError::Failed("it asked a question".to_owned()))
            }
            Err(UpstreamError { fault: Fault::Timeout(_), .. }) => Err(StageError::Exceeded(TIME)),
            Err(error) => Err(StageError::Failed(error.fault.to_string())),
        }
    }

    /// The params of `interceptor/invoke`.
    fn params(&self, exchange: &Exchange, sent: &Sent) -> Json {
        let operation = &exchange.operation;
        let anonymous = &*operation.principal == "anonymous";
        let principal = ObjectWriter::new().string("type", if anonymous { "anonymous" } else { "user" });
        let principal = principal.string("id", &operation.principal).finish();
        let mut context = ObjectWriter::new().member("principal", &principal);
        if let Some(session) = &operation.session {
            context = context.string("sessionId", session);
        }
        let context = context.string("timestamp", &date::iso_8601(SystemTime::now())).finish();
        let limit = u64::try_from(self.line.wall.as_millis()).unwrap_or(u64::MAX);
        let mut params = ObjectWriter::new()
            .string("name", &self.theirs)
            .string("event", &operation.event)
            .string("phase", read::phase(sent.phase))
            .member("payload", &sent.payload);
        if self.config.members().is_some_and(|members| !members.is_empty()) {
            params = params.member("config", &self.config);
        }
        params.member("timeoutMs", &Json::of(&limit)).member("context", &context).finish()
    }

    fn wants(&self, event: &str, phase: Phase) -> bool {
        let [request, response] = &*self.wanted;
        match phase {
            Phase::Request => request.matches(event),
            Phase::Response => response.matches(event),
        }
    }
}

impl Stage for Distant {
    fn info(&self) -> &StageInfo {
        &self.info
    }

    fn run<'a>(&'a self, exchange: &'a Exchange, phase: Phase, payload: &'a Json) -> StageFuture<'a> {
        Box::pin(async move {
            if self.wants(&exchange.operation.event, phase) {
                self.invoke(exchange, phase, payload).await
            } else {
                Ok(read::nothing(self.info.kind))
            }
        })
    }

    /// The remote judges it, call by call.
    fn reconfigured(&self, config: Json) -> ReconfigureFuture<'_> {
        let stage = Self { config, ..self.clone() };
        Box::pin(std::future::ready(Ok(Arc::new(stage) as Arc<dyn Stage>)))
    }
}
