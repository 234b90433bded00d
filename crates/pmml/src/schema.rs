//! What a field's declaration says about its values: DataDictionary and MiningSchema.

use std::collections::HashMap;
use std::sync::Arc;

use crate::document::Element;
use crate::symbol::{Symbol, Symbols, Texts};
use crate::value::{self, Precision, Value};
use crate::{DataType, Error, OpType, ScoreError};

/// A `DataField`, as far as it has to be known before its values are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataField<'a> {
    pub(crate) element: Element<'a>,
    pub(crate) name: &'a str,
}

impl<'a> DataField<'a> {
    pub(crate) fn read(element: Element<'a>) -> Result<Self, Error> {
        Ok(Self {
            element,
            name: element.required("name")?,
        })
    }

    pub(crate) fn data_type(self) -> Result<DataType, Error> {
        self.element.required("dataType")?;
        DataType::of(self.element)?.ok_or_else(|| self.element.refused_value("dataType"))
    }

    pub(crate) fn op_type(self) -> Result<OpType, Error> {
        self.element.required("optype")?;
        OpType::of(self.element)?.ok_or_else(|| self.element.refused_value("optype"))
    }

    /// The valid values it lists, as it writes them, in its order.
    pub(crate) fn categories(self) -> Result<Vec<&'a str>, Error> {
        let mut categories = Vec::new();
        for value in self.element.all("Value") {
            if property(value)? == Property::Valid {
                categories.push(value.required("value")?);
            }
        }
        Ok(categories)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Property {
    Valid,
    Invalid,
    Missing,
}

fn property(element: Element<'_>) -> Result<Property, Error> {
    match element.attribute("property") {
        None | Some("valid") => Ok(Property::Valid),
        Some("invalid") => Ok(Property::Invalid),
        Some("missing") => Ok(Property::Missing),
        Some(_) => Err(element.refused_value("property")),
    }
}

/// What a `MiningField` is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// May be read.
    Active,
    /// Is predicted.
    Target,
}

pub(crate) fn usage(field: Element<'_>) -> Result<Usage, Error> {
    match field.attribute("usageType") {
        // Group, order and supplementary fields are inputs that few models read.
        None | Some("active" | "supplementary" | "group" | "order") => Ok(Usage::Active),
        // `analysisType` and the weights play a part in training only.
        Some("frequencyWeight" | "analysisWeight") => Ok(Usage::Active),
        Some("target" | "predicted") => Ok(Usage::Target),
        Some(_) => Err(field.refused_value("usageType")),
    }
}

/// Whether a `MiningField` leaves values as they are.
pub(crate) fn is_transparent(field: Element<'_>, data: Option<DataField<'_>>) -> bool {
    let plain = |name, defaults: &[&str]| {
        field
            .attribute(name)
            .is_none_or(|value| defaults.contains(&value))
    };
    let op_type = match (field.attribute("optype"), data) {
        (None, _) => true,
        (Some(op_type), Some(data)) => data.element.attribute("optype") == Some(op_type),
        (Some(_), None) => false,
    };
    op_type
        && plain("invalidValueTreatment", &["returnInvalid", "asIs"])
        && plain("outliers", &["asIs"])
        && field.attribute("invalidValueReplacement").is_none()
        && field.attribute("missingValueReplacement").is_none()
        && plain(
            "missingValueTreatment",
            &["asIs", "asMean", "asMode", "asMedian", "asValue"],
        )
}

/// Values that hash: texts by their number, numbers by their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Text(Symbol),
    Number(u64),
}

impl Key {
    pub(crate) fn of(value: Value) -> Option<Self> {
        match value {
            Value::Missing => None,
            Value::Text(symbol) => Some(Self::Text(symbol)),
            // One of the two zeros, and one of the many numbers that are none.
            _ => value.number().map(|number| {
                let number = if number.is_nan() {
                    f64::NAN
                } else {
                    number + 0.0
                };
                Self::Number(number.to_bits())
            }),
        }
    }
}

/// What is done with a field's values before a model sees them.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    name: Arc<str>,
    data_type: Option<DataType>,
    listed: HashMap<Key, Property>,
    lists_valid: bool,
    intervals: Vec<Interval>,
    invalid: Invalid,
    missing: Option<Value>,
    missing_fails: bool,
    outliers: Outliers,
    /// Numbers that are not `NaN` pass, rounded to the field's type.
    plain: Option<Precision>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Invalid {
    Fails,
    AsIs,
    AsMissing,
    Replaced(Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outliers {
    Kept,
    Missing(f64, f64),
    Bounded(f64, f64),
}

impl Rule {
    /// The rule of a `MiningField` for values of a data field, or of a field that an enclosing
    /// model derives.
    pub(crate) fn read(
        field: Element<'_>,
        data: Option<DataField<'_>>,
        derived: Option<DataType>,
        symbols: &mut Symbols,
    ) -> Result<Self, Error> {
        let name = field.required("name")?;
        let data_type = data.map(DataField::data_type).transpose()?.or(derived);
        let op_type = match (OpType::of(field)?, data) {
            (Some(op_type), _) => Some(op_type),
            (None, Some(data)) => Some(data.op_type()?),
            (None, None) => None,
        };
        let constant = |attribute: &'static str, symbols: &mut Symbols| {
            field
                .attribute(attribute)
                .map(|text| {
                    literal(text, data_type, symbols).ok_or_else(|| field.refused_value(attribute))
                })
                .transpose()
        };
        let missing = constant("missingValueReplacement", symbols)?;
        let replacement = constant("invalidValueReplacement", symbols)?;
        let invalid = match (field.attribute("invalidValueTreatment"), replacement) {
            (None | Some("returnInvalid"), _) => Invalid::Fails,
            (Some("asMissing"), _) => Invalid::AsMissing,
            (Some("asIs" | "asValue"), Some(replacement)) => Invalid::Replaced(replacement),
            (Some("asIs"), None) => Invalid::AsIs,
            (Some("asValue"), None) => {
                return Err(field.invalid("`asValue` without `invalidValueReplacement`"));
            }
            (Some(_), _) => return Err(field.refused_value("invalidValueTreatment")),
        };
        let missing_fails = match field.attribute("missingValueTreatment") {
            None | Some("asIs" | "asMean" | "asMode" | "asMedian" | "asValue") => false,
            Some("returnInvalid") => true,
            Some(_) => return Err(field.refused_value("missingValueTreatment")),
        };
        let outliers = read_outliers(field, "outliers")?;
        let (mut listed, mut intervals, mut lists_valid) = (HashMap::new(), Vec::new(), false);
        if let Some(data) = data {
            for child in data.element.children() {
                match child.name() {
                    "Value" => {
                        let property = property(child)?;
                        let text = child.required("value")?;
                        lists_valid |= property == Property::Valid;
                        // A marker such as `N/A` need not be a value of the field's type.
                        let value = literal(text, data_type, symbols);
                        let keys = [value, Some(Value::Text(symbols.intern(text)))];
                        for key in keys.into_iter().flatten().filter_map(Key::of) {
                            listed.entry(key).or_insert(property);
                        }
                    }
                    "Interval" if op_type == Some(OpType::Continuous) => {
                        intervals.push(Interval::read(child)?);
                    }
                    "Interval" => {
                        return Err(
                            child.invalid("an `Interval` of a field that is not continuous")
                        );
                    }
                    _ => return Err(child.refused()),
                }
            }
            if data
                .element
                .attribute("isCyclic")
                .is_some_and(|cyclic| cyclic == "1")
            {
                return Err(data.element.refused_value("isCyclic"));
            }
        }
        // Exporters list `NaN` as a marker of missing values: no number is affected.
        let only_markers = !lists_valid
            && listed.keys().all(|key| match key {
                Key::Text(_) => true,
                Key::Number(bits) => f64::from_bits(*bits).is_nan(),
            });
        let free = only_markers && intervals.is_empty() && outliers == Outliers::Kept;
        let plain = match data_type {
            Some(DataType::Double) if free => Some(Precision::Double),
            Some(DataType::Float) if free => Some(Precision::Single),
            _ => None,
        };
        Ok(Self {
            name: name.into(),
            data_type,
            listed,
            lists_valid,
            intervals,
            invalid,
            missing,
            missing_fails,
            outliers,
            plain,
        })
    }

    /// Applies the rule: the value a model sees.
    #[inline]
    pub(crate) fn apply(&self, value: Value, texts: &mut Texts) -> Result<Value, ScoreError> {
        match (self.plain, value) {
            (Some(Precision::Double), Value::Double(number)) if !number.is_nan() => Ok(value),
            (Some(Precision::Single), Value::Double(number)) if !number.is_nan() => {
                Ok(Value::Float(number as f32))
            }
            _ => self.treat(value, texts),
        }
    }

    /// How numbers are rounded, if they all are valid but `NaN`, and nothing else happens to them.
    pub(crate) fn plain(&self) -> Option<Precision> {
        self.plain
    }

    /// Whether a value counts as valid.
    pub(crate) fn accepts(&self, value: Value, texts: &mut Texts) -> bool {
        matches!(self.status(value, texts), Status::Valid(_))
    }

    fn treat(&self, value: Value, texts: &mut Texts) -> Result<Value, ScoreError> {
        match self.status(value, texts) {
            Status::Missing => self.missing(),
            Status::Valid(value) => self.bound(value, texts),
            Status::Invalid => match self.invalid {
                Invalid::Fails => Err(ScoreError::InvalidValue {
                    field: self.name.to_string(),
                    value: value.to_text(texts),
                }),
                Invalid::AsIs => match self.data_type {
                    Some(data_type) => value.cast_or_fail(data_type, texts),
                    None => Ok(value),
                },
                Invalid::AsMissing => self.missing(),
                Invalid::Replaced(replacement) => Ok(replacement),
            },
        }
    }

    fn status(&self, value: Value, texts: &mut Texts) -> Status {
        if value.is_missing() {
            return Status::Missing;
        }
        let typed = match self.data_type {
            Some(data_type) => value.cast(data_type, texts),
            None => Some(value),
        };
        if !self.listed.is_empty() {
            // What is no value of the type may still be a marker such as `N/A`.
            let key = match (typed, value) {
                (Some(typed), _) => Key::of(typed),
                (None, Value::Text(symbol)) => Some(Key::Text(symbol)),
                (None, _) => {
                    let text = value.to_text(texts);
                    Some(Key::Text(texts.intern(&text)))
                }
            };
            let found = key.and_then(|key| self.listed.get(&key));
            match (found, typed) {
                (Some(Property::Missing), _) => return Status::Missing,
                (Some(Property::Invalid), _) => return Status::Invalid,
                (Some(Property::Valid), Some(typed)) => return Status::Valid(typed),
                (Some(Property::Valid), None) => return Status::Invalid,
                (None, _) if self.lists_valid => return Status::Invalid,
                (None, _) => {}
            }
        }
        let Some(typed) = typed else {
            return Status::Invalid;
        };
        let number = if matches!(typed, Value::Text(_)) {
            None
        } else {
            typed.number()
        };
        let inside = || {
            self.intervals
                .iter()
                .any(|interval| number.is_some_and(|n| interval.contains(n)))
        };
        if number.is_some_and(f64::is_nan) || !self.intervals.is_empty() && !inside() {
            return Status::Invalid;
        }
        Status::Valid(typed)
    }

    fn missing(&self) -> Result<Value, ScoreError> {
        if self.missing_fails {
            return Err(ScoreError::MissingValue {
                field: self.name.to_string(),
            });
        }
        Ok(self.missing.unwrap_or(Value::Missing))
    }

    fn bound(&self, value: Value, texts: &mut Texts) -> Result<Value, ScoreError> {
        let (low, high) = match self.outliers {
            Outliers::Kept => return Ok(value),
            Outliers::Missing(low, high) | Outliers::Bounded(low, high) => (low, high),
        };
        let Some(number) = value.number() else {
            return Ok(value);
        };
        let bound = if number < low {
            low
        } else if number > high {
            high
        } else {
            return Ok(value);
        };
        match (self.outliers, self.data_type) {
            (Outliers::Missing(..), _) => Ok(self.missing.unwrap_or(Value::Missing)),
            (_, Some(data_type)) => Value::Double(bound).cast_or_fail(data_type, texts),
            (_, None) => Ok(Value::Double(bound)),
        }
    }
}

enum Status {
    Valid(Value),
    Invalid,
    Missing,
}

fn read_outliers(field: Element<'_>, attribute: &'static str) -> Result<Outliers, Error> {
    let treatment = match field.attribute(attribute) {
        None | Some("asIs") => return Ok(Outliers::Kept),
        Some("asMissingValues") => Outliers::Missing,
        Some("asExtremeValues") => Outliers::Bounded,
        Some(_) => return Err(field.refused_value(attribute)),
    };
    match (field.number("lowValue")?, field.number("highValue")?) {
        (None, None) => Err(field.invalid("outliers without `lowValue` or `highValue`")),
        (low, high) => {
            let (low, high) = (
                low.unwrap_or(f64::NEG_INFINITY),
                high.unwrap_or(f64::INFINITY),
            );
            if low > high {
                return Err(field.invalid("`lowValue` is above `highValue`"));
            }
            Ok(treatment(low, high))
        }
    }
}

/// A constant of a type; of no known type, a number if it is one, else text.
pub(crate) fn literal(
    text: &str,
    data_type: Option<DataType>,
    symbols: &mut Symbols,
) -> Option<Value> {
    match data_type {
        Some(DataType::String) => Some(Value::Text(symbols.intern(text))),
        Some(data_type) => value::parse(text, data_type),
        None => Some(match value::parse_number(text) {
            Some(number) => Value::Double(number),
            None => Value::Text(symbols.intern(text)),
        }),
    }
}

/// A range of numbers, with or without its ends (PMML 4.4, Interval).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    low: f64,
    high: f64,
    has_low: bool,
    has_high: bool,
}

impl Interval {
    pub(crate) fn read(element: Element<'_>) -> Result<Self, Error> {
        let (has_low, has_high) = match element.required("closure")? {
            "openOpen" => (false, false),
            "openClosed" => (false, true),
            "closedOpen" => (true, false),
            "closedClosed" => (true, true),
            _ => return Err(element.refused_value("closure")),
        };
        let (low, high) = (
            element.number("leftMargin")?,
            element.number("rightMargin")?,
        );
        if low.is_none() && high.is_none() {
            return Err(element.invalid("an `Interval` without a margin"));
        }
        if let (Some(low), Some(high)) = (low, high)
            && low > high
        {
            return Err(element.invalid("`leftMargin` is above `rightMargin`"));
        }
        Ok(Self {
            low: low.unwrap_or(f64::NEG_INFINITY),
            high: high.unwrap_or(f64::INFINITY),
            has_low: has_low || low.is_none(),
            has_high: has_high || high.is_none(),
        })
    }

    pub(crate) fn contains(self, value: f64) -> bool {
        let above = if self.has_low {
            value >= self.low
        } else {
            value > self.low
        };
        let below = if self.has_high {
            value <= self.high
        } else {
            value < self.high
        };
        above && below
    }
}
