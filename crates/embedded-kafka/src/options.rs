use std::time::Duration;

/// How a broker listens, what it keeps and where its limits are.
///
/// Every field has a default, so a test writes
/// `Options { listen: "127.0.0.1:0".into(), ..Options::default() }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Address to listen on, `HOST:PORT`; port 0 takes any free port. Default `127.0.0.1:9092`.
    pub listen: String,
    /// Address told to clients, `HOST` or `HOST:PORT`. Without it, clients are told the host of
    /// `listen`; if that is a wildcard such as `0.0.0.0`, each is told the address it reached.
    pub advertise: Option<String>,
    /// Partitions of a topic that is created without saying how many. Default 1.
    pub partitions: i32,
    /// Whether a client that asks for a topic nobody created may create it so. Default true.
    pub auto_create_topics: bool,
    /// Bytes of records that all trimmable partitions may hold together; beyond it the oldest
    /// records of the largest ones go. Partitions with unlimited retention (`retention.ms=-1` and
    /// `retention.bytes=-1`) have a limit of their own; those with `cleanup.policy=compact` are
    /// not trimmed. Default 2 GiB.
    pub memory: u64,
    /// Bytes of records that the partitions with unlimited retention may hold together before
    /// even the oldest of theirs go: a broker that keeps everything in memory cannot do so for
    /// ever. Default 2 GiB.
    pub unlimited_memory: u64,
    /// Age of records beyond which they may go (`retention.ms`); `None` keeps them. Default 7 days.
    pub retention: Option<Duration>,
    /// Bytes a partition keeps (`retention.bytes`); `None` leaves it to `memory`. Default `None`.
    pub retention_bytes: Option<u64>,
    /// How often ages are looked at. Default 1 s.
    pub retention_check_interval: Duration,
    /// Largest record batch, as compressed, in bytes (`max.message.bytes`). Default 18 MiB: a
    /// message of 16 MiB with its headers, and a dead letter around it.
    pub max_message_bytes: i32,
    /// Largest produce request in bytes; every other request may have 2 MiB. Default 100 MiB.
    pub max_request_bytes: usize,
    /// Connections served at once; more are closed when they arrive. Default 10,000.
    pub max_connections: usize,
    /// A connection that sends nothing, or reads nothing, for so long is closed. Default 10 min.
    pub idle_timeout: Duration,
    /// Topics' partitions in all; more are refused. Default 20,000.
    pub max_partitions: usize,
    /// Consumer groups in all; more are refused. Default 10,000.
    pub max_groups: usize,
    /// Members of one consumer group; more are refused. Default 1,000.
    pub max_group_members: usize,
    /// How long the first rebalance of an empty group waits for more members. Default 0.
    pub group_initial_rebalance_delay: Duration,
    /// Shortest session timeout a group member may ask for. Default 100 ms.
    pub min_session_timeout: Duration,
    /// Longest session timeout a group member may ask for. Default 30 min.
    pub max_session_timeout: Duration,
    /// How long a group without members keeps its offsets. Default 7 days.
    pub offset_retention: Duration,
    /// How long the sequence of an idle idempotent producer is remembered. Default 1 day.
    pub producer_retention: Duration,
    /// Threads that serve; 0 takes as many as the machine has cores, at most 4. Default 0.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: "127.0.0.1:9092".to_owned(),
            advertise: None,
            partitions: 1,
            auto_create_topics: true,
            memory: 2 << 30,
            unlimited_memory: 2 << 30,
            retention: Some(Duration::from_hours(7 * 24)),
            retention_bytes: None,
            retention_check_interval: Duration::from_secs(1),
            max_message_bytes: 18 << 20,
            max_request_bytes: 100 << 20,
            max_connections: 10_000,
            idle_timeout: Duration::from_mins(10),
            max_partitions: 20_000,
            max_groups: 10_000,
            max_group_members: 1_000,
            group_initial_rebalance_delay: Duration::ZERO,
            min_session_timeout: Duration::from_millis(100),
            max_session_timeout: Duration::from_mins(30),
            offset_retention: Duration::from_hours(7 * 24),
            producer_retention: Duration::from_hours(24),
            threads: 0,
        }
    }
}
