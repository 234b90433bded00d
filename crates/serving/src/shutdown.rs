use tokio::sync::watch;

/// The wish that everything ends in good order.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Sender<bool>,
}

impl Shutdown {
    /// Nobody has asked yet.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a default that nobody can request is no use"
    )]
    pub fn new() -> Self {
        Self {
            requested: watch::Sender::new(false),
        }
    }

    /// Asks for it.
    pub fn request(&self) {
        self.requested.send_replace(true);
    }

    /// Whether somebody has asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Waits until somebody asks.
    pub async fn requested(&self) {
        // The sender lives in this value, so that waiting cannot fail.
        let _ = self
            .requested
            .subscribe()
            .wait_for(|requested| *requested)
            .await;
    }
}
