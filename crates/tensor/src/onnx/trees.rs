//! Tree ensembles: `TreeEnsembleClassifier`, `TreeEnsembleRegressor` and `TreeEnsemble`, on the
//! crate `forest`.
//!
//! Numbers are summed in the precision of the input and in the order of the trees, so that results
//! are those of ONNX Runtime on one thread. Its rules for classifiers of two classes are followed
//! to the letter; the standard has none.

mod classes;
mod growth;
mod leaves;
mod nodes;
mod sums;

use super::attributes::Attributes;
use super::kernel::{Fact, Kernel, check_numbers, fact, only, open_rows_of, rows_of};
use super::labels::Labels;
use super::transform::{Transform, probit};
use classes::Classes;
use leaves::{Leaves, Real};
use std::sync::Arc;
use sums::{Aggregate, Form, Sums};
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, IntoTensor, TDim, TValue, TVec, Tensor as Value, ToDim, TractResult, ensure,
};
use tract_onnx::tract_hir::tract_ndarray::Array1;

/// An ensemble as a file has it, before it is known in which precision it is evaluated.
#[derive(Debug, Clone)]
struct Ensemble {
    forest: Arc<forest::Forest>,
    /// For every leaf its numbers, each with the position of its target.
    weights: Arc<Vec<Vec<(u32, f64)>>>,
    /// What a leaf without a number is worth where there is one target.
    fallbacks: Arc<Vec<f64>>,
    base: Vec<f64>,
    targets: usize,
    aggregate: Aggregate,
    transform: Transform,
    /// Whether some number of the file is of double precision.
    double: bool,
}

impl Ensemble {
    fn form<T: Real>(&self) -> TractResult<Form<T>> {
        Ok(Form {
            forest: Arc::clone(&self.forest),
            leaves: Leaves::new(self.targets, &self.weights, &self.fallbacks)?,
            base: self.base.iter().copied().map(T::of).collect(),
            targets: self.targets,
            aggregate: self.aggregate,
            transform: self.transform,
        })
    }

    fn check_columns(&self, shape: &[TDim]) -> TractResult<()> {
        let (_, columns) = open_rows_of(shape)?;
        if let Ok(columns) = usize::try_from(&columns) {
            ensure!(
                columns >= self.forest.features(),
                "the trees test feature {}, there are {columns}",
                self.forest.features().saturating_sub(1)
            );
        }
        Ok(())
    }

    fn check_precision(&self, datum: DatumType) -> TractResult<()> {
        ensure!(
            !self.double || datum == f64::datum_type(),
            "numbers of double precision, but an input of {datum:?}"
        );
        Ok(())
    }
}

/// `TreeEnsembleRegressor` and `TreeEnsemble`.
struct Regressor {
    ensemble: Ensemble,
    /// Whether the output has the type of the input, or is of single precision.
    keeps_type: bool,
}

/// `TreeEnsembleClassifier`.
struct Classifier {
    ensemble: Ensemble,
    classes: Classes,
}

pub(super) fn regressor(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    Ok(Arc::new(Regressor {
        ensemble: nodes::regressor(attributes)?,
        keeps_type: false,
    }))
}

pub(super) fn ensemble(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    Ok(Arc::new(Regressor {
        ensemble: nodes::ensemble(attributes)?,
        keeps_type: true,
    }))
}

pub(super) fn classifier(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let labels = Labels::of(attributes, "classlabels_strings", "classlabels_int64s")?;
    let ensemble = nodes::classifier(attributes, labels.len())?;
    let classes = Classes::new(labels, &ensemble)?;
    Ok(Arc::new(Classifier { ensemble, classes }))
}

impl Kernel for Regressor {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let (datum, shape) = only(inputs)?;
        check_numbers(*datum)?;
        self.ensemble.check_precision(*datum)?;
        self.ensemble.check_columns(shape)?;
        let output = match *datum {
            DatumType::F64 if self.keeps_type => f64::datum_type(),
            _ => f32::datum_type(),
        };
        let rows = open_rows_of(shape)?.0;
        Ok(vec![fact(output, [rows, self.ensemble.targets.to_dim()])])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        // Only an input that is a constant comes here: all others are evaluated as typed.
        let input = only(inputs)?;
        let kernel = self.typed(&[(input.datum_type(), TVec::new())])?;
        kernel.map_or_else(|| Ok(Vec::new()), |kernel| kernel.eval(inputs))
    }

    fn typed(&self, inputs: &[Fact]) -> TractResult<Option<Arc<dyn Kernel>>> {
        let (datum, _) = only(inputs)?;
        let untyped = Arc::new(Regressor {
            ensemble: self.ensemble.clone(),
            keeps_type: self.keeps_type,
        });
        Ok(Some(if *datum == f64::datum_type() {
            let form = self.ensemble.form::<f64>()?;
            Arc::new(TypedRegressor { form, untyped })
        } else {
            let form = self.ensemble.form::<f32>()?;
            Arc::new(TypedRegressor { form, untyped })
        }))
    }
}

impl Kernel for Classifier {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let (datum, shape) = only(inputs)?;
        check_numbers(*datum)?;
        self.ensemble.check_precision(*datum)?;
        self.ensemble.check_columns(shape)?;
        let rows = open_rows_of(shape)?.0;
        let classes = self.ensemble.targets.to_dim();
        Ok(vec![
            fact(self.classes.labels.datum(), [rows.clone()]),
            fact(f32::datum_type(), [rows, classes]),
        ])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        let kernel = self.typed(&[(input.datum_type(), TVec::new())])?;
        kernel.map_or_else(|| Ok(Vec::new()), |kernel| kernel.eval(inputs))
    }

    fn typed(&self, inputs: &[Fact]) -> TractResult<Option<Arc<dyn Kernel>>> {
        let (datum, _) = only(inputs)?;
        let untyped = Arc::new(Classifier {
            ensemble: self.ensemble.clone(),
            classes: self.classes.clone(),
        });
        Ok(Some(if *datum == f64::datum_type() {
            let form = self.ensemble.form::<f64>()?;
            Arc::new(TypedClassifier { form, untyped })
        } else {
            let form = self.ensemble.form::<f32>()?;
            Arc::new(TypedClassifier { form, untyped })
        }))
    }
}

struct TypedRegressor<T> {
    form: Form<T>,
    untyped: Arc<Regressor>,
}

struct TypedClassifier<T> {
    form: Form<T>,
    untyped: Arc<Classifier>,
}

impl<T: Real> Kernel for TypedRegressor<T> {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        self.untyped.facts(inputs)
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        let (rows, _) = rows_of(input.shape())?;
        let targets = self.form.targets;
        if self.untyped.keeps_type && input.datum_type() == f64::datum_type() {
            let mut output = Value::zero_dt(f64::datum_type(), &[rows, targets])?;
            let mut plain = output.try_as_plain_ram_mut()?;
            let to = plain.as_slice_mut::<f64>()?;
            self.form.each(input, |row, sums| {
                let to = to.get_mut(row * targets..).unwrap_or_default();
                let mut scores = [0.0; 1];
                if targets == 1 {
                    self.regress(sums, &mut scores, to);
                } else {
                    self.regress(sums, &mut vec![0.0; targets], to);
                }
            })?;
            return Ok(vec![output]);
        }
        let mut output = Value::zero_dt(f32::datum_type(), &[rows, targets])?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let mut to = plain.as_slice_mut::<f32>()?.chunks_exact_mut(targets);
        self.form.each(input, |_, sums| {
            let Some(to) = to.next() else { return };
            self.single(sums, to);
        })?;
        Ok(vec![output])
    }
}

impl<T: Real> TypedRegressor<T> {
    /// The numbers of a row before they are transformed, in the precision of the sums.
    fn finish(&self, sums: &mut Sums<'_, T>) {
        let (form, trees) = (&self.form, T::of(self.form.forest.trees() as f64));
        let average = form.aggregate == Aggregate::Average;
        for (target, score) in sums.scores.iter_mut().enumerate() {
            let touched = sums.touched.is_none_or(|touched| touched[target]);
            if average {
                *score = score.over(trees);
            }
            let base = match form.base.as_slice() {
                [one] if form.targets == 1 => *one,
                several if several.len() == form.targets => several[target],
                _ => T::of(0.0),
            };
            // Of several targets, one that no leaf has a number for is zero, whatever its base.
            *score = if touched || form.targets == 1 {
                score.plus(base)
            } else {
                T::of(0.0)
            };
        }
    }

    fn single(&self, mut sums: Sums<'_, T>, to: &mut [f32]) {
        self.finish(&mut sums);
        for (to, score) in to.iter_mut().zip(&*sums.scores) {
            *to = score.single();
        }
        self.transform(to);
    }

    /// The same for an output of double precision, whose transforms are of single precision.
    fn regress(&self, mut sums: Sums<'_, T>, singles: &mut [f32], to: &mut [f64]) {
        self.finish(&mut sums);
        let plain = match self.form.transform {
            Transform::None => true,
            Transform::Probit => false,
            _ => self.form.targets == 1,
        };
        for ((to, single), score) in to.iter_mut().zip(&mut *singles).zip(&*sums.scores) {
            *to = score.double();
            *single = score.single();
        }
        if !plain {
            self.transform(singles);
            for (to, single) in to.iter_mut().zip(singles) {
                *to = f64::from(*single);
            }
        }
    }

    /// Of a single target there is no transform but this one.
    fn transform(&self, scores: &mut [f32]) {
        match (self.form.transform, scores) {
            (Transform::Probit, [score]) => *score = probit(*score),
            (_, [_]) => {}
            (transform, scores) => transform.apply(scores),
        }
    }
}

impl<T: Real> Kernel for TypedClassifier<T> {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        self.untyped.facts(inputs)
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        let (rows, _) = rows_of(input.shape())?;
        let (classes, count) = (&self.untyped.classes, self.form.targets);
        let mut scores = Value::zero_dt(f32::datum_type(), &[rows, count])?;
        let mut plain = scores.try_as_plain_ram_mut()?;
        let mut to = plain.as_slice_mut::<f32>()?.chunks_exact_mut(count);
        let mut nothing = false;
        let mut decide = |sums: Sums<'_, T>| {
            let chosen = to
                .next()
                .and_then(|to| classes.decide(sums, &self.form.base, self.form.transform, to));
            nothing |= chosen.is_none();
            chosen.unwrap_or_default()
        };
        let labels = match &classes.labels {
            Labels::Integers(labels) => {
                let mut found = Vec::with_capacity(rows);
                self.form.each(input, |_, sums| {
                    found.push(decide(sums).integer(labels));
                })?;
                Array1::from_vec(found).into_tensor()
            }
            Labels::Texts(labels) => {
                let mut found = Vec::with_capacity(rows);
                self.form.each(input, |_, sums| {
                    found.push(decide(sums).text(labels).to_owned());
                })?;
                Array1::from_vec(found).into_tensor()
            }
        };
        ensure!(!nothing, "no class has a score");
        Ok(vec![labels, scores])
    }
}
