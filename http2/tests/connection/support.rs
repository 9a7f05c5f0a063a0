//! A raw peer: frames in, frames and events out, with the connection under test between.

use lariat_frame::hpack::{Encoder, HeaderList, Indexing};
use lariat_frame::{ErrorCode, Frame, PREFACE, StreamId, WriteBuf, decode, encode};
use lariat_http2::{Config, Connection, Event, HeaderBlock, Initiator, Role, StreamKey};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A request that any server accepts.
pub(crate) const REQUEST: &[(&str, &str)] =
    &[(":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", "localhost")];

/// The head of a response that any client accepts.
pub(crate) const RESPONSE: &[(&str, &str)] = &[(":status", "200")];

/// Trailers that anybody accepts.
pub(crate) const TRAILERS: &[(&str, &str)] = &[("grpc-status", "0")];

pub(crate) fn id(id: u32) -> StreamId {
    StreamId::new(id)
}

pub(crate) fn list(fields: &[(&str, &str)]) -> HeaderList {
    let mut list = HeaderList::new();
    for (name, value) in fields {
        list.push(name.as_bytes(), value.as_bytes(), Indexing::Index);
    }
    list
}

/// Drives a connection frame by frame. What it hands out lives as long as the test: memory is leaked, which keeps the
/// tests free of copies and lifetimes.
pub(crate) struct RawPeer {
    pub(crate) connection: Connection,
    pub(crate) now: Instant,
    pub(crate) out: WriteBuf,
    encoder: Encoder,
}

impl RawPeer {
    /// A server that has read nothing yet.
    pub(crate) fn new_server(config: Config) -> RawPeer {
        let (now, mut out) = (Instant::now(), WriteBuf::new());
        let connection = Connection::server(config, now, 1, &mut out);
        RawPeer { connection, now, out, encoder: Encoder::new(4096) }
    }

    /// A client that has read nothing yet; its preface has been taken.
    pub(crate) fn new_client(config: Config) -> RawPeer {
        let (now, mut out) = (Instant::now(), WriteBuf::new());
        let connection = Connection::client(config, now, 1, &mut out);
        assert_eq!(&out.to_vec()[..PREFACE.len()], PREFACE);
        out.advance(PREFACE.len());
        RawPeer { connection, now, out, encoder: Encoder::new(4096) }
    }

    /// Past the exchange of SETTINGS, with everything taken.
    pub(crate) fn server_with(config: Config) -> RawPeer {
        RawPeer::new_server(config).shake_hands(&[])
    }

    pub(crate) fn client_with(config: Config) -> RawPeer {
        RawPeer::new_client(config).shake_hands(&[])
    }

    pub(crate) fn server() -> RawPeer {
        RawPeer::server_with(Config::default())
    }

    pub(crate) fn client() -> RawPeer {
        RawPeer::client_with(Config::default())
    }

    /// The exchange of SETTINGS, with these of the raw peer.
    pub(crate) fn shake_hands(mut self, settings: &[(u16, u32)]) -> RawPeer {
        if self.connection.role() == Role::Server {
            self.feed(PREFACE);
        }
        let events = self.send(|out| {
            encode::settings(out, settings);
            encode::settings_ack(out);
        });
        assert!(matches!(events[..], [Event::Ready]), "{events:?}");
        self.frames();
        self.connection.handle_flushed();
        self
    }

    /// Feeds octets of which no event comes; how many of them were taken.
    pub(crate) fn take(&mut self, mut octets: &[u8]) -> usize {
        let len = octets.len();
        let event = self.connection.handle_input(self.now, &mut octets, &mut self.out);
        assert!(event.is_none(), "{event:?}");
        len - octets.len()
    }

    /// Feeds octets as they are; all events that follow.
    pub(crate) fn feed(&mut self, octets: &[u8]) -> Vec<Event<'static>> {
        let mut input: &'static [u8] = octets.to_vec().leak();
        let mut events = Vec::new();
        while let Some(event) = self.connection.handle_input(self.now, &mut input, &mut self.out) {
            events.push(event);
        }
        events.extend(self.settle());
        events
    }

    /// Feeds the frames that `write` makes; all events that follow.
    pub(crate) fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Vec<Event<'static>> {
        let mut octets = Vec::new();
        write(&mut octets);
        self.feed(&octets)
    }

    /// Takes queued events and lets queued output go.
    pub(crate) fn settle(&mut self) -> Vec<Event<'static>> {
        let mut events: Vec<_> = std::iter::from_fn(|| self.connection.poll_event()).collect();
        self.connection.poll_output(self.now, &mut self.out);
        events.extend(std::iter::from_fn(|| self.connection.poll_event()));
        events
    }

    /// Lets time pass, up to every deadline on the way.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Event<'static>> {
        let end = self.now + time;
        let mut events = Vec::new();
        while let Some(deadline) = self.connection.poll_timeout().filter(|&deadline| deadline <= end) {
            self.now = self.now.max(deadline);
            self.connection.handle_timeout(self.now, &mut self.out);
            events.extend(self.settle());
        }
        self.now = end;
        events
    }

    /// The frames the connection has written since the last look.
    pub(crate) fn frames(&mut self) -> Vec<Frame<'static>> {
        let octets: &'static [u8] = self.out.to_vec().leak();
        self.out.clear();
        let mut rest = octets;
        let mut frames = Vec::new();
        while let Some((frame, len)) = decode(rest, 1 << 24).expect("the connection writes valid frames") {
            frames.push(frame);
            rest = &rest[len..];
        }
        assert!(rest.is_empty(), "the connection writes whole frames");
        frames
    }

    /// A header block of these fields.
    pub(crate) fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        self.encoder.encode(&list(fields), &mut block);
        block
    }

    pub(crate) fn send_headers(
        &mut self,
        stream: u32,
        fields: &[(&str, &str)],
        end_stream: bool,
    ) -> Vec<Event<'static>> {
        let block = self.block(fields);
        self.send(|out| encode::headers(out, id(stream), &block, 16_384, end_stream))
    }

    pub(crate) fn send_data(&mut self, stream: u32, payload: &[u8], end_stream: bool) -> Vec<Event<'static>> {
        self.send(|out| data(out, stream, payload, end_stream))
    }

    /// Opens a stream on a server.
    pub(crate) fn request(&mut self, stream: u32, end_stream: bool) -> StreamKey {
        let events = self.send_headers(stream, REQUEST, end_stream);
        match events[..] {
            [Event::Headers { stream, .. }] => stream,
            _ => panic!("{events:?}"),
        }
    }

    /// Opens a stream on a client.
    pub(crate) fn open(&mut self, end_stream: bool) -> StreamKey {
        let request = list(REQUEST);
        self.connection
            .open(self.now, (&request).into(), end_stream, &mut self.out)
            .expect("the stream opens")
    }

    /// Has the connection send a header list.
    pub(crate) fn answer(&mut self, key: StreamKey, fields: &[(&str, &str)], end_stream: bool) {
        let fields = Arc::new(list(fields));
        let head = HeaderBlock::from(&fields);
        self.connection.send_headers(key, head, end_stream, &mut self.out).expect("the headers go out");
    }

    /// Asserts that the connection has failed with this code for this section, and that it has said so.
    #[track_caller]
    pub(crate) fn assert_failed(&mut self, code: ErrorCode, section: &str) {
        let reason = self.connection.close_reason().expect("the connection is closed").clone();
        assert_eq!((reason.code, reason.section), (code, section), "{reason}");
        assert!(matches!(reason.by, Initiator::Library(rule) if rule == reason.rule));
        let frames = self.frames();
        match frames.last() {
            Some(Frame::GoAway { code: sent, debug, .. }) => {
                assert_eq!((*sent, *debug), (code, reason.rule.as_bytes()));
            }
            _ => panic!("no GOAWAY at the end of {frames:?}"),
        }
    }

    /// Asserts that only this stream has failed, by RST_STREAM with this code.
    #[track_caller]
    pub(crate) fn assert_reset(&mut self, stream: u32, code: ErrorCode) {
        assert!(!self.connection.is_closed(), "{:?}", self.connection.close_reason());
        let frames = self.frames();
        assert!(frames.contains(&Frame::RstStream { stream: id(stream), code }), "{frames:?}");
    }

    /// Asserts that the connection goes on and has written nothing.
    #[track_caller]
    pub(crate) fn assert_quiet(&mut self) {
        assert!(!self.connection.is_closed(), "{:?}", self.connection.close_reason());
        let frames = self.frames();
        assert!(frames.is_empty(), "{frames:?}");
    }
}

/// A DATA frame.
pub(crate) fn data(out: &mut Vec<u8>, stream: u32, payload: &[u8], end_stream: bool) {
    encode::data_header(out, id(stream), payload.len(), end_stream);
    out.extend_from_slice(payload);
}

/// Asserts that the only event is the reset of a stream by the library, with this code.
#[track_caller]
pub(crate) fn assert_reset_event(events: &[Event<'_>], key: StreamKey, expected: ErrorCode) {
    match events {
        [Event::Reset { stream, code, by: Initiator::Library(_), unprocessed: false, .. }] => {
            assert_eq!((*stream, *code), (key, expected));
        }
        _ => panic!("{events:?}"),
    }
}
