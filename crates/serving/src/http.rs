use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::json;

use crate::Queries;
use crate::counters::Counters;
use crate::readiness::Readiness;
use crate::state::StateAnswer;
use crate::tracker::Tracker;

/// How long a strategy may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the state queries are answered from.
pub(crate) struct Api {
    pub(crate) strategy: &'static str,
    pub(crate) instance: String,
    pub(crate) since_ms: i64,
    pub(crate) counters: Arc<Counters>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) queries: Queries,
    pub(crate) address: SocketAddr,
    pub(crate) tracker: Arc<Tracker>,
}

/// The state queries, as a router: tests call it without a port.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route(
            "/health/live",
            get(|| async { Json(json!({ "status": "live" })) }),
        )
        .route("/health/ready", get(ready))
        .route("/models", get(models))
        .route("/state", get(state))
        .route("/state/instances", get(instances))
        .route("/state/{data_type}", get(model_state))
        .route("/progress", get(progress))
        .route("/metrics", get(metrics))
        .fallback(unknown)
        .method_not_allowed_fallback(|| async {
            Refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "state queries are GET requests",
            )
        })
        .with_state(Arc::new(api))
}

type Parameters = Query<BTreeMap<String, String>>;

/// What the state queries say of this instance.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InstanceState<'a> {
    strategy: &'static str,
    instance: &'a str,
    since: i64,
    records: u64,
    scored: u64,
    no_model: u64,
    dead_letters: u64,
    models: Vec<StateAnswer>,
}

/// Why there is no answer, as JSON.
struct Refused(StatusCode, &'static str);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

async fn unknown(State(api): State<Arc<Api>>) -> Response {
    let mut known = vec![
        "/health/live",
        "/health/ready",
        "/models",
        "/state",
        "/state/instances",
        "/state/{dataType}",
        "/metrics",
    ];
    known.extend(api.queries.progress().map(|_| "/progress"));
    let body = json!({ "error": "there is nothing at this path", "known": known });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

async fn ready(State(api): State<Arc<Api>>) -> Response {
    match api.readiness.missing() {
        None => Json(json!({ "status": "ready" })).into_response(),
        Some(missing) => Refused(StatusCode::SERVICE_UNAVAILABLE, missing).into_response(),
    }
}

async fn models(State(api): State<Arc<Api>>) -> Result<Response, Refused> {
    let states = api.states().await?;
    Ok(Json(names(&states)).into_response())
}

async fn state(
    State(api): State<Arc<Api>>,
    Query(parameters): Parameters,
) -> Result<Response, Refused> {
    scope(&parameters)?;
    let models = api.states().await?;
    let totals = api.counters.totals();
    let state = InstanceState {
        strategy: api.strategy,
        instance: &api.instance,
        since: api.since_ms,
        records: totals.records,
        scored: totals.scored,
        no_model: totals.no_model,
        dead_letters: totals.dead_letters,
        models,
    };
    Ok(Json(state).into_response())
}

/// The instances of the application, as far as this one knows them: itself.
async fn instances(State(api): State<Arc<Api>>) -> Response {
    let instance = json!({
        "host": api.address.ip().to_string(),
        "port": api.address.port(),
        "partitions": api.tracker.partitions(),
        "storeNames": [],
    });
    Json([instance]).into_response()
}

async fn model_state(
    State(api): State<Arc<Api>>,
    Path(data_type): Path<String>,
    Query(parameters): Parameters,
) -> Result<Response, Refused> {
    scope(&parameters)?;
    let states = api.states().await?;
    if let Some(state) = states.iter().find(|state| state.data_type() == data_type) {
        return Ok(Json(state).into_response());
    }
    let body = json!({
        "error": format!("the data type `{data_type}` has no model"),
        "known": names(&states),
    });
    Ok((StatusCode::NOT_FOUND, Json(body)).into_response())
}

/// How the last batches went, where the strategy has batches.
async fn progress(State(api): State<Arc<Api>>) -> Response {
    match api.queries.progress() {
        Some(progress) => Json(progress.last()).into_response(),
        None => unknown(State(api)).await,
    }
}

async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, Refused> {
    let text = api.counters.render().map_err(|error| {
        tracing::error!("the metrics cannot be written: {error}");
        Refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the metrics cannot be written",
        )
    })?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}

/// One instance answers for itself, so far.
fn scope(parameters: &BTreeMap<String, String>) -> Result<(), Refused> {
    match parameters.get("scope").map(String::as_str) {
        None | Some("instance") => Ok(()),
        Some("application") => Err(Refused(
            StatusCode::BAD_REQUEST,
            "scope=application is not supported yet: ask each instance for its own state",
        )),
        Some(_) => Err(Refused(
            StatusCode::BAD_REQUEST,
            "the scope is `instance` or `application`",
        )),
    }
}

fn names(states: &[StateAnswer]) -> Vec<&str> {
    states.iter().map(StateAnswer::data_type).collect()
}

impl Api {
    async fn states(&self) -> Result<Vec<StateAnswer>, Refused> {
        match tokio::time::timeout(PATIENCE, self.queries.states()).await {
            Ok(Some(states)) => Ok(states.iter().map(StateAnswer::of).collect()),
            Ok(None) | Err(_) => Err(Refused(
                StatusCode::SERVICE_UNAVAILABLE,
                "the strategy does not answer at the moment: ask again",
            )),
        }
    }
}
