//! A request that goes to one server: name, permit, interceptors, server, interceptors. Each step is a few lines here;
//! the whole is [`Gateway::call`].

use std::sync::Arc;

use wasmgate_core::json::Json;
use wasmgate_core::pipeline::Exchange;
use wasmgate_core::policy::Permit;

use super::phases::{Sent, towards_client, towards_server};
use super::rounds::Rounds;
use super::{CallError, Gateway, Request};
use crate::upstream::{Answer, Ask};

impl Gateway {
    /// Answers a request that belongs to one server.
    pub(super) async fn call(&self, mut request: Request) -> Result<Json, CallError> {
        let (now, asked) = self.asked(&request).await?; // public name -> server and its own name
        let permit = now.policy.permit(asked.target.clone()).map_err(|_| asked.unknown())?;
        let params = asked.in_own_words(request.params.take());
        let pipeline = &now.generation.pipeline;
        let subject = asked.subject(params.as_ref());
        let operation = request.operation(Some(asked.target.server.clone()), subject);
        if pipeline.stages().is_empty() && !Rounds::may_carry_state(&request) {
            let answer = self.pool.call(&permit, ask(&request, params)).await?;
            return Ok(asked.in_public_words(result(answer)?));
        }
        let rounds = Rounds { pipeline, operation: &operation, sealer: &self.sealer };
        let params = rounds.answers(params).await?; // what the client answers to the server's questions
        if !pipeline.interested(&operation) {
            let result = self.asked_in_full(&rounds, &permit, &request, params).await?;
            return Ok(asked.in_public_words(result));
        }
        let mut exchange = Exchange::new(operation.clone());
        exchange.attributes = request.attributes();
        exchange.attributes.extend(asked.tool_attributes(&now, &request.view));
        let outcome =
            match towards_server(pipeline, &mut exchange, params.unwrap_or_else(Json::empty_object)).await? {
                Sent::Answered(result) => Ok(result),
                // Stages say what is asked, never who is asked: the name is put back whatever they wrote.
                Sent::Params(params) => {
                    let params = asked.in_own_words(Some(params));
                    self.asked_in_full(&rounds, &permit, &request, params).await
                }
            };
        Ok(asked.in_public_words(towards_client(pipeline, &mut exchange, outcome).await?))
    }

    /// Asks the server; what it says meanwhile and what it asks back pass through the interceptors.
    async fn asked_in_full(
        &self,
        rounds: &Rounds<'_>,
        permit: &Permit,
        request: &Request,
        params: Option<Json>,
    ) -> Result<Json, CallError> {
        let ask = ask(request, params);
        let answer = match rounds.overheard(&request.events) {
            None => self.pool.call(permit, ask).await?,
            Some(said) => {
                let ask = Ask { events: said.sender(), ..ask };
                said.beside(self.pool.call(permit, ask)).await?
            }
        };
        rounds.questions(result(answer)?).await
    }
}

fn ask(request: &Request, params: Option<Json>) -> Ask {
    Ask {
        method: Arc::clone(&request.method),
        params,
        principal: Arc::clone(&request.principal),
        client: Arc::clone(&request.client),
        events: request.events.clone(),
    }
}

fn result(answer: Answer) -> Result<Json, CallError> {
    match answer {
        Answer::Result(result) => Ok(result),
        Answer::Error(error) => Err(CallError::Answered(error)),
        // No server is offered to ask anything yet.
        Answer::Asks(_) => Err(CallError::NotServing("unable to ask the client")),
    }
}
