//! What has been written, and saying so.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kafka::Acknowledge;

/// Marks the tickets of models.
const MODEL: u64 = 1 << 63;
/// At most ten lines a second.
const PAUSE: Duration = Duration::from_millis(100);

/// Counts what is acknowledged.
#[derive(Debug, Default)]
pub(super) struct Tally {
    written: AtomicU64,
    failed: AtomicU64,
    /// Models that are underway or to be reported, by ticket.
    models: Mutex<Vec<Underway>>,
}

#[derive(Debug)]
struct Underway {
    ticket: u64,
    line: String,
    written: bool,
}

/// Says what has been written.
pub(super) struct Report<'a> {
    out: &'a mut dyn Write,
    quiet: bool,
    said: u64,
    said_at: Option<Instant>,
}

impl Tally {
    /// Notes a model that is about to be sent, and its ticket; `line` is said when it is written.
    pub(super) fn model(&self, number: u64, line: String) -> u64 {
        let ticket = MODEL | number;
        self.models().push(Underway {
            ticket,
            line,
            written: false,
        });
        ticket
    }

    /// Forgets a model that could not be sent.
    pub(super) fn forget(&self, ticket: u64) {
        self.models().retain(|model| model.ticket != ticket);
    }

    /// Records that are written.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Messages that were refused for good.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Acquire)
    }

    fn models(&self) -> std::sync::MutexGuard<'_, Vec<Underway>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acknowledge for Tally {
    fn acknowledged(&self, ticket: u64, result: kafka::Result<()>) {
        if let Err(error) = &result {
            // One is enough to read.
            if self.failed.fetch_add(1, Ordering::AcqRel) == 0 {
                tracing::error!(%error, cause = cause(error), "a message was not written");
            }
        }
        if ticket & MODEL == 0 {
            if result.is_ok() {
                self.written.fetch_add(1, Ordering::AcqRel);
            }
        } else if result.is_ok() {
            let mut models = self.models();
            if let Some(model) = models.iter_mut().find(|model| model.ticket == ticket) {
                model.written = true;
            }
        } else {
            self.forget(ticket);
        }
    }
}

fn cause(error: &kafka::Error) -> String {
    std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default()
}

impl<'a> Report<'a> {
    pub(super) fn new(out: &'a mut dyn Write, quiet: bool) -> Self {
        Self {
            out,
            quiet,
            said: 0,
            said_at: None,
        }
    }

    /// Says what is new: every model, and every ten records how many they are by now.
    pub(super) fn say(&mut self, tally: &Tally) -> io::Result<()> {
        let written: Vec<Underway> = tally
            .models()
            .extract_if(.., |model| model.written)
            .collect();
        if self.quiet {
            return Ok(());
        }
        for model in &written {
            writeln!(self.out, "{}", model.line)?;
        }
        let tens = tally.written() / 10 * 10;
        let now = Instant::now();
        let rested = self
            .said_at
            .is_none_or(|at| now.duration_since(at) >= PAUSE);
        if tens > self.said && rested {
            self.said = tens;
            self.said_at = Some(now);
            writeln!(self.out, "wrote {tens} records")?;
        }
        self.out.flush()
    }

    /// Says how many records there are in the end.
    pub(super) fn end(&mut self, tally: &Tally) -> io::Result<()> {
        self.say(tally)?;
        let written = tally.written();
        if !self.quiet && written > self.said {
            self.said = written;
            writeln!(self.out, "wrote {written} records")?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_by_tens_and_at_the_end() {
        let tally = Tally::default();
        let mut out = Vec::new();
        let mut report = Report::new(&mut out, false);
        for ticket in 0..14 {
            tally.acknowledged(ticket, Ok(()));
            report.say(&tally).unwrap();
        }
        report.end(&tally).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "wrote 10 records\nwrote 14 records\n"
        );
    }

    #[test]
    fn a_model_is_reported_when_it_is_written_and_not_if_it_is_refused() {
        let tally = Tally::default();
        let (first, second) = (
            tally.model(0, "first".to_owned()),
            tally.model(1, "second".to_owned()),
        );
        let mut out = Vec::new();
        Report::new(&mut out, false).say(&tally).unwrap();
        assert!(out.is_empty());
        let refused = kafka::Error::TooLarge {
            topic: "models".to_owned(),
            size: 7,
        };
        tally.acknowledged(first, Err(refused));
        tally.acknowledged(second, Ok(()));
        Report::new(&mut out, false).say(&tally).unwrap();
        assert_eq!(out, b"second\n");
        assert_eq!((tally.failed(), tally.written()), (1, 0));
    }
}
