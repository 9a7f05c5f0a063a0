//! What keeps a channel from going idle, over the time that it takes.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::world::World;
use crate::client::resolver::{ResolutionSender, Resolver, ResolverBuilder, Work};
use crate::client::target::{Target, TargetError};
use crate::net::simulation::Weather;
use crate::{Address, Request};

const MINUTE: Duration = Duration::from_secs(60);

/// Resolves as `passthrough` does, and counts its resolvers: an idle channel lets go of its own.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl ResolverBuilder for Counting {
    fn scheme(&self) -> &str {
        "passthrough"
    }

    fn build(&self, target: &Target, _: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let address = target
            .endpoint()
            .parse()
            .map_err(|_| TargetError::new(target, "it is none".to_owned(), "name an address"))?;
        Ok(Box::new(Counted(Address::Tcp(address))))
    }
}

struct Counted(Address);

impl Resolver for Counted {
    fn resolve(&mut self) -> Work {
        Work::Ready(Ok([self.0.clone()].into_iter().collect()))
    }
}

/// A channel that goes idle after a minute.
struct Scene {
    world: World,
    counting: Counting,
}

impl Scene {
    fn new(service_config: &str) -> Self {
        let counting = Counting::default();
        let weather = Weather { latency: Duration::from_millis(1), segment: 1_000, short_write: 20 };
        let world = World::with(
            1,
            weather,
            Vec::new(),
            |server| server,
            |channel| {
                let channel = channel.resolver(counting.clone()).default_service_config(service_config);
                channel.idle_timeout(Some(MINUTE))
            },
        );
        Scene { world, counting }
    }

    fn call(&self) -> bool {
        self.world.run(self.world.echo(Request::new("a".into()))).is_ok()
    }

    /// How often the channel was idle so far, the beginning included.
    fn idled(&self) -> usize {
        // The first resolver was built to check the target.
        self.counting.0.load(Ordering::SeqCst) - 1
    }
}

#[test]
fn a_minute_without_calls_is_long_enough() {
    let scene = Scene::new("{}");
    assert!(scene.call());
    scene.world.pass(MINUTE / 2);
    assert!(scene.call());
    scene.world.pass(MINUTE - Duration::from_secs(1));
    assert!(scene.call());
    assert_eq!(scene.idled(), 1);
    scene.world.pass(MINUTE + Duration::from_secs(1));
    assert!(scene.call());
    assert_eq!(scene.idled(), 2);
    scene.world.end();
}

#[test]
fn a_stream_on_a_connection_that_takes_no_more_calls_is_one() {
    let scene = Scene::new("{}");
    let world = &scene.world;
    let (outbound, mut inbound) = world.chat();
    world.run(async {
        outbound.send("a".into()).await.unwrap();
        inbound.message().await.unwrap();
        let mut restart = pin!(world.restart());
        // The stop has begun; it waits for the stream.
        poll_fn(|cx| Poll::Ready(restart.as_mut().poll(cx).is_pending())).await
    });
    world.pass(10 * MINUTE);
    assert!(scene.call());
    assert_eq!(scene.idled(), 1);
    world.pass(2 * MINUTE);
    outbound.finish();
    world.run(async { assert!(inbound.message().await.unwrap().is_none()) });
    // From its end on.
    world.pass(MINUTE - Duration::from_secs(1));
    assert!(scene.call());
    assert_eq!(scene.idled(), 1);
    scene.world.end();
}

#[test]
fn calls_that_fail_at_once_are_some() {
    let scene = Scene::new("{}");
    scene.world.stop();
    for _ in 0..10 {
        assert!(!scene.call());
        scene.world.pass(MINUTE / 2);
    }
    assert_eq!(scene.idled(), 1);
    // Attempts to connect are none.
    scene.world.pass(MINUTE);
    assert!(!scene.call());
    assert_eq!(scene.idled(), 2);
    scene.world.end();
}

#[test]
fn a_call_that_waits_for_its_next_attempt_is_one() {
    let scene = Scene::new(
        r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
            "maxAttempts": 2, "initialBackoff": "600s", "maxBackoff": "600s",
            "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}"#,
    );
    scene.world.stop();
    let first = scene.world.echo(Request::new("a".into()));
    scene.world.pass(5 * MINUTE);
    let second = scene.world.echo(Request::new("a".into()));
    scene.world.pass(Duration::from_secs(1));
    assert_eq!(scene.idled(), 1);
    drop((first, second));
    scene.world.end();
}
