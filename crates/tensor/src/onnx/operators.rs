//! The ONNX operators that are evaluated: those of the runtime, but for some that it does not
//! evaluate faithfully, without end, or not twice alike.

use super::arithmetic::{Arithmetic, MatMul, constant, is_zero};
use super::attributes::Attributes;
use super::kernel::{operator, operator_of};
use super::reductions::{Reduction, reduction};
use super::{cast, distances, elementwise, encoders, features, linear, recurrent, svm, trees};
use crate::einsum::{Terms, einsum};
use crate::elements::slice;
use crate::extremes::Extreme;
use crate::functions::Function;
use crate::lowering::lower;
use crate::mended::log_softmax_operator;
use std::sync::OnceLock;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::{InferenceOp, TractResult, ensure, format_err};
use tract_onnx::tract_hir::ops::binary::BinIntoHir;
use tract_onnx::tract_hir::ops::expandable::expand;
use tract_onnx::tract_hir::ops::identity::Identity;
use tract_onnx::tract_hir::tract_core::ops::math::Mul;

/// `ZipMap` makes dictionaries, for the comfort of Python, of a tensor of probabilities.
pub(super) fn is_dictionary(node: &NodeProto) -> bool {
    node.op_type == "ZipMap" && node.domain == "ai.onnx.ml"
}

/// Says what is unsupported about a node, if anything is.
pub(super) fn check(node: &NodeProto) -> Result<(), String> {
    let is_distances = node.domain == "com.microsoft" && node.op_type == "CDist";
    if !matches!(node.domain.as_str(), "" | "ai.onnx" | "ai.onnx.ml") && !is_distances {
        return Err(format!("{}.{}", node.domain, node.op_type));
    }
    if is_dictionary(node) {
        return Ok(());
    }
    let name = node.op_type.as_str();
    let refused = match name {
        // Control flow: there is no telling whether it ends.
        "If" | "Loop" => true,
        "Scan" => !distances::is_scan_of_distances(node),
        // Chance.
        "Bernoulli" | "Multinomial" | "RandomNormal" | "RandomNormalLike" | "RandomUniform"
        | "RandomUniformLike" => true,
        // The runtime's is a mean.
        "GlobalLpPool" => true,
        _ => false,
    };
    let of_learning = LEARNING.iter().any(|(learning, _)| *learning == name);
    if of_learning != (node.domain == "ai.onnx.ml") {
        return Err(format!("{}.{name}", node.domain));
    }
    let registered = runtime().op_register.0.contains_key(name);
    if refused || !registered {
        return Err(name.to_owned());
    }
    let external =
        |tensor: &TensorProto| tensor.data_location == Some(DataLocation::External as i32);
    let mut attributes = node.attribute.iter();
    if attributes.any(|a| a.t.iter().chain(&a.tensors).any(external)) {
        return Err("external data".to_owned());
    }
    if name != "Scan"
        && node
            .attribute
            .iter()
            .any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty())
    {
        return Err(format!("{name} with a graph of its own"));
    }
    if let Some(form) = unfaithful(node) {
        return Err(format!("{name} {form}"));
    }
    Ok(())
}

/// The form of a node that the runtime does not evaluate as the operator's definition has it, or not
/// to an end, if it has one.
fn unfaithful(node: &NodeProto) -> Option<&'static str> {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let text = |name: &str| attribute(name).map_or(&b""[..], |a| &a.s);
    let is = |name: &str, value: &str| text(name) == value.as_bytes();
    let on = |name: &str| attribute(name).is_some_and(|a| a.i != 0);
    match node.op_type.as_str() {
        // It would look for the end of a cycle for ever.
        "Transpose" if attribute("perm").is_some_and(|a| !is_permutation(&a.ints)) => {
            Some("by what is no permutation")
        }
        "ConvTranspose"
            if text("auto_pad").starts_with(b"SAME") && attribute("output_padding").is_some() =>
        {
            Some("with output_padding and auto_pad")
        }
        "Dropout" if node.input.len() > 2 => Some("in training"),
        "MaxPool" | "AveragePool"
            if on("ceil_mode") && !matches!(text("auto_pad"), b"" | b"NOTSET") =>
        {
            Some("with ceil_mode and auto_pad")
        }
        "MaxPool" | "AveragePool"
            if text("auto_pad").starts_with(b"SAME") && strides_over(node) =>
        {
            Some("whose strides are longer than its windows, with auto_pad")
        }
        "Resize" if is("coordinate_transformation_mode", "tf_crop_and_resize") => {
            Some("of coordinates tf_crop_and_resize")
        }
        "Resize"
            if is("mode", "cubic")
                && is("coordinate_transformation_mode", "pytorch_half_pixel") =>
        {
            Some("cubic of coordinates pytorch_half_pixel")
        }
        "Resize" if on("antialias") => Some("with antialias"),
        "SpaceToDepth" if !matches!(text("mode"), b"" | b"DCR") => Some("of another mode than DCR"),
        _ => None,
    }
}

/// Whether some values are in no window of a pool.
fn strides_over(node: &NodeProto) -> bool {
    let lengths = |name: &str| {
        let found = node.attribute.iter().find(|a| a.name == name);
        found.map_or(&[][..], |a| &a.ints)
    };
    let mut pairs = lengths("strides").iter().zip(lengths("kernel_shape"));
    pairs.any(|(stride, window)| stride > window)
}

/// A node without what would mislead the runtime.
pub(super) fn adapted(node: &NodeProto) -> NodeProto {
    let mut node = node.clone();
    let mut attributes = node.attribute.iter();
    let mode = attributes.find(|a| a.name == "mode").map(|a| &a.s[..]);
    // It pads with a value that is given, whatever the mode.
    if node.op_type == "Pad"
        && !matches!(mode, None | Some(b"constant"))
        && let Some(value) = node.input.get_mut(2)
    {
        value.clear();
    }
    node
}

fn is_permutation(axes: &[i64]) -> bool {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    sorted.iter().copied().eq(0..axes.len() as i64)
}

type Build =
    fn(&ParsingContext<'_>, &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// The operators of `ai.onnx.ml`.
const LEARNING: &[(&str, Build)] = &[
    ("ArrayFeatureExtractor", |c, n| {
        operator(c, n, features::extractor)
    }),
    ("Binarizer", |c, n| operator(c, n, features::binarizer)),
    ("CategoryMapper", |c, n| operator(c, n, encoders::category)),
    ("FeatureVectorizer", |c, n| {
        operator(c, n, features::vectorizer)
    }),
    ("Imputer", |c, n| operator(c, n, features::imputer)),
    ("LabelEncoder", |c, n| operator(c, n, encoders::label)),
    ("LinearClassifier", |c, n| {
        operator(c, n, linear::classifier)
    }),
    ("LinearRegressor", |c, n| operator(c, n, linear::regressor)),
    ("Normalizer", |c, n| operator(c, n, features::normalizer)),
    ("OneHotEncoder", |c, n| operator(c, n, encoders::one_hot)),
    ("SVMClassifier", |c, n| operator(c, n, svm::classifier)),
    ("SVMRegressor", |c, n| operator(c, n, svm::regressor)),
    ("Scaler", |c, n| operator(c, n, features::scaler)),
    ("TreeEnsemble", |c, n| operator(c, n, trees::ensemble)),
    ("TreeEnsembleClassifier", |c, n| {
        operator(c, n, trees::classifier)
    }),
    ("TreeEnsembleRegressor", |c, n| {
        operator(c, n, trees::regressor)
    }),
];

/// Operators of `ai.onnx` that the runtime evaluates otherwise.
const CORRECTED: &[(&str, Build)] = &[
    ("Celu", |c, n| operator(c, n, elementwise::celu)),
    ("HardSigmoid", |c, n| {
        operator(c, n, elementwise::hard_sigmoid)
    }),
    ("GRU", |c, n| recurrent(c, n, recurrent::Cell::Gru)),
    ("LSTM", |c, n| recurrent(c, n, recurrent::Cell::Lstm)),
    ("RNN", |c, n| recurrent(c, n, recurrent::Cell::Simple)),
    ("ReduceLogSumExp", |c, n| {
        operator_of(n, reduction(c, n, Reduction::LogSumExp))
    }),
    ("ReduceMax", |c, n| {
        operator_of(n, reduction(c, n, Reduction::Max))
    }),
    ("ReduceMin", |c, n| {
        operator_of(n, reduction(c, n, Reduction::Min))
    }),
    ("ReduceSumSquare", |c, n| {
        operator_of(n, reduction(c, n, Reduction::SumSquare))
    }),
    ("Swish", |c, n| operator(c, n, elementwise::swish)),
    ("IsInf", |c, n| operator(c, n, elementwise::is_inf)),
    ("IsNaN", |c, n| operator(c, n, elementwise::is_nan)),
    ("Round", |c, n| operator(c, n, elementwise::round)),
    ("Selu", |c, n| operator(c, n, elementwise::selu)),
    ("Clip", |c, n| {
        operator_of(n, elementwise::clip(n, Attributes::new(n, c)))
    }),
    ("Equal", |_, _| Ok((elementwise::equality(), vec![]))),
    ("Pow", |_, _| Ok((elementwise::power(), vec![]))),
    ("Max", |c, n| extreme(c, n, Extreme::Largest)),
    ("Min", |c, n| extreme(c, n, Extreme::Smallest)),
    ("Einsum", |c, n| {
        let equation = Attributes::new(n, c).text("equation", "")?;
        // The runtime fails to align the axes of an ellipsis, to sum up all of them, and to come to
        // an end where some are summed up in one value only.
        let Some(terms) = Terms::of(&equation) else {
            ensure!(!equation.contains("..."), "Einsum `{equation}`");
            return tract_onnx::onnx().op_register.0["Einsum"](c, n);
        };
        let operator = lower("Einsum", move |prefix, model, inputs| {
            einsum(&terms, prefix, model, inputs)
        });
        Ok((operator, vec![]))
    }),
    ("LogSoftmax", |c, n| {
        // Along all axes from this one on, before operator set 13.
        let is_new = c.onnx_operator_set_version >= 13;
        let axis = Attributes::new(n, c).int("axis", if is_new { -1 } else { 1 })?;
        Ok((log_softmax_operator(axis, !is_new), vec![]))
    }),
    ("Mod", |c, n| {
        if Attributes::new(n, c).int("fmod", 0)? == 0 {
            return tract_onnx::onnx().op_register.0["Mod"](c, n);
        }
        Ok((Arithmetic::Remainder.operator(), vec![]))
    }),
    ("Resize", resize),
    ("OneHot", |context, node| {
        let depth = match node.input.get(1) {
            Some(name) => constant(context, name)?,
            None => None,
        };
        let depth = depth.ok_or_else(|| format_err!("OneHot of a depth that is not constant"))?;
        let attributes = Attributes::new(node, context);
        operator_of(node, elementwise::one_hot(&depth, attributes))
    }),
];

/// `Resize` of operator set 10, which has two inputs, takes the nearest value before, of which the
/// runtime knows nothing.
fn resize(
    context: &ParsingContext<'_>,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let runtimes = &tract_onnx::onnx().op_register.0["Resize"];
    let attributes = Attributes::new(node, context);
    if node.input.len() != 2 || attributes.text("mode", "nearest")? != "nearest" {
        return runtimes(context, node);
    }
    // ONNX Runtime takes the one after, where there are less values than before.
    let scales = match node.input.get(1) {
        Some(name) => constant(context, name)?,
        None => None,
    };
    let scales = scales.ok_or_else(|| format_err!("scales that are not constant"))?;
    let scales = scales.cast_to::<f32>()?;
    let scales = slice::<f32>(&scales)?;
    ensure!(
        scales
            .iter()
            .all(|scale| *scale >= 1.0 || scale.recip().fract() == 0.0),
        "nearest values of scales {scales:?}"
    );
    let mut node = node.clone();
    node.attribute.push(AttributeProto {
        name: "nearest_mode".to_owned(),
        s: b"floor".to_vec(),
        r#type: AttributeType::String.into(),
        ..AttributeProto::default()
    });
    runtimes(context, &node)
}

fn recurrent(
    context: &ParsingContext<'_>,
    node: &NodeProto,
    cell: recurrent::Cell,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let attributes = Attributes::new(node, context);
    operator_of(node, recurrent::layer(node, attributes, cell))
}

/// The largest or the smallest of two values, or of one.
fn extreme(
    _: &ParsingContext<'_>,
    node: &NodeProto,
    extreme: Extreme,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    match node.input.len() {
        1 => Ok((Box::new(Identity), vec![])),
        2 => Ok((extreme.operator(), vec![])),
        _ => operator_of(node, Ok(elementwise::extremes(extreme))),
    }
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
        register.insert("CDist", |context, node| {
            operator(context, node, distances::distances)
        });
        register.insert("Scan", |_, node| operator_of(node, distances::scan(node)));
        register.insert("Div", |_, _| Ok((Arithmetic::Quotient.operator(), vec![])));
        register.insert("MatMul", |_, _| Ok((expand(MatMul::new()), vec![])));
        register.insert("Mul", |context, node| {
            let mut by_zero = false;
            for name in &node.input {
                by_zero |= constant(context, name)?.is_some_and(|value| is_zero(&value));
            }
            Ok((
                if by_zero {
                    Arithmetic::Product.operator()
                } else {
                    Mul.into_hir()
                },
                vec![],
            ))
        });
        register.insert("Cast", |_, node| {
            let to = node.get_attr("to")?;
            Ok((cast::Cast { to }.operator(), vec![]))
        });
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
        for (name, build) in LEARNING.iter().chain(CORRECTED) {
            register.insert(name, *build);
        }
        onnx
    })
}

#[cfg(test)]
mod tests {
    use super::{AttributeProto, NodeProto, check};

    #[test]
    fn what_is_transposed_is_permuted() {
        let transpose = |axes: &[i64]| NodeProto {
            op_type: "Transpose".to_owned(),
            attribute: vec![AttributeProto {
                name: "perm".to_owned(),
                ints: axes.to_vec(),
                ..AttributeProto::default()
            }],
            ..NodeProto::default()
        };
        assert_eq!(check(&transpose(&[1, 2, 0])), Ok(()));
        for axes in [&[0, 0][..], &[1, 1], &[1, 2], &[-1, 0]] {
            assert!(check(&transpose(axes)).is_err(), "{axes:?}");
        }
    }
}
