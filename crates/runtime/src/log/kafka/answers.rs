//! What a broker answers now and then, one answer at a time: coordinators that load, move or are gone, producers that are not
//! known or not in order. Whatever it is, the next attempt goes through, or a new holder of the id says what it was.
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Answer};

use super::{KafkaConfig, KafkaLog};
use crate::log::{Log as _, LogError, NewRecord, Transaction as _};

const TOPIC: &str = "t";

fn record() -> [NewRecord; 1] {
    [NewRecord::new(TOPIC, "value").key("key").partition(0)]
}

#[test]
fn what_a_transaction_is_answered_it_survives() {
    let answers = [
        (Api::Produce, Answer::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, "aborted"),
        (Api::Produce, Answer::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "lost"),
        (Api::Produce, Answer::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, "written"),
        (Api::Produce, Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, "written"),
        (Api::AddPartitionsToTxn, Answer::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, "written"),
        (Api::AddPartitionsToTxn, Answer::RD_KAFKA_RESP_ERR_NOT_COORDINATOR, "written"),
        (Api::AddPartitionsToTxn, Answer::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, "written"),
        (Api::AddPartitionsToTxn, Answer::RD_KAFKA_RESP_ERR_PRODUCER_FENCED, "fenced"),
        (Api::EndTxn, Answer::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, "written"),
        (Api::EndTxn, Answer::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, "written"),
        (Api::EndTxn, Answer::RD_KAFKA_RESP_ERR_NOT_COORDINATOR, "written"),
        (Api::EndTxn, Answer::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, "lost"),
        (Api::EndTxn, Answer::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, "fenced"),
    ];
    for (api, answer, want) in answers {
        let cluster = MockCluster::new(1).expect("it answers");
        cluster.create_topic(TOPIC, 1, 1).expect("it answers");
        let log = KafkaLog::connect(KafkaConfig::new(cluster.bootstrap_servers())).expect("it answers");
        let mut transaction = log.transaction("id").expect("it answers");
        transaction.commit(&record(), None).expect("it answers");
        cluster.request_errors(api, &[answer]);
        let told = transaction.commit(&record(), None);
        let became = match &told {
            Ok(()) => "written",
            Err(LogError::Aborted { .. }) => "aborted",
            Err(LogError::Lost { .. }) => "lost",
            Err(LogError::Fenced { .. }) => "fenced",
            Err(_) => "something else",
        };
        assert_eq!(became, want, "{api:?} answered {answer:?}: {told:?}");
        if matches!(became, "lost" | "fenced") {
            drop(transaction);
            transaction = log.transaction("id").expect("it answers");
        }
        transaction.commit(&record(), None).expect("it answers");
    }
}

#[test]
fn a_producer_that_cannot_go_on_is_made_anew() {
    let cluster = MockCluster::new(1).expect("it answers");
    cluster.create_topic(TOPIC, 1, 1).expect("it answers");
    let log = KafkaLog::connect(KafkaConfig::new(cluster.bootstrap_servers())).expect("it answers");
    log.append(&record()).expect("it answers");
    for answer in [
        Answer::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
        Answer::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        Answer::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
    ] {
        cluster.request_errors(Api::Produce, &[answer]);
        let told = log.append(&record());
        let may = matches!(told, Ok(_) | Err(LogError::Retriable { .. }));
        assert!(may, "{answer:?}: {told:?}");
        log.append(&record()).expect("it answers");
    }
}
