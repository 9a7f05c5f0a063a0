//! Frames to octets and back.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lariat_benches::short;
use lariat_frame::{DEFAULT_MAX_FRAME_SIZE, ErrorCode, StreamId, decode, encode, setting};
use std::hint::black_box;

/// A header block in which every field is indexed, as all calls but the first have.
const REQUEST_BLOCK: &[u8] = &[0x83, 0x86, 0xc4, 0xc3, 0xc2, 0xc1, 0xc0];
const RESPONSE_BLOCK: &[u8] = &[0x88, 0xbf];
const TRAILERS_BLOCK: &[u8] = &[0xbe];
/// A framed message with a name of ten octets.
const MESSAGE: &[u8; 17] = b"\0\0\0\0\x0c\x0a\x0a0123456789";

fn request(out: &mut Vec<u8>, stream: StreamId) {
    encode::headers(out, stream, REQUEST_BLOCK, DEFAULT_MAX_FRAME_SIZE, false);
    encode::data_header(out, stream, MESSAGE.len(), true);
    out.extend_from_slice(MESSAGE);
}

fn response(out: &mut Vec<u8>, stream: StreamId) {
    encode::headers(out, stream, RESPONSE_BLOCK, DEFAULT_MAX_FRAME_SIZE, false);
    encode::data_header(out, stream, MESSAGE.len(), false);
    out.extend_from_slice(MESSAGE);
    encode::headers(out, stream, TRAILERS_BLOCK, DEFAULT_MAX_FRAME_SIZE, true);
}

fn control(out: &mut Vec<u8>, stream: StreamId) {
    encode::settings(out, &[(setting::MAX_CONCURRENT_STREAMS, 100), (setting::INITIAL_WINDOW_SIZE, 262_144)]);
    encode::settings_ack(out);
    encode::ping(out, false, [7; 8]);
    encode::window_update(out, StreamId::ZERO, 262_144);
    encode::rst_stream(out, stream, ErrorCode::CANCEL);
    encode::goaway(out, stream, ErrorCode::NO_ERROR, b"graceful_stop");
}

fn large_data(out: &mut Vec<u8>, stream: StreamId) {
    encode::data_header(out, stream, 16_384, false);
    out.resize(out.len() + 16_384, 7);
}

/// Frames that belong together, the function that writes them, and how many they are.
type Case = (&'static str, fn(&mut Vec<u8>, StreamId), u64);

const CASES: [Case; 4] = [
    ("request", request, 2),
    ("response", response, 3),
    ("control", control, 6),
    ("data of 16 KiB", large_data, 1),
];

fn decoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame/decode");
    for (name, write, frames) in CASES {
        let mut octets = Vec::new();
        write(&mut octets, StreamId::new(1));
        group.throughput(Throughput::Elements(frames));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut rest = black_box(&octets[..]);
                while let Ok(Some((frame, len))) = decode(rest, DEFAULT_MAX_FRAME_SIZE) {
                    black_box(frame);
                    rest = &rest[len..];
                }
                assert!(rest.is_empty());
            });
        });
    }
}

fn encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame/encode");
    // The payload of a large DATA frame is chained by whoever sends it: only its header is encoded.
    for (name, write, frames) in CASES.into_iter().filter(|case| case.2 > 1) {
        let mut out = Vec::with_capacity(1024);
        group.throughput(Throughput::Elements(frames));
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                write(&mut out, black_box(StreamId::new(1)));
                black_box(&out);
            });
        });
    }
}

criterion_group! {
    name = frames;
    config = short();
    targets = decoding, encoding
}
criterion_main!(frames);
