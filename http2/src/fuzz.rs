//! What the fuzz targets run. It lives here so that ordinary tests replay the corpora; nothing else is meant to call
//! it.

use crate::{Config, Connection, Event, HeaderBlock, Keepalive, Role, StreamKey};
use bytes::Bytes;
use lariat_frame::hpack::{HeaderList, Indexing};
use lariat_frame::{ErrorCode, PREFACE, StreamId, WriteBuf, decode, encode};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A header block of a request that needs no table: POST, http, `/`.
const REQUEST_BLOCK: &[u8] = &[0x83, 0x86, 0x84];
/// A header block of a response that needs no table: 200.
const RESPONSE_BLOCK: &[u8] = &[0x88];
/// A header block of trailers: `a: b`, not indexed.
const TRAILERS_BLOCK: &[u8] = &[0x00, 0x01, b'a', 0x01, b'b'];

/// Drives one side of a connection by what `data` says: octets to feed as they are, well-formed frames with odd
/// parameters, commands of the application, time that passes. Panics if something that must always hold doesn't.
pub fn connection(role: Role, data: &[u8]) {
    let mut script = Script(data);
    let mut drive = Drive::new(role, &mut script);
    while let Some(action) = script.octet() {
        drive.act(action, &mut script);
        drive.settle();
    }
    drive.finish();
}

/// The octets that say what to do. Past their end everything is 0.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn octet(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn number(&mut self) -> u32 {
        u32::from(self.octet().unwrap_or(0))
    }

    /// A number that is often near one of the interesting bounds.
    fn wide(&mut self) -> u32 {
        let (kind, low) = (self.number(), self.number());
        match kind % 8 {
            0 => low,
            1 => low << 8,
            2 => 65_535u32.wrapping_sub(128).wrapping_add(low),
            3 => (1u32 << 31).wrapping_sub(128).wrapping_add(low),
            4 => 16_384u32.wrapping_sub(128).wrapping_add(low),
            5 => u32::MAX - low,
            6 => low << 16,
            _ => low << 24,
        }
    }

    fn slice(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

struct Drive {
    connection: Connection,
    now: Instant,
    out: WriteBuf,
    /// Octets fed and not taken yet.
    input: Vec<u8>,
    keys: Vec<StreamKey>,
    template: Arc<HeaderList>,
    /// How much output the input and the commands so far may have caused.
    allowance: usize,
    closed_events: u32,
}

impl Drive {
    fn new(role: Role, script: &mut Script<'_>) -> Drive {
        let (now, mut out) = (Instant::now(), WriteBuf::new());
        let flags = script.number();
        let config = Config {
            initial_stream_window: if flags & 1 == 0 { 256 * 1024 } else { 100 },
            adaptive_window: flags & 2 == 0,
            max_concurrent_streams: Some(if flags & 4 == 0 { 256 } else { 2 }),
            header_table_size: if flags & 8 == 0 { 4096 } else { 64 },
            keepalive: Keepalive {
                time: (flags & 16 != 0).then_some(Duration::from_secs(10)),
                ..Keepalive::default()
            },
            max_connection_idle: (flags & 32 != 0).then_some(Duration::from_secs(30)),
            max_connection_age: (flags & 64 != 0).then_some(Duration::from_secs(300)),
            ..Config::default()
        };
        let connection = match role {
            Role::Client => Connection::client(config, now, 1, &mut out),
            Role::Server => Connection::server(config, now, 1, &mut out),
        };
        let mut template = HeaderList::new();
        match role {
            Role::Client => {
                template.push(b":method", b"POST", Indexing::Index);
                template.push(b":scheme", b"http", Indexing::Index);
                template.push(b":path", b"/a.B/C", Indexing::Index);
            }
            Role::Server => template.push(b":status", b"200", Indexing::Index),
        }
        let mut drive = Drive {
            connection,
            now,
            out,
            input: Vec::new(),
            keys: Vec::new(),
            template: Arc::new(template),
            allowance: 4096,
            closed_events: 0,
        };
        if flags & 128 == 0 {
            let mut octets = if role == Role::Server { PREFACE.to_vec() } else { Vec::new() };
            encode::settings(&mut octets, &[]);
            encode::settings_ack(&mut octets);
            drive.feed(&octets);
        }
        drive
    }

    fn act(&mut self, action: u8, script: &mut Script<'_>) {
        match action {
            0..=95 => self.feed(script.slice(usize::from(action) + 1)),
            96..=175 => {
                let mut frame = Vec::new();
                self.make_frame(action, script, &mut frame);
                self.feed(&frame);
            }
            _ => self.command(action, script),
        }
    }

    fn make_frame(&mut self, action: u8, script: &mut Script<'_>, frame: &mut Vec<u8>) {
        let stream = StreamId::new(script.number());
        match action % 10 {
            0 => {
                let payload = vec![0; script.wide() as usize % 16_384];
                encode::data_header(frame, stream, payload.len(), action & 64 == 0);
                frame.extend(payload);
            }
            1 => encode::data_padded(frame, stream, &[1; 3], script.number() as u8, action & 64 == 0),
            2 => {
                let block = match script.number() % 4 {
                    0 => REQUEST_BLOCK,
                    1 => RESPONSE_BLOCK,
                    2 => TRAILERS_BLOCK,
                    _ => script.slice(20),
                };
                encode::headers(frame, stream, block, 16_384, action & 64 == 0);
            }
            3 => encode::rst_stream(frame, stream, ErrorCode(script.number())),
            4 => encode::window_update(frame, stream, (script.wide() & 0x7fff_ffff).max(1)),
            5 => encode::settings(frame, &[(script.number() as u16 % 8, script.wide())]),
            6 => {
                let payloads = [[0; 8], [2, 4, 16, 16, 9, 14, 7, 7], [1, 6, 1, 8, 0, 3, 3, 9], [5; 8]];
                let payload = payloads.get(script.number() as usize % 4).copied().unwrap_or_default();
                encode::ping(frame, action & 64 == 0, payload);
            }
            7 => encode::goaway(frame, stream, ErrorCode(script.number()), script.slice(5)),
            8 => {
                encode::frame_header(frame, 3, 1, action & 1, stream);
                frame.extend(REQUEST_BLOCK);
                encode::continuation(frame, stream, script.slice(3), action & 64 == 0);
            }
            _ => encode::settings_ack(frame),
        }
    }

    fn command(&mut self, action: u8, script: &mut Script<'_>) {
        self.allowance += 256;
        let pick = script.number() as usize;
        let out = &mut self.out;
        let key = self.keys.get(pick % self.keys.len().max(1)).copied();
        match (action % 14, key) {
            (0, _) => {
                let head = HeaderBlock::from(&self.template);
                if let Ok(key) = self.connection.open(self.now, head, pick & 1 == 0, out) {
                    self.connection.set_token(key, key.id().get());
                    self.keys.push(key);
                }
            }
            (1, Some(key)) => {
                let head = HeaderBlock::from(&self.template);
                let _ = self.connection.send_headers(key, head, action & 16 == 0, out);
            }
            (2, Some(key)) => {
                let len = script.wide() as usize % (256 * 1024);
                self.allowance += 2 * len;
                let _ = self.connection.send_data(key, vec![3; len].into(), action & 16 == 0, out);
            }
            (3, Some(key)) => {
                let len = script.wide() as usize % 20_000;
                self.allowance += len;
                self.connection.send_data_in_place(key, len, action & 16 == 0, out, &mut |out| {
                    out.resize(out.len() + len, 4);
                });
            }
            (4, Some(key)) => self.connection.reset(key, ErrorCode::CANCEL, out),
            (5, Some(key)) => self.connection.release(key, script.wide() as usize, out),
            (6, Some(key)) => self.connection.expect(key, script.wide() as usize, out),
            (7, Some(key)) => drop(self.connection.capacity(key)),
            (8 | 9, Some(key)) => self.connection.linger(key),
            (10, _) => self.connection.shrink(),
            (11, _) if pick.is_multiple_of(16) => self.connection.shutdown(self.now, "fuzz", out),
            (12, _) if pick.is_multiple_of(64) => self.connection.close(ErrorCode::NO_ERROR, "fuzz", out),
            (12, _) if pick % 64 == 1 => self.connection.handle_eof(self.now),
            _ => {
                self.now += Duration::from_millis(u64::from(script.wide() % 1_000_000));
                self.connection.handle_timeout(self.now, out);
            }
        }
    }

    fn feed(&mut self, octets: &[u8]) {
        // A SETTINGS frame or PING is answered by as much, what is refused by RST_STREAM or a short response.
        self.allowance += 4 * octets.len();
        self.input.extend_from_slice(octets);
        let mut rest = &self.input[..];
        while let Some(event) = self.connection.handle_input(self.now, &mut rest, &mut self.out) {
            match event {
                Event::Headers { stream, .. } if !self.keys.contains(&stream) => {
                    self.keys.push(stream);
                    // Every other stream has its content taken behind its head.
                    if stream.id().get() & 2 == 0
                        && let Some(content) = self.connection.take_content(stream, &mut rest, &mut self.out)
                    {
                        assert!(!content.is_empty());
                    }
                }
                Event::Data { payload, end_stream, .. } => assert!(!payload.is_empty() || end_stream),
                _ => {}
            }
        }
        self.input = rest.to_vec();
    }

    fn settle(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            if let Event::Closed = event {
                self.closed_events += 1;
            }
        }
        self.connection.poll_output(self.now, &mut self.out);
        assert!(
            self.out.len() <= self.allowance,
            "{} octets of output, {} allowed",
            self.out.len(),
            self.allowance
        );
        assert!(self.connection.flow_control().send >= 0);
        if self.connection.is_closed() {
            assert_eq!(self.connection.active_streams(), 0);
            assert_eq!(self.connection.poll_timeout(), None);
            assert!(!self.connection.can_open());
        }
        self.keys.drain(..self.keys.len().saturating_sub(64));
    }

    /// Everything that was written is frames, and the connection told its end once.
    fn finish(mut self) {
        self.settle();
        assert_eq!(self.closed_events, u32::from(self.connection.is_closed()));
        let octets = Bytes::from(self.out.to_vec());
        let mut rest = octets.strip_prefix(PREFACE).unwrap_or(&octets);
        while let Some((_, len)) = decode(rest, 16_384).expect("only valid frames are sent") {
            rest = rest.get(len..).unwrap_or_default();
        }
        assert!(rest.is_empty(), "only whole frames are sent");
    }
}
