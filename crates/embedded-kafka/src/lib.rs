//! A Kafka broker for one machine, in memory.
