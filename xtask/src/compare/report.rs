//! A comparison for people, as a table, and for programs, as JSON.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::figures::{Summary, Turn};
use super::machine::Machine;

/// All that a comparison has to tell.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) parameters: Parameters,
    pub(super) machine: Machine,
    pub(super) contenders: Vec<Standing>,
    pub(super) failures: Vec<Failure>,
}

/// What was asked for.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameters {
    pub(super) broker: String,
    pub(super) model: String,
    pub(super) partitions: u32,
    pub(super) backlog: u64,
    pub(super) rate: u32,
    pub(super) seconds: u32,
    pub(super) warm_up_seconds: u32,
    pub(super) rounds: usize,
}

/// How a contender did.
#[derive(Serialize)]
pub(super) struct Standing {
    pub(super) name: String,
    pub(super) median: Summary,
    pub(super) rounds: Vec<Turn>,
}

impl Standing {
    fn lacks_something(&self) -> bool {
        row(self).iter().any(|cell| cell == ABSENT)
    }
}

/// What went wrong in a turn.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) name: String,
    /// From 1.
    pub(super) round: usize,
    /// Of the turn: throughput or latency.
    pub(super) half: &'static str,
    pub(super) what: String,
}

const HEADER: [&str; 12] = [
    "",
    "records/s",
    "/ floor",
    "CPU s",
    "/ floor",
    "broker CPU s",
    "p50 us",
    "- floor",
    "p90 us",
    "p99 us",
    "p99.9 us",
    "peak MB",
];

/// What stands for a value that there is none of.
const ABSENT: &str = "-";

impl Report {
    /// The table, what was asked for, and what went wrong.
    pub(super) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header(HEADER);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for standing in &self.contenders {
            table.add_row(row(standing));
        }
        let Parameters {
            broker,
            model,
            partitions,
            backlog,
            rate,
            seconds,
            rounds,
            ..
        } = &self.parameters;
        let backlog = thousands(*backlog as f64);
        let mut text = format!(
            "{table}\n\nRounds: {rounds}; medians of them, ratios and differences to the floor within \
             each. CPU seconds per million records.\nBacklog of {backlog} records on {partitions} \
             partitions; latency at {rate} records/s for {seconds} s. Model {model}.\nBroker: \
             {broker}. Machine: {}.\n",
            self.machine.describe()
        );
        if self.contenders.iter().any(Standing::lacks_something) {
            text.push_str("- was not measured.\n");
        }
        for failure in &self.failures {
            let Failure {
                name,
                round,
                half,
                what,
            } = failure;
            text.push_str(&format!(
                "\n{name} failed in round {round}, {half}: {what}\n"
            ));
        }
        text
    }

    /// One object.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

fn row(standing: &Standing) -> Vec<String> {
    let Summary {
        records_per_second,
        records_per_second_to_floor,
        cpu_seconds,
        cpu_seconds_to_floor,
        broker_cpu_seconds,
        p50,
        p50_over_floor,
        p90,
        p99,
        p999,
        peak_memory_bytes,
    } = standing.median;
    let whole = |value: f64| thousands(value);
    let two = |value: f64| format!("{value:.2}");
    let signed = |value: f64| format!("{value:+.0}");
    vec![
        standing.name.clone(),
        cell(records_per_second, whole),
        cell(records_per_second_to_floor, two),
        cell(cpu_seconds, two),
        cell(cpu_seconds_to_floor, two),
        cell(broker_cpu_seconds, two),
        cell(p50, whole),
        cell(p50_over_floor, signed),
        cell(p90, whole),
        cell(p99, whole),
        cell(p999, whole),
        cell(peak_memory_bytes.map(|bytes| bytes as f64 / 1e6), whole),
    ]
}

/// A value, or that there is none.
fn cell(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| ABSENT.to_owned(), show)
}

/// A number without decimals, its digits in groups of three.
pub(super) fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::Latency;
    use super::super::machine::Watch;
    use super::*;

    fn report() -> Report {
        let latency = Latency {
            records: 20_000,
            p50: 213.0,
            p90: 400.4,
            p99: 1500.0,
            p999: 12_345.6,
            max: 20_000.0,
            mean: 250.0,
        };
        let turn = Turn {
            throughput: None,
            latency: Some(latency),
        };
        let median = Summary {
            records_per_second: Some(712_345.6),
            records_per_second_to_floor: Some(0.734),
            p50_over_floor: Some(-3.2),
            peak_memory_bytes: Some(104_000_000),
            ..Summary::of(&[turn], &[])
        };
        Report {
            parameters: Parameters {
                broker: "embedded".to_owned(),
                model: "winequality-random-forest".to_owned(),
                partitions: 4,
                backlog: 3_000_000,
                rate: 1000,
                seconds: 20,
                warm_up_seconds: 3,
                rounds: 1,
            },
            machine: Watch::begin().machine(),
            contenders: vec![Standing {
                name: "keyed --workers 2".to_owned(),
                median,
                rounds: vec![turn],
            }],
            failures: vec![Failure {
                name: "actor".to_owned(),
                round: 2,
                half: "latency",
                what: "did not get ready".to_owned(),
            }],
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_that_took_part() {
        let text = report().text();
        let row: Vec<_> = text
            .lines()
            .find(|line| line.contains("keyed"))
            .unwrap()
            .split('|')
            .map(str::trim)
            .collect();
        assert_eq!(
            row,
            [
                "",
                "keyed --workers 2",
                "712,346",
                "0.73",
                "-",
                "-",
                "-",
                "213",
                "-3",
                "400",
                "1,500",
                "12,346",
                "104",
                ""
            ]
        );
        assert!(text.contains("\n- was not measured.\n"), "{text}");
        assert!(
            text.contains("Backlog of 3,000,000 records on 4 partitions"),
            "{text}"
        );
        assert!(
            text.ends_with("\nactor failed in round 2, latency: did not get ready\n"),
            "{text}"
        );
    }

    #[test]
    fn the_object_has_what_the_table_has() {
        let object: serde_json::Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        assert_eq!(object["parameters"]["warmUpSeconds"], 3);
        let contender = &object["contenders"][0];
        assert_eq!(contender["name"], "keyed --workers 2");
        assert_eq!(contender["median"]["recordsPerSecondToFloor"], 0.734);
        assert!(contender["median"]["cpuSeconds"].is_null());
        assert_eq!(contender["rounds"][0]["latency"]["p999"], 12_345.6);
        assert_eq!(object["failures"][0]["round"], 2);
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (value, text) in [
            (0.0, "0"),
            (999.4, "999"),
            (1000.0, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-12_345.0, "-12,345"),
        ] {
            assert_eq!(thousands(value), text);
        }
    }
}
