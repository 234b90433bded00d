//! What `classify` and `regress` are asked about: examples, which are values by name.

use std::collections::BTreeMap;

use protobufs::tensorflow::serving::{Input, input};
use protobufs::tensorflow::{Example, feature};
use tensor::{Data, Element, Port, Tensor};

use crate::decimal;
use crate::engine::{Engine, Feed};
use crate::failure::{Code, Failure};
use crate::json::{Kind, Value};
use crate::rows::{NOT_UTF8, lossy, narrowed, unescaped};

/// The values of an example, by name.
pub(crate) type Features = BTreeMap<String, Values>;

/// The values of a feature.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// There are none, and so they are of no type.
    None,
    Whole(Vec<i64>),
    Decimal(Vec<f64>),
    Text(Vec<String>),
    /// So many, of which at least one is not UTF-8: of use to nobody, and no harm unless one of them
    /// is fed.
    Bytes(usize),
}

impl Values {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Whole(values) => values.len(),
            Self::Decimal(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Bytes(count) => *count,
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::None => "UNKNOWN",
            Self::Whole(_) => "int64",
            Self::Decimal(_) => "float",
            Self::Text(_) | Self::Bytes(_) => "bytes",
        }
    }
}

/// The examples of a request over HTTP: `examples`, and what is common to all of them in `context`.
pub(crate) fn from_json(root: Value<'_>) -> Result<Vec<Features>, Failure> {
    let context = root.member("context").map(features).transpose()?;
    let wrong = |why: &str| Failure::invalid(format!("JSON Value: {} {why}", root.shown()));
    let examples = root.member("examples").ok_or_else(|| {
        wrong("When method is classify, key 'examples' is expected and was not found")
    })?;
    if !examples.is_array() {
        return Err(wrong("Expecting 'examples' value to be an list/array"));
    }
    if examples.kind() == Kind::Array(0) {
        return Err(wrong("'examples' value is an empty array"));
    }
    let examples = examples.elements().map(features);
    Ok(with_context(examples.collect::<Result<_, _>>()?, context))
}

/// The examples of a request over gRPC.
pub(crate) fn from_message(input: Option<Input>) -> Result<Vec<Features>, Failure> {
    let (examples, context) = match input.and_then(|input| input.kind) {
        Some(input::Kind::ExampleList(list)) => (list.examples, None),
        Some(input::Kind::ExampleListWithContext(list)) => (list.examples, list.context),
        None => (Vec::new(), None),
    };
    if examples.is_empty() {
        return Err(Failure::invalid("Input is empty."));
    }
    let context = context.map(example).transpose()?;
    let examples = examples.into_iter().map(example);
    Ok(with_context(examples.collect::<Result<_, _>>()?, context))
}

fn with_context(mut examples: Vec<Features>, context: Option<Features>) -> Vec<Features> {
    for (name, values) in context.into_iter().flatten() {
        for example in &mut examples {
            example
                .entry(name.clone())
                .or_insert_with(|| values.clone());
        }
    }
    examples
}

fn example(example: Example) -> Result<Features, Failure> {
    let features = example.features.unwrap_or_default().feature;
    let features = features.into_iter().map(|(name, feature)| {
        let values = match feature.kind {
            None => Values::None,
            Some(feature::Kind::Int64List(list)) => Values::Whole(list.value),
            Some(feature::Kind::FloatList(list)) => {
                Values::Decimal(list.value.into_iter().map(f64::from).collect())
            }
            Some(feature::Kind::BytesList(list)) => {
                let texts = list.value.into_iter();
                let count = texts.len();
                let texts = texts.map(|bytes| String::from_utf8(bytes.into()));
                let texts = texts.collect::<Result<_, _>>();
                texts.map_or(Values::Bytes(count), Values::Text)
            }
        };
        Ok((name, values))
    });
    features.collect()
}

fn features(example: Value<'_>) -> Result<Features, Failure> {
    if !example.is_object() {
        return Err(Failure::invalid(format!(
            "Example must be JSON object but got JSON {}",
            example.type_name()
        )));
    }
    let features = example.members().map(|(name, content)| {
        let mut values = Values::None;
        if content.is_array() {
            for value in content.elements() {
                add(&mut values, value, name)?;
            }
        } else {
            add(&mut values, content, name)?;
        }
        Ok((name.to_owned(), values))
    });
    features.collect()
}

fn add(values: &mut Values, value: Value<'_>, name: &str) -> Result<(), Failure> {
    let one = match value.kind() {
        Kind::Bool(truth) => Values::Whole(vec![truth.into()]),
        Kind::Integer(number) => Values::Whole(vec![number]),
        Kind::Unsigned(_) => {
            return Err(Failure::invalid(format!(
                "Feature: {name} has uint64 element. Only int64 is supported."
            )));
        }
        Kind::Decimal(number) => Values::Decimal(vec![number]),
        Kind::Text(text) => Values::Text(vec![text.to_owned()]),
        Kind::Object(_) if value.base64().is_some() => {
            let bytes = unescaped(value.base64().unwrap_or_default())?;
            String::from_utf8(bytes).map_or(Values::Bytes(1), |text| Values::Text(vec![text]))
        }
        Kind::Null | Kind::Array(_) | Kind::Object(_) => {
            return Err(Failure::invalid(format!(
                "Feature: {name} has element with unexpected JSON type: {}",
                value.type_name()
            )));
        }
    };
    match (&mut *values, one) {
        (Values::None, one) => *values = one,
        (Values::Whole(values), Values::Whole(one)) => values.extend(one),
        (Values::Decimal(values), Values::Decimal(one)) => values.extend(one),
        (Values::Text(values), Values::Text(one)) => values.extend(one),
        (Values::Text(_) | Values::Bytes(_), one @ (Values::Text(_) | Values::Bytes(_))) => {
            *values = Values::Bytes(values.len() + one.len());
        }
        (expected, _) => {
            return Err(Failure::invalid(format!(
                "Unexpected element type in feature: {name} expecting type: {}",
                expected.type_name()
            )));
        }
    }
    Ok(())
}

/// What examples feed for each of an engine's inputs: the feature of the same name.
pub(crate) fn feeds(examples: &[Features], engine: &Engine) -> Result<Vec<Option<Feed>>, Failure> {
    let missing = engine.takes_missing();
    let feeds = engine.inputs().iter().map(|input| {
        let default = engine.defaults().get(&input.name).unwrap_or(&Values::None);
        let first = examples
            .first()
            .and_then(|example| example.get(&input.name));
        let axes = input.shape.get(1..).unwrap_or_default();
        let axes = axes
            .iter()
            .map(|axis| axis.unwrap_or_else(|| first.map_or(0, Values::len)));
        let mut shape = vec![examples.len()];
        shape.extend(axes);
        let width = shape[1..]
            .iter()
            .try_fold(1usize, |width, axis| width.checked_mul(*axis))
            .ok_or_else(|| Failure::invalid("an input is too large"))?;
        let mut data = match input.element {
            Element::Float => Data::Float(Vec::new()),
            Element::Double => Data::Double(Vec::new()),
            Element::Int32 => Data::Int32(Vec::new()),
            Element::Int64 => Data::Int64(Vec::new()),
            Element::Bool => Data::Bool(Vec::new()),
            Element::Text => Data::Text(Vec::new()),
        };
        let mut absent = Vec::new();
        for example in examples {
            let values = example.get(&input.name);
            let values = values.filter(|values| values.len() > 0).unwrap_or(default);
            let is_absent = values.len() == 0 && width == 1;
            if missing && is_absent {
                absent.push(true);
                push(&mut data, &Values::Whole(vec![0]), input)
                    .or_else(|_| push(&mut data, &Values::Text(vec![String::new()]), input))?;
                continue;
            }
            absent.push(false);
            if values.len() != width {
                return Err(Failure::new(
                    Code::InvalidArgument,
                    if values.len() == 0 {
                        format!(
                            "Feature: {} (data type: {}) is required but could not be found.",
                            input.name, input.element
                        )
                    } else {
                        format!(
                            "Feature: {} has {} values, {width} are expected",
                            input.name,
                            values.len()
                        )
                    },
                ));
            }
            push(&mut data, values, input)?;
        }
        Ok(Some(Feed {
            tensor: Tensor { shape, data },
            missing: absent,
        }))
    });
    feeds.collect()
}

fn push(data: &mut Data, values: &Values, input: &Port) -> Result<(), Failure> {
    let refused = || {
        Failure::invalid(format!(
            "Feature: {}. Data types don't match. Expected type: {}, got: {}",
            input.name,
            input.element,
            values.type_name()
        ))
    };
    match (data, values) {
        (Data::Float(to), Values::Decimal(from)) => {
            for value in from {
                to.push(narrowed(*value).ok_or_else(|| {
                    let mut shown = String::new();
                    decimal::write_double(&mut shown, *value);
                    lossy(&shown, "float")
                })?);
            }
        }
        (Data::Double(to), Values::Decimal(from)) => to.extend(from),
        // Numbers without a point are whole to JSON, whatever the feature is.
        (Data::Float(to), Values::Whole(from)) => to.extend(from.iter().map(|v| *v as f32)),
        (Data::Double(to), Values::Whole(from)) => to.extend(from.iter().map(|v| *v as f64)),
        (Data::Int64(to), Values::Whole(from)) => to.extend(from),
        (Data::Int32(to), Values::Whole(from)) => {
            for value in from {
                to.push(i32::try_from(*value).map_err(|_| refused())?);
            }
        }
        (Data::Bool(to), Values::Whole(from)) => to.extend(from.iter().map(|v| *v != 0)),
        (Data::Text(to), Values::Text(from)) => to.extend_from_slice(from),
        (Data::Text(_), Values::Bytes(_)) => return Err(Failure::invalid(NOT_UTF8)),
        _ => return Err(refused()),
    }
    Ok(())
}
