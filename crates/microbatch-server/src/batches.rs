use std::sync::Arc;
use std::time::Duration;

use serving::{Batch, Context, Delivery, Operators, Progress, ServedModel};
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt as _;

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
    models: Vec<Arc<ServedModel>>,
    records: Batch,
}

/// What batches are run with, and what stays from one to the next.
struct Batches {
    operators: Operators,
    delivery: Delivery,
    progress: Progress,
}

pub(crate) fn run(context: Context, trigger: Duration) -> anyhow::Result<()> {
    let records = context.group.join()?.map(Element::Records);
    let models = context.updates.map(Element::Model);
    let union = models.merge(records);
    let (asked, mut questions) = serving::questions();
    context.queries.answer(asked);
    let progress = Progress::default();
    context.queries.report(progress.clone());
    let mut batches = Batches {
        operators: context.operators,
        delivery: context.delivery,
        progress,
    };
    for model in context.initial {
        batches.stage(model);
    }
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
                    Some(question) = questions.next() => question.answer(batches.operators.states()),
                    _ = ticks.tick() => break,
                    element = union.next() => match element {
                        Some(Element::Model(model)) => gathered.models.push(model),
                        Some(Element::Records(records)) => gathered.records.append(records),
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
    fn run(&mut self, Gathered { models, records }: Gathered) {
        if models.is_empty() && records.is_empty() {
            return;
        }
        let running = self.progress.begin(models.len(), &records);
        for model in models {
            self.stage(model);
        }
        self.delivery.deliver(self.operators.score(records));
        running.end();
    }

    fn stage(&mut self, model: Arc<ServedModel>) {
        self.delivery.deliver(self.operators.stage(model));
    }
}
