//! Kafka sources, sinks and administration, on librdkafka.
