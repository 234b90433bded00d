//! Wine records, by the names of their fields.

use protobufs::WineRecord;

/// The measurements of a record with the names of proto/winerecord.proto, in the order of the
/// fields there.
pub(crate) fn measurements(record: &WineRecord) -> [(&'static str, f64); 11] {
    [
        ("fixed_acidity", record.fixed_acidity),
        ("volatile_acidity", record.volatile_acidity),
        ("citric_acid", record.citric_acid),
        ("residual_sugar", record.residual_sugar),
        ("chlorides", record.chlorides),
        ("free_sulfur_dioxide", record.free_sulfur_dioxide),
        ("total_sulfur_dioxide", record.total_sulfur_dioxide),
        ("density", record.density),
        ("pH", record.p_h),
        ("sulphates", record.sulphates),
        ("alcohol", record.alcohol),
    ]
}

/// The record with these measurements, in the same order.
pub(crate) fn record(measurements: [f64; 11]) -> WineRecord {
    let [
        fixed_acidity,
        volatile_acidity,
        citric_acid,
        residual_sugar,
        chlorides,
        free_sulfur_dioxide,
        total_sulfur_dioxide,
        density,
        p_h,
        sulphates,
        alcohol,
    ] = measurements;
    WineRecord {
        fixed_acidity,
        volatile_acidity,
        citric_acid,
        residual_sugar,
        chlorides,
        free_sulfur_dioxide,
        total_sulfur_dioxide,
        density,
        p_h,
        sulphates,
        alcohol,
        ..WineRecord::default()
    }
}
