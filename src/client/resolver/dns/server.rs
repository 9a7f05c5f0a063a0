//! A question to a DNS server, over UDP and, where the answer does not fit, TCP (RFC 1035 §4.2).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use domain::base::Rtype;

use super::answer::{Answer, Arrival, Question};
use crate::net::clock;

/// How often a question is asked, as datagrams get lost.
const ATTEMPTS: u32 = 2;
/// So many datagrams that are no answer are put up with: whoever sends more is not to keep the thread busy, nor to get
/// as many guesses at the question's identifier.
const MAX_STRAYS: usize = 100;
/// The largest datagram that is read whole. Without EDNS a server may send 512 octets.
const MAX_DATAGRAM: usize = 4 * 1024;

/// A question that has been sent to a server. Several can be under way at the same time.
pub(super) struct Asking {
    server: SocketAddr,
    /// On a port of its own, which whoever forges an answer has to guess.
    socket: UdpSocket,
    question: Question,
    timeout: Duration,
}

impl Asking {
    /// Asks. The error says what went wrong.
    pub(super) fn start(
        server: SocketAddr,
        name: &str,
        record_type: Rtype,
        timeout: Duration,
    ) -> Result<Self, String> {
        // The standard library's keys for hash maps are secret, and differ from one to the next.
        let id = crate::net::seed() as u16;
        let question = Question::new(id, name, record_type)?;
        let connect = || {
            let any: SocketAddr = match server {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any)?;
            // From now on it receives of this server alone.
            socket.connect(server)?;
            socket.send(question.octets())?;
            Ok(socket)
        };
        let socket = connect().map_err(|error: io::Error| error.to_string())?;
        Ok(Asking { server, socket, question, timeout })
    }

    /// Waits for the answer, and reads it.
    pub(super) fn answer<T>(self, read: impl Fn(&Answer) -> Result<T, String>) -> Result<T, String> {
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0
                && let Err(error) = self.socket.send(self.question.octets())
            {
                last = error.to_string();
                continue;
            }
            match self.receive(&read) {
                Ok(outcome) => return outcome,
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// What the server answers within the timeout. The outer error is worth another attempt.
    fn receive<T>(&self, read: &impl Fn(&Answer) -> Result<T, String>) -> Result<Result<T, String>, String> {
        let deadline = clock::now() + self.timeout;
        let mut datagram = [0; MAX_DATAGRAM];
        for strays in 0..=MAX_STRAYS {
            let received = left(deadline)
                .and_then(|left| self.socket.set_read_timeout(Some(left)))
                .and_then(|()| self.socket.recv(&mut datagram));
            let octets = match received {
                Ok(octets) => octets,
                Err(error) if is_timeout(&error) && strays > 0 => {
                    return Err(format!(
                        "no answer within {:?}, but {strays} datagrams that are none",
                        self.timeout
                    ));
                }
                Err(error) if is_timeout(&error) => {
                    return Err(format!("no answer within {:?}", self.timeout));
                }
                Err(error) => return Err(error.to_string()),
            };
            match self.question.read(&datagram[..octets]) {
                Arrival::Stray => {}
                Arrival::Truncated => return Ok(self.ask_over_tcp(read)),
                Arrival::Answer(answer) => return Ok(read(answer)),
            }
        }
        Ok(Err(format!("{MAX_STRAYS} datagrams arrived that are no answer")))
    }

    fn ask_over_tcp<T>(&self, read: &impl Fn(&Answer) -> Result<T, String>) -> Result<T, String> {
        let octets = self.exchange().map_err(|error| match is_timeout(&error) {
            true => format!("over TCP: no answer within {:?}", self.timeout),
            false => format!("over TCP: {error}"),
        })?;
        match self.question.read(&octets) {
            Arrival::Answer(answer) => read(answer),
            Arrival::Stray | Arrival::Truncated => Err("over TCP: what arrived is no answer".to_owned()),
        }
    }

    /// A message of up to 64 KiB, which is what its length can say.
    fn exchange(&self) -> io::Result<Vec<u8>> {
        let deadline = clock::now() + self.timeout;
        let mut stream = TcpStream::connect_timeout(&self.server, left(deadline)?)?;
        let question = self.question.octets();
        let mut octets = Vec::with_capacity(2 + question.len());
        octets.extend_from_slice(&(question.len() as u16).to_be_bytes());
        octets.extend_from_slice(question);
        stream.set_write_timeout(Some(left(deadline)?))?;
        stream.write_all(&octets)?;
        let mut length = [0; 2];
        read_exact(&mut stream, &mut length, deadline)?;
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        read_exact(&mut stream, &mut answer, deadline)?;
        Ok(answer)
    }
}

/// Fills the buffer before the deadline, however the octets dribble.
fn read_exact(stream: &mut TcpStream, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(buffer)? {
            0 => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
            count => buffer = &mut buffer[count..],
        }
    }
    Ok(())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(clock::now());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}
