//! Unary calls between our client and our server over loopback.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lariat::{Engine, Wait};
use lariat_benches::{Echo, EchoClient, short};
use std::hint::black_box;
use std::time::{Duration, Instant};

const IN_FLIGHT: [usize; 2] = [1, 100];

/// One engine on the current thread for both sides: no call crosses a thread.
fn current_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("unary/current thread");
    let engine = Engine::builder().current_thread().build().expect("an engine");
    let server = Echo::serve(&engine).expect("a server");
    let client = EchoClient::connect(&server, &engine).expect("a client");
    for in_flight in IN_FLIGHT {
        group.throughput(Throughput::Elements(in_flight as u64));
        group.bench_function(format!("{in_flight} in flight"), |b| {
            b.iter(|| {
                engine.block_on(async {
                    let calls: Vec<_> = (0..in_flight).map(|_| client.say_hello()).collect();
                    for call in calls {
                        black_box(call.await.expect("an answer"));
                    }
                })
            });
        });
    }
}

/// A loop with a thread of its own for each side, and calls from a plain thread.
fn wait(c: &mut Criterion) {
    let mut group = c.benchmark_group("unary/wait on a plain thread");
    let engine = || Engine::builder().threads(1).build().expect("an engine");
    let server = Echo::serve(&engine()).expect("a server");
    let client = EchoClient::connect(&server, &engine()).expect("a client");
    for in_flight in IN_FLIGHT {
        group.throughput(Throughput::Elements(in_flight as u64));
        group.bench_function(format!("{in_flight} in flight"), |b| {
            b.iter(|| {
                let calls: Vec<_> = (0..in_flight).map(|_| client.say_hello()).collect();
                for call in calls {
                    black_box(call.wait().expect("an answer"));
                }
            });
        });
    }
}

/// What starting a call costs its caller: to encode the request, to pick a subchannel, which is ready, and to hand the
/// call to its connection. Nothing is sent meanwhile.
fn start(c: &mut Criterion) {
    const CALLS: u64 = 100;
    let mut group = c.benchmark_group("unary/start");
    let engine = Engine::builder().current_thread().build().expect("an engine");
    let server = Echo::serve(&engine).expect("a server");
    let client = EchoClient::connect(&server, &engine).expect("a client");
    engine.block_on(client.say_hello()).expect("a connection");
    group.bench_function("pick and dispatch to a ready subchannel", |b| {
        b.iter_custom(|count| {
            let mut elapsed = Duration::ZERO;
            for first in (0..count).step_by(CALLS as usize) {
                let count = CALLS.min(count - first);
                engine.block_on(async {
                    let mut calls = Vec::with_capacity(CALLS as usize);
                    let begin = Instant::now();
                    calls.extend((0..count).map(|_| client.say_hello()));
                    elapsed += begin.elapsed();
                    for call in calls {
                        black_box(call.await.expect("an answer"));
                    }
                });
            }
            elapsed
        });
    });
}

criterion_group! {
    name = unary;
    config = short();
    targets = current_thread, wait, start
}
criterion_main!(unary);
