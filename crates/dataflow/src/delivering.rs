//! The operator that outcomes end in.

use serving::{Delivery, Outcomes};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator as _;

use crate::Epoch;

/// Shows outcomes to `seen` and delivers them. It waits while the sink is slow, and with it the
/// worker.
pub(crate) fn deliver(
    outcomes: StreamVec<'_, Epoch, Outcomes>,
    mut delivery: Delivery,
    mut seen: impl FnMut(&Outcomes) + 'static,
) {
    outcomes.sink(Pipeline, "Deliver", move |(outcomes, _)| {
        outcomes.for_each(|_, outcomes| {
            outcomes.iter().for_each(&mut seen);
            delivery.deliver(outcomes.drain(..));
        });
    });
}
