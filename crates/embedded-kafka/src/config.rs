//! Topic configurations: the names, types and defaults of Apache Kafka 4.1, and what they mean here.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;

use crate::options::Options;
use crate::rejection::Rejection;

/// The type of a configuration's value, numbered as DescribeConfigs does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean = 1,
    Text = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// One topic configuration.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Smallest allowed number.
    least: i64,
    /// Allowed words; none allows all.
    words: &'static [&'static str],
    default: &'static str,
    pub(crate) about: &'static str,
}

const MAX: &str = "9223372036854775807";

const fn number(
    name: &'static str,
    kind: Kind,
    least: i64,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key {
        name,
        kind,
        least,
        words: &[],
        default,
        about,
    }
}

const fn word(
    name: &'static str,
    kind: Kind,
    words: &'static [&'static str],
    default: &'static str,
    about: &'static str,
) -> Key {
    Key {
        name,
        kind,
        least: 0,
        words,
        default,
        about,
    }
}

const NO_EFFECT: &str = "Accepted; without effect in this broker.";
const BOOLEAN: &[&str] = &["true", "false"];

/// Every topic configuration, in order of name.
pub(crate) const KEYS: &[Key] = &[
    word(
        "cleanup.policy",
        Kind::List,
        &["delete", "compact"],
        "delete",
        "What happens to old records: delete trims by age and size; compact keeps all, for now.",
    ),
    number("compression.gzip.level", Kind::Int, -1, "-1", NO_EFFECT),
    number("compression.lz4.level", Kind::Int, 1, "9", NO_EFFECT),
    word(
        "compression.type",
        Kind::Text,
        &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
        "producer",
        "Accepted; batches always stay as their producer compressed them.",
    ),
    number(
        "compression.zstd.level",
        Kind::Int,
        -131_072,
        "3",
        NO_EFFECT,
    ),
    number("delete.retention.ms", Kind::Long, 0, "86400000", NO_EFFECT),
    number("file.delete.delay.ms", Kind::Long, 0, "60000", NO_EFFECT),
    number("flush.messages", Kind::Long, 1, MAX, NO_EFFECT),
    number("flush.ms", Kind::Long, 0, MAX, NO_EFFECT),
    word(
        "follower.replication.throttled.replicas",
        Kind::List,
        &[],
        "",
        NO_EFFECT,
    ),
    number("index.interval.bytes", Kind::Int, 0, "4096", NO_EFFECT),
    word(
        "leader.replication.throttled.replicas",
        Kind::List,
        &[],
        "",
        NO_EFFECT,
    ),
    number("local.retention.bytes", Kind::Long, -2, "-2", NO_EFFECT),
    number("local.retention.ms", Kind::Long, -2, "-2", NO_EFFECT),
    number("max.compaction.lag.ms", Kind::Long, 1, MAX, NO_EFFECT),
    number(
        "max.message.bytes",
        Kind::Int,
        0,
        "",
        "Largest record batch in bytes, as compressed; larger ones are refused.",
    ),
    number(
        "message.timestamp.after.max.ms",
        Kind::Long,
        0,
        MAX,
        NO_EFFECT,
    ),
    number(
        "message.timestamp.before.max.ms",
        Kind::Long,
        0,
        MAX,
        NO_EFFECT,
    ),
    word(
        "message.timestamp.type",
        Kind::Text,
        &["CreateTime", "LogAppendTime"],
        "CreateTime",
        "Whether timestamps are the producer's or those of arrival.",
    ),
    number(
        "min.cleanable.dirty.ratio",
        Kind::Double,
        0,
        "0.5",
        NO_EFFECT,
    ),
    number("min.compaction.lag.ms", Kind::Long, 0, "0", NO_EFFECT),
    number("min.insync.replicas", Kind::Int, 1, "1", NO_EFFECT),
    word("preallocate", Kind::Boolean, BOOLEAN, "false", NO_EFFECT),
    number(
        "retention.bytes",
        Kind::Long,
        -1,
        "-1",
        "Bytes that a partition keeps; -1 leaves it to the broker's memory limit, or, with \
         retention.ms=-1 beside it, keeps all.",
    ),
    number(
        "retention.ms",
        Kind::Long,
        -1,
        "604800000",
        "Age in milliseconds beyond which records go; -1 keeps them.",
    ),
    number("segment.bytes", Kind::Int, 14, "1073741824", NO_EFFECT),
    number("segment.index.bytes", Kind::Int, 4, "10485760", NO_EFFECT),
    number("segment.jitter.ms", Kind::Long, 0, "0", NO_EFFECT),
    number("segment.ms", Kind::Long, 1, "604800000", NO_EFFECT),
    word(
        "unclean.leader.election.enable",
        Kind::Boolean,
        BOOLEAN,
        "false",
        NO_EFFECT,
    ),
];

impl Key {
    pub(crate) fn named(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The value of a topic that does not set it.
    pub(crate) fn default(&self, options: &Options) -> String {
        let or_unlimited = |limit: Option<i64>| limit.unwrap_or(-1).to_string();
        match self.name {
            "max.message.bytes" => options.max_message_bytes.to_string(),
            "retention.bytes" => or_unlimited(
                options
                    .retention_bytes
                    .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            ),
            "retention.ms" => or_unlimited(
                options
                    .retention
                    .map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
            ),
            _ => self.default.to_owned(),
        }
    }

    fn check(&self, value: &str) -> Result<(), Rejection> {
        let refuse = |why: String| {
            Rejection::new(
                ResponseError::InvalidConfig,
                format!(
                    "Invalid value {value} for configuration {}: {why}",
                    self.name
                ),
            )
        };
        let at_least = |number: i64| {
            if number < self.least {
                Err(refuse(format!("Value must be at least {}", self.least)))
            } else {
                Ok(())
            }
        };
        match self.kind {
            Kind::Int => match value.trim().parse::<i32>() {
                Ok(number) => at_least(i64::from(number)),
                Err(_) => Err(refuse("Not a number of type INT".to_owned())),
            },
            Kind::Long => match value.trim().parse::<i64>() {
                Ok(number) => at_least(number),
                Err(_) => Err(refuse("Not a number of type LONG".to_owned())),
            },
            Kind::Double => match value.trim().parse::<f64>() {
                Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
                _ => Err(refuse("Not a number between 0 and 1".to_owned())),
            },
            Kind::Boolean | Kind::Text => self.check_word(value, refuse),
            Kind::List => {
                list(value).try_for_each(|word| self.check_word(word, refuse))?;
                if self.name == "cleanup.policy" && list(value).next().is_none() {
                    return Err(refuse("delete, compact or both".to_owned()));
                }
                Ok(())
            }
        }
    }

    fn check_word(
        &self,
        word: &str,
        refuse: impl Fn(String) -> Rejection,
    ) -> Result<(), Rejection> {
        let known = |known: &&str| {
            if self.kind == Kind::Boolean {
                known.eq_ignore_ascii_case(word)
            } else {
                *known == word
            }
        };
        if self.words.is_empty() || self.words.iter().any(known) {
            Ok(())
        } else {
            Err(refuse(format!(
                "String must be one of: {}",
                self.words.join(", ")
            )))
        }
    }
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

/// What a change does to one configuration.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Set(String),
    Delete,
    /// Adds words to a list.
    Append(String),
    /// Takes words out of a list.
    Subtract(String),
}

/// A topic's configuration: what was set, and what the broker makes of it.
#[derive(Debug, Clone)]
pub(crate) struct TopicConfig {
    set: BTreeMap<&'static str, String>,
    pub(crate) max_message_bytes: usize,
    /// `None` keeps records whatever their age, in ms.
    pub(crate) retention_ms: Option<i64>,
    /// `None` sets no limit of the topic's own.
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) append_time: bool,
    pub(crate) compact: bool,
    /// Whether the broker's memory limit may cost this topic its oldest records.
    pub(crate) trimmable: bool,
}

impl TopicConfig {
    /// Checks the configurations that a new topic sets.
    pub(crate) fn new(
        given: impl IntoIterator<Item = (String, Option<String>)>,
        options: &Options,
    ) -> Result<Self, Rejection> {
        let mut set = BTreeMap::new();
        for (name, value) in given {
            let key = known(&name)?;
            let Some(value) = value else {
                return Err(Rejection::new(
                    ResponseError::InvalidConfig,
                    format!("Null value not supported for topic configs: {name}"),
                ));
            };
            key.check(&value)?;
            set.insert(key.name, value);
        }
        Ok(Self::effective(set, options))
    }

    /// This configuration after some changes.
    pub(crate) fn changed(
        &self,
        changes: impl IntoIterator<Item = (String, Change)>,
        options: &Options,
    ) -> Result<Self, Rejection> {
        let mut set = self.set.clone();
        for (name, change) in changes {
            let key = known(&name)?;
            let value = match change {
                Change::Delete => {
                    set.remove(key.name);
                    continue;
                }
                Change::Set(value) => value,
                Change::Append(_) | Change::Subtract(_) if key.kind != Kind::List => {
                    return Err(Rejection::new(
                        ResponseError::InvalidConfig,
                        format!("{name} is no list; APPEND and SUBTRACT are for lists"),
                    ));
                }
                Change::Append(more) => {
                    let before = set
                        .get(key.name)
                        .cloned()
                        .unwrap_or_else(|| key.default(options));
                    let mut words: Vec<&str> = list(&before).collect();
                    for word in list(&more) {
                        if !words.contains(&word) {
                            words.push(word);
                        }
                    }
                    words.join(",")
                }
                Change::Subtract(less) => {
                    let before = set
                        .get(key.name)
                        .cloned()
                        .unwrap_or_else(|| key.default(options));
                    let out: Vec<&str> = list(&less).collect();
                    list(&before)
                        .filter(|word| !out.contains(word))
                        .collect::<Vec<_>>()
                        .join(",")
                }
            };
            key.check(&value)?;
            set.insert(key.name, value);
        }
        Ok(Self::effective(set, options))
    }

    fn effective(set: BTreeMap<&'static str, String>, options: &Options) -> Self {
        let value = |name: &str| {
            set.get(name)
                .cloned()
                .or_else(|| Key::named(name).map(|key| key.default(options)))
        };
        let number = |name: &str| {
            value(name)
                .and_then(|value| value.trim().parse::<i64>().ok())
                .unwrap_or(-1)
        };
        let retention_ms = Some(number("retention.ms")).filter(|limit| *limit >= 0);
        let retention_bytes = u64::try_from(number("retention.bytes")).ok();
        let compact =
            value("cleanup.policy").is_some_and(|value| list(&value).any(|w| w == "compact"));
        TopicConfig {
            max_message_bytes: usize::try_from(number("max.message.bytes")).unwrap_or(0),
            append_time: value("message.timestamp.type").as_deref() == Some("LogAppendTime"),
            retention_ms: retention_ms.filter(|_| !compact),
            retention_bytes: retention_bytes.filter(|_| !compact),
            compact,
            trimmable: !compact && (retention_ms.is_some() || retention_bytes.is_some()),
            set,
        }
    }

    /// A configuration's value, and whether the topic sets it itself.
    pub(crate) fn value(&self, key: &Key, options: &Options) -> (String, bool) {
        match self.set.get(key.name) {
            Some(value) => (value.clone(), true),
            None => (key.default(options), false),
        }
    }
}

fn known(name: &str) -> Result<&'static Key, Rejection> {
    Key::named(name).ok_or_else(|| {
        Rejection::new(
            ResponseError::InvalidConfig,
            format!("Unknown topic config name: {name}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(settings: &[(&str, &str)]) -> Result<TopicConfig, Rejection> {
        let set = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        TopicConfig::new(set, &Options::default())
    }

    fn changed(config: &TopicConfig, name: &str, change: Change) -> Result<TopicConfig, Rejection> {
        config.changed([(name.to_owned(), change)], &Options::default())
    }

    #[test]
    fn every_default_is_a_legal_value() {
        for key in KEYS {
            key.check(&key.default(&Options::default())).unwrap();
        }
        assert!(KEYS.is_sorted_by_key(|key| key.name));
    }

    #[test]
    fn what_apache_kafka_refuses_is_refused() {
        for (name, value) in [
            ("no.such.thing", "1"),
            ("retention.ms", "soon"),
            ("retention.ms", "-2"),
            ("max.message.bytes", "3000000000"),
            ("cleanup.policy", "compress"),
            ("cleanup.policy", ""),
            ("message.timestamp.type", "Now"),
            ("min.cleanable.dirty.ratio", "2"),
            ("preallocate", "yes"),
        ] {
            let refused = given(&[(name, value)]).unwrap_err();
            assert_eq!(refused.code(), 40, "{name}={value}: {}", refused.message);
        }
        let null = TopicConfig::new([("retention.ms".to_owned(), None)], &Options::default());
        assert_eq!(null.unwrap_err().code(), 40);
    }

    #[test]
    fn values_take_effect() {
        let config = given(&[
            ("retention.ms", "1000"),
            ("retention.bytes", "2000"),
            ("max.message.bytes", "3000"),
            ("message.timestamp.type", "LogAppendTime"),
        ])
        .unwrap();
        assert_eq!(
            (config.retention_ms, config.retention_bytes),
            (Some(1000), Some(2000))
        );
        assert_eq!((config.max_message_bytes, config.append_time), (3000, true));
        let config = given(&[("cleanup.policy", "compact,delete"), ("retention.ms", "1")]).unwrap();
        assert_eq!(
            (config.compact, config.retention_ms, config.trimmable),
            (true, None, false)
        );
        let config = given(&[("retention.ms", "-1"), ("retention.bytes", "-1")]).unwrap();
        assert!(!config.trimmable);
        assert!(given(&[]).unwrap().trimmable);
    }

    #[test]
    fn changes_are_made_one_by_one() {
        let config = given(&[("retention.ms", "1000")]).unwrap();
        let both = changed(&config, "cleanup.policy", Change::Append("compact".into())).unwrap();
        assert!(both.compact);
        let less = changed(&both, "cleanup.policy", Change::Subtract("compact".into())).unwrap();
        assert_eq!((less.compact, less.retention_ms), (false, Some(1000)));
        let gone = changed(&less, "retention.ms", Change::Delete).unwrap();
        assert_eq!(gone.retention_ms, Some(7 * 24 * 3600 * 1000));
        let refused = changed(&config, "retention.ms", Change::Append("1".into()));
        assert_eq!(refused.unwrap_err().code(), 40);
    }
}
