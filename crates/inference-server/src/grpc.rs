//! The gRPC interface of TensorFlow Serving.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use prost::Message;
use prost_types::Any;
use protobufs::tensorflow::serving::model_spec::VersionChoice;
use protobufs::tensorflow::serving::{
    Class, ClassificationRequest, ClassificationResponse, ClassificationResult, Classifications,
    GetModelMetadataRequest, GetModelMetadataResponse, GetModelStatusRequest,
    GetModelStatusResponse, ModelSpec, ModelVersionStatus, PredictRequest, PredictResponse,
    Regression, RegressionRequest, RegressionResponse, RegressionResult, SignatureDefMap,
    StatusProto,
};
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic_prost::ProstCodec;

use crate::catalogue::Choice;
use crate::codec;
use crate::engine::Feed;
use crate::examples;
use crate::failure::{Code, Failure};
use crate::metrics::Handled;
use crate::service::{Service, Target};

/// The only metadata there are.
const SIGNATURE_DEF: &str = "signature_def";
const SIGNATURE_DEF_MAP: &str = "type.googleapis.com/tensorflow.serving.SignatureDefMap";

/// The interface, as a router: each method is a path.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let prediction = |method| format!("/tensorflow.serving.PredictionService/{method}");
    Router::new()
        .route(&prediction("Predict"), method("predict", predict))
        .route(&prediction("Classify"), method("classify", classify))
        .route(&prediction("Regress"), method("regress", regress))
        .route(
            &prediction("GetModelMetadata"),
            method("metadata", metadata),
        )
        .route(
            "/tensorflow.serving.ModelService/GetModelStatus",
            method("status", status),
        )
        .fallback(|| async {
            tonic::Status::unimplemented("there is no such method here").into_http::<Body>()
        })
        .with_state(service)
}

/// A request that says which model it is for.
trait Addressed: Message + Default + Send + 'static {
    fn spec(&self) -> Option<&ModelSpec>;
}

macro_rules! addressed {
    ($($request:ty),*) => {$(
        impl Addressed for $request {
            fn spec(&self) -> Option<&ModelSpec> {
                self.model_spec.as_ref()
            }
        }
    )*};
}
addressed!(
    PredictRequest,
    ClassificationRequest,
    RegressionRequest,
    GetModelMetadataRequest,
    GetModelStatusRequest
);

type Answering<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A method of the interface, handled by a function.
fn method<Q, A, F, W>(name: &'static str, handle: F) -> MethodRouter<Arc<Service>>
where
    Q: Addressed,
    A: Message + Default + Send + 'static,
    F: Fn(Arc<Service>, Q) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<A, Failure>> + Send + 'static,
{
    post(
        move |State(service): State<Arc<Service>>, request: Request| {
            let handle = handle.clone();
            async move {
                let unary = Unary {
                    name,
                    limit: deadline(&request),
                    service: Arc::clone(&service),
                    handle,
                };
                let codec = ProstCodec::<A, Q>::new();
                let mut grpc = Grpc::new(codec).max_decoding_message_size(service.limit);
                // The message is read in here, too: a client may take its time to send it.
                let answer = tokio::time::timeout(service.timeout, grpc.unary(unary, request));
                let response: Response<Body> = answer.await.unwrap_or_else(|_| {
                    tonic::Status::deadline_exceeded("the request took too long").into_http()
                });
                response
            }
        },
    )
}

struct Unary<F> {
    name: &'static str,
    limit: Option<Duration>,
    service: Arc<Service>,
    handle: F,
}

impl<Q, A, F, W> UnaryService<Q> for Unary<F>
where
    Q: Addressed,
    A: Message + Default + Send + 'static,
    F: Fn(Arc<Service>, Q) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<A, Failure>> + Send + 'static,
{
    type Response = A;
    type Future = Answering<Result<tonic::Response<A>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        let (name, limit) = (self.name, self.limit);
        let service = Arc::clone(&self.service);
        let handle = self.handle.clone();
        Box::pin(async move {
            let started = Instant::now();
            let request = request.into_inner();
            let model = request.spec().map(|spec| spec.name.clone());
            let model = model.filter(|model| service.catalogue.current(model).is_some());
            let handled = handle(Arc::clone(&service), request);
            let answer = service.in_time(limit, handled).await;
            service.metrics.handled(&Handled {
                api: "grpc",
                method: name,
                model: model.as_deref().unwrap_or_default(),
                failed: answer.as_ref().err().map(|failure| failure.code),
                took: started.elapsed(),
            });
            Ok(tonic::Response::new(answer?))
        })
    }
}

/// How long the client waits (`grpc-timeout`: up to eight digits, and a letter for the unit).
fn deadline(request: &Request) -> Option<Duration> {
    let value = request.headers().get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Model, version and signature that a request names.
fn address(spec: Option<ModelSpec>) -> Result<(String, Choice, String), Failure> {
    let spec = spec.ok_or_else(|| Failure::invalid("Missing ModelSpec"))?;
    let choice = match spec.version_choice {
        None => Choice::Latest,
        Some(VersionChoice::Version(number)) => Choice::Number(number),
        Some(VersionChoice::VersionLabel(label)) => Choice::Label(label),
    };
    Ok((spec.name, choice, spec.signature_name))
}

/// The model, version and signature that answer.
fn spec_of(target: &Target) -> ModelSpec {
    ModelSpec {
        name: target.version.name().to_owned(),
        version_choice: Some(VersionChoice::Version(target.version.number())),
        signature_name: target.signature.clone(),
    }
}

async fn predict(
    service: Arc<Service>,
    request: PredictRequest,
) -> Result<PredictResponse, Failure> {
    let (name, choice, signature) = address(request.model_spec)?;
    let version = service.find(&name, &choice)?;
    let missing = |name: &str| {
        let message = format!("Serving signature key \"{name}\" not found.");
        Failure::new(Code::FailedPrecondition, message)
    };
    let target = service.target(version, &signature, missing).await?;
    let (inputs, outputs) = (target.engine.inputs(), target.engine.outputs());
    let known: BTreeSet<_> = inputs.iter().map(|port| &port.name[..]).collect();
    let mut sent = request.inputs;
    {
        let names: BTreeSet<_> = sent.keys().map(String::as_str).collect();
        let missing = known.difference(&names);
        let missing: Vec<_> = missing
            .filter(|name| !target.engine.may_lack(name))
            .collect();
        let is_enough = names.len() == known.len() || missing.is_empty();
        if names.len() > known.len() || !is_enough {
            let listed = |names: &mut dyn Iterator<Item = &&str>| {
                names.copied().collect::<Vec<_>>().join(",")
            };
            return Err(Failure::invalid(format!(
                "input size does not match signature: {}!={} len({{{}}}) != len({{{}}}). Sent \
                 extra: {{{}}}. Missing but required: {{{}}}.",
                names.len(),
                known.len(),
                listed(&mut names.iter()),
                listed(&mut known.iter()),
                listed(&mut names.difference(&known)),
                listed(&mut missing.into_iter()),
            )));
        }
        if let Some(extra) = names.difference(&known).next() {
            let known: Vec<_> = known.iter().copied().collect();
            return Err(Failure::invalid(format!(
                "input tensor alias not found in signature: {extra}. Inputs expected to be in the \
                 set {{{}}}.",
                known.join(",")
            )));
        }
    }
    let feeds = inputs.iter().map(|port| {
        let message = sent.remove(&port.name);
        let tensor = message.map(|message| codec::decode(message, port));
        Ok(tensor.transpose()?.map(Feed::from))
    });
    let feeds = feeds.collect::<Result<_, Failure>>()?;
    let mut wanted = BTreeSet::new();
    for name in &request.output_filter {
        if !outputs.iter().any(|port| port.name == *name) {
            let mut known: Vec<_> = outputs.iter().map(|port| &port.name[..]).collect();
            known.sort_unstable();
            return Err(Failure::invalid(format!(
                "output tensor alias not found in signature: {name} Outputs expected to be in the \
                 set {{{}}}.",
                known.join(",")
            )));
        }
        if !wanted.insert(&name[..]) {
            let message = format!("duplicate output tensor alias: {name}");
            return Err(Failure::invalid(message));
        }
    }
    let results = service.run(&target, feeds).await?;
    let named = outputs.iter().zip(results);
    let asked = named.filter(|(port, _)| wanted.is_empty() || wanted.contains(&port.name[..]));
    Ok(PredictResponse {
        model_spec: Some(spec_of(&target)),
        outputs: asked
            .map(|(port, tensor)| (port.name.clone(), codec::encode(tensor)))
            .collect(),
    })
}

async fn classify(
    service: Arc<Service>,
    request: ClassificationRequest,
) -> Result<ClassificationResponse, Failure> {
    let (name, choice, signature) = address(request.model_spec)?;
    let version = service.find(&name, &choice)?;
    let examples = examples::from_message(request.input)?;
    let (target, classes) = service.classify(version, &signature, &examples).await?;
    let classifications = classes.into_iter().map(|classes| Classifications {
        classes: classes
            .into_iter()
            .map(|(label, score)| Class { label, score })
            .collect(),
    });
    Ok(ClassificationResponse {
        model_spec: Some(spec_of(&target)),
        result: Some(ClassificationResult {
            classifications: classifications.collect(),
        }),
    })
}

async fn regress(
    service: Arc<Service>,
    request: RegressionRequest,
) -> Result<RegressionResponse, Failure> {
    let (name, choice, signature) = address(request.model_spec)?;
    let version = service.find(&name, &choice)?;
    let examples = examples::from_message(request.input)?;
    let (target, values) = service.regress(version, &signature, &examples).await?;
    let regressions = values.into_iter().map(|value| Regression { value });
    Ok(RegressionResponse {
        model_spec: Some(spec_of(&target)),
        result: Some(RegressionResult {
            regressions: regressions.collect(),
        }),
    })
}

async fn metadata(
    service: Arc<Service>,
    request: GetModelMetadataRequest,
) -> Result<GetModelMetadataResponse, Failure> {
    let (name, choice, _) = address(request.model_spec)?;
    if request.metadata_field.is_empty() {
        let message = "GetModelMetadataRequest must specify at least one metadata_field";
        return Err(Failure::invalid(message));
    }
    for field in &request.metadata_field {
        if field != SIGNATURE_DEF {
            let message = format!("Metadata field {field} is not supported");
            return Err(Failure::invalid(message));
        }
    }
    let version = service.find(&name, &choice)?;
    let map = SignatureDefMap {
        signature_def: version.definitions().clone(),
    };
    let any = Any {
        type_url: SIGNATURE_DEF_MAP.to_owned(),
        value: map.encode_to_vec(),
    };
    Ok(GetModelMetadataResponse {
        model_spec: Some(ModelSpec {
            name: version.name().to_owned(),
            version_choice: Some(VersionChoice::Version(version.number())),
            signature_name: String::new(),
        }),
        metadata: [(SIGNATURE_DEF.to_owned(), any)].into(),
    })
}

async fn status(
    service: Arc<Service>,
    request: GetModelStatusRequest,
) -> Result<GetModelStatusResponse, Failure> {
    let (name, choice, _) = address(request.model_spec)?;
    let standings = service.catalogue.standings(&name, &choice)?;
    let statuses = standings.into_iter().map(|(version, standing)| {
        let error = standing.error;
        ModelVersionStatus {
            version,
            state: standing.state.into(),
            status: Some(StatusProto {
                error_code: error.as_ref().map_or(0, |error| error.code as i32),
                error_message: error.map_or(String::new(), |error| error.message.into_owned()),
            }),
        }
    });
    Ok(GetModelStatusResponse {
        model_version_status: statuses.collect(),
    })
}
