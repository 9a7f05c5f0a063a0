//! What calls cost in system calls, by the loops' own counters: exactly.
//!
//! Client and server share one current-thread engine where a number has to be exact: no thread's timing can change it
//! then. Windows do not adapt, since the PINGs by which they do are frames of their own.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lariat::codec::Raw;
use lariat::server::{Handler, Service};
use lariat::{Channel, Engine, LoopStats, Request, Response, Server, Status, Wait};
use support::*;

/// A server and a client that share an engine.
struct Pair {
    engine: Engine,
    client: EchoClient,
    _server: Server,
}

impl Pair {
    fn new() -> Pair {
        let engine = Engine::builder().current_thread().build().unwrap();
        let server = builder(&Echo::default()).engine(&engine).adaptive_window(false);
        let server = server.bind("127.0.0.1:0").unwrap();
        let channel = Channel::builder(server.local_address().to_string()).plaintext().engine(&engine);
        let client = EchoClient::new(channel.adaptive_window(false).build().unwrap());
        // What belongs to the connection's beginning is over after a few calls.
        (0..10).for_each(|_| drop(engine.block_on(client.unary("ten octets")).unwrap()));
        Pair { engine, client, _server: server }
    }

    /// What the loop does while the future runs.
    fn count(&self, future: impl Future<Output = ()>) -> LoopStats {
        let before = self.engine.stats()[0];
        self.engine.block_on(future);
        let after = self.engine.stats()[0];
        let mut done = after;
        for (done, before) in [
            (&mut done.polls, before.polls),
            (&mut done.events, before.events),
            (&mut done.reads, before.reads),
            (&mut done.writes, before.writes),
            (&mut done.messages, before.messages),
            (&mut done.wake_ups, before.wake_ups),
            (&mut done.octets_read, before.octets_read),
            (&mut done.octets_written, before.octets_written),
        ] {
            *done -= before;
        }
        done
    }
}

#[test]
fn a_call_alone_takes_each_side_one_poll_one_read_and_one_write() {
    const CALLS: u64 = 500;
    let pair = Pair::new();
    let begin = Instant::now();
    let done = pair.count(async {
        for _ in 0..CALLS {
            assert_eq!(pair.client.unary("ten octets").await.unwrap().message(), "ten octets");
        }
    });
    // Two sides, and timers of the loop that fire meanwhile, a few in a second.
    let (sides, timers) = (2 * CALLS, 5 * (1 + begin.elapsed().as_secs()));
    assert_eq!((done.reads, done.writes, done.events), (sides, sides, sides), "{done:?}");
    assert!((sides..=sides + timers).contains(&done.polls), "{done:?}");
    assert_eq!((done.messages, done.wake_ups), (0, 0), "nothing leaves the thread: {done:?}");
    assert_eq!(done.octets_read, done.octets_written);
}

#[test]
fn a_hundred_calls_at_once_share_their_system_calls() {
    const WAVES: u64 = 50;
    let pair = Pair::new();
    let done = pair.count(async {
        let mut calls = Vec::new();
        for _ in 0..WAVES {
            calls.extend((0..100).map(|_| pair.client.unary("ten octets")));
            for call in calls.drain(..) {
                call.await.unwrap();
            }
        }
    });
    let sides = 2 * WAVES;
    assert_eq!((done.reads, done.writes, done.events), (sides, sides, sides), "{done:?}");
    let per_call = (done.polls + done.reads + done.writes) as f64 / (WAVES * 100) as f64 / 2.0;
    assert!(per_call <= 0.1, "{per_call} system calls a call and side: {done:?}");
}

/// `test.Busy`: its handler keeps the loop busy while another thread makes calls on it.
struct Busy {
    work: Arc<dyn Fn() + Send + Sync>,
}

impl Service for Busy {
    fn name(&self) -> &str {
        "test.Busy"
    }

    fn methods(&self) -> Vec<Handler> {
        let work = Arc::clone(&self.work);
        let handle = move |request: Request<Bytes>| {
            work();
            std::future::ready(Ok::<_, Status>(Response::new(request.into_message())))
        };
        vec![Handler::unary::<Raw, _, _, _, _>("Work", handle)]
    }
}

#[test]
fn a_loop_that_is_awake_is_not_woken() {
    const NOTES: u64 = 200;
    let engine = Engine::builder().threads(1).build().unwrap();
    let awake = engine.clone();
    let work = move || {
        let before = awake.stats()[0].wake_ups;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..NOTES {
                    // A channel's first word to its loop is a message of its own.
                    let channel = Channel::builder("127.0.0.1:1").plaintext().engine(&awake).build().unwrap();
                    drop(channel);
                }
            });
        });
        assert_eq!(awake.stats()[0].wake_ups, before, "the loop is awake: it runs this handler");
    };
    let server = Server::builder()
        .plaintext()
        .engine(&engine)
        .add_service(Busy { work: Arc::new(work) })
        .bind("127.0.0.1:0")
        .unwrap();
    let channel = Channel::builder(server.local_address().to_string()).plaintext().build().unwrap();
    let method = channel.method("/test.Busy/Work");
    let before = engine.stats()[0].messages;
    channel.unary::<Raw, Bytes, Bytes>(&method, Request::new(Bytes::new())).wait().unwrap();
    // Once more, so that the turn in which the messages came is over.
    channel.unary::<Raw, Bytes, Bytes>(&method, Request::new(Bytes::new())).wait().unwrap();
    assert!(engine.stats()[0].messages >= before + NOTES);
}

#[test]
fn a_loop_that_spins_answers_without_sleeping() {
    let engine = Engine::builder().threads(1).busy_poll(Duration::from_secs(600)).build().unwrap();
    let server = builder(&Echo::default()).engine(&engine).bind("127.0.0.1:0").unwrap();
    let client = client(&server);
    (0..20).for_each(|_| drop(client.unary("hello").wait().unwrap()));
    let LoopStats { sleeps, wake_ups, events, .. } = engine.stats()[0];
    assert_eq!((sleeps, wake_ups), (0, 0));
    assert!(events > 0);
}

#[test]
fn socket_busy_poll_holds_for_connections_or_the_engine_says_why_not() {
    let engine = Engine::builder().threads(1).socket_busy_poll(Duration::from_micros(50)).build();
    match engine {
        Ok(engine) => {
            let server = builder(&Echo::default()).engine(&engine).bind("127.0.0.1:0").unwrap();
            assert_eq!(client(&server).unary("hello").wait().unwrap().into_message(), "hello");
        }
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
        }
    }
}

#[test]
fn an_engine_says_what_it_cannot_be_given() {
    let kind = |builder: lariat::EngineBuilder| builder.build().unwrap_err().kind();
    let invalid = std::io::ErrorKind::InvalidInput;
    assert_eq!(kind(Engine::builder().threads(1).pin_threads([99_999])), invalid);
    assert_eq!(kind(Engine::builder().current_thread().pin_threads([0])), invalid);
}

/// What makes the cost of a call the same on however many loops: a call meets nothing but its own.
#[test]
fn calls_on_several_loops_send_nothing_from_one_to_another() {
    const LOOPS: usize = 4;
    let engine = Engine::builder().threads(LOOPS).build().unwrap();
    let server =
        builder(&Echo::default()).engine(&engine).adaptive_window(false).bind("127.0.0.1:0").unwrap();
    let clients: Vec<EchoClient> =
        (0..2 * LOOPS).map(|_| connect(&server.local_address().to_string())).collect();
    let call_all = || clients.iter().for_each(|client| drop(client.unary("ten octets").wait().unwrap()));
    // What belongs to the connections' beginning is over after a few calls.
    (0..10).for_each(|_| call_all());
    let before = engine.stats();
    (0..100).for_each(|_| call_all());
    let after = engine.stats();
    let done = |counted: fn(&LoopStats) -> u64| -> Vec<u64> {
        after.iter().zip(&before).map(|(after, before)| counted(after) - counted(before)).collect()
    };
    // Each connection went to the loop that had the fewest: two each.
    assert_eq!(done(|stats| stats.reads), [200; LOOPS]);
    assert_eq!(done(|stats| stats.writes), [200; LOOPS]);
    assert_eq!(done(|stats| stats.messages), [0; LOOPS]);
    assert_eq!(done(|stats| stats.wake_ups), [0; LOOPS]);
}
