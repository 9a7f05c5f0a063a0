//! Streams of messages between our client and our server over loopback.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lariat::{Engine, Wait};
use lariat_benches::{Echo, EchoClient, short};
use std::hint::black_box;

/// How many messages of which size make one stream.
const STREAMS: [(&str, u32, usize); 2] = [("1 KiB", 1_000, 1024), ("1 MiB", 16, 1024 * 1024)];

async fn download(client: &EchoClient, count: u32, size: usize) {
    let mut inbound = client.download(count, size);
    let mut received = 0;
    while let Some(chunk) = inbound.message().await.expect("a chunk") {
        received += 1;
        black_box(chunk);
    }
    assert_eq!(received, count);
}

/// Sends `count` messages, and as many again once those are back, until `total` were echoed.
async fn echo(client: &EchoClient, chunk: &Bytes, count: u32, total: u32) {
    let (outbound, mut inbound) = client.echo();
    for _ in 0..total / count {
        for _ in 0..count {
            outbound.send(chunk.clone()).await.expect("room");
        }
        for _ in 0..count {
            black_box(inbound.message().await.expect("a chunk"));
        }
    }
    outbound.finish();
    assert!(inbound.message().await.expect("the end").is_none());
}

fn server_stream(c: &mut Criterion) {
    let mut group = c.benchmark_group("server stream");
    let engine = || Engine::builder().threads(1).build().expect("an engine");
    let server = Echo::serve(&engine()).expect("a server");
    let client = EchoClient::connect(&server, &engine()).expect("a client");
    for (name, count, size) in STREAMS {
        group.throughput(Throughput::Bytes(u64::from(count) * size as u64));
        group.bench_function(format!("{name}, two threads and a reader"), |b| {
            b.iter(|| download(&client, count, size).wait());
        });
    }
    let engine = Engine::builder().current_thread().build().expect("an engine");
    let server = Echo::serve(&engine).expect("a server");
    let client = EchoClient::connect(&server, &engine).expect("a client");
    for (name, count, size) in STREAMS {
        group.throughput(Throughput::Bytes(u64::from(count) * size as u64));
        group.bench_function(format!("{name}, current thread"), |b| {
            b.iter(|| engine.block_on(download(&client, count, size)));
        });
    }
}

fn bidi_echo(c: &mut Criterion) {
    let mut group = c.benchmark_group("bidi echo, current thread");
    let engine = Engine::builder().current_thread().build().expect("an engine");
    let server = Echo::serve(&engine).expect("a server");
    let client = EchoClient::connect(&server, &engine).expect("a client");
    let chunk = Bytes::from(vec![7; 1024]);
    group.throughput(Throughput::Elements(1_000));
    for (name, at_once) in [("1 KiB, one at a time", 1), ("1 KiB, 50 at once", 50)] {
        group.bench_function(name, |b| b.iter(|| engine.block_on(echo(&client, &chunk, at_once, 1_000))));
    }
}

criterion_group! {
    name = streaming;
    config = short();
    targets = server_stream, bidi_echo
}
criterion_main!(streaming);
