//! Further connections of a subchannel (gRFC A105).

use super::*;
use crate::client::core::config::MAX_CONNECTIONS_PER_SUBCHANNEL;

const THREE: &str = r#"{"connectionScaling": {"maxConnectionsPerSubchannel": 3}}"#;

impl Driver {
    /// Connected to A, with up to three connections.
    fn scaling() -> Self {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolved_with(&[A], Ok(THREE));
        driver.ready(A);
        driver.log.clear();
        driver
    }

    /// Calls wait for a stream.
    fn crowded(&mut self) {
        let id = self.id(A).subchannel();
        self.core.handle_crowding(self.now, id);
        self.drain();
    }
}

#[test]
fn a_further_connection_is_made_while_calls_wait_one_at_a_time_and_up_to_the_maximum() {
    let mut driver = Driver::scaling();
    driver.crowded();
    driver.did(&[&format!("connect {A}")]);
    driver.crowded();
    driver.did(&[]);
    driver.ready(A);
    driver.did(&[]);
    driver.crowded();
    driver.did(&[&format!("connect {A}")]);
    driver.ready(A);
    driver.crowded();
    driver.did(&[]);
    assert_eq!(driver.attempts.len(), 3);
    assert_eq!(driver.core.state(), ConnectivityState::Ready);
}

#[test]
fn by_default_a_subchannel_has_one_connection() {
    let mut driver = Driver::connected();
    driver.crowded();
    driver.did(&[]);
}

#[test]
fn a_service_config_gets_no_more_than_ten_connections_unless_the_channel_allows_them() {
    let many = r#"{"connectionScaling": {"maxConnectionsPerSubchannel": 1000}}"#;
    let connections = |config: Config| {
        let mut driver = Driver::with(config);
        driver.demand();
        driver.resolved_with(&[A], Ok(many));
        for _ in 0..50 {
            driver.ready(A);
            driver.crowded();
        }
        driver.attempts.len()
    };
    assert_eq!(MAX_CONNECTIONS_PER_SUBCHANNEL, 10);
    assert_eq!(connections(Config::new("dns:///test")), 10);
    assert_eq!(connections(Config { max_connections_per_subchannel: 12, ..Config::new("x") }), 12);
    assert_eq!(connections(Config { max_connections_per_subchannel: 0, ..Config::new("x") }), 1);
}

#[test]
fn the_loss_of_one_of_several_connections_changes_nothing() {
    let mut driver = Driver::scaling();
    let first = driver.id(A);
    driver.crowded();
    driver.ready(A);
    driver.log.clear();
    driver.report(first, ConnectionEvent::Lost { reason: "GOAWAY".into() });
    driver.did(&[]);
    assert_eq!(driver.core.state(), ConnectivityState::Ready);
    driver.lost(A);
    driver.did(&["IDLE"]);
}

#[test]
fn a_further_connection_that_fails_is_made_again_after_the_back_off_if_calls_still_wait() {
    let mut driver = Driver::scaling();
    driver.crowded();
    driver.lost(A);
    driver.log.clear();
    driver.crowded();
    driver.did(&[]);
    driver.pass(Duration::from_millis(999));
    driver.crowded();
    driver.did(&[]);
    driver.pass(Duration::from_millis(1));
    driver.did(&[]);
    driver.crowded();
    driver.did(&[&format!("connect {A}")]);
    assert_eq!(driver.core.state(), ConnectivityState::Ready);
}

#[test]
fn with_its_last_connection_lost_a_subchannel_is_as_its_next_attempt_is() {
    // Under way: the channel is connecting.
    let mut driver = Driver::scaling();
    let first = driver.id(A);
    driver.crowded();
    driver.log.clear();
    driver.report(first, ConnectionEvent::Lost { reason: "closed".into() });
    driver.did(&["CONNECTING"]);
    driver.ready(A);
    driver.did(&["READY"]);
    // Backing off: it fails.
    let second = driver.id(A);
    driver.crowded();
    driver.lost(A);
    driver.log.clear();
    driver.report(second, ConnectionEvent::Lost { reason: "closed".into() });
    driver.did(&["TRANSIENT_FAILURE"]);
    assert!(driver.failure().ends_with("10.0.0.1:80: connection refused"), "{}", driver.failure());
    driver.pass(seconds(2));
    driver.ready(A);
    assert_eq!(driver.core.state(), ConnectivityState::Ready);
}

#[test]
fn all_connections_end_with_their_subchannel() {
    let mut driver = Driver::scaling();
    driver.crowded();
    driver.ready(A);
    driver.crowded();
    driver.log.clear();
    driver.core.shutdown();
    driver.drain();
    let disconnect = format!("disconnect {A}");
    driver.did(&["SHUTDOWN", "stop resolver", &disconnect, &disconnect, &disconnect]);
}

#[test]
fn a_lower_maximum_closes_nothing() {
    let mut driver = Driver::scaling();
    driver.crowded();
    driver.ready(A);
    driver.log.clear();
    driver.resolved_with(&[A], Ok("{}"));
    driver.crowded();
    driver.did(&[]);
    assert_eq!(driver.core.max_connections(), 1);
}

#[test]
fn the_backend_is_watched_by_its_oldest_connection() {
    let mut driver = Driver::new();
    driver.demand();
    let config = r#"{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": "s"},
        "connectionScaling": {"maxConnectionsPerSubchannel": 2}}"#;
    driver.resolved_with(&[A], Ok(config));
    driver.ready(A);
    let first = driver.id(A);
    driver.core.handle_watch(driver.now, first, WatchEvent::Healthy);
    driver.crowded();
    driver.log.clear();
    driver.ready(A);
    driver.did(&[]);
    // What was known holds until the other connection's stream tells.
    driver.report(first, ConnectionEvent::Lost { reason: "GOAWAY".into() });
    driver.did(&[&format!("watch Health(\"s\") of {A}")]);
    assert_eq!(driver.core.state(), ConnectivityState::Ready);
    let second = driver.id(A);
    driver.core.handle_watch(driver.now, first, WatchEvent::Unhealthy("late".into()));
    driver.core.handle_watch(driver.now, second, WatchEvent::Unhealthy("NOT_SERVING".into()));
    driver.drain();
    driver.did(&["TRANSIENT_FAILURE"]);
}
