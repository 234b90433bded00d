use actix::{Actor, Context, Handler};
use serving::{Delivery, ModelState, Operator};

use crate::messages::{GetState, Heard, Score, Stage};

/// Serves one data type: the current model, the next one and their statistics are its state.
pub struct ModelServer {
    operator: Operator,
    delivery: Delivery,
}

impl ModelServer {
    pub(crate) fn new(operator: Operator, delivery: Delivery) -> Self {
        Self { operator, delivery }
    }
}

impl Actor for ModelServer {
    type Context = Context<Self>;
}

impl Handler<Stage> for ModelServer {
    type Result = Heard;

    fn handle(&mut self, Stage(model): Stage, _: &mut Self::Context) -> Heard {
        self.delivery.deliver(self.operator.stage(model));
        Ok(())
    }
}

impl Handler<Score> for ModelServer {
    type Result = Heard;

    fn handle(&mut self, Score(batch): Score, _: &mut Self::Context) -> Heard {
        self.delivery.deliver(self.operator.score(batch));
        Ok(())
    }
}

impl Handler<GetState> for ModelServer {
    type Result = Option<ModelState>;

    fn handle(&mut self, _: GetState, _: &mut Self::Context) -> Self::Result {
        self.operator.state()
    }
}
