use std::thread;

use anyhow::anyhow;
use parking_lot::{Mutex, MutexGuard};
use serving::{Context, Questions, Updates};
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;

use crate::State;

pub(crate) fn run(context: Context) -> anyhow::Result<()> {
    let mut state = State {
        operators: context.operators,
        delivery: context.delivery,
    };
    for model in context.initial {
        state.stage(model);
    }
    let shared = Mutex::new(state);
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
            .name("taking-in".to_owned())
            .spawn_scoped(scope, move || {
                runtime.block_on(take_in(shared, context.updates, questions, stopped));
            })?;
        while let Some(batch) = records.blocking_recv()
            && !models.is_finished()
        {
            let mut state = shared.lock();
            state.score(batch);
            // The next batch waits already: without this the models might never have their turn.
            MutexGuard::unlock_fair(state);
        }
        drop(running);
        models
            .join()
            .map_err(|_| anyhow!("the thread that takes in models panicked"))
    })
}

/// The stream of models, beside that of records; and the questions for the state.
async fn take_in(
    shared: &Mutex<State>,
    mut updates: Updates,
    mut questions: Questions,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            Some(question) = questions.next() => question.answer(shared.lock().operators.states()),
            Some(model) = updates.next() => shared.lock().stage(model),
            _ = &mut stopped => return,
        }
    }
}
