//! When the resolver is asked, and what its answers and failures lead to.

use super::*;

#[test]
fn the_resolver_is_not_asked_again_within_thirty_seconds_of_an_answer() {
    let mut driver = Driver::connected();
    driver.pass(seconds(10));
    driver.lost(A);
    driver.did(&["IDLE"]);
    driver.pass(Duration::from_millis(19_999));
    driver.did(&[]);
    driver.pass(Duration::from_millis(1));
    driver.did(&["resolve"]);
}

#[test]
fn requests_during_a_resolution_are_one_further_resolution() {
    let mut driver = Driver::connected();
    driver.pass(seconds(30));
    driver.lost(A);
    driver.did(&["IDLE", "resolve"]);
    driver.demand();
    driver.ready(A);
    driver.lost(A);
    driver.log.clear();
    driver.resolved(&[A, B]);
    driver.did(&[]);
    driver.pass(seconds(30));
    driver.did(&["resolve"]);
    driver.resolved(&[A, B]);
    driver.pass(seconds(1000));
    driver.did(&[]);
}

#[test]
fn a_resolver_is_asked_from_time_to_time_if_that_is_wanted() {
    let config = Config { refresh_interval: Some(seconds(60)), ..Config::new("dns:///test") };
    let mut driver = Driver::with(config);
    driver.demand();
    driver.resolved(&[A]);
    driver.ready(A);
    driver.log.clear();
    driver.pass(Duration::from_millis(59_999));
    driver.did(&[]);
    driver.pass(Duration::from_millis(1));
    driver.did(&["resolve"]);
    driver.pass(seconds(10));
    driver.resolved(&[A, B]);
    driver.pass(seconds(59));
    driver.did(&[]);
    driver.pass(seconds(1));
    driver.did(&["resolve"]);
    // More often than the rules allow it cannot be.
    let config = Config { refresh_interval: Some(seconds(1)), ..Config::new("dns:///test") };
    let mut driver = Driver::with(config);
    driver.demand();
    driver.resolved(&[A]);
    driver.log.clear();
    driver.pass(Duration::from_millis(29_999));
    driver.did(&[]);
    driver.pass(Duration::from_millis(1));
    driver.did(&["resolve"]);
}

#[test]
fn a_failed_resolution_fails_calls_and_is_repeated_with_back_off() {
    let mut driver = Driver::new();
    driver.demand();
    driver.log.clear();
    driver.resolver_failed("no such host");
    driver.did(&["TRANSIENT_FAILURE"]);
    assert_eq!(driver.failure(), "dns:///test: name resolution failed: no such host");
    driver.pass(Duration::from_millis(999));
    driver.did(&[]);
    driver.pass(Duration::from_millis(1));
    driver.did(&["resolve"]);
    driver.resolver_failed("no such host");
    driver.log.clear();
    driver.pass(Duration::from_millis(1279));
    driver.did(&[]);
    driver.pass(Duration::from_millis(641));
    driver.did(&["resolve"]);
    driver.resolved(&[A]);
    driver.did(&[&format!("connect {A}"), "CONNECTING"]);
}

#[test]
fn a_failed_resolution_leaves_a_working_channel_alone() {
    let mut driver = Driver::connected();
    driver.resolver_failed("no such host");
    driver.did(&[]);
    assert!(driver.pick().subchannel().is_some());
    driver.pass(seconds(1));
    driver.did(&["resolve"]);
}

#[test]
fn an_answer_without_addresses_counts_as_a_failure_of_the_resolver() {
    let mut driver = Driver::new();
    driver.demand();
    driver.log.clear();
    driver.resolved(&[]);
    driver.did(&["TRANSIENT_FAILURE"]);
    driver.pass(seconds(1));
    driver.did(&["resolve"]);
}

#[test]
fn a_resolver_that_never_answers_fails_calls_after_its_time() {
    let mut driver = Driver::new();
    driver.demand();
    driver.log.clear();
    driver.pass(Duration::from_millis(29_999));
    driver.did(&[]);
    driver.pass(Duration::from_millis(1));
    driver.did(&["TRANSIENT_FAILURE"]);
    assert_eq!(driver.failure(), "dns:///test: name resolution failed: no answer within 30s");
    driver.pass(seconds(1));
    driver.did(&["resolve"]);
    // The late answer is as good as any.
    driver.resolved(&[A]);
    driver.did(&[&format!("connect {A}"), "CONNECTING"]);
}

#[test]
fn what_a_resolver_has_said_is_reported_until_it_says_something_else() {
    let mut driver = Driver::new();
    driver.demand();
    driver.resolver_failed("the registry says no");
    let failure = "dns:///test: name resolution failed: the registry says no";
    driver.log.clear();
    driver.pass(seconds(1));
    driver.did(&["resolve"]);
    // It has nothing to add, and is asked again.
    driver.pass(seconds(30));
    driver.did(&[]);
    assert_eq!(driver.failure(), failure);
    driver.pass(seconds(2));
    driver.did(&["resolve"]);
    driver.resolved(&[A]);
    driver.did(&[&format!("connect {A}"), "CONNECTING"]);
}

#[test]
fn a_working_channel_ignores_a_resolver_that_does_not_answer_and_asks_again_when_need_be() {
    let mut driver = Driver::connected();
    driver.pass(seconds(30));
    driver.lost(A);
    driver.demand();
    driver.ready(A);
    driver.log.clear();
    driver.pass(seconds(60));
    driver.did(&[]);
    driver.lost(A);
    driver.did(&["IDLE", "resolve"]);
}

#[test]
fn a_resolver_that_has_nothing_new_to_say_is_asked_from_time_to_time_all_the_same() {
    let config = Config { refresh_interval: Some(seconds(60)), ..Config::new("dns:///test") };
    let mut driver = Driver::with(config);
    driver.demand();
    driver.resolved(&[A]);
    driver.ready(A);
    driver.log.clear();
    for _ in 0..3 {
        driver.pass(seconds(60));
        driver.did(&["resolve"]);
        // So long its answer is waited for.
        driver.pass(seconds(30));
        driver.did(&[]);
    }
}

#[test]
fn pushed_resolutions_are_taken_at_any_time() {
    let mut driver = Driver::connected();
    driver.resolved(&[B]);
    driver.did(&[&format!("disconnect {A}"), &format!("connect {B}"), "CONNECTING"]);
    driver.resolved(&[A]);
    driver.did(&[&format!("disconnect {B}"), &format!("connect {A}"), "CONNECTING"]);
}
