//! A server for the negative HTTP/2 test cases: it does what HTTP/2 allows and few servers do. Frames are made by hand
//! here, so that no part of the library under test is on this side.
//!
//! `http2-test-server --port=N --test_case=NAME`; answers every call with the large payload, in the way of the case.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use lariat::generated::prost::Message;
use lariat_interop::flags::Flags;
use lariat_interop::payload;
use lariat_interop::testing::SimpleResponse;

const FLAGS: [(&str, &str); 2] = [("port", "8080"), ("test_case", "goaway")];

/// What the client expects, in octets of payload.
const RESPONSE_SIZE: i32 = 314_159;
/// A client that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_SIZE: usize = 16_384;
const DEFAULT_WINDOW: i64 = 65_535;

// Frame types and flags (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// `:status: 200` by its index, `content-type: application/grpc` as a literal.
const RESPONSE_HEADERS: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0` as a literal.
const TRAILERS: &[u8] = b"\x00\x0bgrpc-status\x010";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    GoAway,
    ResetAfterHeader,
    ResetDuringData,
    ResetAfterData,
    Ping,
    MaxStreams,
    Padding,
}

impl Case {
    fn new(name: &str) -> Result<Case, String> {
        Ok(match name {
            "goaway" => Case::GoAway,
            "rst_after_header" => Case::ResetAfterHeader,
            "rst_during_data" => Case::ResetDuringData,
            "rst_after_data" => Case::ResetAfterData,
            "ping" => Case::Ping,
            "max_streams" => Case::MaxStreams,
            "data_frame_padding" | "no_df_padding_sanity_test" => Case::Padding,
            other => return Err(format!("--test_case={other} is not known")),
        })
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http2-test-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let flags = Flags::from_args(&FLAGS)?;
    let case = Case::new(flags.text("test_case"))?;
    let listener = TcpListener::bind(("127.0.0.1", flags.get::<u16>("port")?))?;
    println!("listening on {}", listener.local_addr()?);
    for socket in listener.incoming() {
        let socket = socket?;
        std::thread::spawn(move || {
            if let Err(error) = serve(socket, case) {
                eprintln!("http2-test-server: {error}");
            }
        });
    }
    Ok(())
}

fn serve(socket: TcpStream, case: Case) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_nodelay(true)?;
    let mut connection =
        Connection { socket, case, open: Vec::new(), ended: Vec::new(), pings: 0, windows: Windows::new() };
    match connection.run() {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
        other => other,
    }
}

struct Connection {
    socket: TcpStream,
    case: Case,
    /// Streams whose request is under way or waits for its answer.
    open: Vec<u32>,
    /// Those of them whose request has ended.
    ended: Vec<u32>,
    /// PINGs that were acknowledged.
    pings: u64,
    windows: Windows,
}

/// What the client allows to be sent.
struct Windows {
    connection: i64,
    initial: i64,
    /// What each stream was given or has used, beyond the initial window.
    streams: Vec<(u32, i64)>,
}

impl Windows {
    fn new() -> Self {
        Windows { connection: DEFAULT_WINDOW, initial: DEFAULT_WINDOW, streams: Vec::new() }
    }

    fn of_stream(&mut self, id: u32) -> &mut i64 {
        let index = self.streams.iter().position(|(other, _)| *other == id).unwrap_or_else(|| {
            self.streams.push((id, 0));
            self.streams.len() - 1
        });
        &mut self.streams[index].1
    }

    fn room(&mut self, id: u32) -> usize {
        let stream = self.initial + *self.of_stream(id);
        usize::try_from(stream.min(self.connection)).unwrap_or(0)
    }

    fn take(&mut self, id: u32, octets: usize) {
        self.connection -= octets as i64;
        *self.of_stream(id) -= octets as i64;
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Connection {
    fn run(&mut self) -> io::Result<()> {
        let mut preface = [0; PREFACE.len()];
        self.socket.read_exact(&mut preface)?;
        if preface != PREFACE {
            return Err(io::Error::new(ErrorKind::InvalidData, "the client speaks something else"));
        }
        let mut settings = Vec::new();
        if self.case == Case::MaxStreams {
            settings.extend(MAX_CONCURRENT_STREAMS.to_be_bytes());
            settings.extend(1_u32.to_be_bytes());
        }
        self.send(SETTINGS, 0, 0, &settings)?;
        loop {
            while self.ended.is_empty() {
                self.receive()?;
            }
            let id = self.ended.remove(0);
            self.answer(id)?;
            self.open.retain(|other| *other != id);
        }
    }

    fn answer(&mut self, id: u32) -> io::Result<()> {
        let message = SimpleResponse { payload: payload::of_size(RESPONSE_SIZE).ok(), ..Default::default() };
        let message = message.encode_to_vec();
        let mut framed = vec![0];
        framed.extend((message.len() as u32).to_be_bytes());
        framed.extend(message);

        self.ping()?;
        self.send(HEADERS, END_HEADERS, id, RESPONSE_HEADERS)?;
        self.ping()?;
        match self.case {
            Case::ResetAfterHeader => return self.reset(id),
            Case::ResetDuringData => {
                self.send_data(id, &framed[..framed.len() / 2])?;
                return self.reset(id);
            }
            Case::ResetAfterData => {
                self.send_data(id, &framed)?;
                return self.reset(id);
            }
            Case::GoAway | Case::Ping | Case::MaxStreams | Case::Padding => self.send_data(id, &framed)?,
        }
        self.ping()?;
        self.send(HEADERS, END_HEADERS | END_STREAM, id, TRAILERS)?;
        if self.case == Case::GoAway {
            let mut last = id.to_be_bytes().to_vec();
            last.extend([0; 4]);
            self.send(GOAWAY, 0, 0, &last)?;
        }
        Ok(())
    }

    fn reset(&mut self, id: u32) -> io::Result<()> {
        self.send(RST_STREAM, 0, id, &[0; 4])
    }

    /// Sends DATA as windows allow; in the case for padding, five octets and 255 of padding in a frame.
    fn send_data(&mut self, id: u32, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            let (most, around) = if self.case == Case::Padding { (5, 256) } else { (FRAME_SIZE, 0) };
            let room = self.windows.room(id).saturating_sub(around);
            let (now, later) = octets.split_at(octets.len().min(most).min(room));
            if now.is_empty() {
                self.receive()?;
                continue;
            }
            self.windows.take(id, now.len() + around);
            if around > 0 {
                let mut padded = vec![255];
                padded.extend(now);
                padded.extend([0; 255]);
                self.send(DATA, PADDED, id, &padded)?;
            } else {
                self.send(DATA, 0, id, now)?;
            }
            octets = later;
            if self.case == Case::Ping {
                self.ping()?;
            }
        }
        Ok(())
    }

    /// In its case, asks for a sign of life and waits for it.
    fn ping(&mut self) -> io::Result<()> {
        if self.case != Case::Ping {
            return Ok(());
        }
        let expected = self.pings + 1;
        self.send(PING, 0, 0, &expected.to_be_bytes())?;
        while self.pings < expected {
            self.receive()?;
        }
        Ok(())
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.socket.write_all(&frame)
    }

    /// Takes one frame of the client's.
    fn receive(&mut self) -> io::Result<()> {
        let frame = self.read_frame()?;
        let number =
            |octets: &[u8]| octets.iter().fold(0_u32, |number, octet| number << 8 | u32::from(*octet));
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => {
                for entry in frame.payload.chunks_exact(6) {
                    if number(&entry[..2]) == u32::from(INITIAL_WINDOW_SIZE) {
                        self.windows.initial = i64::from(number(&entry[2..]));
                    }
                }
                self.send(SETTINGS, ACK, 0, &[])?;
            }
            PING if frame.flags & ACK == 0 => self.send(PING, ACK, 0, &frame.payload)?,
            PING if frame.payload == (self.pings + 1).to_be_bytes() => self.pings += 1,
            WINDOW_UPDATE if frame.stream == 0 => {
                self.windows.connection += i64::from(number(&frame.payload))
            }
            WINDOW_UPDATE => *self.windows.of_stream(frame.stream) += i64::from(number(&frame.payload)),
            HEADERS => self.open(frame.stream)?,
            DATA => self.credit(&frame)?,
            RST_STREAM => {
                self.open.retain(|other| *other != frame.stream);
                self.ended.retain(|other| *other != frame.stream);
            }
            _ => {}
        }
        if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
            self.ended.push(frame.stream);
        }
        Ok(())
    }

    fn open(&mut self, id: u32) -> io::Result<()> {
        self.open.push(id);
        if self.case == Case::MaxStreams && self.open.len() > 1 {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "the client opened a second stream, one is allowed",
            ));
        }
        Ok(())
    }

    /// What was received may be sent again.
    fn credit(&mut self, frame: &Frame) -> io::Result<()> {
        let octets = frame.payload.len() as u32;
        if octets > 0 {
            self.send(WINDOW_UPDATE, 0, 0, &octets.to_be_bytes())?;
            if frame.flags & END_STREAM == 0 {
                self.send(WINDOW_UPDATE, 0, frame.stream, &octets.to_be_bytes())?;
            }
        }
        Ok(())
    }

    fn read_frame(&mut self) -> io::Result<Frame> {
        let mut header = [0; 9];
        self.socket.read_exact(&mut header)?;
        let [a, b, c, kind, flags, id @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.socket.read_exact(&mut payload)?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes(id) & 0x7fff_ffff, payload })
    }
}
