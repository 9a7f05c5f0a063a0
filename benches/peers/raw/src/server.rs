//! Octets over TCP and nothing else: what the kernel alone costs.
//!
//! `raw-server --port P`. A connection's first octet says what it is for: `e`, and all that follows is sent back; or
//! `d` and eight octets of a number, and so many octets are sent, in pieces of 16 KiB.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(0);
/// Octets of a download's write.
const PIECE: usize = 16 * 1024;

fn main() -> io::Result<()> {
    let option = |name: &str| std::env::args().skip_while(|argument| argument != name).nth(1);
    let Some(port) = option("--port").and_then(|text| text.parse::<u16>().ok()) else {
        return Err(io::Error::other("usage: raw-server --port P"));
    };
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
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut socket, Token(next), both)?;
                    connections.insert(Token(next), Connection::new(socket));
                }
            } else if let Some(connection) = connections.get_mut(&event.token())
                && !connection.turn(event.is_readable(), &mut input).unwrap_or(false)
            {
                connections.remove(&event.token());
            }
        }
    }
}

struct Connection {
    socket: TcpStream,
    purpose: Purpose,
    output: Vec<u8>,
    written: usize,
}

enum Purpose {
    Unknown,
    Echo,
    /// Octets that are still to be made.
    Download(u64),
}

impl Connection {
    fn new(socket: TcpStream) -> Self {
        Connection { socket, purpose: Purpose::Unknown, output: Vec::new(), written: 0 }
    }

    /// Reads and writes until either would wait. False: the client has closed.
    fn turn(&mut self, mut readable: bool, input: &mut [u8]) -> io::Result<bool> {
        // What had to wait for the socket to take it has kept the input waiting.
        readable |= !self.output.is_empty();
        loop {
            if !self.flush()? {
                return Ok(true);
            }
            match &mut self.purpose {
                Purpose::Download(left @ 1..) => {
                    let piece = PIECE.min(usize::try_from(*left).unwrap_or(PIECE));
                    self.output.resize(piece, b'x');
                    *left -= piece as u64;
                    continue;
                }
                _ if !readable => return Ok(true),
                _ => {}
            }
            let read = match self.socket.read(input) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            // A short read has emptied the socket.
            readable = read == input.len();
            self.take(&input[..read])?;
        }
    }

    fn take(&mut self, mut octets: &[u8]) -> io::Result<()> {
        if matches!(self.purpose, Purpose::Unknown) {
            self.purpose = match octets {
                &[b'd', a, b, c, d, e, f, g, h] => {
                    Purpose::Download(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
                }
                [b'e', ..] => Purpose::Echo,
                _ => return Err(io::Error::other("neither echo nor download")),
            };
            octets = &octets[1..];
        }
        if matches!(self.purpose, Purpose::Echo) {
            self.output.extend_from_slice(octets);
        }
        Ok(())
    }

    /// False: the socket takes no more now.
    fn flush(&mut self) -> io::Result<bool> {
        while self.written < self.output.len() {
            match self.socket.write(&self.output[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(true)
    }
}
