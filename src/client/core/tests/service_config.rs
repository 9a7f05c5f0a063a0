//! What service configs change.

use super::*;

#[test]
fn the_service_config_chooses_the_policy_and_configures_calls() {
    let mut driver = Driver::new();
    driver.demand();
    driver.log.clear();
    driver.resolved_with(&[A, B], Ok(ROUND_ROBIN));
    driver.did(&[&format!("connect {A}"), &format!("connect {B}"), "CONNECTING"]);
    assert!(matches!(driver.configs, CallConfigs::Service(_)));
    // Without a service config the default counts again.
    driver.ready(A);
    driver.resolved(&[A, B]);
    assert!(matches!(driver.configs, CallConfigs::None));
    driver.log.clear();
    driver.lost(A);
    driver.did(&["IDLE"]);
}

#[test]
fn a_first_service_config_that_is_bad_fails_calls_and_the_resolver_is_asked_again() {
    let mut driver = Driver::new();
    driver.demand();
    driver.log.clear();
    driver.resolved_with(&[A], Ok("[]"));
    driver.did(&["TRANSIENT_FAILURE"]);
    let failure =
        "dns:///test: the service config cannot be used: the document: found []; it must be an object";
    assert_eq!(driver.failure(), failure);
    driver.pass(seconds(1));
    driver.did(&["resolve"]);
    driver.resolved_with(&[A], Err(ResolveError::new("no TXT record")));
    assert_eq!(driver.failure(), "dns:///test: the service config could not be had: no TXT record");
    driver.resolved_with(&[A], Ok("{}"));
    driver.ready(A);
    assert_eq!(driver.core.state(), ConnectivityState::Ready);
}

#[test]
fn a_later_service_config_that_is_bad_leaves_the_good_one_and_the_resolver_is_asked_again() {
    let mut driver = Driver::new();
    driver.demand();
    driver.resolved_with(&[A], Ok(ROUND_ROBIN));
    driver.ready(A);
    driver.log.clear();
    driver.resolved_with(&[A, B], Ok("[]"));
    driver.did(&[&format!("connect {B}"), "READY"]);
    driver.pass(seconds(1));
    driver.did(&["resolve"]);
}

#[test]
fn the_resolver_s_service_config_may_be_left_out_of_account() {
    let config = Config { ignore_resolver_config: true, ..Config::new("dns:///test") };
    let mut driver = Driver::with(config);
    driver.demand();
    driver.log.clear();
    driver.resolved_with(&[A, B], Ok(ROUND_ROBIN));
    driver.did(&[&format!("connect {A}"), "CONNECTING"]);
}

#[test]
fn a_new_policy_takes_over_the_connections_of_the_old() {
    let mut driver = Driver::connected();
    driver.resolved_with(&[A], Ok(ROUND_ROBIN));
    driver.did(&["READY"]);
    assert_eq!(driver.core.plane.subchannels.len(), 1);
    driver.resolved(&[B]);
    driver.ready(B);
    driver.did(&[&format!("connect {B}"), &format!("disconnect {A}"), "READY"]);
    assert_eq!(driver.core.plane.by_address.len(), 1);
}
