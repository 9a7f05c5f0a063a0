//! Replays the fuzz targets' corpora of the `rpc` and `client` parts, so that what fuzzing has found once stays found
//! without a fuzzer.

use std::fs;
use std::path::Path;

use lariat::client;
#[cfg(feature = "etcd")]
use lariat::etcd;
use lariat::fuzz;

/// Runs a fuzz target's body on every file of its corpus.
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no seeds", folder.display());
    for file in files {
        // Printed by the test harness only if the body panics.
        println!("{}", file.display());
        body(&fs::read(&file).expect("a readable file"));
    }
}

#[test]
fn every_stream_of_messages_is_cut_alike() {
    replay("rpc_deframe", fuzz::deframe);
}

#[test]
fn every_header_list_is_read() {
    replay("rpc_metadata", fuzz::metadata);
}

#[test]
fn every_timeout_is_read() {
    replay("rpc_timeout", fuzz::timeout);
}

#[test]
fn every_status_message_is_read() {
    replay("rpc_percent", fuzz::percent);
}

#[test]
fn every_request_is_read_alike_however_it_is_cut() {
    replay("rpc_server_call", fuzz::server_call);
}

#[test]
fn every_response_has_one_outcome() {
    replay("rpc_client_call", fuzz::client_call);
}

#[test]
fn every_target_is_read_or_refused() {
    replay("client_target", client::fuzz::target);
}

#[test]
fn every_service_config_is_read_or_refused() {
    replay("client_service_config", client::fuzz::service_config);
}

#[test]
fn every_compressed_message_is_inflated_or_refused() {
    replay("rpc_decompress", fuzz::decompress);
}

#[cfg(feature = "dns-client")]
#[test]
fn every_answer_of_a_dns_server_is_read_or_refused() {
    replay("dns_answer", client::fuzz::dns_answer);
}

#[cfg(feature = "etcd")]
#[test]
fn every_value_of_etcd_is_read_or_refused() {
    replay("etcd_payload", etcd::fuzz::payload);
}
