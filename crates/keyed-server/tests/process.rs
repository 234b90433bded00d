//! What the program leaves in its working directory, while it runs and afterwards.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use embedded_kafka::{Broker, Options};

#[test]
fn its_address_is_in_a_file_while_it_runs() {
    let options = Options {
        listen: "127.0.0.1:0".to_owned(),
        ..Options::default()
    };
    let broker = Broker::start(options).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_keyed-server"))
        .args(["--brokers", &broker.bootstrap(), "--http", "127.0.0.1:0"])
        .args(["--workers", "2", "--output"])
        .current_dir(directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = lines
        .find(|line| {
            line.as_ref()
                .is_ok_and(|line| line.starts_with("ready keyed "))
        })
        .unwrap()
        .unwrap();
    let (_, address) = ready.split_once(" http=http://").unwrap();
    let file = directory.path().join("keyed-server.id");
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::read_to_string(&file).unwrap_or_default() != format!("{address}\n") {
        assert!(Instant::now() < deadline, "{address} is not in the file");
        std::thread::yield_now();
    }
    // The shell's own: not every machine has a program of that name.
    let kill = format!("kill -s TERM {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!file.exists());
    let scores = directory.path().join("output").join("keyed.txt");
    assert_eq!(
        std::fs::read_to_string(scores).unwrap(),
        "",
        "nothing was scored"
    );
}
