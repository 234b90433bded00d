//! Every version of every API that the broker advertises, used once in earnest.

mod discovery;
mod groups;
mod records;
mod topics;

use std::collections::BTreeMap;

use kafka_protocol::messages::ApiKey;

use crate::clients::cluster::{Cluster, unique};
use crate::clients::entry::numbered;
use crate::clients::wire::Connection;
use crate::cluster;

/// A topic with ten records and a group that committed offset 4 of it.
struct World {
    cluster: Cluster,
    connection: Connection,
    topic: String,
    group: String,
}

/// Uses an API once in one version and checks the answer.
type Use = fn(&mut World, i16);

/// The APIs, the last version that is known here, and their use.
const USES: &[(ApiKey, i16, Use)] = &[
    (ApiKey::Produce, 12, records::produce),
    (ApiKey::Fetch, 17, records::fetch),
    (ApiKey::ListOffsets, 9, records::list_offsets),
    (ApiKey::Metadata, 13, discovery::metadata),
    (ApiKey::OffsetCommit, 9, groups::commit),
    (ApiKey::OffsetFetch, 9, groups::committed),
    (ApiKey::FindCoordinator, 6, discovery::coordinator),
    (ApiKey::JoinGroup, 9, groups::membership_of_join),
    (ApiKey::SyncGroup, 5, groups::membership_of_sync),
    (ApiKey::Heartbeat, 4, groups::membership_of_heartbeat),
    (ApiKey::LeaveGroup, 5, groups::membership_of_leave),
    (ApiKey::DescribeGroups, 6, groups::describe_group),
    (ApiKey::ListGroups, 5, groups::list_groups),
    (ApiKey::ApiVersions, 4, discovery::api_versions),
    (ApiKey::CreateTopics, 7, topics::create_topic),
    (ApiKey::DeleteTopics, 6, topics::delete_topic),
    (ApiKey::DeleteRecords, 2, records::delete_records),
    (ApiKey::InitProducerId, 5, records::init_producer),
    (ApiKey::OffsetForLeaderEpoch, 4, records::offset_for_epoch),
    (ApiKey::DescribeConfigs, 4, topics::describe_configs),
    (ApiKey::AlterConfigs, 2, topics::replace_configs),
    (ApiKey::DescribeLogDirs, 4, records::log_dirs),
    (ApiKey::CreatePartitions, 3, topics::create_partitions),
    (ApiKey::DeleteGroups, 2, groups::delete_group),
    (ApiKey::IncrementalAlterConfigs, 1, topics::change_configs),
    (ApiKey::ListPartitionReassignments, 0, topics::reassignments),
    (ApiKey::OffsetDelete, 0, groups::delete_offsets),
    (ApiKey::DescribeCluster, 1, discovery::describe_cluster),
    (ApiKey::DescribeProducers, 0, records::describe_producers),
];

#[test]
fn every_advertised_version_is_served() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    cluster.producer(&[]).write(&topic, 0, &numbered(10));
    let group = unique("group");
    cluster.consumer(&group, &[]).commit(&topic, 0, 4).unwrap();
    let connection = Connection::open(cluster.bootstrap());
    let mut world = World {
        cluster,
        connection,
        topic,
        group,
    };
    let advertised = world.connection.call(3, &discovery::client_named());
    let advertised: BTreeMap<i16, (i16, i16)> = advertised
        .api_keys
        .iter()
        .map(|api| (api.api_key, (api.min_version, api.max_version)))
        .collect();
    for (api, last, used) in USES {
        let Some((min, max)) = advertised.get(&(*api as i16)) else {
            continue;
        };
        // Apache Kafka advertises version 0 of Produce, which it no longer serves, for the sake of
        // old librdkafka (KAFKA-18659).
        for version in *min.max(&api.valid_versions().min)..=*max.min(last) {
            println!("{api:?} version {version}");
            used(&mut world, version);
        }
    }
    if std::env::var_os("SUITE_BROKERS").is_none() {
        for (api, (_, max)) in advertised {
            let known = USES.iter().find(|(known, ..)| *known as i16 == api);
            let tested = known.map(|(_, last, _)| *last);
            assert!(
                tested >= Some(max),
                "API {api} is advertised up to {max}, used to {tested:?}"
            );
        }
    }
}
