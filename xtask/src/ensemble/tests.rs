//! Ensembles of shells.

use std::fs::File;

use super::*;
use crate::console::tests::Written;

/// Long enough for a shell on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
const PATIENT: Patience = Patience {
    with_each: DEADLINE,
    with_the_user: DEADLINE,
};

/// Runs until it is asked to end, and then says so. What it waits for is a process of its own.
const WILLING: &str =
    "trap 'echo done; exit 0' TERM; tail -f /dev/null & echo ready a port=1 >&2; wait";
/// Does not end when asked.
const STUBBORN: &str = "trap '' TERM; echo ready b >&2; tail -f /dev/null";

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// An ensemble that halts at the deadline, and what it shows.
fn ensemble() -> (Ensemble, Written) {
    let written = Written::default();
    (
        Ensemble::new(written.console(&["one", "two"]), Some(DEADLINE)),
        written,
    )
}

fn reason(halt: Halt) -> String {
    match halt {
        Halt::Asked => "asked".to_owned(),
        Halt::Failed(error) => error.to_string(),
    }
}

#[test]
fn a_process_is_ready_when_it_says_so_on_its_error_output() {
    let (mut ensemble, written) = ensemble();
    let script = "trap 'exit 0' TERM; tail -f /dev/null & \
         echo ready on stdout; echo getting ready >&2; \
         echo ready server brokers=127.0.0.1:9 http=http://127.0.0.1:5 >&2; wait";
    let ready = ensemble.start("one", shell(script)).unwrap();
    assert_eq!(ready.value("brokers"), Some("127.0.0.1:9"));
    assert_eq!(ready.value("http"), Some("http://127.0.0.1:5"));
    assert_eq!(ready.value("broker"), None);
    assert!(
        written.text().contains("one  | getting ready\n"),
        "{}",
        written.text()
    );
    assert_eq!(ensemble.stop(PATIENT), [""; 0]);
}

#[test]
fn all_are_asked_to_end_the_last_one_first() {
    let (mut ensemble, written) = ensemble();
    ensemble.start("one", shell(WILLING)).unwrap();
    ensemble.start("two", shell(WILLING)).unwrap();
    assert_eq!(ensemble.stop(PATIENT), [""; 0]);
    assert!(
        written.text().ends_with("two  | done\none  | done\n"),
        "{}",
        written.text()
    );
}

#[test]
fn one_that_does_not_end_when_asked_is_killed() {
    let (mut ensemble, _) = ensemble();
    ensemble.start("two", shell(STUBBORN)).unwrap();
    let patience = Patience {
        with_each: Duration::from_millis(50),
        ..PATIENT
    };
    assert_eq!(ensemble.stop(patience), ["two had to be killed"]);
}

#[test]
fn a_request_to_halt_ends_the_watch_and_a_second_one_kills() {
    let (mut ensemble, _) = ensemble();
    ensemble.start("two", shell(STUBBORN)).unwrap();
    let interrupt = ensemble.interrupter();
    interrupt();
    assert_eq!(reason(ensemble.watch()), "asked");
    interrupt();
    let patience = Patience {
        with_the_user: Duration::ZERO,
        ..PATIENT
    };
    assert_eq!(ensemble.stop(patience), ["two had to be killed"]);
}

#[test]
fn a_request_to_halt_that_comes_twice_at_once_is_one() {
    let (mut ensemble, _) = ensemble();
    ensemble.start("one", shell(WILLING)).unwrap();
    let interrupt = ensemble.interrupter();
    interrupt();
    interrupt();
    assert_eq!(reason(ensemble.watch()), "asked");
    assert_eq!(ensemble.stop(PATIENT), [""; 0]);
}

#[test]
fn a_request_to_halt_is_heard_while_a_process_gets_ready() {
    let (mut ensemble, _) = ensemble();
    ensemble.interrupter()();
    let halt = ensemble
        .start("one", shell("tail -f /dev/null"))
        .unwrap_err();
    assert_eq!(reason(halt), "asked");
}

#[test]
fn the_time_that_is_over_ends_the_watch() {
    let written = Written::default();
    let mut ensemble = Ensemble::new(written.console(&[]), Some(Duration::from_millis(1)));
    assert_eq!(reason(ensemble.watch()), "asked");
}

#[test]
fn an_end_with_a_failure_while_stopping_is_reported() {
    let (mut ensemble, _) = ensemble();
    let script = "trap 'exit 3' TERM; tail -f /dev/null & echo ready >&2; wait";
    ensemble.start("one", shell(script)).unwrap();
    assert_eq!(ensemble.stop(PATIENT), ["one ended with exit status: 3"]);
}

#[test]
fn an_end_with_the_status_of_one_that_was_asked_is_no_failure() {
    let (mut ensemble, _) = ensemble();
    let script = "trap 'exit 143' TERM; tail -f /dev/null & echo ready >&2; wait";
    ensemble.start("one", shell(script)).unwrap();
    assert_eq!(ensemble.stop(PATIENT), [""; 0]);
}

#[test]
fn one_that_ends_by_itself_is_reported_with_its_status_and_last_lines() {
    let (mut ensemble, written) = ensemble();
    ensemble.start("one", shell(WILLING)).unwrap();
    let script = "i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo line $i >&2; done; \
         echo ready >&2; exit 7";
    let report = match ensemble.start("two", shell(script)) {
        Ok(_) => reason(ensemble.watch()),
        Err(halt) => reason(halt),
    };
    let lines: String = (12..=20).map(|line| format!("    line {line}\n")).collect();
    assert_eq!(
        report,
        format!("two ended by itself with exit status: 7; its last lines:\n{lines}    ready")
    );
    assert_eq!(ensemble.stop(PATIENT), [""; 0]);
    assert!(
        written.text().ends_with("one  | done\n"),
        "{}",
        written.text()
    );
}

#[test]
fn one_that_ends_before_it_is_ready_is_reported_and_leaves_the_others_to_be_stopped() {
    let (mut ensemble, _) = ensemble();
    ensemble.start("one", shell(WILLING)).unwrap();
    let script = "echo 'error: port 5500 is taken' >&2; exit 1";
    let halt = ensemble.start("two", shell(script)).unwrap_err();
    assert_eq!(
        reason(halt),
        "two ended by itself with exit status: 1; its last lines:\n    \
         error: port 5500 is taken"
    );
    assert_eq!(ensemble.stop(PATIENT), [""; 0]);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let (mut ensemble, _) = ensemble();
    let halt = ensemble
        .start("one", Command::new("/no/such/program"))
        .unwrap_err();
    assert_eq!(reason(halt), "start one");
}

#[test]
fn what_a_process_leaves_behind_ends_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("open while one of them lives");
    let (mut ensemble, _) = ensemble();
    let mut command = shell(
        "mkfifo \"$FIFO\"; exec 3<>\"$FIFO\"; trap 'exit 0' TERM; \
         (trap '' TERM; echo ready >&2; exec tail -f /dev/null) & wait",
    );
    command.env("FIFO", &fifo);
    ensemble.start("one", command).unwrap();
    let mut fifo = File::open(fifo).unwrap();
    let (sender, all_ended) = sync_channel(1);
    thread::spawn(move || sender.send(fifo.read_to_end(&mut Vec::new()).unwrap()));
    assert_eq!(ensemble.stop(PATIENT), [""; 0]);
    assert_eq!(all_ended.recv_timeout(DEADLINE), Ok(0));
}

#[test]
fn bytes_that_are_no_text_and_a_last_line_without_an_end_are_shown() {
    let (mut ensemble, written) = ensemble();
    let script = r"printf 'caf\351\r\n'; printf 'the end'; exit 1";
    ensemble.start("one", shell(script)).unwrap_err();
    assert_eq!(written.text(), "one  | caf\u{fffd}\none  | the end\n");
}

#[test]
fn one_that_is_meant_to_end_ends_and_its_output_is_kept_and_not_shown() {
    let (mut ensemble, written) = ensemble();
    let script = "echo counting >&2; echo '{\"records\":1}'; exit 3";
    let member = ensemble.launch("one", shell(script), Voice::Kept).unwrap();
    let status = ensemble.finish(member, Some(DEADLINE)).unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(ensemble.output(member), ["{\"records\":1}"]);
    assert!(!ensemble.runs(member));
    // As often as it is asked for.
    assert_eq!(ensemble.finish(member, None).unwrap().code(), Some(3));
    assert_eq!(written.text(), "");
}

#[test]
fn what_one_writes_into_a_log_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = File::create(&path).unwrap();
    let (mut ensemble, written) = ensemble();
    let script = "echo one; echo two >&2";
    let member = ensemble.launch("one", shell(script), Voice::Log(log));
    ensemble.finish(member.unwrap(), Some(DEADLINE)).unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "one\ntwo\n");
    assert_eq!(written.text(), "");
}

#[test]
fn another_that_ends_meanwhile_is_what_went_wrong() {
    let (mut ensemble, _) = ensemble();
    let waiting = ensemble
        .launch("one", shell("tail -f /dev/null"), Voice::Kept)
        .unwrap();
    ensemble
        .launch("two", shell("echo 'no such topic'; exit 1"), Voice::Kept)
        .unwrap();
    let halt = ensemble.finish(waiting, Some(DEADLINE)).unwrap_err();
    assert_eq!(
        reason(halt),
        "two ended by itself with exit status: 1; its last lines:\n    no such topic"
    );
}

#[test]
fn one_that_does_not_get_ready_or_come_to_an_end_in_time_is_reported() {
    let (mut ensemble, _) = ensemble();
    let script = "echo waiting; tail -f /dev/null";
    let member = ensemble.launch("one", shell(script), Voice::Kept).unwrap();
    ensemble
        .until("a line", DEADLINE, || true)
        .expect("a condition that holds");
    let patience = Some(Duration::ZERO);
    let halt = ensemble.ready(member, patience).unwrap_err();
    assert!(reason(halt).starts_with("one did not get ready"));
    let halt = ensemble.finish(member, patience).unwrap_err();
    assert!(reason(halt).starts_with("one did not come to an end"));
    let halt = ensemble.until("it rains", Duration::ZERO, || false);
    assert_eq!(reason(halt.unwrap_err()), "it rains: not within 0s");
}

#[test]
fn those_started_later_are_stopped_and_those_before_run_on() {
    let (mut ensemble, written) = ensemble();
    ensemble.start("one", shell(WILLING)).unwrap();
    let later = ensemble
        .launch("two", shell(WILLING), Voice::Shown)
        .unwrap();
    ensemble.ready(later, Some(DEADLINE)).unwrap();
    let stopped = ensemble.stop_from(later, PATIENT);
    assert_eq!(stopped.complaints, [""; 0]);
    assert!(!stopped.interrupted);
    assert!(written.text().ends_with("two  | done\n"));
    assert!(!ensemble.runs(later));
    assert_eq!(ensemble.stop(PATIENT), [""; 0]);
    assert!(written.text().ends_with("one  | done\n"));
}

#[test]
fn a_request_to_halt_while_some_are_stopped_is_told() {
    let (mut ensemble, _) = ensemble();
    let member = ensemble
        .launch("two", shell(STUBBORN), Voice::Kept)
        .unwrap();
    ensemble.ready(member, Some(DEADLINE)).unwrap();
    ensemble.interrupter()();
    let patience = Patience {
        with_the_user: Duration::ZERO,
        ..PATIENT
    };
    let stopped = ensemble.stop_from(member, patience);
    assert_eq!(stopped.complaints, ["two had to be killed"]);
    assert!(stopped.interrupted);
}
