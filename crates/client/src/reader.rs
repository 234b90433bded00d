//! Prints what is in the topics.

mod content;
mod human;
mod json;
mod tensors;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use configuration::{DataReader, RecordChoice, Shown};
use kafka::{Connection, OwnedMessage, TopicReader};

use self::content::Content;
use crate::Interrupt;
use crate::arrival::await_broker;

/// How long a reader waits for a message before it looks whether it is to end.
const STEP: Duration = Duration::from_millis(100);
/// How often counts are said where nothing else is.
const PAUSE: Duration = Duration::from_secs(1);
/// Messages that wait to be printed; a slow terminal slows the readers.
const WAITING: usize = 256;

/// A message of one of the topics.
struct Item {
    shown: Shown,
    message: OwnedMessage,
    content: Content,
}

/// What the readers tell the printer.
enum Event {
    Read(Box<Item>),
    /// Everything that was in the topic at the start has been read.
    CaughtUp,
    Failed(kafka::Error),
}

/// What has been read.
#[derive(Default, PartialEq, Eq, Clone)]
struct Counts {
    read: BTreeMap<Shown, u64>,
    undecodable: u64,
}

/// Prints messages on `out` until it is interrupted, or until it has printed what was asked for.
///
/// # Errors
/// There is no broker in time, or `out` cannot be written to.
pub fn run(settings: &DataReader, interrupt: &Interrupt, out: &mut dyn Write) -> Result<()> {
    let basics = &settings.basics;
    let connection = Connection {
        brokers: basics.brokers().to_owned(),
        client_id: "data_reader".to_owned(),
        properties: basics.properties.clone(),
    };
    if !await_broker(&connection, basics.broker_timeout.get(), interrupt)? {
        return Ok(());
    }
    let (sender, receiver) = sync_channel(WAITING);
    let mut readers = 0;
    for (shown, topic) in topics(settings) {
        let reader = TopicReader::open(&connection, &topic)?;
        let (sender, interrupt) = (sender.clone(), interrupt.clone());
        let record = settings.record;
        thread::Builder::new()
            .name(format!("reader-{topic}"))
            .spawn(move || read(reader, shown, record, &sender, &interrupt))
            .context("cannot start a thread to read a topic")?;
        readers += 1;
    }
    eprintln!("ready data_reader brokers={}", connection.brokers);
    Printer {
        settings,
        out,
        counts: Counts::default(),
        said: Counts::default(),
        said_at: Instant::now(),
    }
    .print(&receiver, readers, interrupt)
}

/// The topics to read.
fn topics(settings: &DataReader) -> Vec<(Shown, String)> {
    let basics = &settings.basics;
    let all = [
        (Shown::Models, &basics.models_topic),
        (Shown::Records, &basics.data_topic),
        (Shown::Results, &basics.results_topic),
        (Shown::DeadLetters, &basics.dead_letter_topic),
    ];
    all.into_iter()
        .filter(|(shown, _)| settings.show.is_empty() || settings.show.contains(shown))
        .map(|(shown, topic)| (shown, topic.clone()))
        .collect()
}

/// Reads one topic until nobody wants to know, or the program ends.
fn read(
    mut reader: TopicReader,
    shown: Shown,
    record: RecordChoice,
    sender: &SyncSender<Event>,
    interrupt: &Interrupt,
) {
    let mut caught_up = false;
    while !interrupt.is_set() {
        let event = match reader.poll(STEP) {
            Ok(Some(message)) => {
                let content = Content::of(shown, record, &message);
                Some(Event::Read(Box::new(Item {
                    shown,
                    message,
                    content,
                })))
            }
            Ok(None) => None,
            Err(error) => {
                // The printer may have ended first.
                drop(sender.send(Event::Failed(error)));
                return;
            }
        };
        if event.is_some_and(|event| sender.send(event).is_err()) {
            return;
        }
        if !caught_up && reader.caught_up() {
            caught_up = true;
            if sender.send(Event::CaughtUp).is_err() {
                return;
            }
        }
    }
}

struct Printer<'a> {
    settings: &'a DataReader,
    out: &'a mut dyn Write,
    counts: Counts,
    said: Counts,
    said_at: Instant,
}

impl Printer<'_> {
    fn print(
        mut self,
        events: &Receiver<Event>,
        readers: usize,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let wanted = self.settings.count.map_or(u64::MAX, Into::into);
        let mut behind = readers;
        let mut printed = 0;
        while !interrupt.is_set() && printed < wanted && !(self.settings.until_end && behind == 0) {
            let event = match events.try_recv() {
                Ok(event) => Ok(event),
                Err(_) => {
                    // Nothing waits: show what there is.
                    self.out.flush()?;
                    events.recv_timeout(STEP)
                }
            };
            match event {
                Ok(Event::Read(item)) => {
                    printed += 1;
                    self.item(&item)?;
                }
                Ok(Event::CaughtUp) => behind = behind.saturating_sub(1),
                Ok(Event::Failed(error)) => return Err(error).context("cannot go on reading"),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.settings.basics.quiet && self.said_at.elapsed() >= PAUSE {
                self.summary()?;
            }
        }
        self.summary()?;
        self.out.flush()?;
        Ok(())
    }

    fn item(&mut self, item: &Item) -> Result<()> {
        let number = self.counts.read.entry(item.shown).or_default();
        *number += 1;
        if matches!(item.content, Content::Undecodable(_)) {
            self.counts.undecodable += 1;
        }
        if self.settings.basics.quiet {
            return Ok(());
        }
        let line = if self.settings.json {
            json::line(item, self.settings).to_string()
        } else {
            human::line(item, *number)
        };
        writeln!(self.out, "{line}")?;
        Ok(())
    }

    /// Says how much has been read; not among JSON, which somebody parses.
    fn summary(&mut self) -> Result<()> {
        self.said_at = Instant::now();
        if self.counts == self.said && self.counts != Counts::default() {
            return Ok(());
        }
        self.said = self.counts.clone();
        let line = human::summary(&self.counts);
        if self.settings.json {
            eprintln!("{line}");
        } else {
            writeln!(self.out, "{line}")?;
            self.out.flush()?;
        }
        Ok(())
    }
}
