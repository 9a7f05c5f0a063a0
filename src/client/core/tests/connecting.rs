//! From demand to a connection, its loss, and back-off.

use super::*;

#[test]
fn a_new_channel_is_idle_and_does_nothing() {
    let mut driver = Driver::new();
    assert_eq!(driver.core.state(), ConnectivityState::Idle);
    assert!(matches!(driver.pick(), Pick::Queue));
    assert_eq!(driver.core.poll_timeout(), None);
    driver.pass(seconds(100_000));
    driver.did(&[]);
}

#[test]
fn demand_leads_through_resolution_and_connection_to_ready() {
    let mut driver = Driver::new();
    driver.demand();
    driver.did(&["CONNECTING", "resolve"]);
    driver.resolved(&[A, B]);
    driver.did(&[&format!("connect {A}"), "CONNECTING"]);
    assert!(matches!(driver.pick(), Pick::Queue));
    driver.ready(A);
    driver.did(&["READY"]);
    let id = driver.id(A).subchannel();
    assert!(driver.pick().subchannel() == Some(id));
    assert_eq!(driver.core.poll_timeout(), None);
}

#[test]
fn further_demand_while_connecting_changes_nothing() {
    let mut driver = Driver::new();
    driver.demand();
    driver.log.clear();
    driver.demand();
    driver.resolved(&[A]);
    driver.log.clear();
    driver.demand();
    driver.did(&[]);
}

#[test]
fn an_attempt_has_twenty_seconds_or_as_long_as_the_back_off() {
    let mut driver = Driver::new();
    driver.demand();
    driver.resolved(&[A]);
    assert_eq!(driver.attempts[0].2, driver.now + seconds(20));
    for _ in 0..12 {
        driver.lost(A);
        driver.pass(seconds(150));
    }
    let (_, _, deadline) = driver.attempts[12];
    // Its back-off would be 120 s give or take a fifth; the attempt began some time in the last 150 s.
    let range = driver.now - seconds(150) + seconds(96)..=driver.now + seconds(144);
    assert!(range.contains(&deadline));
}

#[test]
fn a_refused_connection_fails_calls_with_target_address_and_error() {
    let mut driver = Driver::new();
    driver.demand();
    driver.resolved(&[A]);
    driver.log.clear();
    driver.lost(A);
    driver.did(&["TRANSIENT_FAILURE"]);
    assert_eq!(
        driver.failure(),
        "dns:///test: connections to all backends failing; last error: 10.0.0.1:80: connection refused"
    );
}

#[test]
fn attempts_follow_the_back_off() {
    let mut driver = Driver::new();
    driver.demand();
    driver.resolved(&[A]);
    let mut expected = 1.0f64;
    for round in 0..15 {
        driver.lost(A);
        let failed_at = driver.now;
        let attempts = driver.attempts.len();
        while driver.attempts.len() == attempts {
            driver.now = driver.core.poll_timeout().unwrap().max(driver.now);
            driver.core.handle_timeout(driver.now);
            driver.drain();
            if driver.log.last().is_some_and(|last| last == "resolve") {
                driver.log.clear();
                driver.resolved(&[A]);
            }
        }
        let waited = (driver.now - failed_at).as_secs_f64();
        let jitter = if round == 0 { 0.0 } else { 0.2 };
        assert!((expected * (1.0 - jitter)..=expected * (1.0 + jitter)).contains(&waited), "{waited}");
        expected = (expected * 1.6).min(120.0);
    }
}

#[test]
fn a_connection_that_was_ready_resets_the_back_off() {
    let mut driver = Driver::new();
    driver.demand();
    driver.resolved(&[A]);
    for _ in 0..5 {
        driver.lost(A);
        driver.pass(seconds(15));
    }
    driver.ready(A);
    driver.lost(A);
    driver.demand();
    driver.lost(A);
    driver.log.clear();
    driver.pass(Duration::from_millis(999));
    driver.did(&[]);
    driver.pass(Duration::from_millis(1));
    driver.did(&[&format!("connect {A}")]);
}

#[test]
fn a_lost_connection_waits_for_the_next_call_and_the_resolver_is_asked() {
    let mut driver = Driver::connected();
    driver.pass(seconds(31));
    driver.lost(A);
    driver.did(&["IDLE", "resolve"]);
    assert!(matches!(driver.pick(), Pick::Queue));
    driver.resolved(&[A, B]);
    driver.did(&[]);
    driver.demand();
    driver.did(&[&format!("connect {A}"), "CONNECTING"]);
}

#[test]
fn late_news_of_an_old_connection_is_not_taken_for_the_new_one() {
    let mut driver = Driver::connected();
    let old = driver.id(A);
    driver.report(old, ConnectionEvent::Lost { reason: "GOAWAY".into() });
    driver.demand();
    driver.log.clear();
    // The old connection ends for good while the new one is being made.
    driver.report(old, ConnectionEvent::Lost { reason: "closed".into() });
    driver.report(old, ConnectionEvent::Ready);
    driver.did(&[]);
    driver.ready(A);
    driver.did(&["READY"]);
    driver.report(old, ConnectionEvent::Lost { reason: "closed".into() });
    driver.did(&[]);
}

#[test]
fn a_connection_that_reports_ready_twice_is_ready_once() {
    let mut driver = Driver::connected();
    driver.ready(A);
    driver.did(&[]);
}

#[test]
fn the_loser_of_two_attempts_is_disconnected_and_its_news_ignored() {
    let mut driver = Driver::new();
    driver.demand();
    driver.resolved(&[A, B]);
    driver.pass(Duration::from_millis(250));
    driver.log.clear();
    driver.ready(B);
    driver.did(&[&format!("disconnect {A}"), "READY"]);
    driver.ready(A);
    driver.lost(A);
    driver.did(&[]);
    assert_eq!(driver.core.plane.subchannels.len(), 1);
}

#[test]
fn a_subchannel_that_reuses_an_index_has_another_id() {
    let mut driver = Driver::new();
    driver.demand();
    driver.resolved(&[A]);
    let old = driver.id(A);
    driver.resolved(&[B]);
    let new = driver.id(B);
    assert_eq!(old.subchannel().index(), new.subchannel().index());
    assert_ne!(old.subchannel(), new.subchannel());
    driver.log.clear();
    driver.report(old, ConnectionEvent::Ready);
    driver.did(&[]);
}

#[test]
fn a_reset_of_the_back_off_reconnects_at_once() {
    let mut driver = Driver::new();
    driver.demand();
    driver.resolved(&[A]);
    for _ in 0..6 {
        driver.lost(A);
        driver.pass(seconds(13));
    }
    driver.lost(A);
    driver.log.clear();
    driver.core.reset_backoff(driver.now);
    driver.drain();
    driver.did(&[&format!("connect {A}")]);
    driver.lost(A);
    driver.log.clear();
    driver.pass(seconds(1));
    driver.did(&[&format!("connect {A}")]);
}

#[test]
fn a_reset_during_an_attempt_lets_the_next_follow_without_a_wait() {
    let mut driver = Driver::new();
    driver.demand();
    driver.resolved(&[A]);
    driver.core.reset_backoff(driver.now);
    driver.drain();
    driver.log.clear();
    driver.lost(A);
    driver.pass(Duration::ZERO);
    driver.did(&["TRANSIENT_FAILURE", &format!("connect {A}")]);
}

#[test]
fn a_reset_of_the_back_off_asks_a_failing_resolver_at_once() {
    let mut driver = Driver::new();
    driver.demand();
    driver.resolver_failed("no such host");
    driver.log.clear();
    driver.core.reset_backoff(driver.now);
    driver.drain();
    driver.did(&["resolve"]);
}
