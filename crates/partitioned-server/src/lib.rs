//! The partitioned strategy: records stay on the worker that reads them, models go to every worker.
//!
//! ```text
//!                        ┌─▶ worker 0: every model ◀── records of partitions 0, 1
//!  models ── broadcast ──┤
//!                        └─▶ worker 1: every model ◀── records of partitions 2, 3
//! ```
//!
//! The join of the two streams is an operator of a timely dataflow. Each worker has a current model
//! of each data type and the statistics of its own part of the records; a state query asks all
//! workers and puts together what they say.

use configuration::PartitionedServer;
use dataflow::{Join, ModelRouting, RecordRouting};
use serving::{Context, Strategy};

/// The strategy, for [`serving::launch`].
pub const STRATEGY: Strategy<PartitionedServer> = Strategy {
    name: "partitioned",
    about: "Scores records on the worker that reads their partition; every worker has every model",
    port: 5503,
    reads_models: true,
    run,
};

const JOIN: Join = Join {
    records: RecordRouting::Stay,
    models: ModelRouting::Broadcast,
};

fn run(context: Context, settings: &PartitionedServer) -> anyhow::Result<()> {
    dataflow::run(context, settings.workers.get(), JOIN, |_| {})?;
    Ok(())
}
