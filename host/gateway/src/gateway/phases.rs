//! The two phases of an exchange, and what stages are told of it.

use std::sync::Arc;

use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::error_object;
use wasmgate_core::mcp::code;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{Exchange, Operation, Party, Pipeline, Verdict};

use super::{CallError, Request};

/// What the request phase left to do.
pub(super) enum Sent {
    /// Send this.
    Params(Json),
    /// Nothing: an interceptor answered.
    Answered(Json),
}

/// The request phase.
pub(super) async fn towards_server(
    pipeline: &Pipeline,
    exchange: &mut Exchange,
    params: Json,
) -> Result<Sent, CallError> {
    match pipeline.request(exchange, params).await {
        Verdict::Continue(params) => {
            exchange.sent = Some(params.clone());
            Ok(Sent::Params(params))
        }
        Verdict::Answer(result) => Ok(Sent::Answered(result)),
        Verdict::Refuse(blocked) => Err(CallError::Blocked(blocked)),
    }
}

/// The response phase: successes and failures alike.
pub(super) async fn towards_client(
    pipeline: &Pipeline,
    exchange: &mut Exchange,
    outcome: Result<Json, CallError>,
) -> Result<Json, CallError> {
    let error = match outcome {
        Ok(result) => return pipeline.response(exchange, result).await.map_err(CallError::Blocked),
        Err(error) => error,
    };
    exchange.failed = true;
    let payload = match &error {
        CallError::Answered(object) => object.clone(),
        other => error_object(code::INTERNAL, &other.to_string(), None),
    };
    let seen = pipeline.response(exchange, payload.clone()).await.map_err(CallError::Blocked)?;
    Err(if seen == payload { error } else { CallError::Answered(seen) })
}

/// What a server says or asks on its own account in the course of an operation: of another event, begun by the server.
pub(super) fn of_server(operation: &Operation, event: &str) -> Operation {
    Operation { event: event.into(), subject: None, initiator: Party::Server, ..operation.clone() }
}

impl Request {
    /// This request as stages are told of it.
    pub(super) fn operation(&self, server: Option<ServerName>, subject: Option<Arc<str>>) -> Operation {
        Operation {
            id: Arc::clone(&self.id),
            event: Arc::clone(&self.method),
            server,
            subject,
            principal: Arc::clone(&self.principal),
            session: self.session.clone(),
            version: self.version,
            initiator: Party::Client,
        }
    }
}
