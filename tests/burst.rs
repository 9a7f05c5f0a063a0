//! A burst of connections and calls: the system has its memory back when it is over.
//!
//! Alone in its process, whose resident memory it looks at. What an allocator does with free memory is its own affair:
//! this holds for glibc's, for which `src/net/allocator.rs` is there.
#![cfg(target_env = "gnu")]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lariat::{Channel, Engine, Server};
use support::{Echo, EchoClient, builder};

const CONNECTIONS: usize = 300;
const STREAMS: usize = 60;
/// For what should happen within two seconds, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Octets of this process that are in memory and in no file.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

/// Waits until a condition holds. Whether it does.
fn holds(condition: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    while !condition() {
        if begin.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Opens so many connections with so many calls each, and gives them up when all calls are with their handlers. What
/// was resident then.
fn burst(server: &Server, echo: &Echo, engine: &Engine, connections: usize, streams: usize) -> usize {
    let started = || echo.seen.started.load(Ordering::SeqCst);
    let (before, total) = (started(), connections * streams);
    let target = server.local_address().to_string();
    let channel = || Channel::builder(&*target).plaintext().engine(engine).build().unwrap();
    let clients: Vec<_> = (0..connections).map(|_| EchoClient::new(channel())).collect();
    let calls: Vec<_> = (0..total).map(|call| clients[call % connections].unary("wait60000")).collect();
    assert!(holds(|| started() == before + total), "{} of {total} calls", started() - before);
    let resident = resident();
    drop(calls);
    drop(clients);
    assert!(holds(|| server.connections() == 0));
    resident
}

#[test]
fn the_memory_of_a_burst_goes_back_to_the_system() {
    let echo = Echo::default();
    let engine = || Engine::builder().threads(1).build().unwrap();
    let (server_engine, client_engine) = (engine(), engine());
    let server = builder(&echo).engine(&server_engine).bind("127.0.0.1:0").unwrap();
    // What there is once in a process does not count.
    burst(&server, &echo, &client_engine, 1, 1);
    let start = resident();
    let peak = burst(&server, &echo, &client_engine, CONNECTIONS, STREAMS);
    let taken = peak - start;
    let kept = || resident().saturating_sub(start);
    // Two thirds of it are the loops'; the rest is what this thread made its calls of.
    let given_back = holds(|| kept() <= taken / 2);
    println!("{} KiB in the burst, {} KiB of them after it", taken / 1024, kept() / 1024);
    assert!(given_back);
}
