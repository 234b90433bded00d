//! Asks a running server for the state of its models, again and again.

mod server;
mod table;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use configuration::ModelStateQuery;

use self::server::Server;
use crate::Interrupt;

/// How long it sleeps at most before it looks whether it is to end.
const STEP: Duration = Duration::from_millis(50);

/// Prints on `out` what the server says of its models, until it is interrupted or has asked as
/// often as it should.
///
/// A server that is not there, or not there any more, may come: it is asked again.
///
/// # Errors
/// No query was answered, or `out` cannot be written to.
pub fn run(settings: &ModelStateQuery, interrupt: &Interrupt, out: &mut dyn Write) -> Result<()> {
    let server = Server::new(settings);
    let wanted = settings.count.map_or(u64::MAX, Into::into);
    let mut answers = 0_u64;
    let mut complaint = None;
    let mut header = !settings.json;
    let start = Instant::now();
    for number in 0..wanted {
        // At fixed times, however long an answer takes.
        let due = u32::try_from(number).map_or(settings.interval.get(), |number| {
            settings.interval.get().saturating_mul(number)
        });
        if !sleep_until(start, due, interrupt) {
            return Ok(());
        }
        match server.ask() {
            Ok(answer) => {
                answers += 1;
                complaint = None;
                if answers == 1 {
                    eprintln!("asking {}", answer.address);
                }
                if std::mem::take(&mut header) {
                    out.write_all(table::HEADER.as_bytes())?;
                }
                for model in &answer.models {
                    if settings.json {
                        writeln!(out, "{model}")?;
                    } else {
                        writeln!(out, "{}", table::row(model))?;
                    }
                }
                out.flush()?;
            }
            Err(error) => {
                let text = format!("{error:#}");
                // Once is enough to read.
                if complaint.as_ref() != Some(&text) {
                    eprintln!("no answer: {text}");
                    complaint = Some(text);
                }
            }
        }
    }
    ensure!(answers > 0, "no server has answered");
    Ok(())
}

/// Whether to go on then.
fn sleep_until(start: Instant, due: Duration, interrupt: &Interrupt) -> bool {
    loop {
        if interrupt.is_set() {
            return false;
        }
        let left = due.saturating_sub(start.elapsed());
        if left.is_zero() {
            return true;
        }
        thread::park_timeout(left.min(STEP));
    }
}
