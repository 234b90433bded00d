//! Expressions (PMML 4.4, Transformations), compiled.

use std::collections::HashMap;

use crate::function::{Function, boolean};
use crate::program::{Frame, Program, Slot};
use crate::schema::{Interval, Key};
use crate::value::Value;
use crate::{DataType, ScoreError};

/// What an expression reads: a field, or an argument of the function it is the body of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    Field(Slot),
    Argument(usize),
}

#[derive(Debug)]
pub(crate) enum Expression {
    Constant(Value),
    Read {
        from: Reference,
        missing: Value,
    },
    NormContinuous(NormContinuous),
    NormDiscrete {
        from: Reference,
        value: Value,
        missing: Value,
    },
    Discretize {
        from: Reference,
        bins: Vec<(Interval, Value)>,
        default: Value,
        missing: Value,
    },
    MapValues(Box<MapValues>),
    Apply(Box<Apply>),
}

/// A piecewise linear function.
#[derive(Debug)]
pub(crate) struct NormContinuous {
    pub(crate) from: Reference,
    /// Points in ascending order; at least two.
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) outliers: Beyond,
    pub(crate) missing: Value,
}

/// What a piecewise linear function does outside its points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    Extrapolates,
    IsMissing,
    StaysAtTheEnd,
}

/// A table from tuples of values to values.
#[derive(Debug)]
pub(crate) struct MapValues {
    pub(crate) from: Vec<Reference>,
    pub(crate) rows: HashMap<Box<[Key]>, Value>,
    /// The rows of a table with one column: no tuple has to be made to look one up.
    pub(crate) single: HashMap<Key, Value>,
    /// The type each input is looked up as.
    pub(crate) types: Vec<Option<DataType>>,
    pub(crate) default: Value,
    pub(crate) missing: Value,
}

#[derive(Debug)]
pub(crate) struct Apply {
    pub(crate) function: Callee,
    pub(crate) arguments: Vec<Expression>,
    /// The result when an argument is missing, if the document gives one.
    pub(crate) missing: Option<Value>,
    /// The result when the function's own is missing.
    pub(crate) default: Value,
    pub(crate) invalid: InvalidResult,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callee {
    If,
    IsValid(Slot, bool),
    Builtin(Function),
    Defined(usize),
}

/// What becomes of a result that is `NaN` or not defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidResult {
    Fails,
    Stays,
    IsMissing,
}

/// A `DefineFunction`.
#[derive(Debug)]
pub(crate) struct UserFunction {
    pub(crate) parameters: Vec<Option<DataType>>,
    pub(crate) body: Expression,
    pub(crate) result: Option<DataType>,
    /// How many steps the body takes, with those of the functions it calls.
    pub(crate) cost: u64,
}

impl Expression {
    /// The value of the expression. `base` is where the arguments of the function at hand begin.
    pub(crate) fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
        base: usize,
    ) -> Result<Value, ScoreError> {
        match self {
            Self::Constant(value) => Ok(*value),
            Self::Read { from, missing } => {
                let value = from.read(program, frame, base)?;
                Ok(if value.is_missing() { *missing } else { value })
            }
            Self::NormContinuous(norm) => norm.evaluate(program, frame, base),
            Self::NormDiscrete {
                from,
                value,
                missing,
            } => {
                let found = from.read(program, frame, base)?;
                if found.is_missing() {
                    return Ok(*missing);
                }
                let equal = found.equals(*value, &frame.texts);
                Ok(Value::Double(f64::from(u8::from(equal))))
            }
            Self::Discretize {
                from,
                bins,
                default,
                missing,
            } => {
                let found = from.read(program, frame, base)?;
                if found.is_missing() {
                    return Ok(*missing);
                }
                let number = number(found, frame)?;
                let bin = bins.iter().find(|(interval, _)| interval.contains(number));
                Ok(bin.map_or(*default, |(_, value)| *value))
            }
            Self::MapValues(map) => map.evaluate(program, frame, base),
            Self::Apply(apply) => apply.evaluate(program, frame, base),
        }
    }
}

fn number(value: Value, frame: &Frame) -> Result<f64, ScoreError> {
    value.number().ok_or_else(|| ScoreError::Type {
        value: value.to_text(&frame.texts),
        data_type: DataType::Double,
    })
}

impl Reference {
    pub(crate) fn read(
        self,
        program: &Program,
        frame: &mut Frame,
        base: usize,
    ) -> Result<Value, ScoreError> {
        match self {
            Self::Field(slot) => program.value(frame, slot),
            Self::Argument(index) => Ok(frame.arguments[base + index]),
        }
    }
}

impl NormContinuous {
    fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
        base: usize,
    ) -> Result<Value, ScoreError> {
        let found = self.from.read(program, frame, base)?;
        if found.is_missing() {
            return Ok(self.missing);
        }
        Ok(match self.map(number(found, frame)?) {
            Some(mapped) => Value::Double(mapped),
            None => Value::Missing,
        })
    }

    /// The function's value; none beyond the points, if that is missing.
    fn map(&self, x: f64) -> Option<f64> {
        let points = &self.points;
        let (first, last) = (*points.first()?, *points.last()?);
        let beyond = if x < first.0 {
            Some(first)
        } else if x > last.0 {
            Some(last)
        } else {
            None
        };
        if let Some(end) = beyond {
            match self.outliers {
                Beyond::Extrapolates => {}
                Beyond::IsMissing => return None,
                Beyond::StaysAtTheEnd => return Some(end.1),
            }
        }
        // The segment that holds `x`, else the first or the last one.
        let end = points
            .partition_point(|point| point.0 < x)
            .clamp(1, points.len() - 1);
        let ((x0, y0), (x1, y1)) = (points[end - 1], points[end]);
        Some(y0 + (x - x0) / (x1 - x0) * (y1 - y0))
    }

    /// A function of which only the inverse is wanted.
    pub(crate) fn inverse_of(from: Reference, points: Vec<(f64, f64)>) -> Self {
        Self {
            from,
            points,
            outliers: Beyond::Extrapolates,
            missing: Value::Missing,
        }
    }

    /// The inverse, as neural networks ask for it: the number that is mapped to `y`.
    pub(crate) fn inverse(&self, y: f64) -> Option<f64> {
        self.points.windows(2).find_map(|pair| {
            let &[(x0, y0), (x1, y1)] = pair else {
                return None;
            };
            (y0.min(y1) <= y && y <= y0.max(y1)).then(|| (y - y0) / (y1 - y0) * (x1 - x0) + x0)
        })
    }
}

impl MapValues {
    fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
        base: usize,
    ) -> Result<Value, ScoreError> {
        if let ([from], [data_type]) = (&*self.from, &*self.types) {
            let value = from.read(program, frame, base)?;
            if value.is_missing() {
                return Ok(self.missing);
            }
            let key = key(value, *data_type, frame);
            return Ok(key
                .and_then(|key| self.single.get(&key))
                .copied()
                .unwrap_or(self.default));
        }
        let mut keys = Vec::with_capacity(self.from.len());
        for (from, data_type) in self.from.iter().zip(&self.types) {
            let value = from.read(program, frame, base)?;
            if value.is_missing() {
                return Ok(self.missing);
            }
            match key(value, *data_type, frame) {
                Some(key) => keys.push(key),
                None => return Ok(self.default),
            }
        }
        Ok(self.rows.get(&*keys).copied().unwrap_or(self.default))
    }
}

fn key(value: Value, data_type: Option<DataType>, frame: &mut Frame) -> Option<Key> {
    let value = match data_type {
        Some(data_type) => value.cast(data_type, &mut frame.texts)?,
        None => value,
    };
    Key::of(value)
}

impl Apply {
    fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
        base: usize,
    ) -> Result<Value, ScoreError> {
        let start = frame.arguments.len();
        let result = self.call(program, frame, base, start);
        frame.arguments.truncate(start);
        let result = match result {
            Err(ScoreError::Undefined { .. }) if self.invalid == InvalidResult::IsMissing => {
                Value::Missing
            }
            other => other?,
        };
        match result {
            Value::Missing => Ok(self.default),
            Value::Double(x) if x.is_nan() => self.not_a_number(result),
            Value::Float(x) if x.is_nan() => self.not_a_number(result),
            _ => Ok(result),
        }
    }

    fn not_a_number(&self, result: Value) -> Result<Value, ScoreError> {
        match self.invalid {
            InvalidResult::Stays => Ok(result),
            InvalidResult::IsMissing => Ok(self.default),
            InvalidResult::Fails => Err(ScoreError::Undefined {
                function: match self.function {
                    Callee::Builtin(function) => function.name(),
                    Callee::If => "if",
                    Callee::IsValid(..) => "isValid",
                    Callee::Defined(_) => "a DefineFunction",
                },
                arguments: "its arguments: the result is NaN".to_owned(),
            }),
        }
    }

    fn call(
        &self,
        program: &Program,
        frame: &mut Frame,
        base: usize,
        start: usize,
    ) -> Result<Value, ScoreError> {
        match self.function {
            Callee::IsValid(slot, wanted) => {
                let missing = program.value(frame, slot)?.is_missing();
                let valid = program.is_valid(frame, slot)?;
                return Ok(Value::Boolean(if wanted {
                    valid
                } else {
                    !missing && !valid
                }));
            }
            Callee::If => return self.choose(program, frame, base),
            Callee::Builtin(_) | Callee::Defined(_) => {}
        }
        for argument in &self.arguments {
            let value = argument.evaluate(program, frame, base)?;
            if let (Value::Missing, Some(instead)) = (value, self.missing) {
                return Ok(instead);
            }
            frame.arguments.push(value);
        }
        match self.function {
            Callee::Builtin(function) => {
                function.apply(&frame.arguments[start..], &mut frame.texts)
            }
            Callee::Defined(index) => {
                let function = &program.functions[index];
                for (place, data_type) in function.parameters.iter().enumerate() {
                    if let Some(data_type) = data_type {
                        let value = frame.arguments[start + place];
                        frame.arguments[start + place] =
                            value.cast_or_fail(*data_type, &mut frame.texts)?;
                    }
                }
                let value = function.body.evaluate(program, frame, start)?;
                match function.result {
                    Some(data_type) => value.cast_or_fail(data_type, &mut frame.texts),
                    None => Ok(value),
                }
            }
            Callee::If | Callee::IsValid(..) => Ok(Value::Missing),
        }
    }

    /// `if`: only the branch that is taken is evaluated.
    fn choose(
        &self,
        program: &Program,
        frame: &mut Frame,
        base: usize,
    ) -> Result<Value, ScoreError> {
        let mut arguments = self.arguments.iter();
        let condition = match arguments.next() {
            Some(condition) => condition.evaluate(program, frame, base)?,
            None => Value::Missing,
        };
        if condition.is_missing() {
            return self
                .missing
                .ok_or(ScoreError::MissingArgument { function: "if" });
        }
        let branch = if boolean(condition, &mut frame.texts)? {
            arguments.next()
        } else {
            arguments.nth(1)
        };
        let value = match branch {
            Some(branch) => branch.evaluate(program, frame, base)?,
            None => return Ok(Value::Missing),
        };
        Ok(if value.is_missing() {
            self.missing.unwrap_or(Value::Missing)
        } else {
            value
        })
    }
}
