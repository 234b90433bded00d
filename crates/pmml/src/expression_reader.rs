//! Expressions, from elements to their compiled form.

use std::collections::HashMap;

use crate::compile::{Compiler, FunctionState};
use crate::document::Element;
use crate::expression::{
    Apply, Beyond, Callee, Expression, InvalidResult, MapValues, NormContinuous, Reference,
    UserFunction,
};
use crate::function::Function;
use crate::schema::{Interval, Key, literal};
use crate::value::{Value, parse_number};
use crate::{DataType, Error};

/// Functions may call functions, but not to more steps than this for one field: a document could
/// otherwise double the work with every line.
const MAX_COST: u64 = 1_000_000;

const EXPRESSIONS: [&str; 10] = [
    "Constant",
    "FieldRef",
    "NormContinuous",
    "NormDiscrete",
    "Discretize",
    "MapValues",
    "TextIndex",
    "Apply",
    "Aggregate",
    "Lag",
];

pub(crate) fn is_expression(element: Element<'_>) -> bool {
    EXPRESSIONS.contains(&element.name())
}

/// An expression with how deep it refers and how many steps it takes.
pub(crate) struct Compiled {
    pub(crate) expression: Expression,
    pub(crate) depth: usize,
    pub(crate) cost: u64,
}

/// Where an expression stands: in a model, whose fields it reads, or in a function, whose
/// parameters are all it reads.
#[derive(Clone, Copy)]
enum Within<'p, 'a> {
    Model(usize),
    Function(&'p [(&'a str, Option<DataType>)]),
}

impl<'a> Compiler<'a> {
    /// Compiles the one expression inside an element.
    pub(crate) fn expression_in(
        &mut self,
        parent: Element<'a>,
        scope: usize,
    ) -> Result<Compiled, Error> {
        self.only_expression(parent, Within::Model(scope))
    }

    /// Compiles an expression.
    pub(crate) fn expression(
        &mut self,
        element: Element<'a>,
        scope: usize,
    ) -> Result<Compiled, Error> {
        self.compile(element, Within::Model(scope))
    }

    fn only_expression(
        &mut self,
        parent: Element<'a>,
        within: Within<'_, 'a>,
    ) -> Result<Compiled, Error> {
        let mut expressions = parent.children().filter(|child| is_expression(*child));
        match (expressions.next(), expressions.next()) {
            (Some(expression), None) => self.compile(expression, within),
            (Some(_), Some(second)) => Err(second.invalid("a second expression")),
            (None, _) => Err(parent.invalid(format!("`{}` without an expression", parent.name()))),
        }
    }

    fn compile(&mut self, element: Element<'a>, within: Within<'_, 'a>) -> Result<Compiled, Error> {
        self.nested(element, |this| match element.name() {
            "Constant" => this.constant(element),
            "FieldRef" => this.field_ref(element, within),
            "NormContinuous" => {
                let (norm, depth) = this.norm_continuous(element, within)?;
                Ok(Compiled {
                    expression: Expression::NormContinuous(norm),
                    depth,
                    cost: 1,
                })
            }
            "NormDiscrete" => this.norm_discrete(element, within),
            "Discretize" => this.discretize(element, within),
            "MapValues" => this.map_values(element, within),
            "Apply" => this.apply(element, within),
            _ => Err(element.refused()),
        })
    }

    /// What an element's `field` attribute refers to, with its type and depth.
    fn reference(
        &mut self,
        element: Element<'a>,
        attribute: &'static str,
        within: Within<'_, 'a>,
    ) -> Result<(Reference, Option<DataType>, usize), Error> {
        let name = element.required(attribute)?;
        match within {
            Within::Model(scope) => {
                let slot = self.resolve(scope, name, element)?;
                let info = self.info(slot);
                Ok((Reference::Field(slot), info.data_type, info.depth))
            }
            Within::Function(parameters) => {
                match parameters
                    .iter()
                    .position(|(parameter, _)| *parameter == name)
                {
                    Some(place) => Ok((Reference::Argument(place), parameters[place].1, 1)),
                    None => Err(element.unknown_field(name)),
                }
            }
        }
    }

    fn optional(
        &mut self,
        element: Element<'a>,
        attribute: &'static str,
        data_type: Option<DataType>,
    ) -> Result<Value, Error> {
        match element.attribute(attribute) {
            Some(_) => self.literal(element, attribute, data_type),
            None => Ok(Value::Missing),
        }
    }

    fn constant(&mut self, element: Element<'a>) -> Result<Compiled, Error> {
        let text = element.text();
        let value = if element.flag("missing", false)? {
            Value::Missing
        } else {
            match DataType::of(element)? {
                Some(DataType::String) => Value::Text(self.symbols.intern(&text)),
                Some(_) if text.trim().is_empty() => Value::Missing,
                Some(data_type) => literal(&text, Some(data_type), &mut self.symbols)
                    .ok_or_else(|| element.invalid(format!("`{text}` is no {data_type}")))?,
                None => untyped(&text, &mut self.symbols),
            }
        };
        Ok(Compiled {
            expression: Expression::Constant(value),
            depth: 1,
            cost: 1,
        })
    }

    fn field_ref(
        &mut self,
        element: Element<'a>,
        within: Within<'_, 'a>,
    ) -> Result<Compiled, Error> {
        let (from, data_type, depth) = self.reference(element, "field", within)?;
        let missing = self.optional(element, "mapMissingTo", data_type)?;
        let depth = self.deeper(depth, element)?;
        Ok(Compiled {
            expression: Expression::Read { from, missing },
            depth,
            cost: 1,
        })
    }

    fn norm_continuous(
        &mut self,
        element: Element<'a>,
        within: Within<'_, 'a>,
    ) -> Result<(NormContinuous, usize), Error> {
        let (from, _, depth) = self.reference(element, "field", within)?;
        let points = norm_points(element)?;
        let outliers = match element.attribute("outliers") {
            None | Some("asIs") => Beyond::Extrapolates,
            Some("asMissingValues") => Beyond::IsMissing,
            Some("asExtremeValues") => Beyond::StaysAtTheEnd,
            Some(_) => return Err(element.refused_value("outliers")),
        };
        let missing = self.optional(element, "mapMissingTo", Some(DataType::Double))?;
        Ok((
            NormContinuous {
                from,
                points,
                outliers,
                missing,
            },
            self.deeper(depth, element)?,
        ))
    }

    fn norm_discrete(
        &mut self,
        element: Element<'a>,
        within: Within<'_, 'a>,
    ) -> Result<Compiled, Error> {
        if !matches!(element.attribute("method"), None | Some("indicator")) {
            return Err(element.refused_value("method"));
        }
        let (from, data_type, depth) = self.reference(element, "field", within)?;
        let value = self.literal(element, "value", data_type)?;
        let missing = self.optional(element, "mapMissingTo", Some(DataType::Double))?;
        let depth = self.deeper(depth, element)?;
        let expression = Expression::NormDiscrete {
            from,
            value,
            missing,
        };
        Ok(Compiled {
            expression,
            depth,
            cost: 1,
        })
    }

    fn discretize(
        &mut self,
        element: Element<'a>,
        within: Within<'_, 'a>,
    ) -> Result<Compiled, Error> {
        let (from, _, depth) = self.reference(element, "field", within)?;
        let data_type = DataType::of(element)?.or(Some(DataType::String));
        let missing = self.optional(element, "mapMissingTo", data_type)?;
        let default = self.optional(element, "defaultValue", data_type)?;
        let mut bins = Vec::new();
        for bin in element.all("DiscretizeBin") {
            let interval = Interval::read(bin.required_child("Interval")?)?;
            bins.push((interval, self.literal(bin, "binValue", data_type)?));
        }
        let cost = bins.len() as u64 + 1;
        let expression = Expression::Discretize {
            from,
            bins,
            default,
            missing,
        };
        Ok(Compiled {
            expression,
            depth: self.deeper(depth, element)?,
            cost,
        })
    }

    fn map_values(
        &mut self,
        element: Element<'a>,
        within: Within<'_, 'a>,
    ) -> Result<Compiled, Error> {
        let output = element.required("outputColumn")?;
        let data_type = DataType::of(element)?.or(Some(DataType::String));
        let missing = self.optional(element, "mapMissingTo", data_type)?;
        let default = self.optional(element, "defaultValue", data_type)?;
        let (mut from, mut types, mut columns, mut depth) = (Vec::new(), Vec::new(), Vec::new(), 1);
        for pair in element.all("FieldColumnPair") {
            let (reference, data_type, deep) = self.reference(pair, "field", within)?;
            from.push(reference);
            types.push(data_type);
            columns.push(pair.required("column")?);
            depth = depth.max(deep);
        }
        if let Some(table) = element.first("TableLocator") {
            return Err(table.refused());
        }
        let table = element.required_child("InlineTable")?;
        let (mut rows, mut single) = (HashMap::new(), HashMap::new());
        for row in table.all("row") {
            let mut keys = vec![None; columns.len()];
            let mut result = None;
            for (name, cell) in row.cells() {
                let text = cell.text();
                if is_column(name, output) {
                    let value = literal(&text, data_type, &mut self.symbols);
                    result = Some(value.ok_or_else(|| cell.refused())?);
                }
                for ((column, key), data_type) in columns.iter().zip(&mut keys).zip(&types) {
                    if is_column(name, column) {
                        let value = literal(&text, *data_type, &mut self.symbols);
                        *key = value.and_then(Key::of);
                        if key.is_none() {
                            let what = format!("`{text}` is no value of column `{name}`");
                            return Err(cell.invalid(what));
                        }
                    }
                }
            }
            let result = result.ok_or_else(|| row.invalid(format!("a row without `{output}`")))?;
            // A row that leaves a column out matches nothing.
            let Some(keys) = keys.into_iter().collect::<Option<Vec<_>>>() else {
                continue;
            };
            let twice = match keys[..] {
                [key] => single.insert(key, result).is_some(),
                _ => rows.insert(keys.into_boxed_slice(), result).is_some(),
            };
            if twice {
                return Err(row.invalid("a second row for the same values"));
            }
        }
        let depth = self.deeper(depth, element)?;
        let map = MapValues {
            from,
            rows,
            single,
            types,
            default,
            missing,
        };
        Ok(Compiled {
            expression: Expression::MapValues(Box::new(map)),
            depth,
            cost: 2,
        })
    }

    fn apply(&mut self, element: Element<'a>, within: Within<'_, 'a>) -> Result<Compiled, Error> {
        let name = element.required("function")?;
        let invalid = match element.attribute("invalidValueTreatment") {
            None | Some("returnInvalid") => InvalidResult::Fails,
            Some("asIs") => InvalidResult::Stays,
            Some("asMissing") => InvalidResult::IsMissing,
            Some(_) => return Err(element.refused_value("invalidValueTreatment")),
        };
        let mut constant = |attribute| {
            element
                .attribute(attribute)
                .map(|text| untyped(text, &mut self.symbols))
        };
        let (missing, default) = (constant("mapMissingTo"), constant("defaultValue"));
        let (mut arguments, mut depth, mut cost) = (Vec::new(), 1, 1_u64);
        for child in element.children() {
            let argument = self.compile(child, within)?;
            depth = depth.max(argument.depth);
            cost = cost.saturating_add(argument.cost);
            arguments.push(argument.expression);
        }
        let function = match name {
            "if" => {
                if !matches!(arguments.len(), 2 | 3) {
                    return Err(element.invalid("`if` takes two or three arguments"));
                }
                Callee::If
            }
            "isValid" | "isNotValid" => match &arguments[..] {
                [
                    Expression::Read {
                        from: Reference::Field(slot),
                        ..
                    },
                ] => Callee::IsValid(*slot, name == "isValid"),
                _ => return Err(element.unsupported(format!("`{name}` of other than a field"))),
            },
            _ => match Function::named(name) {
                Some(function) if function.takes(arguments.len()) => Callee::Builtin(function),
                Some(_) => {
                    let count = arguments.len();
                    return Err(
                        element.invalid(format!("`{name}` does not take {count} arguments"))
                    );
                }
                None => {
                    let (index, deep) = self.defined_function(name, element)?;
                    let function = &self.functions[index];
                    if function.parameters.len() != arguments.len() {
                        let count = function.parameters.len();
                        return Err(element.invalid(format!("`{name}` takes {count} arguments")));
                    }
                    cost = cost.saturating_add(function.cost);
                    depth = depth.max(deep);
                    Callee::Defined(index)
                }
            },
        };
        if cost > MAX_COST {
            let (what, place) = ("an expression takes too many steps", element.place());
            return Err(Error::Limit {
                what,
                limit: MAX_COST as usize,
                place,
            });
        }
        let default = default.unwrap_or(Value::Missing);
        let apply = Apply {
            function,
            arguments,
            missing,
            default,
            invalid,
        };
        let depth = self.deeper(depth, element)?;
        Ok(Compiled {
            expression: Expression::Apply(Box::new(apply)),
            depth,
            cost,
        })
    }

    /// The number and depth of a function that the document defines.
    fn defined_function(
        &mut self,
        name: &'a str,
        element: Element<'a>,
    ) -> Result<(usize, usize), Error> {
        match self.function_names.get(name) {
            Some(FunctionState::Done(index, depth)) => return Ok((*index, *depth)),
            Some(FunctionState::InProgress) => {
                return Err(element.invalid(format!("function `{name}` calls itself")));
            }
            None => {}
        }
        let Some(&definition) = self.function_elements.get(name) else {
            return Err(element.unsupported(format!("function `{name}`")));
        };
        self.function_names.insert(name, FunctionState::InProgress);
        let mut parameters = Vec::new();
        for parameter in definition.all("ParameterField") {
            parameters.push((parameter.required("name")?, DataType::of(parameter)?));
        }
        let body = self.only_expression(definition, Within::Function(&parameters))?;
        let index = self.functions.len();
        self.functions.push(UserFunction {
            parameters: parameters
                .into_iter()
                .map(|(_, data_type)| data_type)
                .collect(),
            body: body.expression,
            result: DataType::of(definition)?,
            cost: body.cost,
        });
        self.function_names
            .insert(name, FunctionState::Done(index, body.depth));
        Ok((index, body.depth))
    }
}

/// Whether a cell is of a column: the prefix of its namespace may be part of the column's name.
pub(crate) fn is_column(cell: &str, column: &str) -> bool {
    cell == column
        || cell
            .split_once(':')
            .is_some_and(|(_, local)| local == column)
}

/// The points of a `NormContinuous`, which must ascend.
pub(crate) fn norm_points(element: Element<'_>) -> Result<Vec<(f64, f64)>, Error> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for point in element.all("LinearNorm") {
        let (original, norm) = (
            point.required_number("orig")?,
            point.required_number("norm")?,
        );
        if points.last().is_some_and(|last| last.0 >= original) || original.is_nan() {
            return Err(point.invalid("`orig` does not ascend"));
        }
        points.push((original, norm));
    }
    if points.len() < 2 {
        return Err(element.invalid("`NormContinuous` with fewer than two points"));
    }
    Ok(points)
}

/// A constant without a type: a number if it looks like one, whole if it has no point, else text.
fn untyped(text: &str, symbols: &mut crate::symbol::Symbols) -> Value {
    if text.eq_ignore_ascii_case("NaN") {
        return Value::Double(f64::NAN);
    }
    if text.contains('.') || text.eq_ignore_ascii_case("INF") || text.eq_ignore_ascii_case("-INF") {
        if let Some(number) = parse_number(text) {
            return Value::Double(number);
        }
    } else if let Ok(number) = text.parse() {
        return Value::Integer(number);
    }
    Value::Text(symbols.intern(text))
}
