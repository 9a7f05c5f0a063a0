//! Letting go of everything: for lack of calls, and for good.

use super::*;

#[test]
fn half_an_hour_without_calls_lets_go_of_everything() {
    let mut driver = Driver::connected();
    driver.active(1);
    driver.pass(seconds(40 * 60));
    driver.active(0);
    driver.pass(seconds(30 * 60 - 1));
    driver.did(&[]);
    driver.pass(seconds(1));
    driver.did(&["IDLE", "stop resolver", &format!("disconnect {A}")]);
    assert_eq!(driver.core.poll_timeout(), None);
    assert!(matches!(driver.pick(), Pick::Queue));
    // What arrives late finds nobody.
    driver.resolved(&[A]);
    driver.ready(A);
    driver.lost(A);
    driver.resolver_failed("late");
    driver.core.reset_backoff(driver.now);
    driver.drain();
    driver.did(&[]);
    driver.demand();
    driver.did(&["CONNECTING", "resolve"]);
    driver.resolved(&[B]);
    driver.did(&[&format!("connect {B}"), "CONNECTING"]);
}

#[test]
fn a_call_in_between_puts_idleness_off() {
    let mut driver = Driver::connected();
    driver.active(0);
    driver.pass(seconds(20 * 60));
    driver.active(1);
    driver.active(0);
    driver.pass(seconds(20 * 60));
    driver.did(&[]);
    driver.demand();
    driver.pass(seconds(29 * 60));
    driver.did(&[]);
    driver.pass(seconds(60));
    driver.did(&["IDLE", "stop resolver", &format!("disconnect {A}")]);
}

#[test]
fn idleness_can_be_turned_off() {
    let config = Config { idle_timeout: None, ..Config::new("dns:///test") };
    let mut driver = Driver::with(config);
    driver.demand();
    driver.resolved(&[A]);
    driver.ready(A);
    driver.log.clear();
    driver.active(0);
    driver.pass(seconds(1_000_000));
    driver.did(&[]);
}

#[test]
fn shutdown_ends_everything_and_is_final() {
    let mut driver = Driver::connected();
    driver.core.shutdown();
    driver.drain();
    driver.did(&["SHUTDOWN", "stop resolver", &format!("disconnect {A}")]);
    match driver.pick() {
        Pick::Drop(status) => {
            assert_eq!(status.code(), Code::Cancelled);
            assert_eq!(status.message(), "dns:///test: the channel was closed");
        }
        other => panic!("{other:?}"),
    }
    driver.demand();
    driver.resolved(&[A]);
    driver.lost(A);
    driver.active(0);
    driver.core.shutdown();
    driver.pass(seconds(100_000));
    driver.did(&[]);
    assert_eq!(driver.core.state(), ConnectivityState::Shutdown);
}

#[test]
fn shutdown_of_an_idle_channel_has_nothing_to_let_go_of() {
    let mut driver = Driver::new();
    driver.core.shutdown();
    driver.drain();
    driver.did(&["SHUTDOWN"]);
}
