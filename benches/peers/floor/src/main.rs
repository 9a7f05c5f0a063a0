//! The floor: what a call costs when there is no protocol at all.
//!
//! Answers every END_STREAM with the same octets, which are a gRPC response of "Hello " and `size` letters. It reads
//! only the nine octets in front of each frame, knows no headers, no flow control and no errors, and does one read and
//! one write for each batch. It works only with a load generator that opens wide windows, as h2load does.
//!
//! `floor-server --port P [--size N]`

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(0);
const PREFACE_LEN: usize = 24;
const FRAME_HEADER_LEN: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Most of the window that is left to the client; see [`Connection::credit`].
const WINDOW: u32 = 1 << 30;

/// `:status: 200` and `content-type: application/grpc`, which enters the client's dynamic table.
const FIRST_HEADERS: &[u8] = b"\x88\x5f\x10application/grpc";
/// `grpc-status: 0`, which enters the table too.
const FIRST_TRAILERS: &[u8] = b"\x40\x0bgrpc-status\x010";
/// The same fields once the table has them.
const HEADERS_BLOCK: &[u8] = b"\x88\xbf";
const TRAILERS_BLOCK: &[u8] = b"\xbe";

struct Connection {
    socket: TcpStream,
    /// A frame of which not all octets have come.
    partial: Vec<u8>,
    /// Octets of the preface, then of DATA payloads whose frame header has been seen, that are still to be skipped.
    skip: usize,
    output: Vec<u8>,
    written: usize,
    answered_one: bool,
    /// DATA octets since the last WINDOW_UPDATE.
    credit: u32,
}

fn main() -> io::Result<()> {
    let option = |name: &str| std::env::args().skip_while(|argument| argument != name).nth(1);
    let number = |name: &str| option(name).and_then(|text| text.parse::<u16>().ok());
    let Some(port) = number("--port") else {
        return Err(io::Error::other("usage: floor-server --port P [--size N]"));
    };
    let message = hello(number("--size").unwrap_or(10).into());

    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening on {}", listener.local_addr()?);

    let mut connections = HashMap::new();
    let mut next = LISTENER.0;
    let mut input = vec![0; 256 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            // A tracer that comes or goes.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut socket, _)) = listener.accept() {
                    next += 1;
                    socket.set_nodelay(true)?;
                    poll.registry().register(
                        &mut socket,
                        Token(next),
                        Interest::READABLE | Interest::WRITABLE,
                    )?;
                    connections.insert(Token(next), Connection::new(socket));
                }
            } else if let Some(connection) = connections.get_mut(&event.token()) {
                let open = connection.turn(event.is_readable(), &mut input, &message).unwrap_or(false);
                if !open {
                    connections.remove(&event.token());
                }
            }
        }
    }
}

impl Connection {
    fn new(socket: TcpStream) -> Self {
        let mut output = Vec::new();
        let many_streams = [0, 3, 0, 0, 0x27, 0x10];
        frame(&mut output, SETTINGS, 0, 0, &many_streams);
        frame(&mut output, WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
        Self {
            socket,
            partial: Vec::new(),
            skip: PREFACE_LEN,
            output,
            written: 0,
            answered_one: false,
            credit: 0,
        }
    }

    /// Reads what has come and writes the answers. False: the client has closed.
    fn turn(&mut self, readable: bool, input: &mut [u8], message: &[u8]) -> io::Result<bool> {
        if readable && !self.read(input, message)? {
            return Ok(false);
        }
        self.write()?;
        Ok(true)
    }

    fn read(&mut self, input: &mut [u8], message: &[u8]) -> io::Result<bool> {
        loop {
            let kept = self.partial.len();
            input[..kept].copy_from_slice(&self.partial);
            match self.socket.read(&mut input[kept..]) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    let end = kept + read;
                    let rest = self.answer(&input[..end], message);
                    self.partial.clear();
                    self.partial.extend_from_slice(&input[end - rest..end]);
                    if end < input.len() {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while self.written < self.output.len() {
            match self.socket.write(&self.output[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Answers the whole frames in `input` and says how many octets at its end are left over.
    fn answer(&mut self, mut input: &[u8], message: &[u8]) -> usize {
        loop {
            let skipped = self.skip.min(input.len());
            self.skip -= skipped;
            input = &input[skipped..];
            let &[a, b, c, kind, flags, s0, s1, s2, s3, ref payload @ ..] = input else {
                return input.len();
            };
            let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let stream = u32::from_be_bytes([s0, s1, s2, s3]);
            match kind {
                DATA | HEADERS => {
                    if kind == DATA {
                        self.credit += len as u32;
                    }
                    if flags & END_STREAM != 0 {
                        self.respond(stream, message);
                    }
                }
                SETTINGS if flags & ACK == 0 => frame(&mut self.output, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => {
                    let Some(opaque) = payload.get(..len) else {
                        return input.len();
                    };
                    frame(&mut self.output, PING, ACK, 0, opaque);
                }
                _ => {}
            }
            self.skip = FRAME_HEADER_LEN + len;
            if self.credit > WINDOW / 2 {
                frame(&mut self.output, WINDOW_UPDATE, 0, 0, &self.credit.to_be_bytes());
                self.credit = 0;
            }
        }
    }

    fn respond(&mut self, stream: u32, message: &[u8]) {
        let (headers, trailers) = match self.answered_one {
            false => (FIRST_HEADERS, FIRST_TRAILERS),
            true => (HEADERS_BLOCK, TRAILERS_BLOCK),
        };
        self.answered_one = true;
        frame(&mut self.output, HEADERS, END_HEADERS, stream, headers);
        frame(&mut self.output, DATA, 0, stream, message);
        frame(&mut self.output, HEADERS, END_HEADERS | END_STREAM, stream, trailers);
    }
}

/// The length-prefixed HelloReply.
fn hello(size: usize) -> Vec<u8> {
    let text_len = "Hello ".len() + size;
    // The field's length as a varint of one, two or three octets.
    let varint = match text_len {
        0..0x80 => vec![text_len as u8],
        0x80..0x4000 => vec![text_len as u8 | 0x80, (text_len >> 7) as u8],
        _ => vec![text_len as u8 | 0x80, (text_len >> 7) as u8 | 0x80, (text_len >> 14) as u8],
    };
    let mut message = vec![0];
    message.extend_from_slice(&((1 + varint.len() + text_len) as u32).to_be_bytes());
    message.push(0x0a);
    message.extend_from_slice(&varint);
    message.extend_from_slice(b"Hello ");
    message.resize(message.len() + size, b'x');
    message
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}
