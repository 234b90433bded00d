//! `NeuralNetwork` (PMML 4.4, Neural Networks).

use std::collections::HashMap;

use crate::category::Categories;
use crate::compile::Compiler;
use crate::document::Element;
use crate::expression::{Expression, NormContinuous, Reference};
use crate::expression_reader::is_expression;
use crate::link::{Link, simplemax, softmax};
use crate::outcome::Outcome;
use crate::program::{Frame, Program};
use crate::regression::number;
use crate::unit::{Context, MiningFunction};
use crate::value::Precision;
use crate::{DataType, Error, ScoreError};

#[derive(Debug)]
pub(crate) struct NeuralNetwork {
    inputs: Vec<(Expression, Option<DataType>)>,
    layers: Vec<Layer>,
    output: Output,
    precision: Precision,
}

/// Neurons, whose activations follow those of the inputs and the layers before in one list.
#[derive(Debug)]
struct Layer {
    activation: Activation,
    normalization: Normalization,
    neurons: Vec<Neuron>,
    /// The connections of all neurons, one after the other.
    from: Vec<u32>,
    weights: Vec<f64>,
}

#[derive(Debug)]
struct Neuron {
    /// The end of its connections.
    end: usize,
    bias: Option<f64>,
    width: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Activation {
    Threshold(f64),
    Logistic,
    Tanh,
    Identity,
    Exponential,
    Reciprocal,
    Square,
    Gauss,
    Sine,
    Cosine,
    Elliott,
    Arctan,
    Rectifier(Option<f64>),
    /// With its altitude.
    RadialBasis(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Normalization {
    None,
    Simplemax,
    Softmax,
}

#[derive(Debug)]
enum Output {
    /// A neuron's activation, through the inverse of a function.
    Number(u32, Option<NormContinuous>),
    /// Neurons with the categories whose probabilities they are.
    Categories(Vec<(u32, u32)>),
}

impl<'a> Compiler<'a> {
    pub(crate) fn neural_network(
        &mut self,
        context: Context<'a>,
        categories: Option<&mut Categories>,
    ) -> Result<NeuralNetwork, Error> {
        let model = context.element;
        let mut places = HashMap::new();
        let mut inputs = Vec::new();
        for input in model.required_child("NeuralInputs")?.all("NeuralInput") {
            let field = input.required_child("DerivedField")?;
            let expression = self.expression_in(field, context.scope)?.expression;
            name(&mut places, input)?;
            inputs.push((expression, DataType::of(field)?));
        }
        let mut layers = Vec::new();
        for layer in model.all("NeuralLayer") {
            layers.push(read_layer(model, layer, context.precision, &mut places)?);
        }
        let output = self.network_output(context, categories, &places)?;
        Ok(NeuralNetwork {
            inputs,
            layers,
            output,
            precision: context.precision,
        })
    }

    fn network_output(
        &mut self,
        context: Context<'a>,
        mut categories: Option<&mut Categories>,
        places: &HashMap<&'a str, u32>,
    ) -> Result<Output, Error> {
        let outputs = context.element.required_child("NeuralOutputs")?;
        let mut found = Vec::new();
        for output in outputs.all("NeuralOutput") {
            let neuron = output.required("outputNeuron")?;
            let place = *places
                .get(neuron)
                .ok_or_else(|| output.invalid(format!("there is no neuron `{neuron}`")))?;
            let expression = self.output_expression(output, context)?;
            let field = expression.required("field")?;
            if context.target.is_some_and(|target| target != field) {
                return Err(expression.unknown_field(field));
            }
            match (context.function, expression.name(), &mut categories) {
                (MiningFunction::Regression, "FieldRef", _) => {
                    found.push((place, 0, None));
                }
                (MiningFunction::Regression, "NormContinuous", _) => {
                    let points = crate::expression_reader::norm_points(expression)?;
                    let inverse = NormContinuous::inverse_of(Reference::Argument(0), points);
                    found.push((place, 0, Some(inverse)));
                }
                (MiningFunction::Classification, "NormDiscrete", Some(list)) => {
                    let text = expression.required("value")?;
                    let category = list.number(text, &mut self.symbols).ok_or_else(|| {
                        expression.invalid(format!("`{text}` is no value of the target"))
                    })?;
                    found.push((place, category, None));
                }
                _ => return Err(expression.refused()),
            }
        }
        match (context.function, found.len()) {
            (_, 0) => Err(outputs.invalid("`NeuralOutputs` without an output")),
            (MiningFunction::Classification, _) => {
                let pairs = found
                    .into_iter()
                    .map(|(place, category, _)| (place, category));
                Ok(Output::Categories(pairs.collect()))
            }
            (MiningFunction::Regression, 1) => match found.pop() {
                Some((place, _, inverse)) => Ok(Output::Number(place, inverse)),
                None => Err(outputs.refused()),
            },
            (MiningFunction::Regression, _) => Err(outputs.invalid("a second output")),
        }
    }

    /// The expression of an output, behind a reference to a derived field, too.
    fn output_expression(
        &self,
        output: Element<'a>,
        context: Context<'a>,
    ) -> Result<Element<'a>, Error> {
        let expression_of = |field: Element<'a>| {
            field
                .children()
                .find(|child| is_expression(*child))
                .ok_or_else(|| field.invalid("`DerivedField` without an expression"))
        };
        let expression = expression_of(output.required_child("DerivedField")?)?;
        if expression.name() != "FieldRef" {
            return Ok(expression);
        }
        match self.derived_element(context.scope, expression.required("field")?) {
            Some(field) => expression_of(field),
            None => Ok(expression),
        }
    }
}

/// Gives an input or a neuron the next place.
fn name<'a>(places: &mut HashMap<&'a str, u32>, element: Element<'a>) -> Result<(), Error> {
    let (id, next) = (element.required("id")?, places.len() as u32);
    match places.insert(id, next) {
        None => Ok(()),
        Some(_) => Err(element.invalid(format!("a second neuron `{id}`"))),
    }
}

fn read_layer<'a>(
    model: Element<'a>,
    element: Element<'a>,
    precision: Precision,
    places: &mut HashMap<&'a str, u32>,
) -> Result<Layer, Error> {
    // What the layer does not say, the network says.
    let number = |name: &'static str| match element.number(name)? {
        Some(number) => Ok(Some(number)),
        None => model.number(name),
    };
    let says = |name: &'static str| match element.attribute(name) {
        Some(text) => (element, Some(text)),
        None => (model, model.attribute(name)),
    };
    let (place, function) = says("activationFunction");
    let activation = match function {
        Some("threshold") => Activation::Threshold(number("threshold")?.unwrap_or(0.0)),
        Some("logistic") => Activation::Logistic,
        Some("tanh") => Activation::Tanh,
        Some("identity") => Activation::Identity,
        Some("exponential") => Activation::Exponential,
        Some("reciprocal") => Activation::Reciprocal,
        Some("square") => Activation::Square,
        Some("Gauss") => Activation::Gauss,
        Some("sine") => Activation::Sine,
        Some("cosine") => Activation::Cosine,
        Some("Elliott") => Activation::Elliott,
        Some("arctan") => Activation::Arctan,
        Some("rectifier") => Activation::Rectifier(number("leakage")?),
        Some("radialBasis") => Activation::RadialBasis(number("altitude")?.unwrap_or(1.0)),
        Some(_) => return Err(place.refused_value("activationFunction")),
        None => return Err(place.invalid("there is no `activationFunction`")),
    };
    let (place, method) = says("normalizationMethod");
    let normalization = match method {
        None | Some("none") => Normalization::None,
        Some("simplemax") => Normalization::Simplemax,
        Some("softmax") => Normalization::Softmax,
        Some(_) => return Err(place.refused_value("normalizationMethod")),
    };
    let width = number("width")?;
    let mut layer = Layer {
        activation,
        normalization,
        neurons: Vec::new(),
        from: Vec::new(),
        weights: Vec::new(),
    };
    let mut ids = Vec::new();
    for neuron in element.all("Neuron") {
        for connection in neuron.all("Con") {
            let from = connection.required("from")?;
            let from = places
                .get(from)
                .ok_or_else(|| connection.invalid(format!("there is no neuron `{from}` before")))?;
            layer.from.push(*from);
            layer
                .weights
                .push(precision.round(connection.required_number("weight")?));
        }
        let width = neuron.number("width")?.or(width);
        if width.is_none() && matches!(activation, Activation::RadialBasis(_)) {
            return Err(neuron.invalid("a radial basis without `width`"));
        }
        layer.neurons.push(Neuron {
            end: layer.from.len(),
            bias: neuron.number("bias")?.map(|bias| precision.round(bias)),
            width: width.unwrap_or(1.0),
        });
        ids.push(neuron);
    }
    // Neurons of one layer are not connected: their names come after their connections.
    for neuron in ids {
        name(places, neuron)?;
    }
    Ok(layer)
}

impl NeuralNetwork {
    /// The network's prediction; none if an input is missing.
    pub(crate) fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
        classes: usize,
        outcome: &mut Outcome,
    ) -> Result<(), ScoreError> {
        let mut values = std::mem::take(&mut frame.numbers);
        values.clear();
        let result = self.activate(program, frame, &mut values);
        if let Ok(true) = result {
            match &self.output {
                Output::Number(place, inverse) => {
                    let value = values[*place as usize];
                    let value = match inverse {
                        None => Some(value),
                        Some(inverse) => inverse.inverse(value),
                    };
                    outcome.known = value.is_some();
                    outcome.value = self.precision.round(value.unwrap_or(0.0));
                }
                Output::Categories(outputs) => {
                    outcome.probabilities.resize(classes, 0.0);
                    for (place, category) in outputs {
                        outcome.put(*category, values[*place as usize]);
                    }
                    if let Some(label) = outcome.most_probable() {
                        outcome.known = true;
                        outcome.label = label;
                    }
                }
            }
        }
        frame.numbers = values;
        match (&self.output, result) {
            (Output::Number(place, Some(_)), Ok(true)) if !outcome.known => {
                Err(ScoreError::Undefined {
                    function: "the inverse of NormContinuous",
                    arguments: frame.numbers[*place as usize].to_string(),
                })
            }
            (_, result) => result.map(|_| ()),
        }
    }

    fn activate(
        &self,
        program: &Program,
        frame: &mut Frame,
        values: &mut Vec<f64>,
    ) -> Result<bool, ScoreError> {
        for (expression, data_type) in &self.inputs {
            let mut value = expression.evaluate(program, frame, 0)?;
            if let Some(data_type) = data_type {
                value = value.cast_or_fail(*data_type, &mut frame.texts)?;
            }
            if value.is_missing() {
                return Ok(false);
            }
            values.push(self.precision.round(number(value, frame)?));
        }
        for layer in &self.layers {
            let first = values.len();
            let mut start = 0;
            for neuron in &layer.neurons {
                let (from, weights) = (
                    &layer.from[start..neuron.end],
                    &layer.weights[start..neuron.end],
                );
                values.push(
                    layer
                        .activation
                        .of(from, weights, neuron, values, self.precision),
                );
                start = neuron.end;
            }
            let outputs = &mut values[first..];
            let normal = match layer.normalization {
                Normalization::None => true,
                Normalization::Simplemax => simplemax(outputs, self.precision),
                Normalization::Softmax => softmax(outputs, self.precision),
            };
            if !normal {
                return Err(ScoreError::Undefined {
                    function: "normalizationMethod",
                    arguments: "values that sum to zero".to_owned(),
                });
            }
        }
        Ok(true)
    }
}

impl Activation {
    fn of(
        self,
        from: &[u32],
        weights: &[f64],
        neuron: &Neuron,
        values: &[f64],
        precision: Precision,
    ) -> f64 {
        let round = |value| precision.round(value);
        let mut sum = 0.0;
        if let Self::RadialBasis(altitude) = self {
            for (&from, &weight) in from.iter().zip(weights) {
                let distance = round(values[from as usize] - weight);
                sum = round(sum + round(distance * distance));
            }
            let width = round(neuron.width);
            sum = round(sum / round(round(width * width) * -2.0));
            if altitude != 1.0 {
                sum = round(sum + round(round(altitude.ln()) * from.len() as f64));
            }
            return precision.exp(sum);
        }
        for (&from, &weight) in from.iter().zip(weights) {
            sum = round(sum + round(weight * values[from as usize]));
        }
        if let Some(bias) = neuron.bias {
            sum = round(sum + bias);
        }
        let x = sum;
        round(match self {
            Self::Threshold(threshold) => f64::from(u8::from(x > threshold)),
            Self::Logistic => Link::Logit.inverse(x, precision),
            Self::Tanh => x.tanh(),
            Self::Identity | Self::RadialBasis(_) => x,
            Self::Exponential => precision.exp(x),
            Self::Reciprocal => 1.0 / x,
            Self::Square => x * x,
            Self::Gauss => precision.exp(-round(x * x)),
            Self::Sine => x.sin(),
            Self::Cosine => x.cos(),
            Self::Elliott => x / round(1.0 + x.abs()),
            Self::Arctan => round(2.0 * round(x.atan())) / round(std::f64::consts::PI),
            Self::Rectifier(Some(_)) if x > 0.0 => x,
            Self::Rectifier(Some(leakage)) => x * leakage,
            Self::Rectifier(None) => {
                if x.is_nan() {
                    x
                } else {
                    x.max(0.0)
                }
            }
        })
    }
}
