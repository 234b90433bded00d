use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, ResponseFuture};
use serving::{Delivery, ModelState, Operator, Operators};

use crate::ModelServer;
use crate::messages::{GetState, GetStates, Heard, Score, Stage};

/// The single entry: it keeps a [`ModelServer`] for each data type and hands every message to the
/// one that it is for.
pub struct ModelServerManager {
    servers: BTreeMap<Arc<str>, Addr<ModelServer>>,
    operators: Operators,
    delivery: Delivery,
    /// For records whose data type has no model and that nobody waits with: data types come from
    /// outside, so they get no actor before they get a model.
    unserved: Operator,
}

impl ModelServerManager {
    pub(crate) fn new(operators: Operators, delivery: Delivery) -> Self {
        Self {
            servers: BTreeMap::new(),
            unserved: operators.operator(),
            operators,
            delivery,
        }
    }

    fn server(&mut self, data_type: &Arc<str>) -> Addr<ModelServer> {
        let server = || ModelServer::new(self.operators.operator(), self.delivery.clone());
        self.servers
            .entry(Arc::clone(data_type))
            .or_insert_with(|| server().start())
            .clone()
    }
}

impl Actor for ModelServerManager {
    type Context = Context<Self>;
}

impl Handler<Stage> for ModelServerManager {
    type Result = ResponseFuture<Heard>;

    fn handle(&mut self, Stage(model): Stage, _: &mut Self::Context) -> Self::Result {
        let staged = self.server(&model.descriptor.data_type).send(Stage(model));
        Box::pin(async move { staged.await? })
    }
}

impl Handler<Score> for ModelServerManager {
    type Result = ResponseFuture<Heard>;

    fn handle(&mut self, Score(batch): Score, _: &mut Self::Context) -> Self::Result {
        let mut scored = Vec::new();
        for (data_type, batch) in batch.by_data_type() {
            if self.servers.contains_key(&data_type) || self.operators.wait_for_models() {
                scored.push(self.server(&data_type).send(Score(batch)));
            } else {
                self.delivery.deliver(self.unserved.score(batch));
            }
        }
        Box::pin(async move {
            for answer in scored {
                answer.await??;
            }
            Ok(())
        })
    }
}

impl Handler<GetStates> for ModelServerManager {
    type Result = ResponseFuture<Vec<ModelState>>;

    fn handle(&mut self, _: GetStates, _: &mut Self::Context) -> Self::Result {
        let answers: Vec<_> = self
            .servers
            .values()
            .map(|server| server.send(GetState))
            .collect();
        Box::pin(async move {
            let mut states = Vec::new();
            for answer in answers {
                states.extend(answer.await.ok().flatten());
            }
            states
        })
    }
}
