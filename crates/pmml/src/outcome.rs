use crate::value::Precision;

/// Whether one number is more than another. `NaN` is more than any number.
pub(crate) fn exceeds(left: f64, right: f64) -> bool {
    left > right || left.is_nan() && !right.is_nan()
}

/// What a model, or a segment of one, says about a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// There is a prediction; otherwise a null result, and nothing else here means anything.
    pub(crate) known: bool,
    /// The predicted number of a regression.
    pub(crate) value: f64,
    /// The predicted category of a classification.
    pub(crate) label: u32,
    /// The probability of every category, if the model has them.
    pub(crate) probabilities: Vec<f64>,
    /// The categories that have a probability, in the order in which the model gives them: of
    /// equally probable ones the first wins.
    pub(crate) order: Vec<u32>,
    /// The node of a tree that decided.
    pub(crate) entity: Option<u32>,
    /// How many missing values a tree has met.
    pub(crate) missing_levels: i32,
    /// The segments that this is the outcome of, innermost first.
    pub(crate) via: Vec<u32>,
    /// The list that the categories are numbers of.
    pub(crate) categories: usize,
}

impl Outcome {
    pub(crate) fn clear(&mut self) {
        self.known = false;
        self.value = 0.0;
        self.label = 0;
        self.probabilities.clear();
        self.order.clear();
        self.entity = None;
        self.missing_levels = 0;
        self.via.clear();
        self.categories = 0;
    }

    /// Gives a category a probability, behind those that have one.
    pub(crate) fn put(&mut self, category: u32, probability: f64) {
        self.order.push(category);
        if let Some(place) = self.probabilities.get_mut(category as usize) {
            *place = probability;
        }
    }

    /// Adds to what a category has, behind those that have something.
    pub(crate) fn count(&mut self, category: u32, amount: f64, precision: Precision) {
        if !self.order.contains(&category) {
            self.order.push(category);
        }
        if let Some(place) = self.probabilities.get_mut(category as usize) {
            *place = precision.round(*place + amount);
        }
    }

    /// The most probable category, the first of equals. `NaN` counts as more than any number.
    pub(crate) fn most_probable(&self) -> Option<u32> {
        let mut best: Option<(u32, f64)> = None;
        for &category in &self.order {
            let probability = *self.probabilities.get(category as usize)?;
            if best.is_none_or(|(_, most)| exceeds(probability, most)) {
                best = Some((category, probability));
            }
        }
        best.map(|(category, _)| category)
    }

    /// Divides the probabilities by their sum, in the order given.
    pub(crate) fn normalize(&mut self, precision: Precision) -> bool {
        let mut sum = 0.0;
        for &category in &self.order {
            sum = precision.round(sum + self.probabilities[category as usize]);
        }
        if sum == 0.0 {
            return false;
        }
        if sum != 1.0 {
            for &category in &self.order {
                let place = &mut self.probabilities[category as usize];
                *place = precision.round(*place / sum);
            }
        }
        true
    }
}
