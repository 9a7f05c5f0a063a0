//! The client of raw-server, with the modes and the line of JSON of lariat-client.
//!
//! - `raw-client unary ADDR CONNS INFLIGHT CALLS SIZE`: to and fro, as many octets each way as a small call needs.
//! - `raw-client down ADDR COUNT SIZE`: COUNT times SIZE octets.
//! - `raw-client bidi ADDR COUNT SIZE`: COUNT times SIZE octets to and fro, written in pieces of 16 KiB.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use peer_timing::Run;

const USAGE: &str =
    "usage: raw-client unary ADDR CONNS INFLIGHT CALLS SIZE | down ADDR COUNT SIZE | bidi ADDR COUNT SIZE";
/// Octets that frames and headers add to a message in a lean unary call: HEADERS of 16, DATA with a prefix of five.
const AROUND_A_MESSAGE: usize = 9 + 16 + 9 + 5;
/// Octets of a write.
const PIECE: usize = 16 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, addr, numbers @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let addr: SocketAddr = addr.parse()?;
    let numbers = numbers.iter().map(|number| number.parse()).collect::<Result<Vec<usize>, _>>()?;
    match (kind.as_str(), numbers.as_slice()) {
        ("unary", &[connections, in_flight, calls, size]) => {
            unary(addr, connections, in_flight, calls, size)?
        }
        ("down", &[count, size]) => stream("down", addr, count, size)?,
        ("bidi", &[count, size]) => stream("bidi", addr, count, size)?,
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

/// A connection, and when each call that is under way on it began.
struct Lane {
    socket: TcpStream,
    under_way: VecDeque<Instant>,
    received: usize,
}

fn unary(
    addr: SocketAddr,
    connections: usize,
    in_flight: usize,
    calls: usize,
    size: usize,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let message = vec![b'x'; AROUND_A_MESSAGE + size];
    let many = message.repeat(in_flight);
    let mut lanes = Vec::new();
    for index in 0..connections {
        let mut socket = connect(addr, b"e")?;
        poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
        lanes.push(Lane { socket, under_way: VecDeque::new(), received: 0 });
    }
    let mut left = calls;
    let mut answered = 0;
    let mut run = Run::start("unary", calls);
    for lane in &mut lanes {
        lane.send(in_flight.min(left), &many, message.len())?;
        left -= in_flight.min(left);
    }
    let mut events = Events::with_capacity(1024);
    let mut input = vec![0; 256 * 1024];
    while answered < calls {
        poll.poll(&mut events, None)?;
        for event in &events {
            let lane = &mut lanes[event.token().0];
            let read = lane.socket.read(&mut input)?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            lane.received += read;
            let whole = lane.received / message.len();
            lane.received %= message.len();
            for started in lane.under_way.drain(..whole) {
                run.took(started.elapsed(), "Hello ".len() + size);
            }
            answered += whole;
            lane.send(whole.min(left), &many, message.len())?;
            left -= whole.min(left);
        }
    }
    run.report();
    Ok(())
}

impl Lane {
    /// Sends so many messages at once. They fit into the socket's buffer.
    fn send(&mut self, count: usize, many: &[u8], len: usize) -> io::Result<()> {
        if count > 0 {
            self.under_way.extend(std::iter::repeat_n(Instant::now(), count));
            self.socket.write_all(&many[..count * len])?;
        }
        Ok(())
    }
}

fn stream(kind: &'static str, addr: SocketAddr, count: usize, size: usize) -> io::Result<()> {
    let total = count * size;
    let mut poll = Poll::new()?;
    let mut socket = connect(addr, b"")?;
    let (hello, mut to_send) = match kind {
        "down" => ([b"d".as_slice(), &(total as u64).to_be_bytes()].concat(), 0),
        _ => (b"e".to_vec(), total),
    };
    poll.registry().register(&mut socket, Token(0), Interest::READABLE | Interest::WRITABLE)?;
    let mut run = Run::start(kind, count);
    socket.write_all(&hello)?;
    let mut events = Events::with_capacity(16);
    let mut input = vec![0; 256 * 1024];
    let piece = [b'x'; PIECE];
    let mut to_receive = total;
    let mut of_chunk = 0;
    let mut previous = Instant::now();
    while to_receive > 0 {
        poll.poll(&mut events, None)?;
        let (mut readable, mut writable) = (true, true);
        while (readable && to_receive > 0) || (writable && to_send > 0) {
            if to_send > 0 && writable {
                match socket.write(&piece[..PIECE.min(to_send)]) {
                    Ok(written) => to_send -= written,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => writable = false,
                    Err(error) => return Err(error),
                }
            }
            if !readable {
                continue;
            }
            match socket.read(&mut input) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    to_receive -= read;
                    of_chunk += read;
                    readable = read == input.len() || to_send > 0;
                    let now = Instant::now();
                    for _ in 0..of_chunk / size {
                        run.took(now - previous, size);
                        previous = now;
                    }
                    of_chunk %= size;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => readable = false,
                Err(error) => return Err(error),
            }
        }
    }
    run.report();
    Ok(())
}

/// A connection that has been made, and on which the first octets have been sent.
fn connect(addr: SocketAddr, first: &[u8]) -> io::Result<TcpStream> {
    let mut socket = std::net::TcpStream::connect(addr)?;
    socket.set_nodelay(true)?;
    socket.write_all(first)?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket))
}
