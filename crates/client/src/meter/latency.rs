//! How long results take.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{bail, ensure};
use hdrhistogram::Histogram;
use kafka::OwnedMessage;
use serde_json::{Value, json};

use super::{Measured, Next, Results, STEP};

/// What takes longer than an hour counts as an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// Leaves out what is there already, lets results come for `warm_up`, and then takes for so long
/// the time from each one's submission, which its header says, to its arrival here.
pub(super) fn measure(mut results: Results<'_>, warm_up: Duration, length: Duration) -> Measured {
    while !results.reader.caught_up() {
        match results.next(STEP)? {
            Next::Result(_) | Next::Nothing => {}
            Next::Interrupted => return Ok(None),
            Next::TimedOut => bail!("what was there already could not be read in time"),
        }
    }
    eprintln!("ready latency_meter");

    let mut histogram = Histogram::new_with_bounds(1, LONGEST_US, 3)?;
    let mut without = 0_u64;
    // The first result starts the clock: who sends records may have to be started yet.
    let mut window: Option<(Instant, Instant)> = None;
    loop {
        let next = results.next(STEP)?;
        let (now, now_us) = (Instant::now(), now_us());
        if window.is_some_and(|(_, end)| now >= end) {
            break;
        }
        match next {
            Next::Result(result) => {
                let (start, _) = *window.get_or_insert_with(|| {
                    let start = now + warm_up;
                    (start, start + length)
                });
                if now < start {
                    continue;
                }
                match submitted_us(&result) {
                    Some(submitted) => {
                        let took = now_us.saturating_sub(submitted);
                        histogram.saturating_record(u64::try_from(took).unwrap_or_default());
                    }
                    None => without += 1,
                }
            }
            Next::Nothing => {}
            Next::Interrupted => return Ok(None),
            Next::TimedOut => bail!(
                "the time was over after {} results, {length:?} of them were wanted",
                histogram.len()
            ),
        }
    }
    ensure!(
        without == 0,
        "{without} results have no header submitted-us, {} have one",
        histogram.len()
    );
    ensure!(!histogram.is_empty(), "no result came after the warm-up");
    Ok(Some(report(&histogram, length)))
}

fn report(histogram: &Histogram<u64>, length: Duration) -> Value {
    let at = |quantile| histogram.value_at_quantile(quantile);
    json!({
        "records": histogram.len(),
        "seconds": length.as_secs(),
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": histogram.max(),
        "mean": histogram.mean(),
    })
}

/// Microseconds since 1970.
fn now_us() -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

fn submitted_us(result: &OwnedMessage) -> Option<i64> {
    let mut headers = result.headers.iter().rev();
    let (_, value) = headers.find(|(name, _)| name == "submitted-us")?;
    std::str::from_utf8(value.as_deref()?)
        .ok()?
        .trim()
        .parse()
        .ok()
}
