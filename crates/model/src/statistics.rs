/// Count, sum, smallest and largest of durations, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The smallest; 0 when there is none.
    pub min: u64,
    /// The largest; 0 when there is none.
    pub max: u64,
}

impl Spread {
    /// Adds one duration.
    pub fn add(&mut self, nanoseconds: u64) {
        self.merge(&Self {
            count: 1,
            sum: nanoseconds,
            min: nanoseconds,
            max: nanoseconds,
        });
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 {
            other.min
        } else {
            self.min.min(other.min)
        };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// The mean; 0 when there is none.
    #[must_use]
    pub fn average(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum as f64 / self.count as f64
        }
    }
}

/// How a served model has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Scoring alone.
    pub scoring: Spread,
    /// From the record's submission to its score.
    pub total: Spread,
}

impl Statistics {
    /// Counts one scored record.
    pub fn add(&mut self, scoring_ns: u64, total_ns: u64) {
        self.scoring.add(scoring_ns);
        self.total.add(total_ns);
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        self.scoring.merge(&other.scoring);
        self.total.merge(&other.total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_is_counting_together() {
        let durations = [5, 3, 9, 4];
        let mut whole = Spread::default();
        durations.iter().for_each(|&d| whole.add(d));
        assert_eq!(
            whole,
            Spread {
                count: 4,
                sum: 21,
                min: 3,
                max: 9
            }
        );
        assert!((whole.average() - 5.25).abs() < f64::EPSILON);
        for split in 0..=durations.len() {
            let mut parts = [Spread::default(); 2];
            for (i, &d) in durations.iter().enumerate() {
                parts[usize::from(i >= split)].add(d);
            }
            let [mut first, second] = parts;
            first.merge(&second);
            assert_eq!(first, whole, "split at {split}");
        }
    }
}
