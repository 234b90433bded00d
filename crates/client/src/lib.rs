//! Publishes records and models, and reads what is in the topics.
