//! What holds whatever the configuration and the order of events.

use super::*;
use crate::client::backoff::BackoffConfig;
use crate::client::random::Xorshift;

#[test]
fn absurd_times_in_the_configuration_do_no_harm() {
    let config = Config {
        backoff: BackoffConfig {
            base_delay: Duration::MAX,
            max_delay: Duration::MAX,
            ..BackoffConfig::default()
        },
        min_connect_timeout: Duration::MAX,
        idle_timeout: Some(Duration::MAX),
        min_resolution_interval: Duration::MAX,
        refresh_interval: Some(Duration::MAX),
        resolution_timeout: Duration::MAX,
        ..Config::new("dns:///test")
    };
    let mut driver = Driver::with(config);
    driver.demand();
    driver.active(0);
    driver.resolved(&[A]);
    driver.lost(A);
    driver.resolver_failed("x");
    driver.pass(seconds(60));
}

#[test]
fn the_channel_survives_any_order_of_events() {
    for seed in 1..200 {
        let mut random = Xorshift::new(seed);
        let mut driver = Driver::new();
        for _ in 0..300 {
            let any = random.next_u64();
            let attempt = driver.attempts.get(any as usize % driver.attempts.len().max(1)).map(|a| a.0);
            match (any >> 32) % 10 {
                0 => driver.demand(),
                1 => driver.resolved(&[A]),
                2 => driver.resolved(&[B, A]),
                3 => driver.resolver_failed("x"),
                4 => driver.active((any >> 48) as usize % 2),
                5 => driver.pass(seconds((any >> 40) % 100)),
                6 => driver.resolved(&[]),
                n => {
                    let event = match n {
                        7 => ConnectionEvent::Ready,
                        _ => ConnectionEvent::Lost { reason: "x".into() },
                    };
                    attempt.into_iter().for_each(|id| driver.report(id, event.clone()));
                }
            }
            // Calls are sent only on connections that exist; and a channel that is not idle is on its way.
            if let Some(id) = driver.pick().subchannel() {
                assert_eq!(driver.core.state(), ConnectivityState::Ready);
                assert!(driver.core.plane.subchannel(id).is_some_and(|s| s.connections().next().is_some()));
            } else if matches!(driver.core.state(), ConnectivityState::Connecting) {
                let under_way =
                    (driver.core.plane.subchannels.iter()).any(|(_, s)| s.connections().next().is_some());
                assert!(under_way || driver.core.poll_timeout().is_some());
            }
        }
        // Whatever happened, the channel recovers when its backend does.
        driver.demand();
        driver.resolved(&[A]);
        driver.pass(seconds(200));
        driver.demand();
        let id = driver.id(A);
        driver.report(id, ConnectionEvent::Ready);
        assert_eq!(driver.core.state(), ConnectivityState::Ready, "seed {seed}");
        driver.core.shutdown();
        driver.drain();
        assert_eq!(driver.core.poll_timeout(), None);
        assert!(driver.core.plane.subchannels.is_empty());
    }
}
