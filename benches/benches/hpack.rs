//! The header lists of a gRPC call to header blocks and back: for the first call of a connection, and for those
//! after it.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lariat_benches::{header_lists, short};
use lariat_frame::hpack::{Decoder, Encoder, HeaderList};
use std::hint::black_box;
use std::sync::Arc;

/// What both ends announce by default.
const TABLE_SIZE: usize = 4096;

/// What one side of a call sends.
struct Side {
    name: &'static str,
    /// The header lists in order, the same for each call.
    lists: Vec<HeaderList>,
    /// What stands behind the last of them, for this call alone.
    fields: HeaderList,
}

fn sides() -> [Side; 3] {
    let request = || vec![header_lists::request()];
    let response = vec![header_lists::response(), header_lists::trailers()];
    [
        Side { name: "request", lists: request(), fields: HeaderList::new() },
        Side { name: "request with a timeout", lists: request(), fields: header_lists::timeout() },
        Side { name: "response", lists: response, fields: HeaderList::new() },
    ]
}

impl Side {
    fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        for list in &self.lists {
            encoder.encode(black_box(list).iter(), out);
        }
        encoder.encode(black_box(&self.fields).iter(), out);
        black_box(out);
    }

    fn blocks(&self, encoder: &mut Encoder) -> Vec<Vec<u8>> {
        let mut blocks = vec![Vec::new(); self.lists.len()];
        for (list, block) in self.lists.iter().zip(&mut blocks) {
            encoder.encode(list.iter(), block);
        }
        blocks.last_mut().into_iter().for_each(|last| encoder.encode(self.fields.iter(), last));
        blocks
    }
}

fn encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("hpack/encode");
    for side in sides() {
        let Side { name, lists, fields } = &side;
        group.bench_function(format!("{name}, first"), |b| {
            let setup = || (Encoder::new(TABLE_SIZE), Vec::with_capacity(256));
            b.iter_batched_ref(setup, |(encoder, out)| side.encode(encoder, out), BatchSize::SmallInput);
        });
        group.bench_function(format!("{name}, repeated"), |b| {
            let (mut encoder, mut out) = (Encoder::new(TABLE_SIZE), Vec::with_capacity(256));
            side.encode(&mut encoder, &mut out);
            b.iter(|| {
                out.clear();
                side.encode(&mut encoder, &mut out);
            });
        });
        let templates: Vec<_> = lists.iter().cloned().map(Arc::new).collect();
        group.bench_function(format!("{name}, template"), |b| {
            let (mut encoder, mut out) = (Encoder::new(TABLE_SIZE), Vec::with_capacity(256));
            let mut encode = || {
                out.clear();
                for template in &templates {
                    encoder.encode_template(black_box(template), &mut out);
                }
                encoder.encode(black_box(fields).iter(), &mut out);
                black_box(&out);
            };
            // The first time fills the table, the second one the cache.
            encode();
            encode();
            b.iter(encode);
        });
    }
}

fn decoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("hpack/decode");
    for side in sides() {
        let Side { name, .. } = side;
        let mut encoder = Encoder::new(TABLE_SIZE);
        let first = side.blocks(&mut encoder);
        let repeated = side.blocks(&mut encoder);
        group.bench_function(format!("{name}, first"), |b| {
            let setup = || (Decoder::new(TABLE_SIZE), HeaderList::with_limit(16_384));
            b.iter_batched_ref(setup, |(decoder, list)| decode(decoder, &first, list), BatchSize::SmallInput);
        });
        group.bench_function(format!("{name}, repeated"), |b| {
            let (mut decoder, mut list) = (Decoder::new(TABLE_SIZE), HeaderList::with_limit(16_384));
            decode(&mut decoder, &first, &mut list);
            b.iter(|| decode(&mut decoder, &repeated, &mut list));
        });
    }
}

fn decode(decoder: &mut Decoder, blocks: &[Vec<u8>], list: &mut HeaderList) {
    for block in blocks {
        list.clear();
        decoder.decode(black_box(block), list).expect("a block of our own encoder");
        black_box(&list);
    }
}

criterion_group! {
    name = hpack;
    config = short();
    targets = encoding, decoding
}
criterion_main!(hpack);
