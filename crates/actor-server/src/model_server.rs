use actix::{Actor, Context, Handler};
use serving::{ModelState, Operator};

use crate::messages::{Delivered, GetState, Score, Stage};

/// Serves one data type: the current model, the next one and their statistics are its state.
pub struct ModelServer {
    operator: Operator,
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
    type Result = Delivered;

    fn handle(&mut self, Stage(model): Stage, _: &mut Self::Context) -> Delivered {
        self.operator.stage(model);
        Ok(())
    }
}

impl Handler<Score> for ModelServer {
    type Result = Delivered;

    fn handle(&mut self, Score(records): Score, _: &mut Self::Context) -> Delivered {
        self.operator.process(records);
        Ok(())
    }
}

impl Handler<GetState> for ModelServer {
    type Result = Option<ModelState>;

    fn handle(&mut self, _: GetState, _: &mut Self::Context) -> Self::Result {
        self.operator.state()
    }
}
