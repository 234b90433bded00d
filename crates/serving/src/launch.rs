use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use configuration::{OnNoModel, Program, Server};
use kafka::{Admin, Connection, TopicReader};
use model::Schema;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::counters::Counters;
use crate::group::{Group, Terms, Threads};
use crate::http::{Api, router};
use crate::models::{self, Models};
use crate::readiness::Readiness;
use crate::topics::Topics;
use crate::tracker::Tracker;
use crate::{Delivery, Error, Metrics, Operators, Queries, ServedModel, Shutdown, clock};

/// How long everything may take to end in good order after a signal.
const GRACE: Duration = Duration::from_millis(4_300);
/// How often a missing broker is reported.
const REPORT: Duration = Duration::from_secs(3);
/// Models that are loaded and not yet taken.
const MODELS_AHEAD: usize = 4;

/// A way to join records and models, as a value.
pub struct Strategy<S = Server> {
    /// Its name: of the consumer group, in the `ready` line, in dead letters.
    pub name: &'static str,
    /// What `--help` says of it.
    pub about: &'static str,
    /// The port of the state queries where `--http` names none.
    pub port: u16,
    /// Whether it reads the models topic; if not, its models are elsewhere.
    pub reads_models: bool,
    /// Runs with these settings until the records end.
    pub run: fn(Context, &S) -> anyhow::Result<()>,
}

/// The settings of a strategy: those of every server, and its own.
pub trait Settings: Program + AsRef<Server> + Send + 'static {}

impl<S: Program + AsRef<Server> + Send + 'static> Settings for S {}

/// The models that come while a strategy runs.
pub type Updates = ReceiverStream<Arc<ServedModel>>;

/// What a strategy works with.
pub struct Context {
    /// The models to begin with: to be staged before the first record.
    pub initial: Vec<Arc<ServedModel>>,
    /// The models that come while it runs.
    pub updates: Updates,
    /// Where records come from.
    pub group: Group,
    /// What scores them.
    pub operators: Operators,
    /// Where outcomes go.
    pub delivery: Delivery,
    /// Where the strategy says how to ask for its state.
    pub queries: Queries,
    /// What it counts besides what every strategy counts.
    pub metrics: Metrics,
    /// The wish that it ends; the records end by it too, once they are taken.
    pub shutdown: Shutdown,
    /// The schema of the records.
    pub schema: Arc<Schema>,
    /// Where state queries are answered.
    pub address: SocketAddr,
}

/// The `main` of a strategy: reads the settings, serves until SIGINT or SIGTERM, and says how it
/// went. Exit status 0 after a signal, 1 on failure, 2 on wrong usage.
#[must_use]
pub fn launch<S: Settings>(strategy: &Strategy<S>) -> ExitCode {
    let command = clap::Command::new(format!("{}-server", strategy.name))
        .about(strategy.about)
        .version(env!("CARGO_PKG_VERSION"));
    let settings: S = configuration::load(command);
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
            let (name, brokers) = (strategy.name, settings.basics().brokers().to_owned());
            serve(strategy, &settings, &shutdown, move |http| {
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
pub fn serve<S: Settings>(
    strategy: &Strategy<S>,
    own: &S,
    shutdown: &Shutdown,
    ready: impl FnOnce(SocketAddr) + Send + 'static,
) -> Result<(), Error> {
    let settings = Arc::new(own.as_ref().clone());
    let decoder = model::decoder(&settings.record).map_err(|known| Error::UnknownSchema {
        name: settings.record.clone(),
        known: known.join(", "),
    })?;
    let locations = models::locations(&settings.locations)?;
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

    let mut models = if strategy.reads_models {
        Some(Models::new(
            TopicReader::open(&connection, &settings.basics.models_topic)?,
            &settings,
            locations,
            Arc::clone(decoder.schema()),
            delivery.clone(),
            Arc::clone(&counters),
            shutdown.clone(),
        ))
    } else {
        None
    };
    let initial = match &mut models {
        Some(models) => models.read_to_end()?,
        None => Some(Vec::new()),
    };
    let Some(initial) = initial else {
        return Ok(());
    };
    readiness.models_are_read();
    let group = settings.group.as_deref().unwrap_or(strategy.name);
    let (group, threads) = Group::new(Terms {
        connection,
        group: group.to_owned(),
        topic: settings.basics.data_topic.clone(),
        schema: settings.record.clone(),
        delivery: delivery.clone(),
        tracker: Arc::clone(&tracker),
        counters: Arc::clone(&counters),
        readiness,
        shutdown: shutdown.clone(),
    });
    let (sender, updates) = mpsc::channel(MODELS_AHEAD);
    let stop = shutdown.clone();
    let follow = |mut models: Models| {
        thread::Builder::new()
            .name("models".to_owned())
            .spawn(move || {
                // Without new models there is no going on: whoever restarts us restores them.
                let _stop = StopOnDrop(stop);
                models.follow(&sender)
            })
    };
    let following = models.map(follow).transpose()?;
    let wait_for_models = settings.on_no_model == OnNoModel::Wait;
    let context = Context {
        initial,
        updates: ReceiverStream::new(updates),
        group,
        operators: Operators::new(tracker, wait_for_models),
        delivery: delivery.clone(),
        queries,
        metrics: Metrics::new(counters),
        shutdown: shutdown.clone(),
        schema: Arc::clone(decoder.schema()),
        address,
    };
    let run = AssertUnwindSafe(|| (strategy.run)(context, own));
    let ran = catch_unwind(run).unwrap_or_else(|_| Err(anyhow::anyhow!("the strategy panicked")));
    shutdown.request();
    let read = joined(&threads, "records");
    let followed = following.map_or(Ok(()), |thread| join(thread, "models"));
    runtime.shutdown_timeout(Duration::from_millis(200));
    ran.map_err(|error| Error::Ended(format!("{error:#}")))?;
    read?;
    followed?;
    // Closing the records has drained. What is left are dead letters of models, or a broker that is
    // away; both come again.
    if let Err(error) = delivery.flush(Duration::from_millis(500)) {
        tracing::warn!("not everything was delivered: {error}");
    }
    Ok(())
}

fn join(thread: JoinHandle<Result<(), Error>>, name: &str) -> Result<(), Error> {
    thread
        .join()
        .unwrap_or_else(|_| Err(Error::Ended(format!("the {name} thread panicked"))))
}

/// How the threads ended: all of them are waited for, and the first failure counts.
fn joined(threads: &Threads, name: &str) -> Result<(), Error> {
    let threads = std::mem::take(&mut *threads.lock().unwrap_or_else(PoisonError::into_inner));
    let ends: Vec<_> = threads
        .into_iter()
        .map(|thread| join(thread, name))
        .collect();
    ends.into_iter().collect()
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
