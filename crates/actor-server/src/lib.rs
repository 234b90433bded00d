//! The actor strategy: an actor for each data type, behind one that everything enters by.
//!
//! ```text
//!            models ──┐                        ┌─▶ ModelServer (wine)
//!                     ├─▶ ModelServerManager ──┤
//!  records (batches) ─┘                        └─▶ ModelServer (wine-2)
//! ```
//!
//! The join of the two streams is a mailbox. A [`ModelServer`] handles one message after the other,
//! so a new model falls between two batches of records and needs no lock; the state lives in the
//! actor, and a state query is one more message.

mod manager;
mod messages;
mod model_server;

use actix::{Actor as _, Addr, System};
use serving::{Answer, Context, ModelState, Pending, Records, StateQuery, Strategy};
use tokio::sync::mpsc;

pub use manager::ModelServerManager;
pub use model_server::ModelServer;

/// The strategy, for [`serving::launch`].
pub const STRATEGY: Strategy = Strategy {
    name: "actor",
    about: "Scores records with actors: one for each data type",
    port: 5500,
    run,
};

/// Records that are scored in one go at most.
const BATCH: usize = 1_000;

fn run(context: Context) -> anyhow::Result<()> {
    let Context {
        initial,
        mut updates,
        records,
        operators,
        queries,
    } = context;
    let (sender, mut batches) = mpsc::channel(1);
    let reading = std::thread::Builder::new()
        .name("records".to_owned())
        .spawn(move || read(records, &sender))?;
    System::new().block_on(async move {
        let manager = ModelServerManager::new(operators).start();
        queries.answer(Asked(manager.clone()));
        for model in initial {
            manager.send(messages::Stage(model)).await??;
        }
        // The answer to a batch is awaited before the next one is sent: a mailbox has no bound of
        // its own.
        loop {
            tokio::select! {
                biased;
                Some(model) = updates.recv() => manager.send(messages::Stage(model)).await??,
                batch = batches.recv() => match batch {
                    Some(batch) => manager.send(messages::Score(batch)).await??,
                    None => return Ok::<_, anyhow::Error>(()),
                },
            }
        }
    })?;
    match reading.join() {
        Ok(outcome) => Ok(outcome?),
        Err(_) => anyhow::bail!("the records thread panicked"),
    }
}

/// Reads records until told to stop, and then sees to it that what it read is finished.
fn read(mut records: Records, batches: &mpsc::Sender<Vec<Pending>>) -> Result<(), serving::Error> {
    let mut pending = Vec::new();
    while records.poll(&mut pending, BATCH, std::time::Duration::from_millis(100))? {
        if !pending.is_empty() && batches.blocking_send(std::mem::take(&mut pending)).is_err() {
            break;
        }
    }
    records.close();
    Ok(())
}

/// State queries are messages to the manager.
struct Asked(Addr<ModelServerManager>);

impl StateQuery for Asked {
    fn states(&self) -> Answer<Option<Vec<ModelState>>> {
        let answer = self.0.send(messages::GetStates);
        Box::pin(async move { answer.await.ok() })
    }
}
