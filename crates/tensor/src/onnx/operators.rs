//! The ONNX operators that are evaluated: those of the runtime, but for some that it does not
//! evaluate faithfully, without end, or not twice alike.

use super::kernel::operator;
use super::trees;
use crate::functions::Function;
use std::sync::OnceLock;
use tract_onnx::Onnx;
use tract_onnx::pb::{AttributeProto, NodeProto};

/// `ZipMap` makes dictionaries, for the comfort of Python, of a tensor of probabilities.
pub(super) fn is_dictionary(node: &NodeProto) -> bool {
    node.op_type == "ZipMap" && node.domain == "ai.onnx.ml"
}

/// Says what is unsupported about a node, if anything is.
pub(super) fn check(node: &NodeProto) -> Result<(), String> {
    if !matches!(node.domain.as_str(), "" | "ai.onnx" | "ai.onnx.ml") {
        return Err(format!("{}.{}", node.domain, node.op_type));
    }
    if is_dictionary(node) || super::scaler::is_scaler(node) {
        return Ok(());
    }
    let name = node.op_type.as_str();
    let refused = match name {
        // Control flow: there is no telling whether it ends.
        "If" | "Loop" | "Scan" => true,
        // Chance.
        "Bernoulli" | "Multinomial" | "RandomNormal" | "RandomNormalLike" | "RandomUniform"
        | "RandomUniformLike" => true,
        _ => false,
    };
    let registered = runtime().op_register.0.contains_key(name);
    if refused || !registered {
        return Err(name.to_owned());
    }
    if node
        .attribute
        .iter()
        .any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty())
    {
        return Err(format!("{name} with a graph of its own"));
    }
    let text = |attribute: &AttributeProto| {
        attribute.name == "classlabels_strings" && !attribute.strings.is_empty()
    };
    if name.ends_with("Classifier") && node.attribute.iter().any(text) {
        return Err(format!("{name} with text for labels"));
    }
    if name == "Dropout" && node.input.len() > 2 {
        return Err("Dropout in training".to_owned());
    }
    Ok(())
}

/// The runtime's importer, with its operators corrected. What a file says of the shapes and types
/// in between is left aside: they follow from the inputs.
pub(super) fn runtime() -> &'static Onnx {
    static RUNTIME: OnceLock<Onnx> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut onnx = tract_onnx::onnx()
            .with_ignore_output_types(true)
            .with_ignore_value_info(true);
        let register = &mut onnx.op_register;
        register.insert("Erf", |_, _| Ok((Function::Erf.operator(), vec![])));
        register.insert("LeakyRelu", |_, node| {
            let slope = node
                .attribute
                .iter()
                .find(|attribute| attribute.name == "alpha");
            let slope = slope.map_or(0.01, |attribute| attribute.f);
            Ok((Function::LeakyRelu(slope).operator(), vec![]))
        });
        register.insert("Relu", |_, _| Ok((Function::Relu.operator(), vec![])));
        register.insert("Sigmoid", |_, _| Ok((Function::Sigmoid.operator(), vec![])));
        register.insert("Softplus", |_, _| {
            Ok((Function::Softplus.operator(), vec![]))
        });
        register.insert("Tanh", |_, _| Ok((Function::Tanh.operator(), vec![])));
        register.insert("TreeEnsemble", |context, node| {
            operator(context, node, trees::ensemble)
        });
        register.insert("TreeEnsembleClassifier", |context, node| {
            operator(context, node, trees::classifier)
        });
        register.insert("TreeEnsembleRegressor", |context, node| {
            operator(context, node, trees::regressor)
        });
        onnx
    })
}
