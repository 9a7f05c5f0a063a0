//! A graceful end whose last octets take their time.

use std::time::Duration;

use bytes::Bytes;

use super::world::{All, World};
use crate::net::simulation::Weather;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// A wire that brings about 50 KB a second.
const SLOW: Weather = Weather { latency: Duration::from_millis(950), ..Weather::CALM };

#[test]
fn a_server_that_stops_gracefully_waits_for_a_slow_client_to_take_what_is_left() {
    for seed in 0..10 {
        let world = World::with(
            seed,
            SLOW,
            Vec::new(),
            |server| server.keepalive(10 * MINUTE, MINUTE),
            |channel| channel.keepalive(10 * MINUTE, MINUTE, true),
        );
        world.run(async {
            let (outbound, mut inbound) = world.chat();
            outbound.send(Bytes::from_static(b"begun")).await.unwrap();
            inbound.message().await.unwrap();
            let last = async {
                // When the end of the last stream is written, nothing is left to be done but to write it.
                world.network.sleep(20 * SECOND).await;
                let large = Bytes::from(vec![7; 250_000]);
                outbound.send(large.clone()).await.unwrap();
                outbound.finish();
                assert!(inbound.message().await.unwrap() == Some(large), "seed {seed}");
                assert_eq!(inbound.message().await.unwrap(), None, "seed {seed}");
            };
            All(vec![Box::pin(world.restart()), Box::pin(last)]).await;
        });
        world.end();
    }
}
