//! [`Peer`]: one connection of a hostile client, frame by frame.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lariat_frame::hpack::{Encoder, HeaderList, Indexing};
use lariat_frame::{Frame, PREFACE, StreamId, decode, encode};

/// How long to wait for the socket before looking again.
const PAUSE: Duration = Duration::from_millis(1);

pub(crate) struct Peer {
    socket: TcpStream,
    input: Vec<u8>,
    /// Whether what the server sends is read at all.
    reads: bool,
    /// The server's GOAWAY: code and text.
    pub(crate) goaway: Option<(String, String)>,
    /// The server has closed its side.
    pub(crate) ended: bool,
}

impl Peer {
    /// Connects, and sends nothing.
    pub(crate) fn connect(address: &str, reads: bool) -> Peer {
        let socket = TcpStream::connect(address).expect("the server accepts");
        socket.set_nonblocking(true).expect("a socket can be made non-blocking");
        Peer { socket, input: Vec::new(), reads, goaway: None, ended: false }
    }

    /// Sends octets until the server ends the connection or the time is over. False if they are not all gone.
    pub(crate) fn send(&mut self, mut octets: &[u8], until: Instant) -> bool {
        while !octets.is_empty() {
            match self.socket.write(octets) {
                Ok(count) => octets = &octets[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(PAUSE);
                }
                Err(_) => {
                    self.read_to_end();
                    return false;
                }
            }
            self.read();
            if self.ended || Instant::now() >= until {
                return false;
            }
        }
        true
    }

    /// Reads what is there.
    pub(crate) fn read(&mut self) {
        let mut piece = [0; 64 * 1024];
        while self.reads && !self.ended {
            match self.socket.read(&mut piece) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.input.extend_from_slice(&piece[..count]);
                    self.take_frames();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.ended = true,
            }
        }
    }

    /// The connection cannot be written to: what the server said last may still be there.
    fn read_to_end(&mut self) {
        self.reads = true;
        let until = Instant::now() + Duration::from_secs(1);
        while !self.ended && Instant::now() < until {
            self.read();
            std::thread::sleep(PAUSE);
        }
        self.ended = true;
    }

    fn take_frames(&mut self) {
        let mut taken = 0;
        while let Ok(Some((frame, size))) = decode(&self.input[taken..], 1 << 20) {
            if let Frame::GoAway { code, debug, .. } = frame {
                self.goaway = Some((code.to_string(), String::from_utf8_lossy(debug).into_owned()));
            }
            taken += size;
        }
        self.input.drain(..taken);
    }
}

/// The frames of a flood, written piece by piece.
pub(crate) struct Frames {
    pub(crate) octets: Vec<u8>,
    encoder: Encoder,
    next_stream: u32,
}

impl Frames {
    /// Begins with the preface and these SETTINGS.
    pub(crate) fn new(settings: &[(u16, u32)]) -> Frames {
        let mut octets = PREFACE.to_vec();
        encode::settings(&mut octets, settings);
        encode::settings_ack(&mut octets);
        Frames { octets, encoder: Encoder::new(4096), next_stream: 1 }
    }

    /// A header block that stands in no table: a request for a method of the server's.
    pub(crate) fn request(&mut self, method: &str) -> Vec<u8> {
        let path = format!("/flood.Target/{method}");
        let mut list = HeaderList::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", &path),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ] {
            list.push(name.as_bytes(), value.as_bytes(), Indexing::Skip);
        }
        let mut block = Vec::new();
        self.encoder.encode(&list, &mut block);
        block
    }

    /// The identifier of the next stream.
    pub(crate) fn stream(&mut self) -> StreamId {
        let id = self.next_stream;
        self.next_stream += 2;
        StreamId::new(id)
    }

    /// Opens a stream with a header block that fits one frame.
    pub(crate) fn open(&mut self, block: &[u8], end_stream: bool) -> StreamId {
        let stream = self.stream();
        encode::headers(&mut self.octets, stream, block, 16_384, end_stream);
        stream
    }

    /// A DATA frame.
    pub(crate) fn data(&mut self, stream: StreamId, payload: &[u8], end_stream: bool) {
        encode::data_header(&mut self.octets, stream, payload.len(), end_stream);
        self.octets.extend_from_slice(payload);
    }
}
