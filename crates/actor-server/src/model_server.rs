use std::sync::Arc;

use actix::{Actor, Context, Handler, Message};
use serving::{ModelState, Operator, Pending, ServedModel};

/// Serves one data type: the current model, the next one and their statistics are its state.
pub struct ModelServer {
    operator: Operator,
}

/// A new model for this data type.
pub(crate) struct Stage(pub(crate) Arc<ServedModel>);

impl Message for Stage {
    type Result = ();
}

/// Records of this data type.
pub(crate) struct Score(pub(crate) Vec<Pending>);

impl Message for Score {
    type Result = ();
}

/// Which model serves, and how it does.
pub(crate) struct GetState;

impl Message for GetState {
    type Result = Option<ModelState>;
}

impl ModelServer {
    pub(crate) fn new(operator: Operator) -> Self {
        Self { operator }
    }
}

impl Actor for ModelServer {
    type Context = Context<Self>;
}

impl Handler<Stage> for ModelServer {
    type Result = ();

    fn handle(&mut self, Stage(model): Stage, _: &mut Self::Context) {
        self.operator.stage(model);
    }
}

impl Handler<Score> for ModelServer {
    type Result = ();

    fn handle(&mut self, Score(records): Score, _: &mut Self::Context) {
        self.operator.process(records);
    }
}

impl Handler<GetState> for ModelServer {
    type Result = Option<ModelState>;

    fn handle(&mut self, _: GetState, _: &mut Self::Context) -> Self::Result {
        self.operator.state()
    }
}
