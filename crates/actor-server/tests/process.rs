//! The program as a user meets it: flags, exit status, signals, and a broker that goes and comes.
#![expect(
    clippy::unwrap_used,
    reason = "what a test needs and does not get is a failure"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use embedded_kafka::{Broker, Options};

const PATIENCE: Duration = Duration::from_secs(60);

/// The program, with its standard error line by line.
struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_actor-server"));
        // What the one who tests has set for himself.
        for (name, _) in std::env::vars_os() {
            let ours = name.to_string_lossy().starts_with("MODEL_SERVING_");
            if ours || name == "KAFKA_BROKERS" || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for a line on standard error with this in it.
    fn says(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no line with `{text}` ({error}), but {seen:#?}"),
            }
        }
    }

    fn signal(&self, name: &str) {
        // The shell's own: not every machine has a program of that name.
        let kill = format!("kill -s {name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success());
    }

    fn ends(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut stdout = String::new();
                self.child
                    .stdout
                    .take()
                    .unwrap()
                    .read_to_string(&mut stdout)
                    .unwrap();
                return (status, stdout);
            }
            assert!(Instant::now() < deadline, "the program does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing to do where it has ended already.
        let _ = self.child.kill();
    }
}

fn broker() -> Broker {
    Broker::start(Options {
        listen: "127.0.0.1:0".into(),
        ..Options::default()
    })
    .unwrap()
}

#[test]
fn one_line_says_that_it_is_ready_and_a_signal_ends_it_in_good_order() {
    let broker = broker();
    let brokers = broker.bootstrap();
    for signal in ["INT", "TERM"] {
        let program = Program::start(&["--brokers", &brokers, "--http", "127.0.0.1:0"], &[]);
        program.says("the records topic does not exist yet");
        let line = program.says("ready");
        let start = format!("ready actor brokers={brokers} http=http://127.0.0.1:");
        assert!(line.starts_with(&start), "{line}");
        create_topics(&brokers);
        program.says("partitions assigned");
        let signalled = Instant::now();
        program.signal(signal);
        assert_eq!(program.ends().0.code(), Some(0), "{signal}");
        assert!(
            signalled.elapsed() < Duration::from_secs(6),
            "{signal}: within five seconds"
        );
        delete_topics(&brokers);
    }
}

fn admin(brokers: &str) -> kafka::Admin {
    let brokers = brokers.to_owned();
    kafka::Admin::open(&kafka::Connection {
        brokers,
        ..Default::default()
    })
    .unwrap()
}

fn create_topics(brokers: &str) {
    for (name, partitions) in [("models_data", 4), ("models_models", 1)] {
        let spec = kafka::TopicSpec {
            name: name.to_owned(),
            partitions,
            config: Vec::new(),
        };
        admin(brokers).ensure_topic(&spec).unwrap();
    }
}

fn delete_topics(brokers: &str) {
    for name in ["models_data", "models_models"] {
        admin(brokers).delete_topic(name).unwrap();
    }
}

#[test]
fn without_a_broker_it_says_so_and_gives_up_with_status_1() {
    // Port 1 is nobody's.
    let arguments = [
        "--brokers",
        "127.0.0.1:1",
        "--http",
        "127.0.0.1:0",
        "--broker-timeout",
        "5s",
    ];
    let program = Program::start(&arguments, &[]);
    program.says("no broker at 127.0.0.1:1 yet");
    program.says("error: no broker at 127.0.0.1:1");
    assert_eq!(program.ends().0.code(), Some(1));
}

#[test]
fn a_signal_is_heard_while_it_waits_for_a_broker() {
    let program = Program::start(&["--brokers", "127.0.0.1:1", "--http", "127.0.0.1:0"], &[]);
    program.says("no broker at 127.0.0.1:1 yet");
    program.signal("TERM");
    assert_eq!(program.ends().0.code(), Some(0));
}

#[test]
fn a_taken_port_is_an_error_that_names_the_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let program = Program::start(&["--http", &address], &[]);
    let line = program.says("error:");
    assert!(line.contains("--http") && line.contains(&address), "{line}");
    assert_eq!(program.ends().0.code(), Some(1));
}

#[test]
fn wrong_usage_ends_with_status_2() {
    for (arguments, named) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["--on-no-model", "explode"], "--on-no-model"),
        (&["-X", "novalue"], "KEY=VALUE"),
        (&["-X", "nonsense=1"], "nonsense"),
        (&["-X", "acks=1"], "acks"),
        (&["--record", "beer"], "beer"),
        (&["--http", "5500"], "--http"),
    ] {
        let program = Program::start(arguments, &[]);
        let line = program.says("error:");
        assert!(line.contains(named), "{line}");
        assert_eq!(program.ends().0.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_environment_stands_between_the_file_and_the_flags() {
    let environment = [
        ("MODEL_SERVING_DATA_TOPIC", "from-environment"),
        ("MODEL_SERVING_MODELS_TOPIC", "from-environment"),
        ("MODEL_SERVING_X", "linger.ms=1;batch.size=2"),
        ("KAFKA_BROKERS", "from-environment:1"),
    ];
    let arguments = [
        "--models-topic",
        "from-flag",
        "-X",
        "linger.ms=9",
        "--dump-config",
    ];
    let (status, dumped) = Program::start(&arguments, &environment).ends();
    assert_eq!(status.code(), Some(0));
    for line in [
        "data-topic = \"from-environment\"",
        "models-topic = \"from-flag\"",
        "results-topic = \"models_results\"",
        "brokers = \"from-environment:1\"",
    ] {
        assert!(dumped.contains(line), "{line} in {dumped}");
    }
}
