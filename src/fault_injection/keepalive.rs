//! Keepalive over the time that it takes.

use std::time::Duration;

use super::world::World;
use crate::Request;
use crate::net::simulation::Weather;

#[test]
fn a_channel_that_is_sent_away_for_its_pings_doubles_the_time_between_them() {
    let weather = Weather { latency: Duration::from_millis(1), segment: 1_000, short_write: 20 };
    let world = World::with(
        1,
        weather,
        Vec::new(),
        |server| {
            // PINGs of its own would spare the client those that are looked at.
            let server = server.keepalive(Duration::from_secs(3_600), Duration::from_secs(20));
            server.keepalive_enforcement(Duration::from_secs(35), true)
        },
        |channel| channel.keepalive(Duration::from_secs(10), Duration::from_secs(2), true),
    );
    for _ in 0..6 {
        world.run(world.echo(Request::new("a".into()))).unwrap();
        world.pass(Duration::from_secs(300));
    }
    // With 10 s, with 20 s, and from then on with 40 s.
    assert_eq!(world.connections_accepted(), 3);
    world.end();
}
