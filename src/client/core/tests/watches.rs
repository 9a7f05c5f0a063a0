//! The streams by which a backend tells its health and its load.

use super::*;

const HEALTH: &str =
    r#"{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": "s"}}"#;

impl Driver {
    fn told(&mut self, address: &str, event: WatchEvent) {
        self.core.handle_watch(self.now, self.id(address), event);
        self.drain();
    }

    /// Connected to A by round_robin with health checking.
    fn checking() -> Self {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolved_with(&[A], Ok(HEALTH));
        driver.log.clear();
        driver.ready(A);
        driver.did(&[&format!("watch Health(\"s\") of {A}"), "CONNECTING"]);
        driver
    }
}

#[test]
fn a_backend_gets_calls_while_it_says_that_it_serves() {
    let mut driver = Driver::checking();
    driver.told(A, WatchEvent::Healthy);
    driver.did(&["READY"]);
    driver.told(A, WatchEvent::Healthy);
    driver.did(&[]);
    driver.told(A, WatchEvent::Unhealthy("NOT_SERVING".into()));
    driver.did(&["TRANSIENT_FAILURE"]);
    assert_eq!(driver.failure(), "dns:///test: the backend is not healthy: 10.0.0.1:80: NOT_SERVING");
    driver.lost(A);
    driver.log.clear();
    // Another connection, another watch; what the old one tells does not count.
    driver.ready(A);
    driver.did(&[&format!("watch Health(\"s\") of {A}"), "CONNECTING"]);
}

#[test]
fn a_health_watch_that_ends_makes_its_backend_unhealthy_and_is_opened_again_after_a_back_off() {
    let mut driver = Driver::checking();
    driver.told(A, WatchEvent::HealthEnded(Status::unavailable("no")));
    driver.did(&["TRANSIENT_FAILURE"]);
    driver.pass(Duration::from_millis(999));
    driver.did(&[]);
    driver.pass(Duration::from_millis(1));
    driver.did(&[&format!("watch Health(\"s\") of {A}")]);
    driver.told(A, WatchEvent::Healthy);
    driver.did(&["READY"]);
}

#[test]
fn a_backend_without_health_checking_counts_as_healthy() {
    let mut driver = Driver::checking();
    driver.told(A, WatchEvent::HealthEnded(Status::unimplemented("unknown service")));
    driver.did(&["READY"]);
    driver.pass(seconds(1000));
    driver.did(&[]);
}

#[test]
fn health_checking_comes_and_goes_with_the_service_config_and_can_be_turned_off() {
    let mut driver = Driver::checking();
    driver.resolved_with(&[A], Ok(ROUND_ROBIN));
    driver.did(&[&format!("stop the health watch of {A}"), "READY"]);
    driver.resolved_with(&[A], Ok(HEALTH));
    driver.did(&[&format!("watch Health(\"s\") of {A}"), "CONNECTING"]);
    let mut driver = Driver::with(Config { health_checking: false, ..Config::new("dns:///test") });
    driver.demand();
    driver.resolved_with(&[A], Ok(HEALTH));
    driver.log.clear();
    driver.ready(A);
    driver.did(&["READY"]);
}

#[test]
fn load_is_watched_out_of_band_and_reported_to_the_policy() {
    let mut driver = Driver::new();
    driver.demand();
    let config = r#"{"loadBalancingConfig": [{"weighted_round_robin": {"enableOobLoadReport": true}}]}"#;
    driver.resolved_with(&[A, B], Ok(config));
    driver.log.clear();
    driver.ready(A);
    driver.did(&[&format!("watch Load(10s) of {A}"), "READY"]);
    driver.told(A, WatchEvent::Load(Arc::default()));
    driver.told(A, WatchEvent::LoadEnded { is_unimplemented: false });
    driver.pass(seconds(1));
    driver.did(&[&format!("watch Load(10s) of {A}")]);
    driver.told(A, WatchEvent::LoadEnded { is_unimplemented: true });
    driver.pass(seconds(19));
    driver.did(&[]);
}

#[test]
fn a_load_watch_follows_the_service_config() {
    let config =
        |fields: &str| format!(r#"{{"loadBalancingConfig": [{{"weighted_round_robin": {{{fields}}}}}]}}"#);
    let mut driver = Driver::new();
    driver.demand();
    driver.resolved_with(&[A], Ok(&config("")));
    driver.ready(A);
    driver.log.clear();
    driver.resolved_with(&[A], Ok(&config(r#""enableOobLoadReport": true"#)));
    driver.did(&[&format!("watch Load(10s) of {A}"), "READY"]);
    driver.resolved_with(&[A], Ok(&config(r#""enableOobLoadReport": true, "oobReportingPeriod": "60s""#)));
    driver.did(&[&format!("watch Load(60s) of {A}"), "READY"]);
    driver.resolved_with(&[A], Ok(&config("")));
    driver.did(&[&format!("stop the load watch of {A}"), "READY"]);
}
