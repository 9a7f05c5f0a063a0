//! HPACK's Huffman code, both ways.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lariat_benches::short;
use lariat_frame::hpack::huffman;
use std::hint::black_box;

/// A path, a token as tracing systems send, and a long value of text.
fn texts() -> [(&'static str, Vec<u8>); 3] {
    [
        ("path of 28 octets", b"/helloworld.Greeter/SayHello".to_vec()),
        ("token of 55 octets", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_vec()),
        (
            "text of 1 KiB",
            b"The quick brown fox jumps over the lazy dog 0123456789. "
                .iter()
                .copied()
                .cycle()
                .take(1024)
                .collect(),
        ),
    ]
}

fn encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("huffman/encode");
    for (name, text) in texts() {
        let mut out = Vec::with_capacity(2 * text.len());
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                huffman::encode(black_box(&text), &mut out);
                black_box(&out);
            });
        });
    }
}

fn decoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("huffman/decode");
    for (name, text) in texts() {
        let (mut encoded, mut out) = (Vec::new(), Vec::with_capacity(2 * text.len()));
        huffman::encode(&text, &mut encoded);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                huffman::decode(black_box(&encoded), &mut out).expect("octets of our own encoder");
                black_box(&out);
            });
        });
    }
}

criterion_group! {
    name = code;
    config = short();
    targets = encoding, decoding
}
criterion_main!(code);
