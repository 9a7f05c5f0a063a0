//! Calls of all kinds at once, over wires on which by a seed anything happens.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::world::{All, World, is_loss};
use crate::client::ChannelBuilder;
use crate::net::simulation::{Blow, Fault, Random, Weather};
use crate::rpc::Code;
use crate::server::ServerBuilder;
use crate::{Request, Status};

/// Runs a test with so many seeds, or with as many as `LARIAT_SEEDS` says, and names the one that failed.
fn for_each_seed(count: u64, test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let count =
        std::env::var("LARIAT_SEEDS").map_or(count, |text| text.parse().expect("LARIAT_SEEDS is a number"));
    for seed in 0..count {
        if let Err(panic) = std::panic::catch_unwind(|| test(seed)) {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn weather(random: &mut Random) -> Weather {
    Weather {
        latency: Duration::from_micros(1 + random.below(3_000)),
        segment: [1, 7, 100, 5_000, 1 << 20][random.below(5) as usize],
        short_write: 2 + random.below(20),
    }
}

fn faults(random: &mut Random) -> Vec<Fault> {
    let count = random.below(4) as usize;
    (0..count)
        .map(|wire| {
            let reach = [200, 2_000, 60_000, 400_000][random.below(4) as usize];
            let blow = match random.below(4) {
                0 => Blow::Reset,
                1 => Blow::Truncate,
                2 => Blow::Stall,
                _ => Blow::Delay(Duration::from_millis(random.below(3_000))),
            };
            Fault { wire, of_client: random.once_in(2), offset: random.below(reach), blow }
        })
        .collect()
}

/// A message whose octets say where it belongs. Wires that cut small get no large ones: that would show nothing new and
/// take long.
fn message(world: &World, random: &mut Random) -> Bytes {
    let longest = [10, 1_000, 20_000, 150_000][random.below(4) as usize];
    let len = random.below(longest.min(world.weather.segment as u64 * 100)) as usize;
    let first = random.next();
    (0..len).map(|i| (first.wrapping_add(i as u64) % 251) as u8).collect()
}

/// What calls may end with.
#[derive(Clone, Copy)]
struct Rules {
    /// Wires fail.
    losses: bool,
}

impl Rules {
    fn check(self, status: &Status) {
        assert!(self.losses && is_loss(status), "{status}");
    }
}

/// One call of a random kind, checked to its end.
async fn call(world: &World, mut random: Random, rules: Rules, ended: &Cell<usize>) {
    let message = message(world, &mut random);
    let timeout = Duration::from_secs(30);
    match random.below(6) {
        0 => {
            let request = Request::new(message.clone()).with_timeout(timeout);
            match world.echo(request).await {
                Ok(response) => assert!(*response.message() == message, "an answer of other octets"),
                Err(status) => rules.check(&status),
            }
        }
        1 => {
            let request = Request::new(message.clone()).with_timeout(timeout);
            match world.slow(request).await {
                Ok(response) => assert!(*response.message() == message, "an answer of other octets"),
                Err(status) => rules.check(&status),
            }
        }
        2 => {
            let (outbound, response) = world.collect();
            let count = random.below(20);
            let sent: Result<(), Status> = async {
                for _ in 0..count {
                    outbound.send(message.clone()).await?;
                }
                Ok(())
            }
            .await;
            outbound.finish();
            let expected = message.len() as u64 * count;
            match response.await {
                Ok(response) => {
                    assert_eq!(response.message()[..], expected.to_be_bytes());
                    assert!(sent.is_ok(), "complete, although a message was not sent");
                }
                Err(status) => rules.check(&status),
            }
        }
        3 => {
            let mut inbound = world.repeat(Request::new(message.clone()).with_timeout(timeout));
            let mut count = 0;
            let end = loop {
                match inbound.message().await {
                    Ok(Some(received)) => {
                        assert!(received == message, "a message of other octets");
                        count += 1;
                    }
                    Ok(None) => break Ok(()),
                    Err(status) => break Err(status),
                }
            };
            match end {
                Ok(()) => assert_eq!(count, 8, "an end that is OK, before the last message"),
                Err(status) => rules.check(&status),
            }
        }
        4 => {
            let (outbound, mut inbound) = world.chat();
            let count = random.below(20);
            let end: Result<(), Status> = async {
                for _ in 0..count {
                    outbound.send(message.clone()).await?;
                    let Some(echo) = inbound.message().await? else { panic!("an end that is OK, too early") };
                    assert!(echo == message, "an echo of other octets");
                }
                outbound.finish();
                assert!(inbound.message().await?.is_none(), "a message too many");
                Ok(())
            }
            .await;
            if let Err(status) = end {
                rules.check(&status);
            }
        }
        _ => {
            // Cancelled while it is under way.
            let mut call = pin!(world.slow(Request::new(message)));
            let mut pause = pin!(world.network.sleep(Duration::from_millis(random.below(60))));
            std::future::poll_fn(|cx| match call.as_mut().poll(cx) {
                Poll::Ready(Ok(_)) => Poll::Ready(()),
                Poll::Ready(Err(status)) => {
                    rules.check(&status);
                    Poll::Ready(())
                }
                Poll::Pending => pause.as_mut().poll(cx),
            })
            .await;
        }
    }
    ended.set(ended.get() + 1);
}

fn run_calls(world: &World, random: &mut Random, rules: Rules) {
    let calls = 1 + random.below(8) as usize;
    let ended = Cell::new(0);
    let futures = (0..calls).map(|_| {
        let random = Random::new(random.next());
        Box::pin(call(world, random, rules, &ended)) as _
    });
    world.run(All(futures.collect()));
    assert_eq!(ended.get(), calls);
}

#[test]
fn on_wires_that_only_split_and_delay_every_call_ends_well() {
    for_each_seed(1_000, |seed| {
        let random = &mut Random::new(seed);
        let weather = weather(random);
        let world = World::new(seed, weather, Vec::new());
        run_calls(&world, random, Rules { losses: false });
        world.end();
    });
}

#[test]
fn on_wires_that_fail_every_call_ends_once_and_nothing_is_left() {
    for_each_seed(1_000, |seed| {
        let random = &mut Random::new(seed ^ 0xfa11);
        let (weather, faults) = (weather(random), faults(random));
        let world = World::new(seed, weather, faults);
        run_calls(&world, random, Rules { losses: true });
        // Whatever has happened, the channel works once the wires do.
        let again = (0..6).any(|_| {
            let request = Request::new(Bytes::from_static(b"again")).with_timeout(Duration::from_secs(30));
            world.run(world.echo(request.with_wait_for_ready(true))).is_ok()
        });
        assert!(again, "the channel has not recovered");
        world.end();
    });
}

#[test]
fn a_deadline_ends_a_call_at_its_time_whatever_the_wires_do() {
    for_each_seed(1_000, |seed| {
        let random = &mut Random::new(seed ^ 0xdead);
        let world = World::new(seed, weather(random), Vec::new());
        let timeout = Duration::from_millis(1 + random.below(80));
        let started = world.network.now();
        let outcome = world.run(world.slow(Request::new(message(&world, random)).with_timeout(timeout)));
        let took = world.network.now() - started;
        match outcome {
            Ok(_) => assert!(took <= timeout + Duration::from_millis(2), "{took:?} of {timeout:?}"),
            Err(status) => {
                assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
                assert!(
                    took >= timeout && took <= timeout + Duration::from_millis(2),
                    "{took:?} of {timeout:?}"
                );
            }
        }
        world.end();
    });
}

#[test]
fn calls_beyond_the_servers_limit_wait_their_turn_and_end_well() {
    for_each_seed(1_000, |seed| {
        let random = &mut Random::new(seed ^ 0x11f7);
        let server = |server: ServerBuilder| server.max_concurrent_streams(2);
        let world = World::with(seed, weather(random), Vec::new(), server, |channel| channel);
        run_calls(&world, random, Rules { losses: false });
        world.end();
    });
}

#[test]
fn servers_that_take_turns_lose_no_call_and_serve_none_twice() {
    for_each_seed(300, |seed| {
        let random = &mut Random::new(seed ^ 0x4e57);
        let world = World::new(seed, weather(random), Vec::new());
        let names: Vec<Bytes> = (0..20).map(|i| format!("call {i} of {seed}").into()).collect();
        let calls = names.iter().map(|name| {
            let (pause, slow) = (Duration::from_millis(random.below(300)), random.once_in(2));
            let (world, request) = (&world, Request::new(name.clone()).with_wait_for_ready(true));
            Box::pin(async move {
                world.network.sleep(pause).await;
                let call = if slow { world.slow(request) } else { world.echo(request) };
                let response = call.await.unwrap_or_else(|status| panic!("{status}"));
                assert_eq!(response.message(), name);
            }) as _
        });
        let mut futures: Vec<Pin<Box<dyn Future<Output = ()>>>> = calls.collect();
        for _ in 0..1 + random.below(3) {
            let (world, pause) = (&world, Duration::from_millis(random.below(300)));
            futures.push(Box::pin(async move {
                world.network.sleep(pause).await;
                world.restart().await;
            }));
        }
        world.run(All(futures));
        for name in &names {
            assert_eq!(world.ledger.runs(name), 1, "runs of {name:?}");
        }
        world.end();
    });
}

/// Up to four attempts of each call.
const RETRIES: &str = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 4,
    "initialBackoff": "0.01s", "maxBackoff": "0.1s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]}}]}"#;
const MAX_ATTEMPTS: usize = 4;

/// A call that has a name of its own, and all the time that repairs may take.
fn named(first: u8, second: u8, name: &str) -> Request<Bytes> {
    let message: Bytes = [&[first, second], name.as_bytes()].concat().into();
    Request::new(message).with_wait_for_ready(true).with_timeout(Duration::from_secs(3_600))
}

/// A handler that ran again was told of more attempts than before, and of no more than there may be.
fn check_attempts(world: &World, name: &Bytes) {
    let attempts = world.ledger.attempts(name);
    assert!(attempts.is_sorted_by(|one, next| one < next), "attempts of {name:?}: {attempts:?}");
    assert!(attempts.iter().all(|previous| *previous < MAX_ATTEMPTS), "attempts of {name:?}: {attempts:?}");
}

#[test]
fn without_a_policy_no_handler_runs_twice_for_a_call() {
    for_each_seed(300, |seed| {
        let random = &mut Random::new(seed ^ 0x0cce);
        let world = World::new(seed, weather(random), faults(random));
        let calls = (0..1 + random.below(8)).map(|i| {
            let request = named(0, 0, &format!("call {i}"));
            let (world, slow, name) = (&world, random.once_in(2), request.message().clone());
            Box::pin(async move {
                let outcome = if slow { world.slow(request) } else { world.echo(request) }.await;
                let runs = world.ledger.runs(&name);
                match outcome {
                    Ok(_) => assert_eq!(runs, 1, "runs of {name:?}"),
                    Err(status) => {
                        assert!(runs <= 1 && is_loss(&status), "{runs} runs of {name:?}: {status}")
                    }
                }
            }) as _
        });
        world.run(All(calls.collect()));
        world.end();
    });
}

#[test]
fn what_a_retry_policy_may_repair_is_repaired_with_as_many_runs_as_that_takes() {
    for_each_seed(300, |seed| {
        let random = &mut Random::new(seed ^ 0x4e74);
        let channel = |channel: ChannelBuilder| channel.default_service_config(RETRIES);
        let world = World::with(seed, weather(random), Vec::new(), |server| server, channel);
        let calls = (0..1 + random.below(8)).map(|i| {
            let failures = random.below(6) as u8;
            let request = named(failures, 0, &format!("call {i}"));
            let (world, name) = (&world, request.message().clone());
            Box::pin(async move {
                let outcome = world.flaky(request).await;
                let attempts = world.ledger.attempts(&name);
                let expected = (usize::from(failures) + 1).min(MAX_ATTEMPTS);
                assert_eq!(attempts, (0..expected).collect::<Vec<_>>(), "attempts of {name:?}");
                match outcome {
                    Ok(response) => assert!(*response.message() == name, "an answer of other octets"),
                    Err(status) => {
                        assert_eq!(status.code(), Code::Unavailable, "{status}");
                        assert!(usize::from(failures) >= MAX_ATTEMPTS, "{status}");
                    }
                }
            }) as _
        });
        world.run(All(calls.collect()));
        world.end();
    });
}

#[test]
fn a_loss_that_a_retry_policy_may_repair_is_repaired() {
    for_each_seed(300, |seed| {
        let random = &mut Random::new(seed ^ 0x1055);
        // Three wires fail at most, and all others hold.
        let (weather, faults) = (weather(random), faults(random));
        let is_calm = faults.is_empty();
        let channel = |channel: ChannelBuilder| channel.default_service_config(RETRIES);
        let world = World::with(seed, weather, faults, |server| server, channel);
        let calls = (0..1 + random.below(8)).map(|i| {
            let then_fails = u8::from(random.once_in(2));
            let request = named(0, then_fails, &format!("call {i}"));
            let (world, name) = (&world, request.message().clone());
            Box::pin(async move {
                let mut inbound = world.begin(request);
                // Up to here every loss can be repaired, by one attempt after the other.
                if let Err(status) = inbound.headers().await {
                    panic!("a call that could have been repaired: {name:?}: {status}");
                }
                let runs = world.ledger.runs(&name);
                let end = loop {
                    match inbound.message().await {
                        Ok(Some(message)) => assert!(message == name, "a message of other octets"),
                        Ok(None) => break Ok(()),
                        Err(status) => break Err(status),
                    }
                };
                // A call whose response has begun is the server's, whatever becomes of it.
                world.network.sleep(Duration::from_secs(1)).await;
                assert_eq!(world.ledger.runs(&name), runs, "runs of {name:?}");
                check_attempts(world, &name);
                match end {
                    Ok(()) => assert_eq!(then_fails, 0, "{name:?}"),
                    Err(status) => assert!(then_fails > 0 || (!is_calm && is_loss(&status)), "{status}"),
                }
            }) as _
        });
        world.run(All(calls.collect()));
        world.end();
    });
}

#[test]
fn a_unary_call_is_repaired_unless_its_response_had_begun() {
    for_each_seed(300, |seed| {
        let random = &mut Random::new(seed ^ 0x3e9a);
        let (weather, faults) = (weather(random), faults(random));
        let channel = |channel: ChannelBuilder| channel.default_service_config(RETRIES);
        let world = World::with(seed, weather, faults, |server| server, channel);
        let calls = (0..1 + random.below(8)).map(|i| {
            let request = named(0, 0, &format!("call {i}"));
            let (world, slow, name) = (&world, random.once_in(2), request.message().clone());
            Box::pin(async move {
                let outcome = if slow { world.slow(request) } else { world.echo(request) }.await;
                check_attempts(world, &name);
                match outcome {
                    Ok(response) => assert!(*response.message() == name, "an answer of other octets"),
                    // Only a response that had begun may be lost for good, and that comes of a handler that ran.
                    Err(status) => assert!(is_loss(&status) && world.ledger.runs(&name) > 0, "{status}"),
                }
            }) as _
        });
        world.run(All(calls.collect()));
        world.end();
    });
}
