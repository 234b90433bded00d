use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::state::merge;
use crate::{ModelState, Progress};

/// An answer that comes later.
pub type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Asks a strategy, or a part of it, for its state, wherever that lives. `None`: it does not answer.
pub trait StateQuery: Send + Sync {
    /// The states of all data types that have a model there.
    fn states(&self) -> Answer<Option<Vec<ModelState>>>;
}

/// Where state queries are answered, once the strategy has said how.
#[derive(Clone, Default)]
pub struct Queries {
    parts: Arc<Mutex<Vec<Arc<dyn StateQuery>>>>,
    progress: Arc<OnceLock<Progress>>,
}

impl Queries {
    /// From now on state queries are answered by `query` too. Where the state has several parts,
    /// what they say of the same data type is put together.
    pub fn answer(&self, query: impl StateQuery + 'static) {
        self.parts().push(Arc::new(query));
    }

    /// From now on `GET /progress` is answered.
    pub fn report(&self, progress: Progress) {
        // Only the first one counts.
        let _ = self.progress.set(progress);
    }

    pub(crate) fn progress(&self) -> Option<&Progress> {
        self.progress.get()
    }

    /// What all parts say; nothing if one of them does not answer.
    pub(crate) async fn states(&self) -> Option<Vec<ModelState>> {
        let answers: Vec<_> = self.parts().iter().map(|part| part.states()).collect();
        let mut states = Vec::new();
        for answer in answers {
            states.extend(answer.await?);
        }
        Some(merge(states))
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Arc<dyn StateQuery>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question for the state, to be answered by whoever owns it.
pub struct Question(oneshot::Sender<Vec<ModelState>>);

impl Question {
    /// Answers it.
    pub fn answer(self, states: Vec<ModelState>) {
        // Whoever asked may have given up.
        let _ = self.0.send(states);
    }
}

/// The questions for the state of one owner: one more input beside records and models.
pub type Questions = ReceiverStream<Question>;

/// Asks the one who has the [`Questions`].
pub struct Asked(mpsc::Sender<Question>);

/// Questions, and who asks them.
#[must_use]
pub fn questions() -> (Asked, Questions) {
    let (sender, questions) = mpsc::channel(16);
    (Asked(sender), ReceiverStream::new(questions))
}

impl StateQuery for Asked {
    fn states(&self) -> Answer<Option<Vec<ModelState>>> {
        let asked = self.0.clone();
        Box::pin(async move {
            let (question, answer) = oneshot::channel();
            asked.send(Question(question)).await.ok()?;
            answer.await.ok()
        })
    }
}
