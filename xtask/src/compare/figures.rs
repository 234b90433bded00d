//! What was measured, and what it comes to over the rounds.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What a contender did with the backlog.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Throughput {
    pub(super) records_per_second: f64,
    /// Of its process, per million records; `None` where that cannot be measured.
    pub(super) cpu_seconds: Option<f64>,
    /// Of the broker's, per million records.
    pub(super) broker_cpu_seconds: Option<f64>,
    pub(super) peak_memory_bytes: Option<u64>,
}

/// How long results took at the fixed rate, in microseconds from submission to arrival.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) records: u64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
    pub(super) mean: f64,
}

/// What a contender did in a round; `None` where it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Turn {
    pub(super) throughput: Option<Throughput>,
    pub(super) latency: Option<Latency>,
}

/// What the meter says of a backlog.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rate {
    records_per_second: f64,
}

/// The rate that the meter has measured, in records per second.
pub(super) fn rate(output: &[String]) -> Result<f64> {
    let rate: Rate = object(output)?;
    Ok(rate.records_per_second)
}

/// The latencies that the meter has measured.
pub(super) fn latency(output: &[String]) -> Result<Latency> {
    object(output)
}

fn object<T: for<'de> Deserialize<'de>>(output: &[String]) -> Result<T> {
    let line = output.last().context("the meter has said nothing")?;
    serde_json::from_str(line).with_context(|| format!("what the meter has said: {line}"))
}

/// What a contender's turns come to: medians over the rounds, each of those in which there is a value.
/// A comparison with the floor is made within a round, before the median is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) records_per_second: Option<f64>,
    pub(super) records_per_second_to_floor: Option<f64>,
    pub(super) cpu_seconds: Option<f64>,
    pub(super) cpu_seconds_to_floor: Option<f64>,
    pub(super) broker_cpu_seconds: Option<f64>,
    pub(super) p50: Option<f64>,
    pub(super) p50_over_floor: Option<f64>,
    pub(super) p90: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) p999: Option<f64>,
    /// The highest of all rounds.
    pub(super) peak_memory_bytes: Option<u64>,
}

impl Summary {
    /// Of the turns of a contender, and those of the floor in the same rounds.
    pub(super) fn of(turns: &[Turn], floor: &[Turn]) -> Self {
        let throughput = |value: fn(&Throughput) -> Option<f64>| {
            let value = move |turn: &Turn| turn.throughput.as_ref().and_then(value);
            Across {
                turns,
                floor,
                value,
            }
        };
        let latency = |value: fn(&Latency) -> f64| {
            let value = move |turn: &Turn| turn.latency.as_ref().map(value);
            Across {
                turns,
                floor,
                value,
            }
        };
        let records = throughput(|throughput| Some(throughput.records_per_second));
        let cpu = throughput(|throughput| throughput.cpu_seconds);
        let p50 = latency(|latency| latency.p50);
        Self {
            records_per_second: records.median(),
            records_per_second_to_floor: records.against_floor(|value, floor| value / floor),
            cpu_seconds: cpu.median(),
            cpu_seconds_to_floor: cpu.against_floor(|value, floor| value / floor),
            broker_cpu_seconds: throughput(|throughput| throughput.broker_cpu_seconds).median(),
            p50: p50.median(),
            p50_over_floor: p50.against_floor(|value, floor| value - floor),
            p90: latency(|latency| latency.p90).median(),
            p99: latency(|latency| latency.p99).median(),
            p999: latency(|latency| latency.p999).median(),
            peak_memory_bytes: turns
                .iter()
                .filter_map(|turn| turn.throughput?.peak_memory_bytes)
                .max(),
        }
    }
}

/// A value of each turn of a contender, and of the floor's in the same round.
struct Across<'a, V> {
    turns: &'a [Turn],
    floor: &'a [Turn],
    value: V,
}

impl<V: Fn(&Turn) -> Option<f64>> Across<'_, V> {
    fn median(&self) -> Option<f64> {
        median(self.turns.iter().filter_map(&self.value).collect())
    }

    fn against_floor(&self, compare: fn(f64, f64) -> f64) -> Option<f64> {
        let pairs = self.turns.iter().zip(self.floor);
        let compared = pairs.filter_map(|(turn, floor)| {
            let compared = compare((self.value)(turn)?, (self.value)(floor)?);
            // The floor may have taken less than a tick.
            compared.is_finite().then_some(compared)
        });
        median(compared.collect())
    }
}

/// The value in the middle, or the mean of the two there.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *values.get(middle.checked_sub(1)?)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(records_per_second: f64, p50: f64) -> Turn {
        Turn {
            throughput: Some(Throughput {
                records_per_second,
                cpu_seconds: Some(2.0),
                broker_cpu_seconds: None,
                peak_memory_bytes: Some(records_per_second as u64),
            }),
            latency: Some(Latency {
                records: 20_000,
                p50,
                p90: 2.0 * p50,
                p99: 3.0 * p50,
                p999: 4.0 * p50,
                max: 5.0 * p50,
                mean: p50,
            }),
        }
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0]), Some(5.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn a_comparison_with_the_floor_is_made_within_each_round() {
        // The machine was slow in the second round, for both.
        let floor = [turn(1000.0, 100.0), turn(100.0, 900.0), turn(1200.0, 110.0)];
        let turns = [turn(500.0, 150.0), turn(80.0, 940.0), turn(600.0, 165.0)];
        let summary = Summary::of(&turns, &floor);
        assert_eq!(summary.records_per_second, Some(500.0));
        assert_eq!(summary.records_per_second_to_floor, Some(0.5));
        assert_eq!(summary.p50, Some(165.0));
        assert_eq!(summary.p50_over_floor, Some(50.0));
        assert_eq!(summary.p99, Some(495.0));
        assert_eq!(summary.cpu_seconds_to_floor, Some(1.0));
        assert_eq!(summary.broker_cpu_seconds, None);
        assert_eq!(summary.peak_memory_bytes, Some(600));
    }

    #[test]
    fn a_turn_that_failed_is_left_out_with_the_floor_s_of_its_round() {
        let floor = [turn(1000.0, 100.0), turn(2000.0, 100.0)];
        let turns = [Turn::default(), turn(1000.0, 130.0)];
        let summary = Summary::of(&turns, &floor);
        assert_eq!(summary.records_per_second_to_floor, Some(0.5));
        assert_eq!(summary.p50_over_floor, Some(30.0));
        let floor = [Turn::default(), Turn::default()];
        let summary = Summary::of(&turns, &floor);
        assert_eq!(summary.records_per_second, Some(1000.0));
        assert_eq!(summary.records_per_second_to_floor, None);
        assert_eq!(Summary::of(&floor, &floor), Summary::default());
    }

    #[test]
    fn a_floor_that_took_no_time_gives_no_ratio() {
        let mut floor = turn(1000.0, 100.0);
        floor.throughput.as_mut().unwrap().cpu_seconds = Some(0.0);
        let summary = Summary::of(&[turn(500.0, 100.0)], &[floor]);
        assert_eq!(summary.cpu_seconds_to_floor, None);
    }

    #[test]
    fn the_meter_s_last_line_is_read() {
        let said = |line: &str| vec!["counting".to_owned(), line.to_owned()];
        let output =
            said(r#"{"records":300,"seconds":2.5,"recordsPerSecond":114.0,"from":15,"to":300}"#);
        assert_eq!(rate(&output).unwrap(), 114.0);
        let output = said(
            r#"{"records":9,"seconds":20,"p50":210,"p90":300,"p99":900,"p999":1500,"max":2000,"mean":250.5}"#,
        );
        assert_eq!(latency(&output).unwrap().p999, 1500.0);
        assert!(rate(&output).is_err());
        assert!(latency(&[]).is_err());
    }
}
