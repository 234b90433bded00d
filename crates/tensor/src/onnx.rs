//! ONNX files: `onnx/onnx.proto`.

use crate::plan::{Draft, load};
use crate::shield::shield;
use crate::{Error, Options};
use prost::Message;
use tract_onnx::pb::ModelProto;

const FORMAT: &str = "ONNX ModelProto";

/// Decodes a graph, chooses its inputs and outputs, and checks what they depend on.
pub(crate) fn read(bytes: &[u8], options: &Options) -> Result<Draft, Error> {
    let _ = options;
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    let file = ModelProto::decode(bytes).map_err(|cause| Error::Malformed {
        format: FORMAT,
        reason: cause.to_string(),
    })?;
    let graph = file.graph.as_ref().ok_or(Error::Empty)?;
    let parsed = shield(|| tract_onnx::onnx().parse(&file, None));
    let model = parsed
        .map_err(|reason| Error::Load { reason })?
        .map_err(|cause| load(&cause))?
        .model;
    let named =
        |outlet: &tract_onnx::tract_hir::internal::OutletId| model.node(outlet.node).name.clone();
    let inputs = model.inputs.iter().map(named).collect();
    let outputs = graph
        .output
        .iter()
        .map(|output| output.name.clone())
        .collect();
    Ok(Draft {
        model,
        inputs,
        outputs,
    })
}
