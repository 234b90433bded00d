/// What leaves are worth: for every leaf a vector of numbers, one of each output.
///
/// A regressor has one output; a classifier one per class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    width: usize,
    values: Vec<f64>,
}

impl Scores {
    /// Scores with `width` numbers per leaf and no leaf yet.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self {
            width,
            values: Vec::new(),
        }
    }

    /// Adds the next leaf.
    ///
    /// # Panics
    ///
    /// When there are not `width` values.
    pub fn push(&mut self, values: &[f64]) {
        assert_eq!(values.len(), self.width, "one value per output");
        self.values.extend_from_slice(values);
    }

    /// The number of outputs.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The numbers of a leaf; none for a leaf that was not pushed.
    #[must_use]
    pub fn of(&self, leaf: u32) -> &[f64] {
        let start = leaf as usize * self.width;
        self.values.get(start..start + self.width).unwrap_or(&[])
    }

    /// Adds the numbers of leaves to sums, leaf by leaf in the order given: floating-point sums
    /// depend on it.
    pub fn add(&self, leaves: &[u32], sums: &mut [f64]) {
        for &leaf in leaves {
            for (sum, value) in sums.iter_mut().zip(self.of(leaf)) {
                *sum += value;
            }
        }
    }
}
