use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use anyhow::anyhow;
use serving::{Batch, Context, Delivery, Operators, Questions, ServedModel, Updates};
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;

/// What the two streams have in common.
struct Shared {
    operators: Operators,
    delivery: Delivery,
}

impl Shared {
    fn stage(&mut self, model: Arc<ServedModel>) {
        self.delivery.deliver(self.operators.stage(model));
    }

    fn score(&mut self, batch: Batch) {
        self.delivery.deliver(self.operators.score(batch));
    }
}

pub(crate) fn run(context: Context) -> anyhow::Result<()> {
    let mut shared = Shared {
        operators: context.operators,
        delivery: context.delivery,
    };
    for model in context.initial {
        shared.stage(model);
    }
    let shared = Mutex::new(shared);
    let (asked, questions) = serving::questions();
    context.queries.answer(asked);
    let mut records = context.group.join()?.into_inner();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    // Whichever stream ends takes the other one with it, however it ends.
    let (running, stopped) = oneshot::channel::<()>();
    thread::scope(|scope| {
        let running = running;
        let shared = &shared;
        let models = thread::Builder::new()
            .name("models".to_owned())
            .spawn_scoped(scope, move || {
                runtime.block_on(take_in(shared, context.updates, questions, stopped))
            })?;
        while let Some(batch) = records.blocking_recv()
            && !models.is_finished()
        {
            lock(shared)?.score(batch);
        }
        drop(running);
        models
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the models thread panicked")))
    })
}

/// The stream of models, beside that of records; and the questions for the state.
async fn take_in(
    shared: &Mutex<Shared>,
    mut updates: Updates,
    mut questions: Questions,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            Some(question) = questions.next() => question.answer(lock(shared)?.operators.states()),
            Some(model) = updates.next() => lock(shared)?.stage(model),
            _ = &mut stopped => return Ok(()),
        }
    }
}

/// A stream that has panicked ends the other one too.
fn lock(shared: &Mutex<Shared>) -> anyhow::Result<MutexGuard<'_, Shared>> {
    shared
        .lock()
        .map_err(|_| anyhow!("the other stream has panicked"))
}
