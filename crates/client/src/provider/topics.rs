//! The topics that the provider creates.

use configuration::DataProvider;
use kafka::{Admin, TopicSpec};

/// Bytes of the largest message on the models topic.
pub(super) const LARGEST_MODEL: u64 = 16 * 1024 * 1024;
/// Bytes of the largest dead letter: the largest message, and room for the headers that say why.
const LARGEST_DEAD_LETTER: u64 = LARGEST_MODEL + 1024 * 1024;

/// The four topics, as their table in the documentation has them.
pub(super) fn specs(settings: &DataProvider) -> Vec<TopicSpec> {
    let basics = &settings.basics;
    let partitions = usize::try_from(settings.partitions).unwrap_or(usize::MAX);
    let topic = |name: &str, partitions: usize, config: &[(&str, String)]| TopicSpec {
        name: name.to_owned(),
        partitions,
        config: config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
    };
    vec![
        topic(&basics.data_topic, partitions, &[]),
        topic(
            &basics.models_topic,
            1,
            &[
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", "-1".to_owned()),
                ("retention.bytes", "-1".to_owned()),
                ("max.message.bytes", LARGEST_MODEL.to_string()),
            ],
        ),
        topic(&basics.results_topic, partitions, &[]),
        topic(
            &basics.dead_letter_topic,
            1,
            &[("max.message.bytes", LARGEST_DEAD_LETTER.to_string())],
        ),
    ]
}

/// Creates those that do not exist.
pub(super) fn ensure(admin: &Admin, specs: &[TopicSpec]) -> kafka::Result<()> {
    specs.iter().try_for_each(|spec| admin.ensure_topic(spec))
}
