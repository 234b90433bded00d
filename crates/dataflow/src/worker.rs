use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

use serving::{Delivery, Operators, Outcomes, Questions, Records, ServedModel, Updates};
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Probe as _;
use timely::dataflow::operators::probe;
use tokio_stream::Stream as _;

use crate::delivering::deliver;
use crate::in_process::InProcess;
use crate::input::Input;
use crate::routing::owner_of;
use crate::scoring::score;
use crate::{Epoch, Join, RecordRouting};

/// Models that have been taken in and may not have arrived everywhere yet.
const MODELS_UNDER_WAY: Epoch = 4;

/// What a worker works with.
pub(crate) struct Worker<F> {
    pub(crate) join: Join,
    /// The records of the partitions that are this worker's.
    pub(crate) records: Records,
    /// The models to begin with, and those that come: one worker takes them in for all.
    pub(crate) models: Option<(Vec<Arc<ServedModel>>, Updates)>,
    pub(crate) questions: Questions,
    pub(crate) operators: Operators,
    pub(crate) delivery: Delivery,
    /// Sees outcomes before they are delivered.
    pub(crate) seen: F,
}

impl<F: FnMut(&Outcomes) + 'static> Worker<F> {
    /// Works until the records end and everything under way has been delivered, or until another
    /// worker has failed.
    pub(crate) fn run(self, allocator: Allocator, failed: &AtomicBool) {
        // Without a start of time timely would never park.
        let start = Some(Instant::now());
        let mut timely = timely::worker::Worker::new(WorkerConfig::default(), allocator, start);
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut questions = self.questions;
        let operators = Rc::new(RefCell::new(self.operators));
        let (initial, updates) = self.models.unzip();

        let (mut records, mut models, arrived) = timely.dataflow(|scope| {
            let (records, records_in) = Input::open(&scope, Some(self.records));
            let (models, models_in) = Input::open(&scope, updates);
            let arrived = probe::Handle::new();
            let models_in = self.join.models.route(models_in).probe_with(&arrived);
            let operators = Rc::clone(&operators);
            let outcomes = match self.join.records {
                RecordRouting::Stay => score(records_in, Pipeline, models_in, operators),
                RecordRouting::ByDataType => {
                    score(records_in, Exchange::new(owner_of), models_in, operators)
                }
            };
            deliver(outcomes, self.delivery, self.seen);
            (records, models, arrived)
        });

        models.send(initial.into_iter().flatten().map(InProcess));
        models.advance_to(1);
        while !failed.load(Ordering::Relaxed) {
            while let Poll::Ready(Some(question)) = Pin::new(&mut questions).poll_next(&mut context)
            {
                question.answer(operators.borrow().states());
            }
            // The epoch that has not arrived everywhere yet; nothing once no more models will come.
            let arriving = arrived.with_frontier(|frontier| frontier.first().copied());
            while let Some(epoch) = models.epoch()
                && arriving.is_none_or(|arriving| epoch < arriving + MODELS_UNDER_WAY)
                && models.poll(&mut context, |model| [InProcess(model)])
            {
                models.advance_to(epoch + 1);
            }
            // Records wait until the models to begin with are where they belong. Then one batch at
            // a time, so that models and questions come between two batches.
            if arriving != Some(0) {
                records.advance_to(arriving.unwrap_or_default());
                records.poll(&mut context, |batch| self.join.records.parts(batch));
            }
            if records.epoch().is_none() {
                models.close();
            }
            if !timely.step_or_park(None) {
                break;
            }
        }
    }
}

/// Unparks a worker, which then looks at its inputs.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
