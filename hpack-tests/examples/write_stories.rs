//! Writes the stories of `stories/` anew: connections as gRPC has them, encoded by Lariat's encoder. A story
//! is written only if the other implementation's decoder finds in it what went in.

use lariat_frame::hpack::{DEFAULT_TABLE_SIZE, Encoder, HeaderList, Indexing};
use lariat_hpack_tests::{Case, Story, check, fields_of};
use std::path::Path;

/// A header block before it is encoded, and the table size that is set before it.
#[derive(Default)]
struct Block {
    header_table_size: Option<usize>,
    list: HeaderList,
}

impl Block {
    fn new(fields: &[(&str, &str)]) -> Block {
        Block::default().and(fields, Indexing::Index)
    }

    fn and(mut self, fields: &[(&str, &str)], indexing: Indexing) -> Block {
        for (name, value) in fields {
            self.list.push(name.as_bytes(), value.as_bytes(), indexing);
        }
        self
    }

    fn at_table_size(self, size: usize) -> Block {
        Block { header_table_size: Some(size), ..self }
    }
}

fn request(path: &str) -> Block {
    Block::new(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost:50051"),
        ("content-type", "application/grpc"),
        ("user-agent", "lariat/0.1.0"),
        ("te", "trailers"),
    ])
}

fn response_head() -> Block {
    Block::new(&[(":status", "200"), ("content-type", "application/grpc")])
}

const PATHS: [&str; 3] =
    ["/helloworld.Greeter/SayHello", "/routeguide.RouteGuide/GetFeature", "/grpc.health.v1.Health/Check"];

/// Requests of a few methods, some with a deadline and metadata.
fn requests() -> Vec<Block> {
    let call = |number: usize| {
        let request = request(PATHS[number % PATHS.len()]);
        match number % 4 {
            0 => request,
            1 => request.and(&[("grpc-timeout", &format!("{}m", 1000 - number))], Indexing::Skip),
            2 => request.and(&[("x-tenant", "blue"), ("trace-bin", "AAECAwQFBgc")], Indexing::Index),
            _ => request.and(&[("x-request-id", &format!("{:08x}", number * 7_654_321))], Indexing::Skip),
        }
    };
    (0..16).map(call).collect()
}

/// Heads and trailers of answers: right ones, failed ones, and one that HTTP refuses.
fn responses() -> Vec<Block> {
    let failure = |code: &str, message: &str| {
        Block::new(&[("grpc-status", code)]).and(&[("grpc-message", message)], Indexing::Skip)
    };
    let trailers_only = response_head().and(&[("grpc-status", "12")], Indexing::Index);
    vec![
        response_head(),
        Block::new(&[("grpc-status", "0")]),
        response_head(),
        Block::new(&[("grpc-status", "0")]),
        response_head(),
        failure("5", "no feature at 10, 20"),
        response_head(),
        failure("3", "name is empty: %E2%98%83"),
        trailers_only.and(&[("grpc-message", "unknown method Wave")], Indexing::Skip),
        Block::new(&[(":status", "415"), ("content-type", "text/plain"), ("grpc-status", "3")]),
        response_head(),
        Block::new(&[("grpc-status", "0"), ("server-timing", "db;dur=53")]),
    ]
}

/// Tables that shrink and grow between requests, down to none at all.
fn table_sizes() -> Vec<Block> {
    let sizes =
        [None, None, Some(256), None, Some(0), None, Some(4096), None, Some(100), Some(1000), None, None];
    let call = |(number, size): (usize, Option<usize>)| {
        let request = request(PATHS[number % 2]);
        match size {
            Some(size) => request.at_table_size(size),
            None => request,
        }
    };
    sizes.into_iter().enumerate().map(call).collect()
}

/// Requests with secrets beside fields that repeat.
fn secrets() -> Vec<Block> {
    let call = |number: usize| {
        let token = format!("Bearer {}", "eyJhbGciOiJIUzI1NiJ9.".repeat(1 + number % 3));
        let request = request(PATHS[0]).and(&[("authorization", &token)], Indexing::Never);
        request.and(&[("x-api-key", "0123456789abcdef"), ("cookie", "")], Indexing::Never)
    };
    (0..4).map(call).collect()
}

/// Fields at the edges: empty values, one larger than the table, octets that Huffman makes longer, the
/// longest strings whose length still fits its prefix and the first ones whose doesn't, and so many entries
/// that old ones go.
fn edges() -> Vec<Block> {
    let mut blocks = vec![
        Block::new(&[("x-empty", ""), (":path", ""), ("x-empty", "")]),
        Block::new(&[("x-large", &"v".repeat(5000)), ("x-empty", "")]),
        Block::new(&[("x-tilde", "~~~~~~~~"), ("x-tilde", "<<^^>>{}|")]),
        Block::new(&[("x-126", &"&".repeat(126)), ("x-127", &"&".repeat(127)), ("x-254", &"&".repeat(254))]),
    ];
    for round in 0..4 {
        let mut block = Block::default();
        for number in 0..40 {
            block = block.and(&[("x-many", &format!("value {}", number * (round + 1)))], Indexing::Index);
        }
        blocks.push(block);
    }
    blocks.push(Block::new(&[("x-empty", ""), ("x-many", "value 39")]));
    blocks
}

fn story(name: &str, blocks: Vec<Block>) -> Story {
    let mut encoder = Encoder::new(DEFAULT_TABLE_SIZE);
    let case = |Block { header_table_size, list }: Block| {
        if let Some(size) = header_table_size {
            encoder.set_max_table_size(size);
        }
        let mut wire = Vec::new();
        encoder.encode(&list, &mut wire);
        let never = list.iter().filter(|field| field.indexing == Indexing::Never);
        Case {
            header_table_size,
            wire: Some(wire),
            headers: fields_of(&list),
            never_indexed: never.map(|field| field.name.to_vec()).collect(),
        }
    };
    Story { name: name.to_owned(), cases: blocks.into_iter().map(case).collect() }
}

fn main() -> Result<(), String> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/stories"));
    for (name, description, blocks) in [
        (
            "grpc_requests.json",
            "gRPC requests of three methods, some with deadlines and metadata.",
            requests(),
        ),
        (
            "grpc_responses.json",
            "Heads and trailers of gRPC answers, in the order of a server's output.",
            responses(),
        ),
        ("table_sizes.json", "gRPC requests while the table size is changed again and again.", table_sizes()),
        ("never_indexed.json", "gRPC requests with secrets that are never to be indexed.", secrets()),
        ("edges.json", "Fields at the edges of lengths, of the table and of the Huffman code.", edges()),
    ] {
        let story = story(name, blocks);
        check::oracle_decodes_as_recorded(&story)?;
        let description = format!("{description} Encoded by Lariat, verified by the hpack crate.");
        let path = folder.join(name);
        std::fs::write(&path, story.to_json(&description)).map_err(|error| format!("{name}: {error}"))?;
        println!("{name}: {} blocks", story.cases.len());
    }
    Ok(())
}
