//! The state of a model as a row of a table.

use std::time::{Duration, SystemTime};

use serde_json::Value;

/// What is above the rows.
pub(super) const HEADER: &str = "\
| Name                                               | Description                                                      | Since                | Average  | Min      | Max      |
| -------------------------------------------------- | ---------------------------------------------------------------- | -------------------- | -------- | -------- | -------- |
";

/// A model: name, description, since when it has been the current one (UTC), and the average, the
/// shortest and the longest scoring time in milliseconds.
pub(super) fn row(model: &Value) -> String {
    let time = |name: &str| match model.get(name).and_then(Value::as_f64) {
        Some(ms) => format!("{ms:.5}"),
        None => "-".to_owned(),
    };
    format!(
        "| {:50} | {:64} | {:20} | {:>8} | {:>8} | {:>8} |",
        text(model, "name"),
        text(model, "description"),
        since(model),
        time("average"),
        time("min"),
        time("max"),
    )
}

/// A text in one cell, whatever it does to a table or a terminal.
fn text(model: &Value, name: &str) -> String {
    let text = model.get(name).and_then(Value::as_str).unwrap_or("-");
    text.chars()
        .map(|character| match character {
            '|' => '/',
            character if character.is_control() => '\u{fffd}',
            character => character,
        })
        .collect()
}

fn since(model: &Value) -> String {
    /// Beyond the year 9999 there is no such notation.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since = model.get("since").and_then(Value::as_u64);
    since
        .map(Duration::from_millis)
        .filter(|since| *since <= LAST)
        .map_or_else(
            || "-".to_owned(),
            |since| {
                let time = SystemTime::UNIX_EPOCH + since;
                humantime::format_rfc3339_seconds(time).to_string()
            },
        )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_has_the_columns_of_the_header() {
        let model = json!({
            "name": "a|tree", "description": "of\u{1b}[2J", "since": 1_548_687_669_123_u64,
            "average": 0.265_314_9, "min": 0.0, "max": 50,
        });
        let row = row(&model);
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(
            cells,
            [
                "",
                "a/tree",
                "of\u{fffd}[2J",
                "2019-01-28T15:01:09Z",
                "0.26531",
                "0.00000",
                "50.00000",
                ""
            ]
        );
        for line in HEADER.lines() {
            assert_eq!(line.len() + "\u{fffd}".len() - 1, row.len());
        }
    }

    #[test]
    fn what_is_missing_or_makes_no_sense_is_a_dash() {
        for model in [
            json!({}),
            json!({ "since": u64::MAX, "name": 5, "min": "x" }),
            json!(null),
        ] {
            let row = row(&model);
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            assert_eq!(cells, ["", "-", "-", "-", "-", "-", "-", ""]);
        }
    }
}
