//! What a server does about each thing that RFC 9113 and RFC 7541 forbid, over a real socket: the exact code, on the
//! stream or for the connection. The cases are those in which h2spec expects an error, which takes a bare close and any
//! code for an answer, and some more.
//!
//! A connection that is ended has to be told why whatever else is on its way: each such case sends more behind its
//! mistake, and must read GOAWAY and then an orderly end. One that goes on must still answer a PING.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lariat::Server;
use lariat_frame::hpack::{Encoder, HeaderList, Indexing};
use lariat_frame::kind::*;
use lariat_frame::{ErrorCode, Frame, PREFACE, StreamId, decode, encode, flag, setting};
use support::*;

/// Octets that a client sends.
struct Wire {
    octets: Vec<u8>,
    encoder: Encoder,
}

/// What a case has to lead to.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// GOAWAY with this code, and the end of the connection.
    End(ErrorCode),
    /// RST_STREAM with this code for this stream, and nothing else.
    Reset(u32, ErrorCode),
}
use Outcome::{End, Reset};

const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;
const COMPRESSION: ErrorCode = ErrorCode::COMPRESSION_ERROR;
const FRAME_SIZE: ErrorCode = ErrorCode::FRAME_SIZE_ERROR;
const FLOW_CONTROL: ErrorCode = ErrorCode::FLOW_CONTROL_ERROR;
const CLOSED: ErrorCode = ErrorCode::STREAM_CLOSED;

const METHOD: (&str, &str) = (":method", "POST");
const SCHEME: (&str, &str) = (":scheme", "http");
/// A method with a stream of requests, which waits for more of them.
const UPLOAD: (&str, &str) = (":path", "/test.Echo/Upload");
const UNARY: (&str, &str) = (":path", "/test.Echo/Unary");
const GRPC: (&str, &str) = ("content-type", "application/grpc");
const END: u8 = flag::END_STREAM;
const WHOLE: u8 = flag::END_HEADERS;

impl Wire {
    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        encode::frame_header(&mut self.octets, payload.len(), kind, flags, StreamId::new(stream));
        self.octets.extend_from_slice(payload);
        self
    }

    fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut list = HeaderList::new();
        for (name, value) in fields {
            list.push(name.as_bytes(), value.as_bytes(), Indexing::Skip);
        }
        let mut block = Vec::new();
        self.encoder.encode(&list, &mut block);
        block
    }

    fn headers(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) -> &mut Self {
        let block = self.block(fields);
        self.frame(HEADERS, flags, stream, &block)
    }

    /// A request in a raw header block behind the fields of a good one.
    fn request_with(&mut self, raw: &[u8]) -> &mut Self {
        let mut block = self.block(&[METHOD, SCHEME, UPLOAD, GRPC]);
        block.extend_from_slice(raw);
        self.frame(HEADERS, WHOLE, 1, &block)
    }

    /// A stream in the state "open".
    fn open(&mut self, stream: u32) -> &mut Self {
        self.headers(stream, WHOLE, &[METHOD, SCHEME, UPLOAD, GRPC])
    }

    /// A stream that is half-closed by the client, while its handler works.
    fn half_closed(&mut self, stream: u32) -> &mut Self {
        self.headers(stream, WHOLE, &[METHOD, SCHEME, UNARY, GRPC]);
        self.frame(DATA, END, stream, b"\0\0\0\0\x04wait")
    }

    /// A stream that both sides have ended.
    fn ended(&mut self, stream: u32) -> &mut Self {
        self.headers(stream, WHOLE, &[METHOD, SCHEME, UNARY, GRPC]);
        self.frame(DATA, END, stream, b"\0\0\0\0\x02hi")
    }

    /// A stream that the client has reset.
    fn reset(&mut self, stream: u32) -> &mut Self {
        self.open(stream).frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
    }

    /// A request whose header block goes on in CONTINUATION.
    fn begun(&mut self, stream: u32) -> &mut Self {
        self.headers(stream, 0, &[METHOD, SCHEME, UPLOAD, GRPC])
    }

    fn setting(&mut self, id: u16, value: u32) -> &mut Self {
        encode::settings(&mut self.octets, &[(id, value)]);
        self
    }
}

type Case = (&'static str, Outcome, fn(&mut Wire) -> &mut Wire);

/// What may go wrong with a connection that has exchanged SETTINGS.
const CASES: &[Case] = &[
    // RFC 7541
    ("HPACK 2.3.3: an index beyond the tables", End(COMPRESSION), |wire| wire.request_with(&[0xff, 0])),
    ("HPACK 4.2: a size update at the end of a block", End(COMPRESSION), |wire| wire.request_with(&[0x20])),
    ("HPACK 5.2: Huffman padding of more than 7 bits", End(COMPRESSION), |wire| {
        wire.request_with(&[0, 1, b'x', 0x82, 0x1f, 0xff])
    }),
    ("HPACK 5.2: Huffman padding of zeros", End(COMPRESSION), |wire| {
        wire.request_with(&[0, 1, b'x', 0x81, 0x18])
    }),
    ("HPACK 5.2: the EOS symbol", End(COMPRESSION), |wire| {
        wire.request_with(&[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff])
    }),
    ("HPACK 6.1: index 0", End(COMPRESSION), |wire| wire.request_with(&[0x80])),
    ("HPACK 6.3: a size update above the setting", End(COMPRESSION), |wire| {
        wire.frame(HEADERS, WHOLE | END, 1, &[0x3f, 0xe2, 0x1f])
    }),
    // RFC 9113, by the sections of h2spec, which are those of RFC 7540
    ("4.2: DATA above the frame size", End(FRAME_SIZE), |wire| wire.open(1).frame(DATA, 0, 1, &[0; 16_385])),
    ("4.2: HEADERS above the frame size", End(FRAME_SIZE), |wire| {
        wire.frame(HEADERS, WHOLE, 1, &[0; 16_385])
    }),
    ("4.3: a header block that ends too early", End(COMPRESSION), |wire| wire.request_with(&[0, 5, b'x'])),
    ("4.3: PRIORITY inside a header block", End(PROTOCOL), |wire| {
        wire.begun(1).frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])
    }),
    ("4.3: HEADERS of another stream inside a header block", End(PROTOCOL), |wire| wire.begun(1).open(3)),
    ("5.1 idle: DATA", End(PROTOCOL), |wire| wire.frame(DATA, END, 1, b"x")),
    ("5.1 idle: RST_STREAM", End(PROTOCOL), |wire| wire.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
    ("5.1 idle: WINDOW_UPDATE", End(PROTOCOL), |wire| wire.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9])),
    ("5.1 idle: CONTINUATION", End(PROTOCOL), |wire| wire.frame(CONTINUATION, WHOLE, 1, &[0x82])),
    ("5.1 half-closed: DATA", Reset(1, CLOSED), |wire| wire.half_closed(1).frame(DATA, END, 1, b"x")),
    ("5.1 half-closed: HEADERS", Reset(1, CLOSED), |wire| wire.half_closed(1).open(1)),
    ("5.1 half-closed: CONTINUATION", End(PROTOCOL), |wire| {
        wire.half_closed(1).frame(CONTINUATION, WHOLE, 1, &[0x82])
    }),
    ("5.1 closed by RST_STREAM: DATA", Reset(1, CLOSED), |wire| wire.reset(1).frame(DATA, END, 1, b"x")),
    ("5.1 closed by RST_STREAM: HEADERS", Reset(1, CLOSED), |wire| wire.reset(1).open(1)),
    ("5.1 closed by RST_STREAM: CONTINUATION", End(PROTOCOL), |wire| {
        wire.reset(1).frame(CONTINUATION, WHOLE, 1, &[0x82])
    }),
    ("5.1 closed: DATA", End(CLOSED), |wire| wire.ended(1).frame(DATA, END, 1, b"x")),
    ("5.1 closed: HEADERS", End(CLOSED), |wire| wire.ended(1).open(1)),
    ("5.1 closed: CONTINUATION", End(PROTOCOL), |wire| wire.ended(1).frame(CONTINUATION, WHOLE, 1, &[0x82])),
    ("5.1.1: an even stream", End(PROTOCOL), |wire| wire.open(2)),
    ("5.1.1: a stream below the last", End(PROTOCOL), |wire| wire.open(5).open(3)),
    ("5.1.2: one stream too many", Reset(513, ErrorCode::REFUSED_STREAM), |wire| {
        (1..=513).step_by(2).fold(wire, |wire, stream| wire.open(stream))
    }),
    ("5.3.1: HEADERS that depend on themselves", End(PROTOCOL), |wire| {
        let mut block = vec![0, 0, 0, 1, 9];
        block.extend(wire.block(&[METHOD, SCHEME, UPLOAD, GRPC]));
        wire.frame(HEADERS, WHOLE | flag::PRIORITY, 1, &block)
    }),
    ("5.3.1: PRIORITY that depends on itself", End(PROTOCOL), |wire| {
        wire.open(1).frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9])
    }),
    ("5.5: an unknown frame inside a header block", End(PROTOCOL), |wire| {
        wire.begun(1).frame(0x16, 0, 0, b"x")
    }),
    ("6.1: DATA on stream 0", End(PROTOCOL), |wire| wire.frame(DATA, END, 0, b"x")),
    ("6.1: padding longer than DATA", End(PROTOCOL), |wire| {
        wire.open(1).frame(DATA, flag::PADDED, 1, &[5, b'x', 0, 0, 0])
    }),
    ("6.1: DATA without the octet of its padding's length", Reset(1, FRAME_SIZE), |wire| {
        wire.open(1).frame(DATA, flag::PADDED, 1, &[])
    }),
    ("6.2: HEADERS on stream 0", End(PROTOCOL), |wire| wire.open(0)),
    ("6.2: padding longer than HEADERS", End(PROTOCOL), |wire| {
        wire.frame(HEADERS, WHOLE | flag::PADDED, 1, &[5, 0x83, 0, 0, 0])
    }),
    ("6.2: HEADERS without room for their priority", End(FRAME_SIZE), |wire| {
        wire.frame(HEADERS, WHOLE | flag::PRIORITY, 1, &[0, 0, 0, 0])
    }),
    ("6.3: PRIORITY on stream 0", End(PROTOCOL), |wire| wire.frame(PRIORITY, 0, 0, &[0, 0, 0, 3, 9])),
    ("6.3: PRIORITY of another length", Reset(1, FRAME_SIZE), |wire| {
        wire.open(1).frame(PRIORITY, 0, 1, &[0, 0, 0, 3])
    }),
    ("6.4: RST_STREAM on stream 0", End(PROTOCOL), |wire| wire.frame(RST_STREAM, 0, 0, &[0, 0, 0, 8])),
    ("6.4: RST_STREAM of another length", End(FRAME_SIZE), |wire| {
        wire.open(1).frame(RST_STREAM, 0, 1, &[0, 0, 8])
    }),
    ("6.5: SETTINGS with ACK and entries", End(FRAME_SIZE), |wire| {
        wire.frame(SETTINGS, flag::ACK, 0, &[0; 6])
    }),
    ("6.5: SETTINGS on a stream", End(PROTOCOL), |wire| wire.frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 9])),
    ("6.5: SETTINGS of another length", End(FRAME_SIZE), |wire| wire.frame(SETTINGS, 0, 0, &[0, 3, 0])),
    ("6.5.2: ENABLE_PUSH of 2", End(PROTOCOL), |wire| wire.setting(setting::ENABLE_PUSH, 2)),
    ("6.5.2: INITIAL_WINDOW_SIZE of 2^31", End(FLOW_CONTROL), |wire| {
        wire.setting(setting::INITIAL_WINDOW_SIZE, 1 << 31)
    }),
    ("6.5.2: MAX_FRAME_SIZE below 2^14", End(PROTOCOL), |wire| wire.setting(setting::MAX_FRAME_SIZE, 16_383)),
    ("6.5.2: MAX_FRAME_SIZE of 2^24", End(PROTOCOL), |wire| wire.setting(setting::MAX_FRAME_SIZE, 1 << 24)),
    ("6.7: PING on a stream", End(PROTOCOL), |wire| wire.frame(PING, 0, 1, &[0; 8])),
    ("6.7: PING of another length", End(FRAME_SIZE), |wire| wire.frame(PING, 0, 0, &[0; 6])),
    ("6.8: GOAWAY on a stream", End(PROTOCOL), |wire| wire.frame(GOAWAY, 0, 1, &[0; 8])),
    ("6.8: GOAWAY of another length", End(FRAME_SIZE), |wire| wire.frame(GOAWAY, 0, 0, &[0; 7])),
    ("6.9: WINDOW_UPDATE of 0", End(PROTOCOL), |wire| wire.frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
    ("6.9: WINDOW_UPDATE of 0 on a stream", Reset(1, PROTOCOL), |wire| {
        wire.open(1).frame(WINDOW_UPDATE, 0, 1, &[0; 4])
    }),
    ("6.9: WINDOW_UPDATE of another length", End(FRAME_SIZE), |wire| {
        wire.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1])
    }),
    ("6.9: DATA beyond the stream's window", Reset(1, FLOW_CONTROL), |wire| {
        // Nobody consumes the content of what is not gRPC.
        wire.headers(1, WHOLE, &[METHOD, SCHEME, UNARY, ("content-type", "text/plain")]);
        (0..17).fold(wire, |wire, _| wire.frame(DATA, 0, 1, &[0; 16_384]))
    }),
    ("6.9.1: a window of the connection above 2^31-1", End(FLOW_CONTROL), |wire| {
        wire.frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])
    }),
    ("6.9.1: a window of a stream above 2^31-1", Reset(1, FLOW_CONTROL), |wire| {
        wire.open(1).frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])
    }),
    ("6.9.2: SETTINGS that make a window pass 2^31-1", End(FLOW_CONTROL), |wire| {
        wire.open(1).frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
        wire.setting(setting::INITIAL_WINDOW_SIZE, i32::MAX as u32)
    }),
    ("6.10: CONTINUATION and then something else", End(PROTOCOL), |wire| {
        wire.begun(1).frame(CONTINUATION, 0, 1, &[]).frame(DATA, END, 1, b"x")
    }),
    ("6.10: CONTINUATION on stream 0", End(PROTOCOL), |wire| {
        wire.begun(1).frame(CONTINUATION, WHOLE, 0, &[])
    }),
    ("6.10: CONTINUATION behind END_HEADERS", End(PROTOCOL), |wire| {
        wire.open(1).frame(CONTINUATION, WHOLE, 1, &[])
    }),
    ("6.10: CONTINUATION behind END_HEADERS of another", End(PROTOCOL), |wire| {
        wire.begun(1).frame(CONTINUATION, WHOLE, 1, &[]).frame(CONTINUATION, WHOLE, 1, &[])
    }),
    ("6.10: CONTINUATION behind DATA", End(PROTOCOL), |wire| {
        wire.open(1).frame(DATA, 0, 1, b"x").frame(CONTINUATION, WHOLE, 1, &[])
    }),
    ("8.1: a second HEADERS without END_STREAM", Reset(1, PROTOCOL), |wire| {
        wire.open(1).headers(1, WHOLE, &[("a", "b")])
    }),
    ("8.1.2: a name in upper case", Reset(1, PROTOCOL), |wire| wire.request_with(b"\0\x01X\x01v")),
    ("8.1.2.1: an unknown pseudo-header field", Reset(1, PROTOCOL), |wire| {
        wire.headers(1, WHOLE, &[METHOD, SCHEME, UPLOAD, (":test", "x"), GRPC])
    }),
    ("8.1.2.1: a pseudo-header field of responses", Reset(1, PROTOCOL), |wire| {
        wire.headers(1, WHOLE, &[METHOD, SCHEME, UPLOAD, (":status", "200"), GRPC])
    }),
    ("8.1.2.1: a pseudo-header field in trailers", Reset(1, PROTOCOL), |wire| {
        wire.open(1).headers(1, WHOLE | END, &[METHOD])
    }),
    ("8.1.2.1: a pseudo-header field behind another field", Reset(1, PROTOCOL), |wire| {
        wire.headers(1, WHOLE, &[METHOD, SCHEME, GRPC, UPLOAD])
    }),
    ("8.1.2.2: a field of HTTP/1 connections", Reset(1, PROTOCOL), |wire| {
        wire.headers(1, WHOLE, &[METHOD, SCHEME, UPLOAD, GRPC, ("connection", "keep-alive")])
    }),
    ("8.1.2.2: te of something else than trailers", Reset(1, PROTOCOL), |wire| {
        wire.headers(1, WHOLE, &[METHOD, SCHEME, UPLOAD, GRPC, ("te", "gzip")])
    }),
    ("8.1.2.3: an empty :path", Reset(1, PROTOCOL), |wire| {
        wire.headers(1, WHOLE, &[METHOD, SCHEME, (":path", ""), GRPC])
    }),
    ("8.1.2.3: no :method", Reset(1, PROTOCOL), |wire| wire.headers(1, WHOLE, &[SCHEME, UPLOAD, GRPC])),
    ("8.1.2.3: no :scheme", Reset(1, PROTOCOL), |wire| wire.headers(1, WHOLE, &[METHOD, UPLOAD, GRPC])),
    ("8.1.2.3: no :path", Reset(1, PROTOCOL), |wire| wire.headers(1, WHOLE, &[METHOD, SCHEME, GRPC])),
    ("8.1.2.3: :method twice", Reset(1, PROTOCOL), |wire| {
        wire.headers(1, WHOLE, &[METHOD, METHOD, SCHEME, UPLOAD, GRPC])
    }),
    ("8.1.2.3: :scheme twice", Reset(1, PROTOCOL), |wire| {
        wire.headers(1, WHOLE, &[METHOD, SCHEME, SCHEME, UPLOAD, GRPC])
    }),
    ("8.1.2.3: :path twice", Reset(1, PROTOCOL), |wire| {
        wire.headers(1, WHOLE, &[METHOD, SCHEME, UPLOAD, UPLOAD, GRPC])
    }),
    ("8.1.2.6: content-length that differs from DATA", Reset(1, PROTOCOL), |wire| {
        wire.headers(1, WHOLE, &[METHOD, SCHEME, UPLOAD, GRPC, ("content-length", "9")]);
        wire.frame(DATA, END, 1, b"\0\0\0\0\0")
    }),
    ("8.1.2.6: content-length that differs from several DATA", Reset(1, PROTOCOL), |wire| {
        wire.headers(1, WHOLE, &[METHOD, SCHEME, UPLOAD, GRPC, ("content-length", "9")]);
        wire.frame(DATA, 0, 1, b"\0\0\0\0\0").frame(DATA, END, 1, b"\0\0\0\0\0")
    }),
    ("8.2: PUSH_PROMISE", End(PROTOCOL), |wire| {
        wire.open(1).frame(PUSH_PROMISE, WHOLE, 1, &[0, 0, 0, 2, 0x82])
    }),
];

/// What may go wrong with the first octets of a connection (3.5).
const PREFACE_CASES: &[(&str, &[u8])] = &[
    ("another protocol", b"INVALID CONNECTION PREFACE\r\n\r\n"),
    ("HTTP/1", b"GET / HTTP/1.1\r\n\r\n"),
    ("no SETTINGS", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ("SETTINGS that acknowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\x01\0\0\0\0"),
];

fn connect(server: &Server) -> TcpStream {
    let socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// Reads frames until `stop` is content; false if the connection ended in order before.
fn read_until(socket: &mut TcpStream, mut stop: impl FnMut(&Frame<'_>) -> bool) -> Result<bool, String> {
    let (mut input, mut piece) = (Vec::new(), [0; 65_536]);
    loop {
        while let Some((frame, size)) = decode(&input, 1 << 20).map_err(|error| format!("{error:?}"))? {
            if stop(&frame) {
                return Ok(true);
            }
            input.drain(..size);
        }
        match socket.read(&mut piece) {
            Ok(0) => return Ok(false),
            Ok(count) => input.extend_from_slice(&piece[..count]),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Whether the connection ends with GOAWAY of this code, which says something, and then in order.
fn assert_end(socket: &mut TcpStream, code: ErrorCode) -> Result<(), String> {
    let mut goaway = None;
    read_until(socket, |frame| {
        if let Frame::GoAway { code, debug, .. } = frame {
            goaway = Some((*code, String::from_utf8_lossy(debug).into_owned()));
        }
        false
    })?;
    match goaway {
        Some((got, text)) if got == code && !text.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Whether the stream is reset with this code, and the connection answers a PING behind that.
fn assert_reset(socket: &mut TcpStream, stream: u32, code: ErrorCode) -> Result<(), String> {
    let mut ping = Vec::new();
    encode::ping(&mut ping, false, [7; 8]);
    socket.write_all(&ping).map_err(|error| error.to_string())?;
    let mut resets = Vec::new();
    let mut ended = None;
    let is_alive = read_until(socket, |frame| {
        match frame {
            Frame::RstStream { stream, code } => resets.push((stream.get(), *code)),
            Frame::GoAway { code, debug, .. } => ended = Some((*code, debug.to_vec())),
            _ => {}
        }
        matches!(frame, Frame::Ping { ack: true, payload: [7, ..] })
    })?;
    if is_alive && ended.is_none() && resets == [(stream, code)] {
        return Ok(());
    }
    Err(format!("resets: {resets:?}, GOAWAY: {ended:?}, PING answered: {is_alive}"))
}

#[test]
fn every_mistake_is_answered_with_its_code() {
    let server = serve(&Echo::default());
    let mut wrong = Vec::new();
    for (name, expected, write) in CASES {
        let mut socket = connect(&server);
        let mut wire = Wire { octets: PREFACE.to_vec(), encoder: Encoder::new(4096) };
        encode::settings(&mut wire.octets, &[]);
        socket.write_all(&wire.octets).unwrap();
        wire.octets.clear();
        write(&mut wire);
        if let End(_) = expected {
            // What follows is not read any more, and must not keep the client from learning why.
            wire.octets.resize(wire.octets.len() + 100_000, 0);
        }
        socket.write_all(&wire.octets).unwrap();
        let result = match *expected {
            End(code) => assert_end(&mut socket, code),
            Reset(stream, code) => assert_reset(&mut socket, stream, code),
        };
        if let Err(got) = result {
            wrong.push(format!("{name}: {expected:?} expected, got {got}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    eventually("every connection is gone", || server.connections() == 0);
}

#[test]
fn a_connection_that_begins_otherwise_is_told_so() {
    let server = serve(&Echo::default());
    for (name, octets) in PREFACE_CASES {
        let mut socket = connect(&server);
        socket.write_all(octets).unwrap();
        assert_eq!(assert_end(&mut socket, PROTOCOL), Ok(()), "{name}");
    }
}
