//! Requests that the broker does not serve.

use embedded_kafka::Options;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiKey, ConsumerGroupHeartbeatRequest, DescribeAclsRequest, DescribeClientQuotasRequest,
    DescribeQuorumRequest, ElectLeadersRequest, EndTxnRequest, FindCoordinatorRequest,
    InitProducerIdRequest, ListTransactionsRequest, SaslHandshakeRequest, TransactionalId,
};
use kafka_protocol::protocol::Request;

use crate::clients::cluster::Cluster;
use crate::clients::wire::{Connection, text};
use crate::start;

const UNSUPPORTED: i16 = ResponseError::UnsupportedVersion.code();

/// The error code in the answer to a request in the newest version that the codec knows.
fn refusal<R: Request + Default>(
    connection: &mut Connection,
    code: impl Fn(R::Response) -> i16,
) -> i16 {
    code(connection.call(R::VERSIONS.max, &R::default()))
}

#[test]
fn apis_that_are_not_served_answer_that_they_are_not_supported() {
    let (_broker, cluster) = start(Options::default());
    let mut connection = Connection::open(cluster.bootstrap());
    let c = &mut connection;
    let codes = [
        (
            "DescribeAcls",
            refusal::<DescribeAclsRequest>(c, |r| r.error_code),
        ),
        (
            "SaslHandshake",
            refusal::<SaslHandshakeRequest>(c, |r| r.error_code),
        ),
        (
            "DescribeClientQuotas",
            refusal::<DescribeClientQuotasRequest>(c, |r| r.error_code),
        ),
        (
            "ListTransactions",
            refusal::<ListTransactionsRequest>(c, |r| r.error_code),
        ),
        (
            "ConsumerGroupHeartbeat",
            refusal::<ConsumerGroupHeartbeatRequest>(c, |r| r.error_code),
        ),
        (
            "DescribeQuorum",
            refusal::<DescribeQuorumRequest>(c, |r| r.error_code),
        ),
        (
            "ElectLeaders",
            refusal::<ElectLeadersRequest>(c, |r| r.error_code),
        ),
        ("EndTxn", refusal::<EndTxnRequest>(c, |r| r.error_code)),
    ];
    for (api, code) in codes {
        assert_eq!(code, UNSUPPORTED, "{api}");
    }
}

#[test]
fn transactions_are_refused_with_an_error_on_which_clients_give_up() {
    let (_broker, cluster) = start(Options::default());
    let mut connection = Connection::open(cluster.bootstrap());
    let refused = ResponseError::TransactionalIdAuthorizationFailed.code();
    let request = FindCoordinatorRequest::default()
        .with_key(text("transaction"))
        .with_key_type(1);
    assert_eq!(connection.call(2, &request).error_code, refused);
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text("transaction"))))
        .with_transaction_timeout_ms(1_000);
    assert_eq!(connection.call(1, &request).error_code, refused);
}

/// Whether a broker still serves.
fn serves(cluster: &Cluster) -> bool {
    Connection::open(cluster.bootstrap())
        .partitions("no-such-topic")
        .is_none()
}

#[test]
fn every_api_in_every_version_is_answered_or_the_connection_closed_but_never_left_waiting() {
    let (_broker, cluster) = start(Options::default());
    let mut connection = Connection::open(cluster.bootstrap());
    for key in -1..120_i16 {
        let known = ApiKey::try_from(key).ok();
        let newest = known.map_or(0, |api| api.valid_versions().max);
        for version in -1..=newest + 2 {
            let header = known.map_or(1, |api| {
                api.request_header_version(version.clamp(0, newest))
            });
            // Join and Sync with an empty body are malformed; none of these requests waits.
            connection.send_request(key, version, header, &[]);
            if connection.receive_frame().is_none() {
                connection = Connection::open(cluster.bootstrap());
            }
        }
    }
    assert!(serves(&cluster));
}
