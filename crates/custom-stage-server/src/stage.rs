use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use serving::{Asked, Batch, Operators, Outcomes, Questions, ServedModel};
use tokio_stream::Stream;

/// A stage with two inputs, models and records, and one output, their outcomes.
///
/// It works on demand: each call of `poll_next` takes the models that wait, and then at most one
/// batch of records. Between two calls it does nothing, so whoever takes its outcomes slowly slows
/// it down, and with it the records. It ends with the records.
pub struct ModelServing<M, R> {
    models: M,
    records: R,
    operators: Operators,
    questions: Questions,
}

impl<M, R> ModelServing<M, R> {
    /// The stage, and the handle that asks it for its state while it runs.
    #[must_use]
    pub fn new(models: M, records: R, operators: Operators) -> (Self, Asked) {
        let (asked, questions) = serving::questions();
        let stage = Self {
            models,
            records,
            operators,
            questions,
        };
        (stage, asked)
    }
}

impl<M, R> Stream for ModelServing<M, R>
where
    M: Stream<Item = Arc<ServedModel>> + Unpin,
    R: Stream<Item = Batch> + Unpin,
{
    type Item = Vec<Outcomes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stage = self.get_mut();
        while let Poll::Ready(Some(question)) = Pin::new(&mut stage.questions).poll_next(context) {
            question.answer(stage.operators.states());
        }
        // Models first: a record that waits while a new model waits is scored with the new one.
        while let Poll::Ready(Some(model)) = Pin::new(&mut stage.models).poll_next(context) {
            let outcomes = stage.operators.stage(model);
            if !outcomes.is_empty() {
                return Poll::Ready(Some(outcomes));
            }
        }
        let batch = ready!(Pin::new(&mut stage.records).poll_next(context));
        Poll::Ready(batch.map(|batch| stage.operators.score(batch)))
    }
}
