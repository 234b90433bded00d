//! The custom-stage strategy: one hand-written stream stage with two inputs and one output.
//!
//! ```text
//!  models ───▶ ┌──────────────┐
//!              │ ModelServing │ ───▶ outcomes ───▶ delivery
//!  records ──▶ └──────────────┘
//!                     ▲
//!                state queries
//! ```
//!
//! The join of the two streams is a function, [`ModelServing::poll_next`]: it is called when there
//! is demand for outcomes, and looks for models before it looks for records. The state lives in the
//! stage; what is left of the stage when the stream runs is a handle that answers state queries.
//!
//! [`ModelServing::poll_next`]: tokio_stream::Stream::poll_next

mod stage;

use configuration::Server;
use serving::{Context, Strategy};
use tokio_stream::StreamExt as _;

pub use stage::ModelServing;

/// The strategy, for [`serving::launch`].
pub const STRATEGY: Strategy = Strategy {
    name: "custom-stage",
    about: "Scores records in one stream stage: models and records in, scores out",
    port: 5501,
    reads_models: true,
    run,
};

fn run(context: Context, _: &Server) -> anyhow::Result<()> {
    let records = context.group.join()?;
    let models = tokio_stream::iter(context.initial).chain(context.updates);
    let (mut outcomes, state) = ModelServing::new(models, records, context.operators);
    context.queries.answer(state);
    let mut delivery = context.delivery;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        // To ask for the next outcomes is the demand that the stage works by.
        while let Some(outcomes) = outcomes.next().await {
            delivery.deliver(outcomes);
        }
    });
    Ok(())
}
