//! The operator that records and models meet in.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use serving::{Batch, Operators, Outcomes, ServedModel};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::Operator as _;

use crate::Epoch;
use crate::in_process::InProcess;

/// After how many records it looks for models again: as many as are read in one go.
const RECORDS: usize = 4_000;

/// Scores the records that get here, by `pact`, with the models that have arrived here.
///
/// Each time it runs it takes all models, and then about as many records as a batch has: so a model
/// does not wait long, and falls between two batches, or parts of them.
///
/// Records are taken in the order in which they came in, whatever their epoch. (Timely's ready-made
/// operators sort what they find by epoch, and not stably.)
pub(crate) fn score<'scope>(
    records: StreamVec<'scope, Epoch, InProcess<Batch>>,
    pact: impl ParallelizationContract<Epoch, Vec<InProcess<Batch>>>,
    models: StreamVec<'scope, Epoch, InProcess<Arc<ServedModel>>>,
    operators: Rc<RefCell<Operators>>,
) -> StreamVec<'scope, Epoch, Outcomes> {
    let scope = records.scope();
    records.binary(models, pact, Pipeline, "Score", move |_, info| {
        let again = scope.activator_for(info.address);
        let mut waiting: VecDeque<(_, Batch)> = VecDeque::new();
        move |records, models, output| {
            let mut operators = operators.borrow_mut();
            models.for_each(|epoch, models| {
                for InProcess(model) in models.drain(..) {
                    let outcomes = operators.stage(model);
                    output.session(&epoch).give_iterator(outcomes.into_iter());
                }
            });
            records.for_each(|epoch, batches| {
                for InProcess(batch) in batches.drain(..) {
                    waiting.push_back((epoch.retain(0), batch));
                }
            });
            let mut taken = 0;
            while taken < RECORDS
                && let Some((epoch, batch)) = waiting.pop_front()
            {
                taken += batch.len();
                let outcomes = operators.score(batch);
                output.session(&epoch).give_iterator(outcomes.into_iter());
            }
            if !waiting.is_empty() {
                again.activate();
            }
        }
    })
}
