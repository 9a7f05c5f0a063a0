//! Two connections against each other, over a wire that splits and delays as a seed says, in made-up time.

use crate::support::*;
use bytes::Bytes;
use lariat_frame::{ErrorCode, WriteBuf};
use lariat_http2::{Config, Connection, Event, HeadersKind, Keepalive, StreamKey};
use std::collections::{HashMap, VecDeque};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Numbers that are the same in every run: xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % bound
    }
}

/// One end: a connection, what it has written, and what is on its way to it.
struct End {
    connection: Connection,
    out: WriteBuf,
    /// Octets and when they arrive, in order.
    wire: VecDeque<(Instant, Vec<u8>)>,
    /// Octets that arrived and weren't taken.
    input: Vec<u8>,
}

impl End {
    fn new(connection: Connection, out: WriteBuf) -> End {
        End { connection, out, wire: VecDeque::new(), input: Vec::new() }
    }

    fn is_quiet(&self) -> bool {
        self.out.is_empty() && self.wire.is_empty()
    }
}

/// What an application sees of a call.
#[derive(Debug, Default)]
struct Call {
    /// Octets of the request, after which it ends.
    size: usize,
    sent: usize,
    /// Octets received.
    received: usize,
    head: bool,
    ended: bool,
    reset: Option<(ErrorCode, bool)>,
}

/// A part of the content that every message has.
fn piece(from: usize, len: usize) -> Bytes {
    static CONTENT: OnceLock<Bytes> = OnceLock::new();
    let content = CONTENT.get_or_init(|| (0..1 << 20).map(|place: usize| (place % 251) as u8).collect());
    content.slice(from..from + len)
}

struct Pair {
    client: End,
    server: End,
    now: Instant,
    random: Random,
    latency: Duration,
    /// By the server's keys: octets to be echoed.
    echoes: HashMap<StreamKey, Echo>,
    calls: HashMap<StreamKey, Call>,
    client_events: Vec<Event<'static>>,
}

/// The server sends back what it gets.
#[derive(Debug, Default)]
struct Echo {
    received: usize,
    sent: usize,
    ended: bool,
    done: bool,
}

impl Pair {
    fn new(seed: u64, client: Config, server: Config) -> Pair {
        let now = Instant::now();
        let (mut client_out, mut server_out) = (WriteBuf::new(), WriteBuf::new());
        let client = Connection::client(client, now, seed, &mut client_out);
        let server = Connection::server(server, now, seed, &mut server_out);
        Pair {
            client: End::new(client, client_out),
            server: End::new(server, server_out),
            now,
            random: Random(seed.wrapping_mul(2) + 1),
            latency: Duration::from_millis(10),
            echoes: HashMap::new(),
            calls: HashMap::new(),
            client_events: Vec::new(),
        }
    }

    fn open(&mut self, size: usize) -> StreamKey {
        let request = list(REQUEST);
        let end = &mut self.client;
        let key =
            end.connection.open(self.now, (&request).into(), size == 0, &mut end.out).expect("a stream");
        self.calls.insert(key, Call { size, ..Call::default() });
        key
    }

    /// Runs until nothing is on the wire and nobody has anything to say, or `steps` are over.
    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.feed_writers();
            self.transmit();
            if self.client.is_quiet() && self.server.is_quiet() {
                return;
            }
            let arrivals =
                [&self.client, &self.server].into_iter().filter_map(|end| Some(end.wire.front()?.0));
            let next = arrivals.min().expect("something is on the wire");
            self.pass_to(next);
            self.receive();
        }
        panic!("not quiet after {steps} steps");
    }

    /// Lets time pass, with what deadlines cause.
    fn pass_to(&mut self, then: Instant) {
        for end in [&mut self.client, &mut self.server] {
            while let Some(deadline) = end.connection.poll_timeout().filter(|&deadline| deadline <= then) {
                end.connection.handle_timeout(deadline.max(self.now), &mut end.out);
                end.connection.poll_output(deadline.max(self.now), &mut end.out);
            }
        }
        self.now = self.now.max(then);
    }

    /// Puts what was written on the wire, in pieces.
    fn transmit(&mut self) {
        self.transmit_from(true);
        self.transmit_from(false);
    }

    fn transmit_from(&mut self, is_client: bool) {
        let Pair { client, server, random, now, latency, .. } = self;
        let (from, to) = if is_client { (client, server) } else { (server, client) };
        let octets = from.out.to_vec();
        from.out.clear();
        from.connection.handle_flushed();
        let mut rest = &octets[..];
        while !rest.is_empty() {
            let bound = if random.below(4) == 0 { 20 } else { 40_000 };
            let len = rest.len().min(1 + random.below(bound) as usize);
            let jitter = Duration::from_micros(random.below(5_000));
            let earliest = to.wire.back().map_or(*now, |(at, _)| *at);
            to.wire.push_back(((*now + *latency + jitter).max(earliest), rest[..len].to_vec()));
            rest = &rest[len..];
        }
    }

    fn receive(&mut self) {
        for is_client in [true, false] {
            let end = if is_client { &mut self.client } else { &mut self.server };
            let arrived = end.wire.iter().take_while(|(at, _)| *at <= self.now).count();
            end.input.extend(end.wire.drain(..arrived).flat_map(|(_, octets)| octets));
            let input = std::mem::take(&mut end.input);
            let mut rest = &input[..];
            loop {
                let end = if is_client { &mut self.client } else { &mut self.server };
                let event = end.connection.handle_input(self.now, &mut rest, &mut end.out);
                let Some(event) = event else { break };
                let head = match event {
                    Event::Headers { stream, kind: HeadersKind::Request, .. } => Some(stream),
                    _ => None,
                };
                if is_client {
                    self.handle_client(event)
                } else {
                    self.handle_server(event)
                }
                let End { connection, out, .. } = &mut self.server;
                if let Some(stream) = head.filter(|_| self.random.below(2) == 0)
                    && let Some(payload) = connection.take_content(stream, &mut rest, out)
                {
                    self.handle_server(Event::Data { stream, token: 0, payload, end_stream: true });
                }
            }
            let end = if is_client { &mut self.client } else { &mut self.server };
            end.input = rest.to_vec();
            while let Some(event) =
                if is_client { &mut self.client } else { &mut self.server }.connection.poll_event()
            {
                if is_client { self.handle_client(event) } else { self.handle_server(event) }
            }
        }
    }

    fn handle_client(&mut self, event: Event<'_>) {
        match event {
            Event::Headers { stream, kind, end_stream, .. } => {
                let call = self.calls.get_mut(&stream).expect("a call of ours");
                assert!(!call.ended && call.reset.is_none());
                assert_eq!(call.head, kind == HeadersKind::Trailers);
                call.head = true;
                call.ended = end_stream;
            }
            Event::Data { stream, payload, end_stream, .. } => {
                let call = self.calls.get_mut(&stream).expect("a call of ours");
                assert!(call.head && !call.ended && !end_stream);
                assert!(payload == piece(call.received, payload.len()));
                call.received += payload.len();
                self.client.connection.release(stream, payload.len(), &mut self.client.out);
            }
            Event::Reset { stream, code, unprocessed, .. } => {
                let call = self.calls.get_mut(&stream).expect("a call of ours");
                assert!(!call.ended && call.reset.is_none());
                call.reset = Some((code, unprocessed));
            }
            Event::Ready => self.client_events.push(Event::Ready),
            Event::GoAway { last_stream, code, debug } => {
                self.client_events.push(Event::GoAway { last_stream, code, debug });
            }
            Event::Closed => self.client_events.push(Event::Closed),
            Event::Writable { .. } | Event::StreamsAvailable => {}
        }
    }

    fn handle_server(&mut self, event: Event<'_>) {
        let End { connection, out, .. } = &mut self.server;
        match event {
            Event::Headers { stream, kind: HeadersKind::Request, end_stream, .. } => {
                let echo = Echo { ended: end_stream, ..Echo::default() };
                self.echoes.insert(stream, echo);
                let head = list(RESPONSE);
                connection.send_headers(stream, (&head).into(), false, out).expect("a response can begin");
            }
            Event::Data { stream, payload, end_stream, .. } => {
                let echo = self.echoes.get_mut(&stream).expect("a stream of ours");
                assert!(payload == piece(echo.received, payload.len()));
                echo.received += payload.len();
                echo.ended |= end_stream;
                if self.random.below(3) == 0 {
                    connection.expect(stream, self.random.below(300_000) as usize, out);
                }
                connection.release(stream, payload.len(), out);
            }
            Event::Reset { stream, .. } => {
                self.echoes.remove(&stream);
            }
            _ => {}
        }
    }

    /// Everybody sends as much as there is capacity for.
    fn feed_writers(&mut self) {
        let Pair { client, server, calls, echoes, random, now, .. } = self;
        for (&key, call) in calls.iter_mut() {
            while call.sent < call.size && client.connection.capacity(key) > 0 {
                let len = (call.size - call.sent).min(1 + random.below(100_000) as usize);
                let data = piece(call.sent, len);
                call.sent += len;
                client
                    .connection
                    .send_data(key, data, call.sent == call.size, &mut client.out)
                    .expect("it is open");
            }
        }
        for (&key, echo) in echoes.iter_mut().filter(|(_, echo)| !echo.done) {
            while echo.sent < echo.received && server.connection.capacity(key) > 0 {
                let len = (echo.received - echo.sent).min(1 + random.below(50_000) as usize);
                let data = piece(echo.sent, len);
                let in_place = random.below(2) == 0
                    && server.connection.send_data_in_place(key, len, false, &mut server.out, &mut |out| {
                        out.extend_from_slice(&data);
                    });
                if !in_place {
                    server.connection.send_data(key, data, false, &mut server.out).expect("it is open");
                }
                echo.sent += len;
            }
            if echo.ended && echo.sent == echo.received {
                let trailers = list(TRAILERS);
                server
                    .connection
                    .send_headers(key, (&trailers).into(), true, &mut server.out)
                    .expect("it is open");
                echo.done = true;
            }
        }
        for end in [client, server] {
            end.connection.poll_output(*now, &mut end.out);
        }
    }

    /// With nothing on the wire, what one side may send is what the other side expects.
    fn assert_credit_is_conserved(&self) {
        let (client, server) = (&self.client.connection, &self.server.connection);
        assert_eq!(client.flow_control().send, server.flow_control().receive);
        assert_eq!(server.flow_control().send, client.flow_control().receive);
        for &key in self.calls.keys() {
            let theirs = self.echoes.keys().find(|theirs| theirs.id() == key.id());
            let ours = client.stream_flow_control(key);
            let theirs = theirs.and_then(|&key| server.stream_flow_control(key));
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                assert_eq!((ours.send, ours.receive), (theirs.receive, theirs.send));
            }
        }
    }
}

/// The sizes of messages: some are empty, most are small, some are larger than any window.
const SIZES: [usize; 8] = [0, 1, 13, 100, 999, 20_000, 100_000, 700_000];

fn config(seed: u64) -> Config {
    let mut config = Config::default();
    if seed & 1 == 1 {
        config.initial_stream_window = 5_000;
    }
    if seed & 2 == 2 {
        config.initial_connection_window = 65_535;
    }
    config.adaptive_window = seed & 4 == 0;
    if seed & 8 == 8 {
        config.max_frame_size = 100_000;
    }
    if seed & 16 == 16 {
        config.header_table_size = 0;
    }
    config.keepalive = Keepalive { time: Some(Duration::from_secs(10)), ..Keepalive::default() };
    config
}

#[test]
fn echoes_come_back_whole_over_any_wire() {
    for seed in 0..32 {
        let mut pair = Pair::new(seed, config(seed / 2), config(seed));
        for size in SIZES.into_iter().cycle().take(24) {
            pair.open(size);
        }
        pair.run(20_000);
        for call in pair.calls.values() {
            assert!(
                call.ended && call.reset.is_none() && call.received == call.size,
                "seed {seed}: {call:?}"
            );
        }
        assert_eq!(pair.client.connection.active_streams() + pair.server.connection.active_streams(), 0);
        assert!(!pair.client.connection.is_closed() && !pair.server.connection.is_closed());
        pair.assert_credit_is_conserved();
    }
}

#[test]
fn credit_is_conserved_when_streams_are_reset_at_any_time() {
    for seed in 0..32 {
        let mut pair = Pair::new(seed, config(seed), config(seed / 2));
        for size in SIZES.into_iter().cycle().take(16) {
            pair.open(size);
        }
        for round in 0..12 {
            // A few steps, then somebody resets something.
            for _ in 0..pair.random.below(20) {
                pair.feed_writers();
                pair.transmit();
                let then = pair.now + Duration::from_millis(3);
                pair.pass_to(then);
                pair.receive();
            }
            if round % 2 == 0 {
                let keys: Vec<StreamKey> = pair.calls.keys().copied().collect();
                let key = keys[pair.random.below(keys.len() as u64) as usize];
                pair.client.connection.reset(key, ErrorCode::CANCEL, &mut pair.client.out);
                pair.calls.remove(&key);
            } else if let Some(&key) = pair.echoes.keys().next() {
                pair.server.connection.reset(key, ErrorCode::INTERNAL_ERROR, &mut pair.server.out);
                pair.echoes.remove(&key);
            }
        }
        pair.run(20_000);
        assert!(!pair.client.connection.is_closed() && !pair.server.connection.is_closed());
        assert_eq!(pair.client.connection.active_streams() + pair.server.connection.active_streams(), 0);
        pair.assert_credit_is_conserved();
    }
}

#[test]
fn credit_is_conserved_on_streams_that_stay_open() {
    for seed in 0..16 {
        let mut pair = Pair::new(seed, config(seed), config(seed));
        let key = pair.open(1);
        // The end is kept back, so that the stream stays open.
        pair.calls.get_mut(&key).expect("it was opened").sent = 1;
        let End { connection, out, .. } = &mut pair.client;
        connection.send_data(key, piece(0, 300_000), false, out).expect("it is open");
        pair.run(20_000);
        assert_eq!(pair.calls[&key].received, 300_000);
        assert_eq!(pair.client.connection.active_streams() + pair.server.connection.active_streams(), 2);
        pair.assert_credit_is_conserved();
    }
}

#[test]
fn a_graceful_shutdown_loses_no_call() {
    for seed in 0..32 {
        let mut pair = Pair::new(seed, config(seed), config(seed));
        for _ in 0..5 {
            pair.open(0);
        }
        for _ in 0..pair.random.below(10) {
            pair.feed_writers();
            pair.transmit();
            let then = pair.now + Duration::from_millis(4);
            pair.pass_to(then);
            pair.receive();
        }
        pair.server.connection.shutdown(pair.now, "graceful_stop", &mut pair.server.out);
        for _ in 0..5 {
            // Opened before the client knows.
            pair.open(0);
        }
        pair.run(10_000);
        let done = pair.calls.values().filter(|call| call.ended).count();
        let unprocessed = pair.calls.values().filter(|call| matches!(call.reset, Some((_, true)))).count();
        assert_eq!(done + unprocessed, 10, "seed {seed}");
        assert_eq!(unprocessed, 0, "two steps leave no stream behind");
        assert!(pair.client.connection.is_closed() && pair.server.connection.is_closed());
        assert!(matches!(pair.client_events[..], [Event::Ready, Event::GoAway { .. }, .., Event::Closed]));
    }
}

#[test]
fn keepalive_keeps_a_quiet_pair_alive() {
    let keepalive = Keepalive {
        time: Some(Duration::from_secs(10)),
        permit_without_stream: true,
        ..Keepalive::default()
    };
    let enforcement =
        lariat_http2::Enforcement { min_time: Duration::from_secs(10), permit_without_stream: true };
    let config = Config { keepalive, enforcement, ..Config::default() };
    let mut pair = Pair::new(1, config.clone(), config);
    pair.run(100);
    for _ in 0..100 {
        let deadlines =
            [&pair.client, &pair.server].into_iter().filter_map(|end| end.connection.poll_timeout());
        let then = deadlines.min().expect("keepalive has a deadline");
        pair.pass_to(then);
        pair.run(100);
    }
    assert!(!pair.client.connection.is_closed() && !pair.server.connection.is_closed());
    assert!(
        pair.client.connection.stats().keepalives_sent + pair.server.connection.stats().keepalives_sent > 20
    );
}
