use std::sync::Arc;

use actix::{MailboxError, Message};
use serving::{Batch, ModelState, ServedModel};

/// Whether the server that a message is for is still there. One that is not has panicked, which is
/// not to go unnoticed.
pub(crate) type Heard = Result<(), MailboxError>;

/// A new model for its data type.
pub(crate) struct Stage(pub(crate) Arc<ServedModel>);

impl Message for Stage {
    type Result = Heard;
}

/// Records to score: of any data type for the manager, of its own for a server. The answer comes
/// when their outcomes are on their way.
pub(crate) struct Score(pub(crate) Batch);

impl Message for Score {
    type Result = Heard;
}

/// Asks the manager which models serve, and how they do.
pub(crate) struct GetStates;

impl Message for GetStates {
    type Result = Vec<ModelState>;
}

/// Asks a server which model it has, and how it does.
pub(crate) struct GetState;

impl Message for GetState {
    type Result = Option<ModelState>;
}
