use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use serving::{Context, Outcomes};
use timely::CommunicationConfig;
use timely::communication::initialize_from;

use crate::worker::Worker;
use crate::{Error, Join};

/// Runs a dataflow of so many workers until the records end and everything under way has been
/// delivered. Each worker calls its own clone of `seen` with outcomes before it delivers them.
///
/// # Errors
/// When it cannot start, or when a worker panics; the others then end without finishing what is under
/// way, so that it comes again.
pub fn run<F>(context: Context, workers: NonZeroUsize, join: Join, seen: F) -> Result<(), Error>
where
    F: FnMut(&Outcomes) + Clone + Send + 'static,
{
    let mut models = Some((context.initial, context.updates));
    let mut parts = Vec::new();
    for _ in 0..workers.get() {
        let (asked, questions) = serving::questions();
        context.queries.answer(asked);
        parts.push(Some(Worker {
            join,
            records: context.group.join()?,
            models: models.take(),
            questions,
            operators: context.operators.another(),
            delivery: context.delivery.clone(),
            seen: seen.clone(),
        }));
    }
    let config = match workers.get() {
        1 => CommunicationConfig::Thread,
        several => CommunicationConfig::Process(several),
    };
    let (allocators, others) = config.try_build().map_err(Error::Threads)?;
    let parts = Mutex::new(parts);
    let failed = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&failed);
    let (ended, ends) = mpsc::channel();
    let threads = initialize_from(allocators, others, move |allocator| {
        let index = allocator.index();
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
            let worker = parts.get_mut(index).and_then(Option::take);
            drop(parts);
            if let Some(worker) = worker {
                worker.run(allocator, &stop);
            }
        }));
        let _ = ended.send(ran.map_err(|_| Error::Panicked { worker: index }));
    })
    .map_err(Error::Threads)?;
    let mut outcome = Ok(());
    for end in ends {
        if end.is_err() {
            // The others would wait for ever for what it does not do.
            failed.store(true, Ordering::Relaxed);
            let threads = threads.guards().iter();
            threads.for_each(|thread| thread.thread().unpark());
        }
        outcome = outcome.and(end);
    }
    threads.join();
    outcome
}
