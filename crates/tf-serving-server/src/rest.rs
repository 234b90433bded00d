//! TensorFlow Serving's REST interface.

use std::error::Error as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use configuration::{RequestFormat, TfServingServer};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use model::{Element, Port, Tensor};
use serde_json::Value;

use crate::json;
use crate::protocol::{
    Answer, Description, Failure, Protocol, Renewed, Reply, chain, shortened, signature,
};

/// Bytes of an answer, at most.
pub(crate) const LARGEST: usize = 64 * 1024 * 1024;
/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);

/// A client of the REST interface, which keeps its connections.
pub(crate) struct Rest {
    client: Renewed<Client<HttpConnector, Full<Bytes>>>,
    base: String,
    version: String,
    /// The signature that is asked for, if one is.
    signature: Option<String>,
    format: RequestFormat,
}

impl Rest {
    pub(crate) fn new(settings: &TfServingServer) -> Self {
        let (timeout, in_flight) = (settings.request_timeout.get(), settings.in_flight as usize);
        let client = Renewed::new(move || {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            connector.set_connect_timeout(Some(timeout));
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(in_flight)
                .build(connector)
        });
        let version = settings.model_version;
        Self {
            client,
            base: format!("http://{}/v1/models/", settings.server.authority),
            version: version.map_or_else(String::new, |version| format!("/versions/{version}")),
            signature: settings.signature.clone(),
            format: settings.request_format,
        }
    }

    fn url(&self, model: &str, what: &str) -> String {
        format!("{}{}{}{what}", self.base, escaped(model), self.version)
    }

    async fn call(&self, method: Method, url: String, body: Vec<u8>) -> Result<Bytes, Failure> {
        let mut request = Request::builder().method(method).uri(url);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(body.into()))
            .map_err(|error| Failure::Refused(chain(&error)))?;
        let answer = self
            .client
            .current()
            .request(request)
            .await
            .map_err(|error| {
                let cause = error.source();
                let cause = cause.and_then(|cause| cause.downcast_ref::<hyper::Error>());
                if cause.is_some_and(hyper::Error::is_parse) {
                    Failure::Unclear(chain(&error))
                } else {
                    Failure::Unavailable(chain(&error))
                }
            })?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        if status == StatusCode::OK {
            let body = body
                .map_err(|error| Failure::Unclear(format!("half an answer: {}", chain(&*error))))?;
            return Ok(body.to_bytes());
        }
        let body = body.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
        Err(failure(status, &body))
    }
}

impl Protocol for Rest {
    fn describe<'a>(&'a self, model: &'a str) -> Reply<'a, Description> {
        Box::pin(async move {
            let url = self.url(model, "/metadata");
            let body = self.call(Method::GET, url, Vec::new()).await?;
            description(&body, self.signature.as_deref())
        })
    }

    fn predict<'a>(
        &'a self,
        model: &'a str,
        description: &'a Description,
        inputs: Vec<(&'a str, &'a Tensor)>,
        rows: usize,
    ) -> Reply<'a, Answer> {
        let body = body(description, &inputs, rows, self.format);
        let url = self.url(model, ":predict");
        Box::pin(async move {
            let body = self.call(Method::POST, url, body).await?;
            answer(&body, description)
        })
    }

    fn timed_out(&self, sent: Instant) {
        self.client.renew(sent);
    }
}

/// A name as a part of a path (RFC 3986, 2.3).
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn failure(status: StatusCode, body: &[u8]) -> Failure {
    let said = serde_json::from_slice::<Value>(body).ok();
    let said = said.as_ref().and_then(|said| said["error"].as_str());
    let text = String::from_utf8_lossy(body);
    let reason = format!("{status}: {}", shortened(said.unwrap_or(&text)));
    match status.as_u16() {
        404 => Failure::NoModel(reason),
        408 | 429 | 502..=504 => Failure::Unavailable(reason),
        400..=499 => Failure::Refused(reason),
        _ => Failure::Unclear(reason),
    }
}

/// A request for a prediction. Rows need an axis of records; a model without one gets columns.
fn body(
    description: &Description,
    inputs: &[(&str, &Tensor)],
    rows: usize,
    format: RequestFormat,
) -> Vec<u8> {
    let mut out = b"{\"signature_name\":".to_vec();
    json::text(&mut out, &description.signature);
    let batched = description
        .inputs
        .iter()
        .all(|port| port.shape.first() == Some(&None));
    if format == RequestFormat::Column || !batched {
        out.extend_from_slice(b",\"inputs\":");
        tensors(&mut out, inputs, |out, tensor| {
            json::write(out, &tensor.data, &tensor.shape, 0);
        });
    } else {
        out.extend_from_slice(b",\"instances\":[");
        for row in 0..rows {
            if row > 0 {
                out.push(b',');
            }
            tensors(&mut out, inputs, |out, tensor| {
                let shape = tensor.shape.get(1..).unwrap_or_default();
                let width = shape.iter().product::<usize>();
                json::write(out, &tensor.data, shape, row * width);
            });
        }
        out.push(b']');
    }
    out.push(b'}');
    out
}

/// Writes each under its name.
fn tensors(out: &mut Vec<u8>, inputs: &[(&str, &Tensor)], write: impl Fn(&mut Vec<u8>, &Tensor)) {
    out.push(b'{');
    for (place, (name, tensor)) in inputs.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        json::text(out, name);
        out.push(b':');
        write(out, tensor);
    }
    out.push(b'}');
}

fn answer(body: &[u8], description: &Description) -> Result<Answer, Failure> {
    let unclear = |why: String| Failure::Unclear(format!("the answer is none: {why}"));
    let document = json::parse(body).map_err(|why| {
        unclear(format!(
            "{why} in {}",
            shortened(&String::from_utf8_lossy(body))
        ))
    })?;
    let lacks = |name: &str| unclear(format!("it lacks the output `{name}`"));
    let ports = &description.outputs;
    let mut outputs = Vec::with_capacity(ports.len().max(1));
    let mut add = |value: &Value, name: &str, element| {
        let output = json::tensor(value, element);
        outputs.push(output.map_err(|why| unclear(format!("the output `{name}`: {why}")))?);
        Ok(())
    };
    let whole = document.get("outputs");
    let rows = document.get("predictions");
    match (whole, rows, &ports[..]) {
        (Some(Value::Object(named)), _, []) => {
            for (name, value) in named {
                add(value, name, None)?;
            }
        }
        (Some(Value::Object(named)), _, ports) => {
            for port in ports {
                let value = named.get(&port.name).ok_or_else(|| lacks(&port.name))?;
                add(value, &port.name, Some(port.element))?;
            }
        }
        (_, Some(Value::Array(rows)), ports)
            if ports.len() > 1
                || matches!(rows.first(), Some(Value::Object(o)) if !o.contains_key("b64")) =>
        {
            let named: Vec<(String, Option<Element>)> = match (ports, rows.first()) {
                ([], Some(Value::Object(first))) => {
                    first.keys().map(|name| (name.clone(), None)).collect()
                }
                (ports, _) => {
                    let named = ports.iter().map(|p| (p.name.clone(), Some(p.element)));
                    named.collect()
                }
            };
            for (name, element) in named {
                let column = rows.iter().map(|row| row.get(&name).cloned());
                let column = column.collect::<Option<Vec<_>>>();
                let column = column.ok_or_else(|| lacks(&name))?;
                add(&Value::Array(column), &name, element)?;
            }
        }
        (Some(value), None, ports) | (None, Some(value), ports) => {
            let port = ports.first();
            let name = port.map_or("?", |port| port.name.as_str());
            add(value, name, port.map(|port| port.element))?;
        }
        _ => return Err(unclear(shortened(&document.to_string()))),
    }
    Ok(Answer {
        version: None,
        outputs,
    })
}

fn description(body: &[u8], wanted: Option<&str>) -> Result<Description, Failure> {
    let unclear = || {
        let text = shortened(&String::from_utf8_lossy(body));
        Failure::Unclear(format!("the metadata are none: {text}"))
    };
    let document: Value = serde_json::from_slice(body).map_err(|_| unclear())?;
    let signatures = &document["metadata"]["signature_def"]["signature_def"];
    let signatures = signatures.as_object().ok_or_else(unclear)?;
    let signature = signature(wanted, signatures.keys().map(String::as_str))?;
    let found = &signatures[signature];
    let version = document["model_spec"]["version"].as_str();
    Ok(Description {
        version: version.and_then(|version| version.parse().ok()),
        signature: signature.to_owned(),
        inputs: ports(&found["inputs"])?,
        outputs: ports(&found["outputs"])?,
    })
}

fn ports(named: &Value) -> Result<Vec<Port>, Failure> {
    let named = named.as_object().into_iter().flatten();
    named
        .map(|(name, info)| {
            let element = info["dtype"].as_str().unwrap_or_default();
            let shape = &info["tensor_shape"];
            let dim = shape["dim"].as_array().into_iter().flatten();
            let length = |dim: &Value| {
                let size = &dim["size"];
                let size = size.as_i64().or_else(|| size.as_str()?.parse().ok());
                usize::try_from(size.unwrap_or(-1)).ok()
            };
            let unknown = shape["unknown_rank"].as_bool() == Some(true);
            port(name, element, (!unknown).then(|| dim.map(length).collect()))
        })
        .collect()
}

/// An input or output. One whose number of axes is open is taken for vectors of any length.
pub(crate) fn port(
    name: &str,
    element: &str,
    shape: Option<Vec<Option<usize>>>,
) -> Result<Port, Failure> {
    Ok(Port {
        name: name.to_owned(),
        shape: shape.unwrap_or_else(|| vec![None, None]),
        element: match element {
            "DT_FLOAT" => Element::Float,
            "DT_DOUBLE" => Element::Double,
            "DT_INT32" => Element::Int32,
            "DT_INT64" => Element::Int64,
            "DT_BOOL" => Element::Bool,
            "DT_STRING" => Element::Text,
            other => {
                let reason = format!("`{name}` has elements of the type {other}: not supported");
                return Err(Failure::Refused(reason));
            }
        },
    })
}

#[cfg(test)]
#[path = "rest/tests.rs"]
mod tests;
