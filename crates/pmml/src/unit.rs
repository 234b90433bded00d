//! What all model classes share: schema, target, categories, output.

use crate::category::Categories;
use crate::compile::Compiler;
use crate::document::Element;
use crate::general_regression::GeneralRegression;
use crate::mining::Mining;
use crate::neural_network::NeuralNetwork;
use crate::outcome::Outcome;
use crate::output::{self, OutputField};
use crate::program::{Frame, Program};
use crate::regression::Regression;
use crate::target::Target;
use crate::tree::Tree;
use crate::value::Precision;
use crate::{DataType, Error, OpType, ScoreError};

/// A model, the document's or a segment's.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) function: MiningFunction,
    pub(crate) class: Class,
    pub(crate) target: Target,
    pub(crate) outputs: Vec<OutputField>,
    /// The number of the list of its target's categories.
    pub(crate) categories: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MiningFunction {
    Regression,
    Classification,
}

/// The model classes.
#[derive(Debug)]
pub(crate) enum Class {
    Tree(Tree),
    Regression(Regression),
    General(GeneralRegression),
    Network(NeuralNetwork),
    Mining(Mining),
}

/// What a model knows about itself while it is compiled.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) element: Element<'a>,
    pub(crate) scope: usize,
    pub(crate) function: MiningFunction,
    pub(crate) precision: Precision,
    pub(crate) categories: usize,
    /// The target field, if the schema names one.
    pub(crate) target: Option<&'a str>,
    pub(crate) op_type: Option<OpType>,
    /// Whether this is the document's model, no segment.
    pub(crate) top: bool,
}

/// Where a model stands in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is the document's model.
    Top,
    /// It is a segment, in the scope of the enclosing model.
    Segment {
        /// The enclosing model's scope.
        scope: usize,
        /// The list of the enclosing model's categories, if this model votes on them.
        categories: Option<usize>,
        /// Whether later segments may read its output.
        chained: bool,
        /// Whether its output may be that of the enclosing model.
        reported: bool,
    },
}

const CLASSES: [&str; 17] = [
    "TreeModel",
    "RegressionModel",
    "GeneralRegressionModel",
    "NeuralNetwork",
    "MiningModel",
    "AnomalyDetectionModel",
    "AssociationModel",
    "BayesianNetworkModel",
    "ClusteringModel",
    "GaussianProcessModel",
    "NaiveBayesModel",
    "NearestNeighborModel",
    "RuleSetModel",
    "Scorecard",
    "SequenceModel",
    "SupportVectorMachineModel",
    "TextModel",
];

/// Whether an element is a model of the standard.
pub(crate) fn is_model(element: Element<'_>) -> bool {
    CLASSES.contains(&element.name())
        || matches!(element.name(), "TimeSeriesModel" | "BaselineModel")
}

impl<'a> Compiler<'a> {
    /// Compiles a model.
    pub(crate) fn unit(&mut self, element: Element<'a>, standing: Standing) -> Result<Unit, Error> {
        self.nested(element, |this| this.model(element, standing))
    }

    fn model(&mut self, element: Element<'a>, standing: Standing) -> Result<Unit, Error> {
        let function = match element.required("functionName")? {
            "regression" => MiningFunction::Regression,
            "classification" => MiningFunction::Classification,
            _ => return Err(element.refused_value("functionName")),
        };
        if !element.flag("isScorable", true)? {
            return Err(element.refused_value("isScorable"));
        }
        let precision = Precision::of(element)?;
        let parent = match standing {
            Standing::Top => None,
            Standing::Segment { scope, .. } => Some(scope),
        };
        let scope = self.open(element, parent)?;
        let (target, data_type, op_type) = self.target_field(scope, function, precision)?;
        let categories = match standing {
            Standing::Segment {
                categories: Some(categories),
                ..
            } => categories,
            _ => self.categories(target, data_type)?,
        };
        let context = Context {
            element,
            scope,
            function,
            precision,
            categories,
            target,
            op_type,
            top: standing == Standing::Top,
        };
        let target = self.with_categories(context, |this, list| {
            Target::read(
                element,
                target,
                data_type,
                precision,
                list,
                &mut this.symbols,
            )
        })?;
        let class = match element.name() {
            "TreeModel" => {
                let mut tree = self.with_categories(context, |this, list| {
                    this.tree(element, scope, precision, list)
                })?;
                // Segments are flattened by the ensemble: together, if it can.
                if standing == Standing::Top {
                    tree.flatten(self);
                }
                Class::Tree(tree)
            }
            "RegressionModel" => Class::Regression(
                self.with_categories(context, |this, list| this.regression(context, list))?,
            ),
            "GeneralRegressionModel" => {
                Class::General(self.with_categories(context, |this, list| {
                    this.general_regression(context, list)
                })?)
            }
            "NeuralNetwork" => Class::Network(
                self.with_categories(context, |this, list| this.neural_network(context, list))?,
            ),
            "MiningModel" => Class::Mining(self.mining(context)?),
            _ => return Err(element.refused()),
        };
        let mut unit = Unit {
            function,
            class,
            target,
            outputs: Vec::new(),
            categories,
        };
        if let Some(output) = element.first("Output") {
            match standing {
                Standing::Top => unit.outputs = self.outputs(output, context, None)?,
                Standing::Segment {
                    scope,
                    chained: true,
                    ..
                } => {
                    unit.outputs = self.outputs(output, context, Some(scope))?;
                }
                Standing::Segment { reported: true, .. } => {
                    unit.outputs = self.outputs(output, context, None)?;
                }
                // Nothing can read them.
                Standing::Segment { .. } => {}
            }
        }
        Ok(unit)
    }

    /// The one target field of a model, with its types.
    fn target_field(
        &self,
        scope: usize,
        function: MiningFunction,
        precision: Precision,
    ) -> Result<(Option<&'a str>, DataType, Option<OpType>), Error> {
        match *self.targets(scope) {
            [] => {
                let data_type = match (function, precision) {
                    (MiningFunction::Classification, _) => DataType::String,
                    (MiningFunction::Regression, Precision::Single) => DataType::Float,
                    (MiningFunction::Regression, Precision::Double) => DataType::Double,
                };
                Ok((None, data_type, None))
            }
            [(name, field)] => {
                let data = self
                    .data_field(name)
                    .ok_or_else(|| field.unknown_field(name))?;
                let op_type = OpType::of(field)?.map_or_else(|| data.op_type(), Ok)?;
                Ok((Some(name), data.data_type()?, Some(op_type)))
            }
            [_, (_, second), ..] => Err(second.unsupported("a second target field")),
        }
    }

    /// A new list of categories: those that the data dictionary gives a target.
    fn categories(&mut self, target: Option<&'a str>, data_type: DataType) -> Result<usize, Error> {
        let mut list = Categories::new(Some(data_type));
        if let Some(field) = target.and_then(|name| self.data_field(name)) {
            for text in field.categories()? {
                if list.number(text, &mut self.symbols).is_none() {
                    return Err(field.element.invalid(format!("`{text}` is no {data_type}")));
                }
            }
            list.declared = list.len();
        }
        self.category_lists.push(list);
        Ok(self.category_lists.len() - 1)
    }

    /// Works with the list of categories, if the model is a classification.
    pub(crate) fn with_categories<T>(
        &mut self,
        context: Context<'a>,
        work: impl FnOnce(&mut Self, Option<&mut Categories>) -> T,
    ) -> T {
        if context.function == MiningFunction::Regression {
            return work(self, None);
        }
        let mut list = std::mem::take(&mut self.category_lists[context.categories]);
        let result = work(self, Some(&mut list));
        self.category_lists[context.categories] = list;
        result
    }
}

impl Unit {
    /// What the model says about the record, in terms of its target.
    pub(crate) fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
    ) -> Result<Outcome, ScoreError> {
        let mut outcome = frame.outcome();
        let classes = program.categories[self.categories].len();
        outcome.categories = self.categories;
        let is_final = |()| false;
        let evaluated = match &self.class {
            Class::Tree(tree) => tree
                .evaluate(program, frame, classes, &mut outcome)
                .map(is_final),
            Class::Regression(regression) => regression
                .evaluate(program, frame, classes, &mut outcome)
                .map(is_final),
            Class::General(general) => general
                .evaluate(program, frame, classes, &mut outcome)
                .map(is_final),
            Class::Network(network) => network
                .evaluate(program, frame, classes, &mut outcome)
                .map(is_final),
            Class::Mining(mining) => mining.evaluate(program, frame, classes, &mut outcome),
        };
        let settled = evaluated.and_then(|is_final| {
            if is_final {
                Ok(())
            } else {
                self.settle(classes, &mut outcome)
            }
        });
        match settled {
            Ok(()) => Ok(outcome),
            Err(error) => {
                frame.recycle(outcome);
                Err(error)
            }
        }
    }

    /// Applies the targets to what the model itself says.
    pub(crate) fn settle(&self, classes: usize, outcome: &mut Outcome) -> Result<(), ScoreError> {
        match self.function {
            MiningFunction::Regression => self.target.regression(outcome),
            MiningFunction::Classification => {
                self.target.classification(classes, outcome);
                Ok(())
            }
        }
    }

    /// Evaluates the output fields, for whoever reads them.
    pub(crate) fn give_outputs(
        &self,
        program: &Program,
        frame: &mut Frame,
        outcome: &Outcome,
    ) -> Result<(), ScoreError> {
        output::give(self, program, frame, outcome)
    }
}
