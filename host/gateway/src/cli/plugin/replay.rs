//! Runs recorded messages through one plugin, as the gateway would: same pipeline, same sandbox, same limits.
//!
//! Not the whole gateway: there is no server and no client, and HTTP is answered from the case.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use wasmgate_core::json::Json;
use wasmgate_core::mcp;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{
    self, Blocked, Exchange, Finding, Kind, ListItem, Operation, Party, Phase, Pipeline, Remark, Severity,
    Stage, differences,
};
use wasmgate_wasm::{
    CatalogSource, Engine, Grants, HttpGrant, KnownSecrets, KvGrant, Limits, LoadError, Origin,
    OutboundError, OutboundFuture, OutboundRequest, OutboundResponse, Plugin, SecretGrant, Settings,
    SourceFailure, SourcePage, SourceRequest, Want,
};

use super::super::Failed;
use super::super::args::ConfigFile;
use super::component;
use crate::cases::{Began, Case, CaseHttp, CasePhase, Expected, ExpectedFinding, SourceCase, Verdict};

/// Places of a payload that are named.
const MAX_CHANGES: usize = 64;

/// Servers that a page has where a case does not say how many.
const USUAL_LIMIT: u32 = 100;

/// What a catalog source answers.
pub(super) type Answered = Result<SourcePage, SourceFailure>;

/// A component and what it is run on.
pub(super) struct Replay {
    engine: Engine,
    bytes: Bytes,
    web: Arc<Web>,
    limits: Limits,
    /// The same for catalog sources.
    source_limits: Limits,
}

/// A plugin under one configuration.
struct Ready {
    config: Option<Value>,
    pipeline: Pipeline,
    /// What it remarked during the case that runs.
    remarks: Arc<Mutex<Vec<Finding>>>,
}

impl Replay {
    /// A component, from where it is.
    pub(super) fn new(component: &str, limits: impl Fn(Limits) -> Limits) -> Result<Self, Failed> {
        let web = Arc::new(Web::default());
        let engine = component::engine(Some(Arc::clone(&web) as Arc<dyn wasmgate_wasm::Outbound>))?;
        let (limits, source_limits) = (limits(Limits::default()), limits(Limits::of_sources()));
        Ok(Self {
            engine,
            bytes: component::bytes(component, &ConfigFile::default())?,
            web,
            limits,
            source_limits,
        })
    }

    /// What becomes of each case of one file. `name` is what the plugin is called there: what it keeps between calls is kept
    /// under that name.
    pub(super) async fn run(&self, name: &str, cases: &[Case]) -> Result<Vec<Expected>, String> {
        let mut exchanges: HashMap<String, Exchange> = HashMap::new();
        let mut ready: Option<Ready> = None;
        let mut happened = Vec::with_capacity(cases.len());
        for (index, case) in cases.iter().enumerate() {
            if ready.as_ref().is_none_or(|ready| ready.config != case.config) {
                ready = Some(self.load(name, case).await?);
            }
            let Some(ready) = &ready else { continue };
            let id = case.id.clone().unwrap_or_else(|| format!("case-{}", index + 1));
            let exchange = match exchanges.remove(&id) {
                Some(exchange) => exchange,
                None => Exchange::new(operation(case, &id)?),
            };
            let exchange = prepared(exchange, case)?;
            self.web.answer(&case.http);
            happened.push(ready.run(&exchange, case).await?);
            exchanges.insert(id, exchange);
        }
        Ok(happened)
    }

    /// What a catalog source answers to each case of one file.
    pub(super) async fn ask(&self, name: &str, cases: &[SourceCase]) -> Result<Vec<Answered>, String> {
        let mut ready: Option<(&Option<Value>, CatalogSource)> = None;
        let mut answers = Vec::with_capacity(cases.len());
        for case in cases {
            if ready.as_ref().is_none_or(|(config, _)| *config != &case.config) {
                ready = Some((&case.config, self.source(name, case).await?));
            }
            let Some((_, source)) = &ready else { continue };
            self.web.answer(&case.http);
            let request = SourceRequest {
                cursor: case.cursor.clone(),
                since: case.since.clone(),
                validator: case.validator.clone(),
                limit: case.limit.unwrap_or(USUAL_LIMIT),
                ..SourceRequest::new(&case.reference)
            };
            answers.push(source.fetch(request, &granted(&allowed(case))?.http).await);
        }
        Ok(answers)
    }

    /// Loads the component as a source, with what it asks for granted, and the case's configuration.
    async fn source(&self, name: &str, case: &SourceCase) -> Result<CatalogSource, String> {
        let config = case.config.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let settings = |grants: Grants| Settings {
            config: Json::of(&config),
            grants,
            limits: self.source_limits,
            ..Settings::default()
        };
        let bytes = || self.bytes.clone();
        let allowed = allowed(case);
        let mut grants = granted(&allowed)?;
        let mut loaded = CatalogSource::load(&self.engine, name, bytes(), settings(grants.clone())).await;
        if let Err(LoadError::Held(wants)) = &loaded {
            wants.iter().for_each(|want| grant(&mut grants, &allowed, want));
            loaded = CatalogSource::load(&self.engine, name, bytes(), settings(grants)).await;
        }
        loaded.map_err(|error| format!("the plugin {}", component::chain(&error)))
    }

    /// Loads the component with what it asks for granted, and the case's configuration.
    async fn load(&self, name: &str, case: &Case) -> Result<Ready, String> {
        let config = case.config.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let settings = |grants: Grants| Settings {
            config: Json::of(&config),
            // A failure is what happened, whatever the plugin says of itself.
            fail_open: Some(false),
            grants,
            limits: self.limits,
            ..Settings::default()
        };
        let allowed = Allowed { grants: &case.grants, secrets: &case.secrets, http: &case.http };
        let mut grants = granted(&allowed)?;
        let mut loaded = Plugin::load(&self.engine, name, self.bytes.clone(), settings(grants.clone())).await;
        if let Err(LoadError::Held(wants)) = &loaded {
            wants.iter().for_each(|want| grant(&mut grants, &allowed, want));
            loaded = Plugin::load(&self.engine, name, self.bytes.clone(), settings(grants)).await;
        }
        let loaded = loaded.map_err(|error| format!("the plugin {}", component::chain(&error)))?;
        let stages = loaded.interceptors.into_iter().map(|stage| stage as Arc<dyn Stage>).collect();
        let remarks: Arc<Mutex<Vec<Finding>>> = Arc::default();
        let told = Arc::clone(&remarks);
        let pipeline = Pipeline::new(stages, move |_, remark| {
            if let Remark::Found(_, finding) = remark {
                told.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
            }
        });
        Ok(Ready { config: case.config.clone(), pipeline, remarks })
    }
}

impl Ready {
    async fn run(&self, exchange: &Exchange, case: &Case) -> Result<Expected, String> {
        let payload = parse(case.payload.get(), "payload")?;
        let phase = phase(case);
        let asked = |kinds: &[Kind]| {
            self.pipeline.stages().iter().map(|stage| stage.info()).any(|info| {
                kinds.contains(&info.kind)
                    && info.hooks.iter().any(|hook| hook.wants(&exchange.operation, phase))
            })
        };
        if !asked(&[Kind::Validator, Kind::Mutator, Kind::Filter]) {
            return Ok(verdict(Verdict::Ignored));
        }
        let left_alone = match asked(&[Kind::Mutator, Kind::Filter]) {
            true => Verdict::Unchanged,
            false => Verdict::Valid,
        };
        let done = self.pass(exchange, phase, payload.clone()).await;
        let mut findings = std::mem::take(&mut *self.remarks.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(match done {
            Ok(Passed::On(after)) => {
                let word = if after == payload { left_alone } else { Verdict::Changed };
                with_findings(with_payload(verdict(word), &payload, &after), findings)
            }
            Ok(Passed::Answered(result)) => {
                Expected { payload: value(&result), ..with_findings(verdict(Verdict::Answer), findings) }
            }
            Err(Blocked::Invalid(errors)) => {
                findings.splice(0..0, errors.into_iter().map(|(_, finding)| finding));
                with_findings(verdict(Verdict::Invalid), findings)
            }
            Err(Blocked::StageFailed { error, .. }) => {
                Expected { error: Some(error.to_string()), ..verdict(Verdict::Failed) }
            }
        })
    }

    async fn pass(&self, exchange: &Exchange, phase: Phase, payload: Json) -> Result<Passed, Blocked> {
        match phase {
            Phase::Request => match self.pipeline.request(exchange, payload).await {
                pipeline::Verdict::Continue(payload) => Ok(Passed::On(payload)),
                pipeline::Verdict::Answer(result) => Ok(Passed::Answered(result)),
                pipeline::Verdict::Refuse(blocked) => Err(blocked),
            },
            Phase::Response => {
                let payload = match self.pipeline.filters(&exchange.operation) && !exchange.failed {
                    true => self.filter(exchange, payload).await?,
                    false => payload,
                };
                self.pipeline.response(exchange, payload).await.map(Passed::On)
            }
        }
    }

    /// A list's items through the list filters.
    async fn filter(&self, exchange: &Exchange, payload: Json) -> Result<Json, Blocked> {
        const LISTS: [&str; 4] = ["tools", "prompts", "resources", "resourceTemplates"];
        let of = |name: &'static str| Some((name, payload.member(name)?.elements()?));
        let Some((member, elements)) = LISTS.into_iter().find_map(of) else { return Ok(payload) };
        let Some(server) = exchange.operation.server.clone() else { return Ok(payload) };
        let item = |item: Json| ListItem { name: item_name(&item), server: server.clone(), item };
        let before = elements.len();
        let kept = self.pipeline.filter(exchange, elements.iter().cloned().map(item).collect()).await?;
        let same =
            kept.len() == before && kept.iter().all(|kept| elements.get(kept.index) == Some(&kept.item));
        if same {
            return Ok(payload);
        }
        let items: Vec<Value> = kept.iter().filter_map(|kept| value(&kept.item)).collect();
        let mut whole = value(&payload).unwrap_or_default();
        if let Some(place) = whole.get_mut(member) {
            *place = Value::Array(items);
        }
        Ok(Json::of(&whole))
    }
}

/// How a message left the pipeline.
enum Passed {
    On(Json),
    Answered(Json),
}

fn item_name(item: &Json) -> Box<str> {
    let text = |name: &str| item.member(name).and_then(|text| Some(text.string()?.into_owned()));
    ["name", "uri", "uriTemplate"].into_iter().find_map(text).unwrap_or_default().into()
}

fn operation(case: &Case, id: &str) -> Result<Operation, String> {
    let server = case.server.as_deref().or(case.event.ends_with("/list").then_some("server"));
    let server =
        server.map(|name| ServerName::new(name).map_err(|error| format!("`server`: {error}"))).transpose()?;
    let wanted = case.protocol.as_deref().unwrap_or(mcp::V2025_11_25);
    let known = mcp::LEGACY.iter().chain(&mcp::MODERN).find(|version| **version == wanted);
    Ok(Operation {
        id: id.into(),
        event: case.event.as_str().into(),
        server,
        subject: case.subject.as_deref().map(Into::into),
        principal: case.principal.as_deref().unwrap_or("tester").into(),
        session: case.session.as_deref().map(Into::into),
        version: known.ok_or_else(|| format!("`protocol`: there is no MCP version `{wanted}`"))?,
        initiator: match case.from {
            Began::Client => Party::Client,
            Began::Server => Party::Server,
        },
    })
}

fn phase(case: &Case) -> Phase {
    match case.phase {
        CasePhase::Request => Phase::Request,
        CasePhase::Response => Phase::Response,
    }
}

/// The exchange as this case needs it; what earlier cases noted stays.
fn prepared(mut exchange: Exchange, case: &Case) -> Result<Exchange, String> {
    exchange.failed = case.failed;
    if let Some(request) = &case.request {
        exchange.sent = Some(parse(request.get(), "request")?);
    }
    // Attributes have names that live as long as the program, which a test run does not outlive by much.
    let named = |(name, value): (&String, &Value)| (&*String::leak(name.clone()), Json::of(value));
    exchange.attributes = case.attributes.iter().map(named).collect();
    Ok(exchange)
}

fn parse(text: &str, what: &str) -> Result<Json, String> {
    Json::parse(text.to_owned()).map_err(|error| format!("`{what}`: {error}"))
}

fn value(json: &Json) -> Option<Value> {
    serde_json::from_str(json.as_str()).ok()
}

fn verdict(verdict: Verdict) -> Expected {
    Expected { verdict, findings: None, payload: None, changes: None, error: None }
}

fn with_payload(expected: Expected, before: &Json, after: &Json) -> Expected {
    if before == after {
        return expected;
    }
    let changes = differences(before, after, MAX_CHANGES).iter().map(ToString::to_string).collect();
    Expected { payload: value(after), changes: Some(changes), ..expected }
}

fn with_findings(expected: Expected, findings: Vec<Finding>) -> Expected {
    let shown = |finding: Finding| ExpectedFinding {
        path: finding.path,
        message: Some(finding.message),
        severity: Some(
            match finding.severity {
                Severity::Info => "info",
                Severity::Warn => "warn",
                Severity::Error => "error",
            }
            .to_owned(),
        ),
        suggestion: finding.suggestion.as_ref().and_then(value),
    };
    let findings: Vec<_> = findings.into_iter().map(shown).collect();
    Expected { findings: (!findings.is_empty()).then_some(findings), ..expected }
}

/// What a case says that the plugin may use.
struct Allowed<'a> {
    grants: &'a [String],
    secrets: &'a BTreeMap<String, String>,
    http: &'a [CaseHttp],
}

fn allowed(case: &SourceCase) -> Allowed<'_> {
    Allowed { grants: &case.grants, secrets: &case.secrets, http: &case.http }
}

fn granted(case: &Allowed<'_>) -> Result<Grants, String> {
    let mut grants = Grants::default();
    for answer in case.http {
        let url =
            url::Url::parse(&answer.url).map_err(|error| format!("`http`: `{}`: {error}", answer.url))?;
        let origin = Origin::of(&url).ok_or_else(|| format!("`http`: `{}` has no origin", answer.url))?;
        grants.http.push(HttpGrant { origin, private: false });
    }
    let origins: Vec<_> = grants.http.iter().map(|grant| grant.origin.clone()).collect();
    grants.secrets = case
        .secrets
        .iter()
        .map(|(name, value)| SecretGrant {
            name: name.clone(),
            value: value.clone().into(),
            origins: origins.clone(),
        })
        .collect();
    for name in case.grants {
        match name.as_str() {
            "clock" => grants.clock = true,
            "random" => grants.random = true,
            "kv" => grants.kv = Some(KvGrant::default()),
            "labels" => grants.labels = true,
            other => return Err(format!("`grants`: `{other}` is none of clock, random, kv, labels")),
        }
    }
    Ok(grants)
}

fn grant(grants: &mut Grants, case: &Allowed<'_>, want: &Want) {
    match want {
        Want::Clock => grants.clock = true,
        Want::Random => grants.random = true,
        Want::Kv => grants.kv = Some(KvGrant::default()),
        Want::Labels => grants.labels = true,
        Want::FindSecrets => {
            let known = case.secrets.iter().map(|(name, value)| (name.clone(), value.clone().into()));
            grants.find_secrets = KnownSecrets::new(known).ok().map(Arc::new);
        }
        Want::Http(origin) => grants.http.push(HttpGrant { origin: origin.clone(), private: false }),
        Want::Secret(name) => grants.secrets.push(SecretGrant {
            name: name.clone(),
            value: "not-a-secret".to_owned().into(),
            origins: grants.http.iter().map(|grant| grant.origin.clone()).collect(),
        }),
    }
}

/// The web of one case.
#[derive(Default)]
struct Web {
    answers: Mutex<Vec<CaseHttp>>,
}

impl Web {
    fn answer(&self, answers: &[CaseHttp]) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = answers.to_vec();
    }
}

impl wasmgate_wasm::Outbound for Web {
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |answer: &&CaseHttp| {
            answer.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(&request.method))
                && url::Url::parse(&answer.url).is_ok_and(|url| url == request.url)
        };
        let answer = match answers.iter().find(fits) {
            Some(answer) => Ok(response(answer)),
            None => Err(OutboundError::Failed(format!(
                "the case has no answer to {} {}",
                request.method, request.url
            ))),
        };
        Box::pin(std::future::ready(answer))
    }
}

fn response(answer: &CaseHttp) -> OutboundResponse {
    let body = match &answer.body {
        Value::Null => Bytes::new(),
        Value::String(text) => text.clone().into(),
        other => other.to_string().into(),
    };
    let headers = answer.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    OutboundResponse { status: answer.status, headers: headers.collect(), body }
}
