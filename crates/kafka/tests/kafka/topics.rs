//! Administration, settings, and waiting for a broker.

use std::time::Duration;

use kafka::{Admin, Connection, Error, TopicSpec, wait_for_broker};

use crate::cluster::{PATIENCE, connection, create, eventually, sink, unique};

#[test]
fn a_topic_is_created_once_found_listed_and_deleted() {
    let connection = connection();
    let admin = Admin::open(&connection).unwrap();
    let name = unique("topic");
    assert_eq!(admin.partition_count(&name).unwrap(), None);
    create(&connection, &name, 3);
    create(&connection, &name, 5);
    assert_eq!(admin.partition_count(&name).unwrap(), Some(3));
    assert!(admin.topics().unwrap().contains(&name));
    admin.delete_topic(&name).unwrap();
    admin.delete_topic(&name).unwrap();
    eventually("it is gone", || {
        admin
            .partition_count(&name)
            .unwrap()
            .is_none()
            .then_some(())
    });
}

#[test]
fn a_setting_of_a_topic_that_the_broker_refuses_is_an_error_that_names_the_topic() {
    let spec = TopicSpec {
        name: unique("topic"),
        partitions: 1,
        config: vec![("cleanup.policy".to_owned(), "burn".to_owned())],
    };
    let error = Admin::open(&connection())
        .unwrap()
        .ensure_topic(&spec)
        .unwrap_err();
    assert!(error.to_string().contains(&spec.name), "{error}");
}

#[test]
fn the_users_properties_win_but_for_those_that_correctness_rests_on() {
    let mut connection = connection();
    connection
        .properties
        .insert("linger.ms".to_owned(), "7".to_owned());
    connection
        .properties
        .insert("message.max.bytes".to_owned(), "1234".to_owned());
    connection.check().unwrap();
    assert_eq!(sink(&connection).0.limit(), 1234);

    connection
        .properties
        .insert("enable.auto.commit".to_owned(), "true".to_owned());
    let error = connection.check().unwrap_err();
    assert!(matches!(&error, Error::Reserved { name, .. } if name == "enable.auto.commit"));
    connection.properties.remove("enable.auto.commit");

    connection
        .properties
        .insert("linger.mss".to_owned(), "7".to_owned());
    let error = connection.check().unwrap_err().to_string();
    assert!(error.contains("linger.mss=7"), "{error}");
}

#[test]
fn a_broker_that_answers_is_found_at_once() {
    wait_for_broker(&connection(), PATIENCE, |_| true).unwrap();
}

#[test]
fn a_broker_that_is_away_is_mentioned_and_given_up_in_time() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    drop(socket);
    let connection = Connection::new(address.clone(), "kafka-tests");
    let mut mentioned = 0;
    let error = wait_for_broker(&connection, Duration::from_millis(1500), |_| {
        mentioned += 1;
        true
    })
    .unwrap_err();
    assert!(mentioned >= 1);
    assert!(error.to_string().contains(&address), "{error}");
    let error = wait_for_broker(&connection, PATIENCE, |_| false).unwrap_err();
    assert!(matches!(error, Error::NoBroker { .. }));
}
