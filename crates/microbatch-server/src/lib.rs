//! The micro-batch strategy: both streams in one union, cut into batches by time and size; or, with
//! `--trigger continuous`, no batches and no union.
//!
//! ```text
//!  models ───┐                       ┌─ models ──▶ operators
//!            ├─▶ union ──▶ batch ──▶ │                 │ state
//!  records ──┘     500 ms or full    └─ records ─▶ operators ──▶ delivery
//! ```
//!
//! The join of the two streams is the batch: its models come first, and then its records are scored
//! in one go. Nothing is scored before its batch is cut, which is what the strategy shows: few large
//! steps instead of many small ones, at the price of waiting. The state is kept per data type from
//! one batch to the next.

mod batches;
mod continuous;

use std::sync::Arc;

use configuration::{MicrobatchServer, Trigger};
use serving::{Batch, Context, Delivery, Operators, ServedModel, Strategy};

/// The strategy, for [`serving::launch`].
pub const STRATEGY: Strategy<MicrobatchServer> = Strategy {
    name: "microbatch",
    about: "Scores records in batches, cut by time and size; or as they come",
    port: 5504,
    reads_models: true,
    run,
};

fn run(context: Context, settings: &MicrobatchServer) -> anyhow::Result<()> {
    match settings.trigger {
        Trigger::Every(interval) => batches::run(context, interval.get()),
        Trigger::Continuous => continuous::run(context),
    }
}

/// The state of the stream, and where what it says of records goes.
struct State {
    operators: Operators,
    delivery: Delivery,
}

impl State {
    fn stage(&mut self, model: Arc<ServedModel>) {
        self.delivery.deliver(self.operators.stage(model));
    }

    fn score(&mut self, records: Batch) {
        self.delivery.deliver(self.operators.score(records));
    }
}
