//! Many streams and many connections at once: all answered, and what they took given back.
//!
//! Server and client each run an engine on a thread of their own. Live memory is what the server's thread allocated
//! and has not freed, so that it is exact and the client's share is not in it.

mod support;

use std::future::poll_fn;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use allocation_counter::measure;
use bytes::Bytes;
use lariat::codec::Raw;
use lariat::server::{Handler, Service};
use lariat::{Channel, Engine, Request, Response, Server, Status, Wait};
use support::{Echo, EchoClient, connect};

/// Longer than a connection keeps the memory of its calls for the next ones.
const REST: Duration = Duration::from_millis(2_500);
/// For everything that should happen soon, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a client's loop to close its connections.
const CLOSING: Duration = Duration::from_millis(50);
/// What may stay when all connections are closed: tables of the loop and of the server grew to hold them all, and
/// keep their size (entries of connections, timers, sessions). Past calls leave nothing.
const KEPT: i64 = 256 * 1024;

/// What a call may hold on the server while its handler waits, in octets, its share of the connection included.
const WAITING_STREAM: i64 = 928;
/// What an open stream of messages both ways may hold on the server once the first has gone to and fro, in octets, its
/// share of the connection included.
const OPEN_STREAM: i64 = 1_536;
/// What a connection without calls may hold on the server, in octets: its session, and what it learned of the
/// headers that it sends and receives.
const IDLE_CONNECTION: i64 = 2_400;

/// Answers nobody before as many calls are open as it waits for, then all of them.
struct Gate {
    awaited: usize,
    arrived: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
}

impl Gate {
    fn new(awaited: usize) -> Arc<Gate> {
        Arc::new(Gate { awaited, arrived: AtomicUsize::new(0), waiting: Mutex::default() })
    }

    fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    fn is_open(&self) -> bool {
        self.arrived() > self.awaited
    }

    /// The test itself is the last to arrive.
    fn open(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }

    async fn pass(self: Arc<Self>, message: Bytes) -> Result<Response<Bytes>, Status> {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        poll_fn(|cx| {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if self.is_open() {
                return Poll::Ready(());
            }
            waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
        Ok(Response::new(message))
    }
}

/// `test.Echo`, with a gate in `Unary`.
struct Gated(Arc<Gate>);

impl Service for Gated {
    fn name(&self) -> &str {
        "test.Echo"
    }

    fn methods(&self) -> Vec<Handler> {
        let gate = Arc::clone(&self.0);
        // The request is dropped before the wait, so that a waiting stream holds little of the handler's own.
        let serve = move |request: Request<Bytes>| Arc::clone(&gate).pass(request.into_message());
        vec![Handler::unary::<Raw, _, _, _, _>("Unary", serve)]
    }
}

/// A server whose engine runs on the test's thread, where its memory is counted.
struct Counted {
    engine: Engine,
    server: Server,
    live: i64,
}

impl Counted {
    fn new(service: impl Service, max_concurrent_streams: u32) -> Counted {
        let engine = Engine::builder().current_thread().build().unwrap();
        let server = Server::builder()
            .plaintext()
            .engine(&engine)
            .max_concurrent_streams(max_concurrent_streams)
            .add_service(service)
            .bind("127.0.0.1:0")
            .unwrap();
        let mut counted = Counted { engine, server, live: 0 };
        counted.run_for(Duration::from_millis(20));
        counted.live = 0;
        counted
    }

    /// Runs the server until something holds.
    fn run_until(&mut self, what: &str, condition: impl Fn(&Server) -> bool) {
        let begin = Instant::now();
        while !condition(&self.server) {
            assert!(begin.elapsed() < PATIENCE, "never: {what}");
            self.run_for(Duration::from_millis(2));
        }
    }

    /// Until the clients are gone, and what goes after them.
    fn run_until_left(&mut self) {
        self.run_until("the clients are gone", |server| server.connections() == 0);
        self.run_for(REST);
    }

    fn assert_given_back(&self) {
        assert!(self.live <= KEPT, "{} octets were not given back", self.live);
    }

    fn run_for(&mut self, time: Duration) {
        self.run(lariat::sleep(time));
    }

    fn run(&mut self, future: impl Future<Output = ()>) {
        self.live += measure(|| self.engine.block_on(future)).bytes_current;
    }
}

/// How many steps one thread has done, for the other to see.
#[derive(Clone, Default)]
struct Steps(Arc<AtomicUsize>);

impl Steps {
    fn done(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn reached(&self, step: usize) -> bool {
        self.0.load(Ordering::SeqCst) >= step
    }

    fn wait_for(&self, step: usize) {
        while !self.reached(step) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The client's engine and its channels, one connection each.
fn clients(target: &str, count: usize) -> (Engine, Vec<EchoClient>) {
    let engine = Engine::builder().current_thread().build().unwrap();
    let channel = || Channel::builder(target).plaintext().engine(&engine).build().unwrap();
    let clients = (0..count).map(|_| EchoClient::new(channel())).collect();
    (engine, clients)
}

/// So many connections, with so many calls open on each at the same time.
fn streams_at_once(connections: usize, streams: usize) {
    let total = connections * streams;
    let gate = Gate::new(total);
    let mut server = Counted::new(Gated(Arc::clone(&gate)), streams as u32);
    let target = server.server.local_address().to_string();
    let (client_steps, server_steps) = (Steps::default(), Steps::default());
    let steps = (client_steps.clone(), server_steps.clone());
    let client = std::thread::spawn(move || {
        let (client_steps, server_steps) = steps;
        let (engine, clients) = clients(&target, connections);
        engine.block_on(async {
            let message = |call: usize| Bytes::from(format!("{call:8}"));
            let calls: Vec<_> =
                (0..total).map(|call| clients[call % connections].unary(message(call))).collect();
            for (number, call) in calls.into_iter().enumerate() {
                assert_eq!(call.await.unwrap().into_message(), message(number));
            }
        });
        client_steps.done();
        server_steps.wait_for(1);
        drop(clients);
        engine.block_on(lariat::sleep(CLOSING));
    });
    server.run_until("every call reached its handler", |_| gate.arrived() == total);
    assert_eq!(server.server.connections(), connections);
    let per_stream = server.live / total as i64;
    server.run(async { gate.open() });
    server.run_until("every call was answered", |_| client_steps.reached(1));
    server.run_for(REST);
    let per_connection = server.live / connections as i64;
    server_steps.done();
    server.run_until_left();
    client.join().unwrap();
    println!(
        "{connections} connections x {streams} streams: {per_stream} octets for each waiting stream, \
         {per_connection} for each connection after them, {} in all when they are closed",
        server.live
    );
    assert!(per_stream <= WAITING_STREAM, "{per_stream} octets for each waiting stream");
    server.assert_given_back();
}

#[test]
fn ten_thousand_streams_of_one_connection_are_answered_and_leave_nothing_behind() {
    streams_at_once(1, 10_000);
}

#[test]
fn ten_thousand_streams_of_a_hundred_connections_are_answered_and_leave_nothing_behind() {
    streams_at_once(100, 100);
}

#[test]
fn a_hundred_thousand_streams_of_two_hundred_connections_are_answered_and_leave_nothing_behind() {
    streams_at_once(200, 500);
}

#[test]
fn ten_thousand_open_streams_that_wait_hold_little_and_leave_nothing_behind() {
    let (connections, streams) = (100, 100);
    let total = (connections * streams) as i64;
    let mut server = Counted::new(Echo::default(), streams as u32);
    let target = server.server.local_address().to_string();
    let (client_steps, server_steps) = (Steps::default(), Steps::default());
    let steps = (client_steps.clone(), server_steps.clone());
    let client = std::thread::spawn(move || {
        let (client_steps, server_steps) = steps;
        let (engine, clients) = clients(&target, connections);
        engine.block_on(async {
            let mut open: Vec<_> =
                clients.iter().flat_map(|client| (0..streams).map(|_| client.chat())).collect();
            for (outbound, inbound) in &mut open {
                outbound.send(Bytes::from_static(b"hello")).await.unwrap();
                assert_eq!(inbound.message().await.unwrap().unwrap(), "hello");
            }
            client_steps.done();
            server_steps.wait_for(1);
        });
        drop(clients);
        engine.block_on(lariat::sleep(CLOSING));
    });
    server.run_until("every stream was answered", |_| client_steps.reached(1));
    server.run_for(REST);
    let per_stream = server.live / total;
    server_steps.done();
    server.run_until_left();
    client.join().unwrap();
    println!(
        "{total} open streams: {per_stream} octets for each, {} in all when they are closed",
        server.live
    );
    assert!(per_stream <= OPEN_STREAM, "{per_stream} octets for each open stream");
    server.assert_given_back();
}

/// The turn to open many connections, and how many: `wanted`, or fewer if the limit of open files asks for it, since
/// so many ends of each are in this process.
fn many_connections(wanted: usize, ends: usize) -> (MutexGuard<'static, ()>, usize) {
    /// Everything else that may be open, in the tests that run at the same time as well.
    const OTHERS: usize = 400;
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = soft.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    let allowed = soft.map_or(wanted, |soft| soft.saturating_sub(OTHERS) / ends).min(wanted);
    if allowed < wanted {
        println!("{allowed} connections instead of {wanted}: the limit of open files (ulimit -n) is too low");
    }
    (turn, allowed)
}

#[test]
fn a_thousand_connections_answer_each_and_leave_nothing_behind() {
    let (_turn, connections) = many_connections(1_000, 2);
    let mut server = Counted::new(Echo::default(), 100);
    let target = server.server.local_address().to_string();
    let (client_steps, server_steps) = (Steps::default(), Steps::default());
    let steps = (client_steps.clone(), server_steps.clone());
    let client = std::thread::spawn(move || {
        let (client_steps, server_steps) = steps;
        let (engine, clients) = clients(&target, connections);
        for round in 1..=2 {
            engine.block_on(async {
                let calls: Vec<_> = clients.iter().map(|client| client.unary("hello")).collect();
                for call in calls {
                    assert_eq!(call.await.unwrap().into_message(), "hello");
                }
            });
            client_steps.done();
            server_steps.wait_for(round);
        }
        drop(clients);
        engine.block_on(lariat::sleep(CLOSING));
    });
    let mut per_connection = 0;
    for round in 1..=2 {
        server.run_until("every connection was answered", |_| client_steps.reached(round));
        assert_eq!(server.server.connections(), connections);
        server.run_for(REST);
        per_connection = server.live / connections as i64;
        server_steps.done();
    }
    server.run_until_left();
    client.join().unwrap();
    println!(
        "{connections} connections: {per_connection} octets for each idle one, {} in all when they are closed",
        server.live
    );
    assert!(per_connection <= IDLE_CONNECTION, "{per_connection} octets for each idle connection");
    server.assert_given_back();
}

/// What the process of the clients is told.
const TARGET: &str = "LARIAT_SCALE_TARGET";
const CONNECTIONS: &str = "LARIAT_SCALE_CONNECTIONS";
/// What it says when all connections were answered.
const ANSWERED: &str = "all answered";

/// Calls on each of many connections, once more for each line of input.
#[test]
#[ignore = "the process of the clients, which the test of ten thousand connections starts"]
fn clients_of_ten_thousand_connections() {
    let Ok(target) = std::env::var(TARGET) else { return };
    let count = std::env::var(CONNECTIONS).unwrap().parse().unwrap();
    let (engine, clients) = clients(&target, count);
    loop {
        engine.block_on(async {
            let calls: Vec<_> = clients.iter().map(|client| client.unary("hello")).collect();
            for call in calls {
                assert_eq!(call.await.unwrap().into_message(), "hello");
            }
        });
        println!("{ANSWERED}");
        if std::io::stdin().read_line(&mut String::new()).unwrap() == 0 {
            break;
        }
    }
}

#[test]
fn ten_thousand_connections_answer_each_and_leave_nothing_behind() {
    // The clients' ends are in a process of their own, with a limit of open files of its own.
    let (_turn, connections) = many_connections(10_000, 1);
    let mut server = Counted::new(Echo::default(), 100);
    let mut client = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "clients_of_ten_thousand_connections", "--ignored", "--nocapture"])
        .env(TARGET, server.server.local_address().to_string())
        .env(CONNECTIONS, connections.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, output) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    let answered = Steps::default();
    let steps = answered.clone();
    std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines.filter(|line| line.ends_with(ANSWERED)).for_each(|_| steps.done());
    });
    let mut per_connection = 0;
    for round in 1..=2 {
        if round > 1 {
            input.write_all(b"\n").unwrap();
        }
        server.run_until("every connection was answered", |_| answered.reached(round));
        assert_eq!(server.server.connections(), connections);
        server.run_for(REST);
        per_connection = server.live / connections as i64;
    }
    drop(input);
    server.run_until_left();
    assert!(client.wait().unwrap().success());
    println!(
        "{connections} connections: {per_connection} octets for each idle one, {} in all when they are closed",
        server.live
    );
    assert!(per_connection <= IDLE_CONNECTION, "{per_connection} octets for each idle connection");
    server.assert_given_back();
}

#[test]
fn a_server_of_several_loops_answers_a_thousand_connections_and_ten_thousand_streams() {
    let (_turn, connections) = many_connections(1_000, 2);
    let total = 10_000;
    let gate = Gate::new(total);
    let engine = Engine::builder().threads(2).build().unwrap();
    let server = Server::builder()
        .plaintext()
        .engine(&engine)
        .add_service(Gated(Arc::clone(&gate)))
        .bind("127.0.0.1:0")
        .unwrap();
    let clients: Vec<_> = (0..connections).map(|_| connect(&server.local_address().to_string())).collect();
    let calls: Vec<_> = (0..total).map(|call| clients[call % connections].unary("hello")).collect();
    support::eventually("every call reached its handler", || gate.arrived() == total);
    assert_eq!(server.connections(), connections);
    gate.open();
    for call in calls {
        assert_eq!(call.wait().unwrap().into_message(), "hello");
    }
    drop(clients);
    support::eventually("the connections were closed", || server.connections() == 0);
}
