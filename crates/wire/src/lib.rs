//! What crosses Kafka and HTTP: every public record and its schema.
