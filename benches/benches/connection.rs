//! Two HTTP/2 connections in memory, in made-up time: what a unary exchange costs both of them together, without
//! gRPC, sockets or threads.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lariat_benches::{header_lists, short};
use lariat_frame::WriteBuf;
use lariat_frame::hpack::HeaderList;
use lariat_http2::{Config, Connection, Event, HeaderBlock, StreamKey};
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A client, a server, and what is on its way between them.
struct Pair {
    client: Connection,
    server: Connection,
    to_server: WriteBuf,
    to_client: WriteBuf,
    wire: Vec<u8>,
    now: Instant,
    lists: Lists,
    message: Vec<u8>,
}

struct Lists {
    request: Arc<HeaderList>,
    timeout: HeaderList,
    response: Arc<HeaderList>,
    trailers: Arc<HeaderList>,
}

impl Pair {
    fn new(message_len: usize) -> Pair {
        let now = Instant::now();
        let (mut to_server, mut to_client) = (WriteBuf::new(), WriteBuf::new());
        let client = Connection::client(Config::default(), now, 1, &mut to_server);
        let server = Connection::server(Config::default(), now, 2, &mut to_client);
        let lists = Lists {
            request: Arc::new(header_lists::request()),
            timeout: header_lists::timeout(),
            response: Arc::new(header_lists::response()),
            trailers: Arc::new(header_lists::trailers()),
        };
        let message = vec![7; message_len];
        let mut pair = Pair { client, server, to_server, to_client, wire: Vec::new(), now, lists, message };
        // The SETTINGS of both sides and what answers them.
        for _ in 0..3 {
            pair.carry();
        }
        pair
    }

    /// So many calls at once, from the first open to the last trailers.
    fn exchange(&mut self, calls: usize, with_timeout: bool) {
        self.now += Duration::from_micros(100);
        let fields = with_timeout.then_some(&self.lists.timeout);
        for _ in 0..calls {
            let head = HeaderBlock { template: Some(&self.lists.request), fields };
            let key = self.client.open(self.now, head, false, &mut self.to_server).expect("a stream");
            send(&mut self.client, key, &self.message, true, &mut self.to_server);
        }
        let mut answered = 0;
        while answered < calls {
            answered += self.carry();
        }
    }

    /// Carries what each side has written to the other, which acts on it. Says how many calls were answered.
    fn carry(&mut self) -> usize {
        let Pair { client, server, to_server, to_client, wire, now, lists, message } = self;
        transmit(client, to_server, wire, *now);
        receive(server, wire, *now, to_client, |server, event, out| {
            if let Event::Data { stream, end_stream: true, .. } = event {
                server.send_headers(stream, (&lists.response).into(), false, out).expect("an open stream");
                send(server, stream, message, false, out);
                server.send_headers(stream, (&lists.trailers).into(), true, out).expect("an open stream");
            }
        });
        transmit(server, to_client, wire, *now);
        let mut answered = 0;
        receive(client, wire, *now, to_server, |client, event, out| match event {
            Event::Data { stream, payload, .. } => client.release(stream, payload.len(), out),
            Event::Headers { end_stream: true, .. } => answered += 1,
            _ => {}
        });
        answered
    }
}

fn send(from: &mut Connection, key: StreamKey, message: &[u8], end_stream: bool, out: &mut WriteBuf) {
    let mut fill = |out: &mut Vec<u8>| out.extend_from_slice(message);
    assert!(from.send_data_in_place(key, message.len(), end_stream, out, &mut fill));
}

/// Moves what a side has written to the wire.
fn transmit(from: &mut Connection, out: &mut WriteBuf, wire: &mut Vec<u8>, now: Instant) {
    from.poll_output(now, out);
    wire.clear();
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); 8];
        let count = out.chunks(&mut slices);
        let before = wire.len();
        slices[..count].iter().for_each(|slice| wire.extend_from_slice(slice));
        out.advance(wire.len() - before);
    }
    from.handle_flushed();
}

/// Feeds a side what is on the wire, all of which is whole frames.
fn receive(
    to: &mut Connection,
    wire: &[u8],
    now: Instant,
    out: &mut WriteBuf,
    mut act: impl FnMut(&mut Connection, Event<'_>, &mut WriteBuf),
) {
    let mut rest = wire;
    while let Some(event) = to.handle_input(now, &mut rest, out) {
        act(to, event, out);
    }
    assert!(rest.is_empty(), "{:?}", to.close_reason());
    while let Some(event) = to.poll_event() {
        act(to, event, out);
    }
}

fn unary(c: &mut Criterion) {
    let mut group = c.benchmark_group("connection/unary exchange");
    for (name, calls, len, with_timeout) in [
        ("one at a time", 1, 17, false),
        ("one at a time, each with its timeout", 1, 17, true),
        ("100 at once", 100, 17, false),
        ("100 at once, 1 KiB", 100, 1024, false),
    ] {
        let mut pair = Pair::new(len);
        // The first calls fill the tables, and those after them the caches.
        (0..3).for_each(|_| pair.exchange(calls, with_timeout));
        group.throughput(Throughput::Elements(calls as u64));
        group.bench_function(name, |b| b.iter(|| pair.exchange(calls, with_timeout)));
    }
}

criterion_group! {
    name = connection;
    config = short();
    targets = unary
}
criterion_main!(connection);
