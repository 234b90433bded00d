use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use configuration::{OnNoModel, Server};
use kafka::{Admin, Connection, TopicReader};
use tokio::sync::mpsc;

use crate::counters::Counters;
use crate::http::{Api, router};
use crate::models::Models;
use crate::partitions::Partitions;
use crate::readiness::Readiness;
use crate::topics::Topics;
use crate::tracker::Tracker;
use crate::{
    Answer, Delivery, Error, ModelState, Operator, Records, ServedModel, Shutdown, StateQuery,
    clock,
};

/// How long everything may take to end in good order after a signal.
const GRACE: Duration = Duration::from_millis(4_300);
/// How often a missing broker is reported.
const REPORT: Duration = Duration::from_secs(3);
/// Models that are loaded and not yet taken.
const MODELS_AHEAD: usize = 4;

/// A way to join records and models, as a value.
pub struct Strategy {
    /// Its name: of the consumer group, in the `ready` line, in dead letters.
    pub name: &'static str,
    /// What `--help` says of it.
    pub about: &'static str,
    /// The port of the state queries where `--http` names none.
    pub port: u16,
    /// Runs until [`Records::poll`] says to stop.
    pub run: fn(Context) -> anyhow::Result<()>,
}

/// What a strategy works with.
pub struct Context {
    /// The models to begin with: to be staged before the first record.
    pub initial: Vec<Arc<ServedModel>>,
    /// The models that come while it runs.
    pub updates: mpsc::Receiver<Arc<ServedModel>>,
    /// The records to score.
    pub records: Records,
    /// Makes what scores them.
    pub operators: Operators,
    /// Where the strategy says how to ask for its state.
    pub queries: Queries,
}

/// Makes operators: one for each data type, wherever the strategy wants it.
#[derive(Clone)]
pub struct Operators {
    delivery: Delivery,
    on_no_model: OnNoModel,
}

impl Operators {
    /// An operator without a model.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::new(self.delivery.clone(), self.on_no_model)
    }

    /// Whether records wait for the first model of their data type, each in its operator.
    #[must_use]
    pub fn wait_for_models(&self) -> bool {
        self.on_no_model == OnNoModel::Wait
    }
}

/// Where state queries are answered, once the strategy has said how.
#[derive(Clone, Default)]
pub struct Queries {
    query: Arc<OnceLock<Box<dyn StateQuery>>>,
}

impl Queries {
    /// From now on state queries are answered by `query`. Only the first call counts.
    pub fn answer(&self, query: impl StateQuery + 'static) {
        let _ = self.query.set(Box::new(query));
    }

    pub(crate) fn states(&self) -> Answer<Option<Vec<ModelState>>> {
        match self.query.get() {
            Some(query) => query.states(),
            None => Box::pin(async { Some(Vec::new()) }),
        }
    }
}

/// The `main` of a strategy: reads the settings, serves until SIGINT or SIGTERM, and says how it
/// went. Exit status 0 after a signal, 1 on failure, 2 on wrong usage.
#[must_use]
pub fn launch(strategy: &Strategy) -> ExitCode {
    let command = clap::Command::new(format!("{}-server", strategy.name))
        .about(strategy.about)
        .version(env!("CARGO_PKG_VERSION"));
    let settings: Server = configuration::load(command);
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        // Complaining on a standard error that is closed would panic.
        .log_internal_errors(false)
        .init();
    let shutdown = Shutdown::new();
    let outcome = on_signals(shutdown.clone())
        .map_err(Error::System)
        .and_then(|()| {
            let (name, brokers) = (strategy.name, settings.basics.brokers().to_owned());
            serve(strategy, settings, &shutdown, move |http| {
                let mut stderr = std::io::stderr();
                let _ = writeln!(stderr, "ready {name} brokers={brokers} http=http://{http}");
            })
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(
                std::io::stderr(),
                "error: {}",
                crate::dead_letter::chain(&error)
            );
            if error.is_usage() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// SIGINT and SIGTERM ask for the end; what has not ended in good order some seconds later is ended
/// without: nothing of it was committed, so that it comes again.
fn on_signals(shutdown: Shutdown) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _context = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                shutdown.request();
                tokio::time::sleep(GRACE).await;
                tracing::warn!(
                    "not everything ended in time; what was not committed will come again"
                );
                std::process::exit(0);
            });
        })?;
    Ok(())
}

/// Serves with this strategy until `shutdown` is requested. `ready` is called with the address of
/// the state queries once records are being scored.
///
/// # Errors
/// When it cannot start, or cannot go on.
pub fn serve(
    strategy: &Strategy,
    settings: Server,
    shutdown: &Shutdown,
    ready: impl FnOnce(SocketAddr) + Send + 'static,
) -> Result<(), Error> {
    let settings = Arc::new(settings);
    let decoder = model::decoder(&settings.record).map_err(|known| Error::UnknownSchema {
        name: settings.record.clone(),
        known: known.join(", "),
    })?;
    let connection = Connection {
        brokers: settings.basics.brokers().to_owned(),
        client_id: format!("{}-server", strategy.name),
        properties: settings.basics.properties.clone(),
    };
    connection.check()?;
    let listener = listen(settings.http.as_deref(), strategy.port)?;
    let address = listener.local_addr()?;
    let counters = Arc::new(Counters::new(strategy.name)?);
    let readiness = Arc::new(Readiness::new());
    let queries = Queries::default();
    let tracker = Arc::new(Tracker::default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("state-queries")
        .enable_all()
        .build()?;
    let api = Api {
        strategy: strategy.name,
        instance: address.to_string(),
        since_ms: clock::now_us() / 1000,
        counters: Arc::clone(&counters),
        readiness: Arc::clone(&readiness),
        queries: queries.clone(),
        address,
        tracker: Arc::clone(&tracker),
    };
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    runtime.spawn(async move { axum::serve(listener, router(api)).await });
    let reached = Arc::clone(&readiness);
    runtime.spawn(async move {
        reached.reached().await;
        ready(address);
    });

    if !wait_for_broker(&connection, &settings, shutdown)? {
        return Ok(());
    }
    let topics = Topics::new(Admin::open(&connection)?, Arc::clone(&settings));
    let delivery = Delivery::open(
        &connection,
        strategy.name,
        Arc::clone(&settings),
        topics,
        Arc::clone(&tracker),
        Arc::clone(&counters),
    )?;
    if !delivery.look_up_topics() {
        // Nothing to be assigned is an assignment too; the group is joined once there is a topic.
        readiness.is_assigned();
    }

    let mut models = Models::new(
        TopicReader::open(&connection, &settings.basics.models_topic)?,
        settings.basics.models_topic.clone(),
        Arc::clone(decoder.schema()),
        settings.outputs,
        delivery.clone(),
        Arc::clone(&counters),
        shutdown.clone(),
    );
    let Some(initial) = models.read_to_end()? else {
        return Ok(());
    };
    readiness.models_are_read();
    let group = settings.group.as_deref().unwrap_or(strategy.name);
    let partitions = Partitions::new(tracker, delivery.clone(), readiness);
    let records = Records::open(
        &connection,
        group,
        settings.basics.data_topic.clone(),
        decoder,
        partitions,
        counters,
        shutdown.clone(),
    )?;
    let (sender, updates) = mpsc::channel(MODELS_AHEAD);
    let stop = shutdown.clone();
    let following = thread::Builder::new()
        .name("models".to_owned())
        .spawn(move || {
            // Without new models there is no going on: whoever restarts us restores them.
            let _stop = StopOnDrop(stop);
            models.follow(&sender)
        })?;
    let operators = Operators {
        delivery: delivery.clone(),
        on_no_model: settings.on_no_model,
    };
    let context = Context {
        initial,
        updates,
        records,
        operators,
        queries,
    };
    let ran = (strategy.run)(context);
    shutdown.request();
    let followed = following
        .join()
        .map_err(|_| Error::Ended("the models thread panicked".into()));
    runtime.shutdown_timeout(Duration::from_millis(200));
    ran.map_err(|error| Error::Ended(format!("{error:#}")))?;
    followed??;
    // Closing the records has flushed. What is left are dead letters of models, or a broker that is
    // away; both come again.
    if let Err(error) = delivery.flush(Duration::from_millis(500)) {
        tracing::warn!("not everything was delivered: {error}");
    }
    Ok(())
}

/// Asks for the end when it is dropped, by a panic too.
struct StopOnDrop(Shutdown);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.request();
    }
}

fn listen(http: Option<&str>, port: u16) -> Result<TcpListener, Error> {
    let address = http.map_or_else(|| format!("127.0.0.1:{port}"), str::to_owned);
    if !address.contains(':') {
        return Err(Error::HttpSyntax { address });
    }
    let bound = TcpListener::bind(&address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|source| Error::Http { address, source })
}

/// Whether there is a broker now; `false` after a signal to stop.
fn wait_for_broker(
    connection: &Connection,
    settings: &Server,
    shutdown: &Shutdown,
) -> Result<bool, Error> {
    let timeout = settings.basics.broker_timeout.get();
    let mut reported = Duration::ZERO;
    let waited = kafka::wait_for_broker(connection, timeout, |waited| {
        if waited >= reported + REPORT {
            reported = waited;
            let brokers = &connection.brokers;
            let seconds = waited.as_secs();
            tracing::warn!("no broker at {brokers} yet; waiting, {seconds} s of {timeout:?}");
        }
        !shutdown.is_requested()
    });
    match waited {
        Err(kafka::Error::NoBroker { .. }) if shutdown.is_requested() => Ok(false),
        waited => Ok(waited.map(|()| true)?),
    }
}
