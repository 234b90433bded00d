//! The REST interface of TensorFlow Serving.

use std::borrow::Cow;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use crate::catalogue::Choice;
use crate::failure::{Code, Failure};
use crate::metrics::Handled;
use crate::service::Service;
use crate::{answer, examples, rows};

const PREFIX: &str = "/v1/models";
/// Bytes of a text that takes longer to read or write than handing other requests to another thread.
const LONG: usize = 256 << 10;
/// Bytes of a request beyond the limit that are read before it is refused.
const DISCARDED: u64 = 64 << 20;

/// The interface, as a router: tests call it without a port.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        // Where TensorFlow Serving has it.
        .route("/monitoring/prometheus/metrics", get(metrics))
        .route(
            "/health/live",
            get(|| async { json("{\"status\":\"live\"}".to_owned()) }),
        )
        .route("/health/ready", get(ready))
        .fallback(models)
        .with_state(service)
}

fn json(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

fn refused(status: StatusCode, message: &str) -> Response {
    let mut response = json(answer::error(message));
    *response.status_mut() = status;
    response
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    match service.metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(failure) => refused(failure.code.http(), &failure.message),
    }
}

async fn ready() -> Response {
    json("{\"status\":\"ready\"}".to_owned())
}

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Predict,
    Classify,
    Regress,
    Status,
    Metadata,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Classify => "classify",
            Self::Regress => "regress",
            Self::Status => "status",
            Self::Metadata => "metadata",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    model: String,
    choice: Choice,
    verb: Verb,
}

async fn models(State(service): State<Arc<Service>>, request: Request) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    if !starts_with(&path, "/v1/") {
        let known = "/v1/models/NAME, /metrics, /health/live, /health/ready";
        let message = format!("there is nothing at {path}, but at {known}");
        return refused(StatusCode::NOT_FOUND, &message);
    }
    let asked = match asked(&method, &path) {
        Ok(asked) => asked,
        Err(failure) => return refused(failure.code.http(), &failure.message),
    };
    let mut read = None;
    let answered = service.in_time(None, async {
        if matches!(asked.verb, Verb::Status | Verb::Metadata) {
            read = Some(Instant::now());
            return Ok(Ok(about(&service, &asked)?));
        }
        let body = match body(request.into_parts(), service.limit).await {
            Ok(body) => body,
            Err(response) => return Ok(Err(response)),
        };
        read = Some(Instant::now());
        Ok(Ok(score(&service, &asked, &body).await?))
    });
    let answered = answered.await;
    let failed = answered.as_ref().err().map(|failure| failure.code);
    if let Some(read) = read {
        let known = service.catalogue.current(&asked.model).is_some();
        service.metrics.handled(&Handled {
            api: "rest",
            method: asked.verb.name(),
            model: if known { &asked.model } else { "" },
            failed,
            took: read.elapsed(),
        });
    }
    match answered {
        Ok(Ok(text)) => json(text),
        Ok(Err(response)) => response,
        Err(failure) => refused(failure.code.http(), &failure.message),
    }
}

/// The body of a request, unpacked, unless it is longer than the limit.
async fn body((head, body): (Parts, Body), limit: usize) -> Result<Bytes, Response> {
    let limit = limit as u64;
    let coding = head.headers.get(CONTENT_ENCODING);
    match coding.map(HeaderValue::as_bytes) {
        None | Some(b"identity") => received(&head, body, limit).await,
        Some(b"gzip") => {
            let packed = received(&head, body, limit).await?;
            // What it unpacks to, and so how long that takes, is known afterwards only.
            let plain = tokio::task::block_in_place(|| unpacked(&packed, limit));
            plain.map_err(|(status, message)| refused(status, &message))
        }
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            let message =
                format!("requests compressed by `{other}` are not supported, but by gzip");
            Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message))
        }
    }
}

fn too_large(limit: u64) -> (StatusCode, String) {
    let message = format!("the request is larger than {limit} bytes (--request-limit)");
    (StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// What a body unpacks to, unless that is longer than the limit.
fn unpacked(packed: &[u8], limit: u64) -> Result<Bytes, (StatusCode, String)> {
    let mut plain = Vec::new();
    let mut reader = MultiGzDecoder::new(packed).take(limit + 1);
    if let Err(error) = reader.read_to_end(&mut plain) {
        let message = format!("the request could not be decompressed: {error}");
        return Err((StatusCode::BAD_REQUEST, message));
    }
    if plain.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(plain.into())
}

/// The body of a request as it comes, unless it is longer than the limit.
async fn received(head: &Parts, mut body: Body, limit: u64) -> Result<Bytes, Response> {
    let most = limit + DISCARDED;
    let too_large = || {
        let (status, message) = too_large(limit);
        refused(status, &message)
    };
    let announced = head.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let mut read = BytesMut::new();
    let mut length = 0u64;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let message = format!("the request could not be read: {error}");
            refused(StatusCode::BAD_REQUEST, &message)
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len() as u64;
        if length > most {
            return Err(too_large());
        }
        if length > limit {
            // Read, but not kept: a client that is still sending would not see the answer.
            read = BytesMut::new();
        } else if length == data.len() as u64 && body.is_end_stream() {
            return Ok(data);
        } else {
            read.extend_from_slice(&data);
        }
    }
    if length > limit {
        return Err(too_large());
    }
    Ok(read.freeze())
}

/// Does what takes long with a text of this length, in a way that others do not wait for it.
fn unhurried<T>(length: usize, work: impl FnOnce() -> T) -> T {
    if length > LONG {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

fn about(service: &Service, asked: &Asked) -> Result<String, Failure> {
    if asked.model.is_empty() {
        return Err(Failure::invalid("Missing model name in request."));
    }
    if asked.verb == Verb::Status {
        let standings = service.catalogue.standings(&asked.model, &asked.choice)?;
        return Ok(answer::statuses(&standings));
    }
    let version = service.find(&asked.model, &asked.choice)?;
    Ok(answer::metadata(
        version.name(),
        version.number(),
        version.definitions(),
    ))
}

async fn score(service: &Service, asked: &Asked, body: &[u8]) -> Result<String, Failure> {
    let request = unhurried(body.len(), || rows::parse(body))?;
    if asked.verb == Verb::Predict {
        let signature = rows::signature(request.root())?;
        let version = service.find(&asked.model, &asked.choice)?;
        let missing = |name: &str| {
            Failure::invalid(format!(
                "Serving signature name: \"{name}\" not found in signature def"
            ))
        };
        let target = service.target(version, signature, missing).await?;
        let engine = &target.engine;
        let (format, feeds) = unhurried(body.len(), || rows::feeds(request.root(), engine))?;
        let outputs = service.run(&target, feeds).await?;
        let names = target.engine.outputs().iter().map(|port| &port.name[..]);
        let named: Vec<_> = names.zip(&outputs).collect();
        let numbers: usize = outputs.iter().map(|output| output.data.len()).sum();
        // A number is some ten characters.
        return unhurried(numbers * 10, || answer::predictions(&named, format));
    }
    let signature = rows::signature(request.root())?;
    let examples = examples::from_json(request.root())?;
    let version = service.find(&asked.model, &asked.choice)?;
    if asked.verb == Verb::Classify {
        let (_, classes) = service.classify(version, signature, &examples).await?;
        Ok(answer::classifications(&classes))
    } else {
        let (_, values) = service.regress(version, signature, &examples).await?;
        Ok(answer::regressions(&values))
    }
}

/// What a method and a path ask for: `/v1/models/NAME[/versions/N|/labels/LABEL]`, and then
/// `:predict`, `:classify`, `:regress` (POST), `/metadata` or nothing (GET).
fn asked(method: &Method, path: &str) -> Result<Asked, Failure> {
    let malformed = || Failure::invalid(format!("Malformed request: {method} {path}"));
    if !starts_with(path, PREFIX) {
        return Err(malformed());
    }
    let mut rest = &path[PREFIX.len()..];
    let verb = if method == Method::POST {
        let (before, verb) = rest.rsplit_once(':').ok_or_else(malformed)?;
        rest = before;
        match verb {
            "predict" => Verb::Predict,
            "classify" => Verb::Classify,
            "regress" => Verb::Regress,
            _ => return Err(malformed()),
        }
    } else if method == Method::GET {
        match rest.rsplit_once('/') {
            // A model of that name is another matter.
            Some((before, last)) if last.eq_ignore_ascii_case("metadata") && !before.is_empty() => {
                rest = before;
                Verb::Metadata
            }
            _ => Verb::Status,
        }
    } else {
        return Err(malformed());
    };
    let parts: Vec<_> = rest.split('/').collect();
    let (model, choice) = match parts.as_slice() {
        [""] if method == Method::GET => ("", Choice::Latest),
        ["", model] => (*model, Choice::Latest),
        ["", model, kind, number] if kind.eq_ignore_ascii_case("versions") => {
            if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(malformed());
            }
            let number = number.parse().map_err(|_| {
                Failure::invalid(format!("Failed to convert version: {number} to numeric."))
            })?;
            (*model, Choice::Number(number))
        }
        ["", model, kind, label] if kind.eq_ignore_ascii_case("labels") && !label.is_empty() => {
            (*model, Choice::Label(decoded(label)?.into_owned()))
        }
        _ => return Err(malformed()),
    };
    if parts.iter().any(|part| part.contains(':')) || parts.len() > 1 && model.is_empty() {
        return Err(malformed());
    }
    Ok(Asked {
        model: decoded(model)?.into_owned(),
        choice,
        verb,
    })
}

fn starts_with(path: &str, prefix: &str) -> bool {
    path.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// A part of a path without its percent signs.
fn decoded(part: &str) -> Result<Cow<'_, str>, Failure> {
    if !part.contains('%') {
        return Ok(part.into());
    }
    let failed = || {
        Failure::new(
            Code::InvalidArgument,
            format!("Failed to decode model name:{part}"),
        )
    };
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, others) = rest.split_at_checked(2).ok_or_else(failed)?;
        let digits = std::str::from_utf8(digits).map_err(|_| failed())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| failed())?);
        rest = others;
    }
    Ok(String::from_utf8(bytes).map_err(|_| failed())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_real_server() {
        let parsed = |method, path: &str| {
            let asked = asked(&method, path)?;
            Ok::<_, Failure>((asked.model, asked.choice, asked.verb))
        };
        let get = |path| parsed(Method::GET, path).unwrap();
        let post = |path| parsed(Method::POST, path).unwrap();
        let model = || "m".to_owned();
        assert_eq!(get("/v1/models/m"), (model(), Choice::Latest, Verb::Status));
        assert_eq!(
            get("/v1/models/m/versions/12"),
            (model(), Choice::Number(12), Verb::Status)
        );
        assert_eq!(
            get("/v1/models/m/metadata"),
            (model(), Choice::Latest, Verb::Metadata)
        );
        assert_eq!(
            get("/v1/models/metadata"),
            ("metadata".to_owned(), Choice::Latest, Verb::Status)
        );
        assert_eq!(
            get("/V1/Models/m/Versions/1/metadata"),
            (model(), Choice::Number(1), Verb::Metadata)
        );
        assert_eq!(
            post("/v1/models/m%20n/labels/stable:predict"),
            (
                "m n".to_owned(),
                Choice::Label("stable".to_owned()),
                Verb::Predict
            )
        );
        assert_eq!(
            post("/v1/models/m:regress"),
            (model(), Choice::Latest, Verb::Regress)
        );
        for (method, path) in [
            (Method::GET, "/v1/foo"),
            (Method::POST, "/v1/foo"),
            (Method::POST, "/v1/models"),
            (Method::GET, "/v1/models/foo:predict"),
            (Method::GET, "/v1/models/foo/version/50:predict"),
            (Method::POST, "/v1/models/foo/version/50:regress"),
            (Method::POST, "/v1/models/foo/versions/HELLO:regress"),
            (Method::POST, "/v1/models/:predict"),
            (Method::POST, "/v1/models/foo/versions/:predict"),
            (Method::POST, "/v1/models/a:b:predict"),
            (Method::POST, "/v1/models/foo:PREDICT"),
            (Method::PUT, "/v1/models/foo"),
            (Method::GET, "/v1/models//versions/1"),
        ] {
            let failure = parsed(method, path).unwrap_err();
            assert!(
                failure.message.starts_with("Malformed request"),
                "{failure:?}"
            );
        }
        let huge = format!("/v1/models/foo/versions/{}:regress", u64::MAX);
        let failure = parsed(Method::POST, &huge).unwrap_err();
        assert!(failure.message.starts_with("Failed to convert version"));
    }
}
