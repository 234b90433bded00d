use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serving::{Batch, Context, Progress, ServedModel};
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt as _;

use crate::State;

/// Records after which a batch is cut before its time.
const MOST_RECORDS: usize = 10_000;

/// What the union of the two streams brings.
enum Element {
    Model(Arc<ServedModel>),
    Records(Batch),
}

/// What is gathered until the next cut.
#[derive(Default)]
struct Gathered {
    /// The newest of each data type: those before it would not score anything.
    models: BTreeMap<Arc<str>, Arc<ServedModel>>,
    /// How many have come.
    models_seen: usize,
    records: Batch,
}

impl Gathered {
    fn add(&mut self, element: Element) {
        match element {
            Element::Model(model) => {
                let data_type = Arc::clone(&model.descriptor.data_type);
                self.models.insert(data_type, model);
                self.models_seen += 1;
            }
            Element::Records(records) => self.records.append(records),
        }
    }
}

/// What batches are run with, and what stays from one to the next.
struct Batches {
    state: State,
    progress: Progress,
}

pub(crate) fn run(context: Context, trigger: Duration) -> anyhow::Result<()> {
    let (asked, mut questions) = serving::questions();
    context.queries.answer(asked);
    let progress = Progress::default();
    context.queries.report(progress.clone());
    let mut batches = Batches {
        state: State {
            operators: context.operators,
            delivery: context.delivery,
        },
        progress,
    };
    for model in context.initial {
        batches.state.stage(model);
    }
    let records = context.group.join()?.map(Element::Records);
    let models = context.updates.map(Element::Model);
    let union = models.merge(records);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        tokio::pin!(union);
        let mut ticks = tokio::time::interval(trigger);
        // A batch that takes longer than the trigger does not make those after it shorter.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        while open {
            let mut gathered = Gathered::default();
            loop {
                tokio::select! {
                    biased;
                    Some(question) = questions.next() => question.answer(batches.state.operators.states()),
                    _ = ticks.tick() => break,
                    element = union.next() => match element {
                        Some(element) => gathered.add(element),
                        None => open = false,
                    },
                }
                if !open || gathered.records.len() >= MOST_RECORDS {
                    break;
                }
            }
            batches.run(gathered);
        }
    });
    Ok(())
}

impl Batches {
    /// Runs a batch: its models first, then its records in one go. Nothing in it: no batch.
    fn run(&mut self, gathered: Gathered) {
        let Gathered {
            models,
            models_seen,
            records,
        } = gathered;
        if models.is_empty() && records.is_empty() {
            return;
        }
        let running = self.progress.begin(models_seen, &records);
        for model in models.into_values() {
            self.state.stage(model);
        }
        self.state.score(records);
        running.end();
    }
}
