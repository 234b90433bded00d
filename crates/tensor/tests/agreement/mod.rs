//! What has been computed is what a reference computed.

mod numbers;

pub(crate) use numbers::numbers;

pub(crate) fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    if let Some(difference) = numbers::difference(found, expected) {
        panic!("{what}: {difference}");
    }
}
