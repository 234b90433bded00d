//! The attributes of a node, each of the type that its operator gives it.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, Tensor as Value, TractResult, bail, ensure, format_err,
};

/// The attributes of a node. One that is there but of another type is an error.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a> {
    node: &'a NodeProto,
    context: &'a ParsingContext<'a>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(node: &'a NodeProto, context: &'a ParsingContext<'a>) -> Self {
        Self { node, context }
    }

    fn find(self, name: &str, kind: AttributeType) -> TractResult<Option<&'a AttributeProto>> {
        let mut found = self.node.attribute.iter().filter(|a| a.name == name);
        let Some(attribute) = found.next() else {
            return Ok(None);
        };
        ensure!(found.next().is_none(), "two attributes `{name}`");
        // Files of the first versions of the format name no types.
        ensure!(
            attribute.r#type == kind as i32 || attribute.r#type == 0,
            "attribute `{name}` is not of type {kind:?}"
        );
        Ok(Some(attribute))
    }

    /// The version of `ai.onnx.ml` that the file was written for.
    pub(super) fn version(self) -> i64 {
        let sets = &self.context.model.opset_import;
        let learning = sets.iter().find(|set| set.domain == "ai.onnx.ml");
        learning.map_or(1, |set| set.version)
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.node.attribute.iter().any(|a| a.name == name)
    }

    pub(super) fn ints(self, name: &str) -> TractResult<&'a [i64]> {
        let found = self.find(name, AttributeType::Ints)?;
        Ok(found.map_or(&[], |attribute| &attribute.ints))
    }

    pub(super) fn floats(self, name: &str) -> TractResult<&'a [f32]> {
        let found = self.find(name, AttributeType::Floats)?;
        Ok(found.map_or(&[], |attribute| &attribute.floats))
    }

    pub(super) fn texts(self, name: &str) -> TractResult<Vec<String>> {
        let found = self.find(name, AttributeType::Strings)?;
        let texts = found.map_or(&[][..], |attribute| &attribute.strings);
        texts
            .iter()
            .map(|bytes| text(name, bytes))
            .collect::<TractResult<_>>()
    }

    pub(super) fn int(self, name: &str, default: i64) -> TractResult<i64> {
        let found = self.find(name, AttributeType::Int)?;
        Ok(found.map_or(default, |attribute| attribute.i))
    }

    pub(super) fn float(self, name: &str, default: f32) -> TractResult<f32> {
        let found = self.find(name, AttributeType::Float)?;
        Ok(found.map_or(default, |attribute| attribute.f))
    }

    pub(super) fn text(self, name: &str, default: &str) -> TractResult<String> {
        let found = self.find(name, AttributeType::String)?;
        found.map_or_else(
            || Ok(default.to_owned()),
            |attribute| text(name, &attribute.s),
        )
    }

    /// A tensor, of whatever type and shape.
    pub(super) fn tensor(self, name: &str) -> TractResult<Option<Value>> {
        let Some(attribute) = self.find(name, AttributeType::Tensor)? else {
            return Ok(None);
        };
        let tensor: &TensorProto = attribute
            .t
            .as_ref()
            .ok_or_else(|| format_err!("attribute `{name}` holds no tensor"))?;
        Ok(Some(self.context.load_tensor(tensor)?))
    }

    /// The numbers of a tensor, and whether they are of double precision.
    pub(super) fn numbers(self, name: &str) -> TractResult<Option<(Vec<f64>, bool)>> {
        let Some(tensor) = self.tensor(name)? else {
            return Ok(None);
        };
        let double = match tensor.datum_type() {
            DatumType::F32 => false,
            DatumType::F64 => true,
            other => bail!("attribute `{name}` is a tensor of {other:?}"),
        };
        let numbers = tensor.cast_to_dt(f64::datum_type())?;
        let numbers = numbers.try_as_plain_ram()?.as_slice::<f64>()?.to_vec();
        Ok(Some((numbers, double)))
    }
}

fn text(name: &str, bytes: &[u8]) -> TractResult<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| format_err!("attribute `{name}` is not UTF-8"))
}
