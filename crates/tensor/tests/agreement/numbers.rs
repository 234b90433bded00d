//! Numbers, and where they differ.

use tensor::Data;

/// The elements of a tensor that has no text.
pub(crate) fn numbers(data: &Data) -> Vec<f64> {
    match data {
        Data::Float(values) => values.iter().copied().map(f64::from).collect(),
        Data::Double(values) => values.clone(),
        Data::Int32(values) => values.iter().copied().map(f64::from).collect(),
        Data::Int64(values) => values.iter().map(|value| *value as f64).collect(),
        Data::Bool(values) => values.iter().copied().map(f64::from).collect(),
        Data::Text(_) => panic!("text"),
    }
}

/// The first number that is not within 1e-6 of what is expected, or 1e-6 of it above one.
pub(crate) fn difference(found: &[f64], expected: &[f64]) -> Option<String> {
    if found.len() != expected.len() {
        return Some(format!("{}, not {}", found.len(), expected.len()));
    }
    let mut pairs = found.iter().zip(expected).enumerate();
    pairs.find_map(|(position, (found, expected))| {
        let same = found == expected || (found.is_nan() && expected.is_nan());
        let near = (found - expected).abs() <= 1e-6 * expected.abs().max(1.0);
        (!same && !near).then(|| format!("{found} at {position}, not {expected}"))
    })
}
