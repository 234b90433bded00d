//! The keyed strategy: records and models meet on the worker that owns their data type.
//!
//! ```text
//!  records (partitions 0, 1) ─▶ worker 0 ─┐ by data type ┌─▶ worker 0: models of wine, wine-3
//!                                         ├──────────────┤
//!  records (partitions 2, 3) ─▶ worker 1 ─┘              └─▶ worker 1: models of wine-2
//!  models ────────────────────▶ worker 0 ── by data type ──▶
//! ```
//!
//! The join of the two streams is an operator of a timely dataflow. A data type's current model and
//! its statistics are in one place only, the worker that its name is mapped to.

mod address_file;
mod score_file;

use std::path::Path;

use anyhow::Context as _;
use configuration::KeyedServer;
use dataflow::{Join, ModelRouting, RecordRouting};
use serving::{Context, Outcomes, Strategy};

use address_file::AddressFile;
use score_file::ScoreFile;

/// The strategy, for [`serving::launch`].
pub const STRATEGY: Strategy<KeyedServer> = Strategy {
    name: "keyed",
    about: "Scores records on the worker that owns their data type, and its model",
    port: 5502,
    reads_models: true,
    run,
};

const JOIN: Join = Join {
    records: RecordRouting::ByDataType,
    models: ModelRouting::ByDataType,
};

/// Where `model_state_query` looks for the address of the state queries.
const ADDRESS_FILE: &str = "keyed-server.id";

fn run(context: Context, settings: &KeyedServer) -> anyhow::Result<()> {
    let create = |path: &Path| {
        let named = || format!("cannot write scores to {} (--output)", path.display());
        ScoreFile::create(path).with_context(named)
    };
    let mut file = settings.output.as_deref().map(create).transpose()?;
    let _address = AddressFile::write(Path::new(ADDRESS_FILE), context.address);
    let write = move |outcomes: &Outcomes| {
        if let Some(file) = &mut file {
            file.write(outcomes);
        }
    };
    dataflow::run(context, settings.workers.get(), JOIN, write)?;
    Ok(())
}
