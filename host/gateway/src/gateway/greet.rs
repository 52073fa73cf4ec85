//! The first words with a client: what `initialize` and `server/discover` answer, through the interceptors.

use wasmgate_core::json::Json;
use wasmgate_core::pipeline::Exchange;

use super::audited::Noted;
use super::phases::{Sent, towards_client, towards_server};
use super::{CallError, Gateway, Offering, Request};

/// What a client was told at the start.
#[derive(Debug)]
pub struct Greeting {
    /// What the client said, as the interceptors left it. What they answered themselves leaves it as it came.
    pub params: Json,
    /// What it is told.
    pub result: Json,
}

impl Gateway {
    /// Answers `initialize` or `server/discover`. `word` makes the result of the params and of what the servers offer;
    /// interceptors see the params before it and the result after it.
    ///
    /// # Errors
    /// [`CallError`], `NotServing` among them when the view names no configured server.
    pub async fn greet(
        &self,
        request: Request,
        word: impl FnOnce(&Json, &Offering) -> Result<Json, CallError> + Send,
    ) -> Result<Greeting, CallError> {
        let place = self.place(&request).await?;
        let greeting = self.greeted(request, word).await;
        place.take(Noted::default(), greeting.as_ref().map(|greeting| &greeting.result));
        greeting
    }

    async fn greeted(
        &self,
        mut request: Request,
        word: impl FnOnce(&Json, &Offering) -> Result<Json, CallError> + Send,
    ) -> Result<Greeting, CallError> {
        self.takes(&request)?;
        let now = self.current.load_full();
        let offering = self.offering(&request.view);
        let offering = offering.ok_or(CallError::NotServing("not serving that server"))?;
        let params = request.params.take().unwrap_or_else(Json::empty_object);
        let operation = request.operation(None, None);
        let pipeline = &now.generation.pipeline;
        if !pipeline.interested(&operation) {
            let result = word(&params, &offering)?;
            return Ok(Greeting { params, result });
        }
        let mut exchange = Exchange::new(operation);
        exchange.client.clone_from(&request.client.info);
        let (params, outcome) = match towards_server(pipeline, &mut exchange, params.clone()).await? {
            Sent::Answered(result) => (params, Ok(result)),
            Sent::Params(params) => {
                let outcome = word(&params, &offering);
                (params, outcome)
            }
        };
        let result = towards_client(pipeline, &mut exchange, outcome).await?;
        Ok(Greeting { params, result })
    }
}
