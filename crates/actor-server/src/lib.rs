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
use configuration::Server;
use serving::{Answer, Context, ModelState, StateQuery, Strategy};
use tokio_stream::StreamExt as _;

pub use manager::ModelServerManager;
pub use model_server::ModelServer;

/// The strategy, for [`serving::launch`].
pub const STRATEGY: Strategy = Strategy {
    name: "actor",
    about: "Scores records with actors: one for each data type",
    port: 5500,
    reads_models: true,
    run,
};

fn run(context: Context, _: &Server) -> anyhow::Result<()> {
    let mut records = context.group.join()?;
    let mut updates = context.updates;
    System::new().block_on(async move {
        let manager = ModelServerManager::new(context.operators, context.delivery).start();
        context.queries.answer(Manager(manager.clone()));
        for model in context.initial {
            manager.send(messages::Stage(model)).await??;
        }
        // The answer to a batch is awaited before the next one is sent: a mailbox has no bound of
        // its own.
        loop {
            tokio::select! {
                biased;
                Some(model) = updates.next() => manager.send(messages::Stage(model)).await??,
                batch = records.next() => match batch {
                    Some(batch) => manager.send(messages::Score(batch)).await??,
                    None => return Ok(()),
                },
            }
        }
    })
}

/// State queries are messages to the manager.
struct Manager(Addr<ModelServerManager>);

impl StateQuery for Manager {
    fn states(&self) -> Answer<Option<Vec<ModelState>>> {
        let answer = self.0.send(messages::GetStates);
        Box::pin(async move { answer.await.ok() })
    }
}
