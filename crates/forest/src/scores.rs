/// What leaves are worth: for every leaf a vector of numbers, one of each output.
///
/// A regressor has one output; a classifier one per class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    width: usize,
    /// The distance between the vectors of two leaves: the width, rounded up to a number of
    /// outputs that is added without a loop.
    stride: usize,
    values: Vec<f64>,
}

impl Scores {
    /// Scores with `width` numbers per leaf and no leaf yet.
    #[must_use]
    pub fn new(width: usize) -> Self {
        let stride = match width {
            0..=1 => width,
            2..=8 => width.next_power_of_two(),
            _ => width.next_multiple_of(8),
        };
        Self {
            width,
            stride,
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
        self.values
            .resize(self.values.len() + self.stride - self.width, 0.0);
    }

    /// The number of outputs.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many numbers sums have: the width and some padding, which stays zero.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The numbers of a leaf, without padding; none for a leaf that was not pushed.
    #[must_use]
    pub fn of(&self, leaf: u32) -> &[f64] {
        self.padded(leaf)
            .and_then(|values| values.get(..self.width))
            .unwrap_or(&[])
    }

    #[inline]
    fn padded(&self, leaf: u32) -> Option<&[f64]> {
        let start = leaf as usize * self.stride;
        self.values.get(start..start + self.stride)
    }

    /// Adds the numbers of a leaf to `sums`, which are [`Scores::stride`] numbers. A leaf that was
    /// not pushed adds nothing.
    #[inline]
    pub fn add(&self, leaf: u32, sums: &mut [f64]) {
        let Some(values) = self.padded(leaf) else {
            return;
        };
        match self.stride {
            1 => add_exactly::<1>(values, sums),
            2 => add_exactly::<2>(values, sums),
            4 => add_exactly::<4>(values, sums),
            _ => {
                for (values, sums) in values.chunks_exact(8).zip(sums.chunks_exact_mut(8)) {
                    add_exactly::<8>(values, sums);
                }
            }
        }
    }
}

#[inline]
fn add_exactly<const N: usize>(values: &[f64], sums: &mut [f64]) {
    if let (Some(values), Some(sums)) = (values.first_chunk::<N>(), sums.first_chunk_mut::<N>()) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
}
