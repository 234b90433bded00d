use std::pin::Pin;
use std::task::{Context, Poll};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::ActivateCapability;
use timely::dataflow::operators::core::unordered_input::{UnorderedHandle, UnorderedInput as _};
use timely::dataflow::{Scope, StreamVec};
use tokio_stream::Stream;

use crate::Epoch;

/// An input of a worker's dataflow: what comes by an asynchronous stream enters at the current epoch.
pub(crate) struct Input<S, T: 'static> {
    source: Option<S>,
    handle: UnorderedHandle<Epoch, CapacityContainerBuilder<Vec<T>>>,
    /// What allows to send at the current epoch and later; nothing once the input is closed.
    epoch: Option<ActivateCapability<Epoch>>,
}

impl<S: Stream + Unpin, T: 'static> Input<S, T> {
    /// An input at epoch 0, and the stream that it makes in the dataflow.
    pub(crate) fn open<'scope>(
        scope: &Scope<'scope, Epoch>,
        source: Option<S>,
    ) -> (Self, StreamVec<'scope, Epoch, T>) {
        let ((handle, epoch), stream) = scope.new_unordered_input();
        let input = Self {
            source,
            handle,
            epoch: Some(epoch),
        };
        (input, stream)
    }

    /// Takes one thing that waits at the source and sends what it `becomes`. If nothing waits, the
    /// source will wake whoever the context names; if nothing will come, the input is closed.
    /// Returns whether something was sent.
    ///
    /// Without a source the input is closed here, and not earlier: while the dataflow is built, timely
    /// takes for granted that every worker may send.
    pub(crate) fn poll<I: IntoIterator<Item = T>>(
        &mut self,
        context: &mut Context<'_>,
        becomes: impl FnOnce(S::Item) -> I,
    ) -> bool {
        let Some(source) = &mut self.source else {
            self.close();
            return false;
        };
        match Pin::new(source).poll_next(context) {
            Poll::Ready(Some(item)) => {
                self.send(becomes(item));
                true
            }
            Poll::Ready(None) => {
                self.close();
                false
            }
            Poll::Pending => false,
        }
    }

    /// Sends at the current epoch.
    pub(crate) fn send(&mut self, items: impl IntoIterator<Item = T>) {
        if let Some(epoch) = &self.epoch {
            let mut session = self.handle.activate();
            session.session(epoch).give_iterator(items.into_iter());
        }
    }

    /// The epoch that is sent at; nothing once the input is closed.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.epoch.as_ref().map(|epoch| *epoch.time())
    }

    /// Ends the epochs before this one.
    pub(crate) fn advance_to(&mut self, next: Epoch) {
        if let Some(epoch) = &mut self.epoch
            && *epoch.time() < next
        {
            epoch.downgrade(&next);
        }
    }

    /// Ends all epochs.
    pub(crate) fn close(&mut self) {
        self.epoch = None;
        self.source = None;
    }
}
