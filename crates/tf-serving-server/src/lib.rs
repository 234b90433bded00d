//! The tf-serving strategy: the models are elsewhere, in a server that speaks TensorFlow Serving's
//! protocol, and records are scored by calling it.
//!
//! ```text
//!                     ┌ lane "wine" ┐  64 requests at once
//!  records ──▶ by ──▶ │ waiting     │ ══▶ breaker ──▶ model server
//!          data type  │ slots, FIFO │ ◀══ answers        │ models
//!                     └─────┬───────┘                  NAME/1, NAME/2
//!                           └─▶ outcomes, in order ──▶ delivery
//! ```
//!
//! The two streams do not meet here: which model scores a record is decided where the models are.
//! What this strategy adds is what a call over a network needs: a bound of requests under way, time,
//! another try, and waiting while nobody answers.

mod backoff;
mod breaker;
mod caller;
mod dispatch;
mod grpc;
mod json;
mod lane;
mod protocol;
mod rest;

use std::num::NonZeroUsize;

use configuration::{OnNoModel, Outputs, TfServingServer};
use model::Detail;
use serving::{Context, Strategy};
use tokio::sync::Semaphore;

use crate::breaker::Levels;
use crate::caller::Caller;
use crate::dispatch::Dispatch;
use crate::grpc::Grpc;
use crate::lane::Terms;
use crate::protocol::Protocol;
use crate::rest::Rest;

/// The strategy, for [`serving::launch`].
pub const STRATEGY: Strategy<TfServingServer> = Strategy {
    name: "tf-serving",
    about: "Scores records by calling a server that speaks TensorFlow Serving's protocol",
    port: 5505,
    reads_models: false,
    run,
};

fn run(context: Context, settings: &TfServingServer) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let protocol: Box<dyn Protocol> = {
        let _context = runtime.enter();
        if settings.server.grpc {
            Box::new(Grpc::new(settings)?)
        } else {
            Box::new(Rest::new(settings))
        }
    };
    let server = settings.server.to_string();
    let metrics = context.metrics;
    let about = "The worst breaker of a model: 0: closed, 1: half open, 2: open";
    let breaker = metrics.gauge("breaker", about)?;
    let in_flight = settings.in_flight as usize;
    let caller = Caller {
        protocol,
        permits: Semaphore::new(in_flight),
        timeout: settings.request_timeout.get(),
        input: settings.input.clone(),
        signature: settings.signature.clone(),
        schema: context.schema,
        detail: match settings.shared.outputs {
            Outputs::Value => Detail::Value,
            Outputs::All => Detail::All,
        },
        requests: metrics.counter("requests_total", "Requests to the model server")?,
        retries: metrics.counter("retries_total", "Requests that were sent again")?,
        in_flight: metrics.gauge("requests_in_flight", "Requests under way")?,
    };
    let terms = Terms {
        size: NonZeroUsize::new(settings.batch_size as usize).unwrap_or(NonZeroUsize::MIN),
        delay: settings.batch_delay.get(),
        slots: in_flight,
        wait: settings.shared.on_no_model == OnNoModel::Wait,
        patience: settings.model_wait.get(),
        server,
        breakers: Levels::new(breaker),
    };
    let (asked, questions) = serving::questions();
    context.queries.answer(asked);
    let records = context.group.join()?;
    let dispatch = Dispatch::new(caller, terms, settings.model.clone(), context.delivery);
    runtime.block_on(dispatch.run(records, questions, context.shutdown));
    // Requests that hang are not waited for.
    runtime.shutdown_background();
    Ok(())
}
