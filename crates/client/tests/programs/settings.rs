//! Where the programs' settings come from.

use std::fs;

use crate::process::{PROVIDER, Program, READER, command};

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("model-serving.toml"),
        "data-topic = 'of-file'\nkey = 'sequence'\ndata-types = 3\nmodel-interval = '3s'\n",
    )
    .unwrap();
    let arguments = ["--dump-config", "--data-types", "5", "--rate", "250"];
    let mut command = command(PROVIDER, &arguments, directory.path());
    command
        .env("MODEL_SERVING_KEY", "data-type")
        .env("MODEL_SERVING_DATA_TYPES", "4");
    let (status, out, errors) = Program::run(command).end();
    assert_eq!(status.code(), Some(0), "{errors}");
    for line in [
        "data-topic = \"of-file\"",
        "models-topic = \"models_models\"",
        "key = \"data-type\"",
        "data-types = 5",
        "model-interval = \"3s\"",
        "record-interval = \"100ms\"",
        "rate = 250",
    ] {
        assert!(out.iter().any(|found| found == line), "{line} in {out:#?}");
    }
}

#[test]
fn wrong_usage_ends_with_status_two_and_a_refused_property_with_its_name() {
    let (status, _, errors) = Program::start(READER, &["--what"]).end();
    assert_eq!(status.code(), Some(2));
    assert!(errors.contains("--what"), "{errors}");
    let arguments = ["--listen", "127.0.0.1:0", "-X", "enable.idempotence=false"];
    let (status, _, errors) = Program::start(PROVIDER, &arguments).end();
    assert_eq!(status.code(), Some(1));
    assert!(
        errors.contains("enable.idempotence cannot be set"),
        "{errors}"
    );
}
