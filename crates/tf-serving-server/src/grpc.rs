//! TensorFlow Serving's gRPC interface.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Instant;

use bytes::Bytes;
use configuration::TfServingServer;
use hyper::http::uri::PathAndQuery;
use model::{Data, Element, Port, Tensor};
use prost::Message;
use protobufs::tensorflow::serving::{
    GetModelMetadataRequest, GetModelMetadataResponse, ModelSpec, PredictRequest, PredictResponse,
    SignatureDefMap, model_spec,
};
use protobufs::tensorflow::tensor_shape_proto::Dim;
use protobufs::tensorflow::{DataType, TensorInfo, TensorProto, TensorShapeProto};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::protocol::{
    Answer, Description, Failure, Protocol, Renewed, Reply, chain, shortened, signature,
};
use crate::rest::{LARGEST, port};

const PREDICT: &str = "/tensorflow.serving.PredictionService/Predict";
const METADATA: &str = "/tensorflow.serving.PredictionService/GetModelMetadata";
/// The part of the metadata that there is.
const SIGNATURES: &str = "signature_def";

/// Elements of a tensor that its message does not spell out, at most.
const MOST_IMPLIED: usize = 1 << 24;

/// A client of the gRPC interface: one connection, which is made again when it breaks.
pub(crate) struct Grpc {
    channel: Renewed<Channel>,
    version: Option<i64>,
    /// The signature that is asked for, if one is.
    signature: Option<String>,
}

impl Grpc {
    /// A client; to be called where a runtime is.
    pub(crate) fn new(settings: &TfServingServer) -> Result<Self, tonic::transport::Error> {
        let url = format!("http://{}", settings.server.authority);
        let endpoint = Endpoint::from_shared(url)?
            .tcp_nodelay(true)
            .connect_timeout(settings.request_timeout.get());
        Ok(Self {
            channel: Renewed::new(move || endpoint.connect_lazy()),
            version: settings.model_version.map(i64::from),
            signature: settings.signature.clone(),
        })
    }

    fn spec(&self, model: &str, signature: &str) -> ModelSpec {
        ModelSpec {
            name: model.to_owned(),
            version_choice: self.version.map(model_spec::VersionChoice::Version),
            signature_name: signature.to_owned(),
        }
    }

    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut client = tonic::client::Grpc::new(self.channel.current())
            .max_decoding_message_size(LARGEST)
            .max_encoding_message_size(usize::MAX);
        client
            .ready()
            .await
            .map_err(|error| Failure::Unavailable(chain(&error)))?;
        let codec = tonic_prost::ProstCodec::<Q, A>::default();
        let path = PathAndQuery::from_static(path);
        let answer = client
            .unary(tonic::Request::new(request), path, codec)
            .await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| failure(&status))
    }
}

impl Protocol for Grpc {
    fn describe<'a>(&'a self, model: &'a str) -> Reply<'a, Description> {
        Box::pin(async move {
            let request = GetModelMetadataRequest {
                model_spec: Some(self.spec(model, "")),
                metadata_field: vec![SIGNATURES.to_owned()],
            };
            let answer: GetModelMetadataResponse = self.call(METADATA, request).await?;
            description(&answer, self.signature.as_deref())
        })
    }

    fn predict<'a>(
        &'a self,
        model: &'a str,
        description: &'a Description,
        inputs: Vec<(&'a str, &'a Tensor)>,
        _: usize,
    ) -> Reply<'a, Answer> {
        let inputs = inputs.into_iter();
        let request = PredictRequest {
            model_spec: Some(self.spec(model, &description.signature)),
            inputs: inputs
                .map(|(name, tensor)| (name.to_owned(), encode(tensor)))
                .collect(),
            output_filter: Vec::new(),
        };
        Box::pin(async move {
            let answer: PredictResponse = self.call(PREDICT, request).await?;
            Ok(Answer {
                version: answer.model_spec.as_ref().and_then(version),
                outputs: outputs(answer.outputs, &description.outputs)?,
            })
        })
    }

    fn timed_out(&self, sent: Instant) {
        self.channel.renew(sent);
    }
}

fn failure(status: &Status) -> Failure {
    // What the transport says has a cause here, what the server says has none.
    let cause = status.source().map(chain);
    let said = cause.clone().unwrap_or_else(|| shortened(status.message()));
    let reason = format!("{:?}: {said}", status.code());
    match status.code() {
        // Fewer records may be taken. The words are those of the C core and Go, and of Java.
        Code::ResourceExhausted
            if said.contains("larger than max") || said.contains("exceeds maximum size") =>
        {
            Failure::Refused(reason)
        }
        Code::NotFound => Failure::NoModel(reason),
        Code::Unavailable
        | Code::ResourceExhausted
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Aborted => Failure::Unavailable(reason),
        Code::Unknown | Code::Internal if cause.is_some() => Failure::Unavailable(reason),
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => Failure::Unclear(reason),
        Code::InvalidArgument
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => Failure::Refused(reason),
    }
}

fn version(spec: &ModelSpec) -> Option<i64> {
    match &spec.version_choice {
        Some(model_spec::VersionChoice::Version(version)) => Some(*version),
        _ => None,
    }
}

fn description(
    answer: &GetModelMetadataResponse,
    wanted: Option<&str>,
) -> Result<Description, Failure> {
    let unclear = || Failure::Unclear("the metadata have no signatures".to_owned());
    let any = answer.metadata.get(SIGNATURES).ok_or_else(unclear)?;
    let map = SignatureDefMap::decode(&any.value[..]).map_err(|_| unclear())?;
    let signature = signature(wanted, map.signature_def.keys().map(String::as_str))?;
    let found = &map.signature_def[signature];
    let ports = |named: &BTreeMap<String, TensorInfo>| {
        let ports = named.iter().map(|(name, info)| {
            let element = DataType::try_from(info.dtype);
            let element = element.map_or("?", |element| element.as_str_name());
            let shape = info
                .tensor_shape
                .as_ref()
                .filter(|shape| !shape.unknown_rank);
            let shape = shape.map(|shape| {
                let dim = shape.dim.iter();
                dim.map(|dim| usize::try_from(dim.size).ok()).collect()
            });
            port(name, element, shape)
        });
        ports.collect::<Result<Vec<Port>, _>>()
    };
    Ok(Description {
        version: answer.model_spec.as_ref().and_then(version),
        signature: signature.to_owned(),
        inputs: ports(&found.inputs)?,
        outputs: ports(&found.outputs)?,
    })
}

fn encode(tensor: &Tensor) -> TensorProto {
    let element = match tensor.data.element() {
        Element::Float => DataType::DtFloat,
        Element::Double => DataType::DtDouble,
        Element::Int32 => DataType::DtInt32,
        Element::Int64 => DataType::DtInt64,
        Element::Bool => DataType::DtBool,
        Element::Text => DataType::DtString,
    };
    let dim = tensor.shape.iter().map(|length| Dim {
        size: *length as i64,
        name: String::new(),
    });
    let mut message = TensorProto {
        dtype: element.into(),
        tensor_shape: Some(TensorShapeProto {
            dim: dim.collect(),
            unknown_rank: false,
        }),
        ..TensorProto::default()
    };
    match &tensor.data {
        Data::Float(values) => message.float_val.clone_from(values),
        Data::Double(values) => message.double_val.clone_from(values),
        Data::Int32(values) => message.int_val.clone_from(values),
        Data::Int64(values) => message.int64_val.clone_from(values),
        Data::Bool(values) => message.bool_val.clone_from(values),
        Data::Text(values) => {
            let bytes = values
                .iter()
                .map(|text| Bytes::copy_from_slice(text.as_bytes()));
            message.string_val = bytes.collect();
        }
    }
    message
}

/// The outputs in the order of the ports; of no ports, all there are.
fn outputs(
    mut named: BTreeMap<String, TensorProto>,
    ports: &[Port],
) -> Result<Vec<Tensor>, Failure> {
    let unclear = |name: &str, why: &str| Failure::Unclear(format!("the output `{name}` {why}"));
    if ports.is_empty() {
        let all = named.into_iter();
        return all
            .map(|(name, message)| decode(message).map_err(|why| unclear(&name, why)))
            .collect();
    }
    let ports = ports.iter();
    ports
        .map(|port| {
            let message = named.remove(&port.name);
            let message = message.ok_or_else(|| unclear(&port.name, "is not in the answer"))?;
            decode(message).map_err(|why| unclear(&port.name, why))
        })
        .collect()
}

/// The tensor that a message holds: its bytes, or its values, of which the last one fills what is
/// missing (as of TensorFlow's `Tensor::FromProto`).
fn decode(message: TensorProto) -> Result<Tensor, &'static str> {
    let dim = message.tensor_shape.unwrap_or_default().dim;
    let shape = dim.iter().map(|dim| usize::try_from(dim.size));
    let shape: Vec<usize> = shape
        .collect::<Result<_, _>>()
        .map_err(|_| "has an open shape")?;
    let volume = shape
        .iter()
        .try_fold(1_usize, |volume, n| volume.checked_mul(*n));
    let volume = volume.ok_or("is too large")?;
    let content = &message.tensor_content;
    let data = match DataType::try_from(message.dtype) {
        Ok(DataType::DtFloat) => Data::Float(values(
            content,
            message.float_val,
            volume,
            f32::from_le_bytes,
        )?),
        Ok(DataType::DtDouble) => Data::Double(values(
            content,
            message.double_val,
            volume,
            f64::from_le_bytes,
        )?),
        Ok(DataType::DtInt32) => Data::Int32(values(
            content,
            message.int_val,
            volume,
            i32::from_le_bytes,
        )?),
        Ok(DataType::DtInt64) => Data::Int64(values(
            content,
            message.int64_val,
            volume,
            i64::from_le_bytes,
        )?),
        Ok(DataType::DtBool) => Data::Bool(values(content, message.bool_val, volume, |[byte]| {
            byte != 0
        })?),
        Ok(DataType::DtString) if content.is_empty() => {
            let texts = message.string_val.into_iter();
            let texts = texts.map(|bytes| String::from_utf8(bytes.into()));
            let texts = texts.collect::<Result<_, _>>().map_err(|_| "is no UTF-8")?;
            Data::Text(filled(texts, volume)?)
        }
        _ => return Err("has a type that is not supported"),
    };
    Ok(Tensor { shape, data })
}

fn values<T: Clone + Default, const N: usize>(
    content: &[u8],
    values: Vec<T>,
    volume: usize,
    read: fn([u8; N]) -> T,
) -> Result<Vec<T>, &'static str> {
    if content.is_empty() {
        return filled(values, volume);
    }
    if Some(content.len()) != volume.checked_mul(N) {
        return Err("has other bytes than its shape says");
    }
    let (chunks, _) = content.as_chunks::<N>();
    Ok(chunks.iter().map(|chunk| read(*chunk)).collect())
}

fn filled<T: Clone + Default>(mut values: Vec<T>, volume: usize) -> Result<Vec<T>, &'static str> {
    if values.len() > volume {
        return Err("has more values than its shape says");
    }
    if volume - values.len() > MOST_IMPLIED {
        return Err("is too large");
    }
    let last = values.last().cloned().unwrap_or_default();
    values.resize(volume, last);
    Ok(values)
}
