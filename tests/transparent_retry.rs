//! Calls that a server says it has not processed are sent again, without a policy and unseen by their callers.

mod support;

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use bytes::Bytes;
use lariat::client::dialer::Dialed;
use lariat::client::{ChannelBuilder, ConnectivityState};
use lariat::stats::{Begin, CallEvent, CallStats, StatsHandler};
use lariat::{Address, Channel, Code, Inbound, Request, Status, Wait};
use lariat_frame::hpack::{Encoder, HeaderList, Indexing};
use lariat_frame::kind::*;
use lariat_frame::{ErrorCode, PREFACE, StreamId, encode, flag};
use support::*;

const FRAME_HEADER: usize = 9;

/// What the server does with a stream.
#[derive(Clone, Copy)]
enum Step {
    /// Refuses it when so many octets of DATA are there.
    Refuse(usize),
    /// Sends GOAWAY then, which says that the stream was not processed.
    Leave(usize),
    /// Begins its response and then refuses it.
    AnswerAndRefuse,
    /// Sends everything back when the request has ended.
    Echo,
}

/// A server that does what the test has written down for each stream in turn, and notes the octets that it gets.
#[derive(Clone, Default)]
struct Scripted {
    steps: Arc<Mutex<VecDeque<Step>>>,
    streams: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Scripted {
    /// A client of such a server.
    fn serve(steps: &[Step]) -> (Scripted, EchoClient) {
        Scripted::serve_with(steps, |builder| builder)
    }

    fn serve_with(
        steps: &[Step],
        options: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
    ) -> (Scripted, EchoClient) {
        let scripted =
            Scripted { steps: Arc::new(Mutex::new(steps.iter().copied().collect())), ..Scripted::default() };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let this = scripted.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let this = this.clone();
                std::thread::spawn(move || Served::new(this, socket).run());
            }
        });
        let channel = options(Channel::builder(target).plaintext()).build().unwrap();
        (scripted, EchoClient::new(channel))
    }

    /// The octets of each stream.
    fn streams(&self) -> Vec<Vec<u8>> {
        self.streams.lock().unwrap().clone()
    }
}

/// One connection of the server.
struct Served {
    scripted: Scripted,
    socket: TcpStream,
    encoder: Encoder,
    /// What is to be done with the streams that are open, and where their octets are noted.
    open: HashMap<u32, (Step, usize)>,
}

impl Served {
    fn new(scripted: Scripted, socket: TcpStream) -> Self {
        Served { scripted, socket, encoder: Encoder::new(4_096), open: HashMap::new() }
    }

    fn run(mut self) {
        self.send(SETTINGS, 0, 0, &[]);
        let mut input = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut skip = PREFACE.len();
        while let Ok(read @ 1..) = self.socket.read(&mut buffer) {
            input.extend_from_slice(&buffer[..read]);
            let skipped = skip.min(input.len());
            input.drain(..skipped);
            skip -= skipped;
            while let [a, b, c, kind, flags, d, e, f, g, ..] = input[..] {
                let whole = FRAME_HEADER + u32::from_be_bytes([0, a, b, c]) as usize;
                if input.len() < whole {
                    break;
                }
                let frame: Vec<u8> = input.drain(..whole).collect();
                let stream = u32::from_be_bytes([d, e, f, g]);
                self.handle(kind, flags, stream, &frame[FRAME_HEADER..]);
            }
        }
    }

    fn handle(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        if kind == SETTINGS && flags & flag::ACK == 0 {
            self.send(SETTINGS, flag::ACK, 0, &[]);
        }
        if kind == HEADERS {
            let step = self.scripted.steps.lock().unwrap().pop_front().unwrap_or(Step::Echo);
            let mut streams = self.scripted.streams.lock().unwrap();
            self.open.insert(stream, (step, streams.len()));
            streams.push(Vec::new());
        }
        let Some((step, index)) = self.open.get(&stream).copied() else { return };
        let octets = {
            let mut streams = self.scripted.streams.lock().unwrap();
            if kind == DATA {
                streams[index].extend_from_slice(payload);
            }
            streams[index].clone()
        };
        if kind == DATA && !payload.is_empty() {
            self.send(WINDOW_UPDATE, 0, 0, &(payload.len() as u32).to_be_bytes());
        }
        match step {
            Step::Refuse(at) if octets.len() >= at => self.refuse(stream),
            Step::Leave(at) if octets.len() >= at => {
                self.open.clear();
                self.send(GOAWAY, 0, 0, &[0; 8]);
            }
            Step::AnswerAndRefuse => {
                self.headers(
                    stream,
                    flag::END_HEADERS,
                    &[(":status", "200"), ("content-type", "application/grpc")],
                );
                self.refuse(stream);
            }
            Step::Echo if flags & flag::END_STREAM != 0 => {
                self.headers(
                    stream,
                    flag::END_HEADERS,
                    &[(":status", "200"), ("content-type", "application/grpc")],
                );
                octets.chunks(16_384).for_each(|chunk| self.send(DATA, 0, stream, chunk));
                self.headers(stream, flag::END_HEADERS | flag::END_STREAM, &[("grpc-status", "0")]);
            }
            _ => {}
        }
    }

    fn refuse(&mut self, stream: u32) {
        self.open.remove(&stream);
        self.send(RST_STREAM, 0, stream, &(ErrorCode::REFUSED_STREAM.0).to_be_bytes());
    }

    fn headers(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) {
        let mut list = HeaderList::new();
        for (name, value) in fields {
            list.push(name.as_bytes(), value.as_bytes(), Indexing::Skip);
        }
        let mut block = Vec::new();
        self.encoder.encode(&list, &mut block);
        self.send(HEADERS, flags, stream, &block);
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut octets = Vec::new();
        encode::frame_header(&mut octets, payload.len(), kind, flags, StreamId::new(stream));
        octets.extend_from_slice(payload);
        // The client may be gone.
        let _ = self.socket.write_all(&octets);
    }
}

fn framed(messages: &[Bytes]) -> Vec<u8> {
    let mut octets = Vec::new();
    for message in messages {
        octets.push(0);
        octets.extend_from_slice(&(message.len() as u32).to_be_bytes());
        octets.extend_from_slice(message);
    }
    octets
}

fn collect(inbound: &mut Inbound<Bytes>) -> Result<Vec<Bytes>, Status> {
    let mut messages = Vec::new();
    while let Some(message) = inbound.message().wait()? {
        messages.push(message);
    }
    Ok(messages)
}

/// Messages small and large, some 40 KiB.
fn messages() -> Vec<Bytes> {
    let sizes = [3, 0, 100, 9_000, 10, 20, 20_000, 9_000, 1, 2];
    sizes.iter().enumerate().map(|(index, size)| Bytes::from(vec![index as u8; *size])).collect()
}

#[test]
fn a_unary_call_that_is_refused_is_sent_again() {
    for step in [Step::Refuse(10), Step::Leave(10)] {
        let (server, client) = Scripted::serve(&[step]);
        assert_eq!(client.unary("hello").wait().unwrap().message(), "hello");
        assert_eq!(server.streams(), vec![framed(&["hello".into()]); 2]);
    }
}

#[test]
fn a_call_that_is_refused_twice_fails() {
    let (server, client) = Scripted::serve(&[Step::Refuse(10); 3]);
    let status = client.unary("hello").wait().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(server.streams().len(), 2);

    let (server, client) = Scripted::serve(&[Step::Refuse(7); 3]);
    let (outbound, mut inbound) = client.chat();
    outbound.send("hi".into()).wait().unwrap();
    let status = inbound.message().wait().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(server.streams().len(), 2);
}

#[test]
fn a_stream_that_is_refused_is_sent_again_from_its_beginning() {
    let messages = messages();
    let octets = framed(&messages);
    for at in [0, 1, 5, 9_000, 20_000, octets.len()] {
        for step in [Step::Refuse(at), Step::Leave(at)] {
            let (server, client) = Scripted::serve(&[step]);
            let (outbound, mut inbound) = client.chat();
            for message in &messages {
                outbound.send(message.clone()).wait().unwrap();
            }
            outbound.finish();
            assert!(collect(&mut inbound).unwrap() == messages);
            let streams = server.streams();
            assert_eq!(streams.len(), 2);
            assert!(streams[0].len() >= at && streams[1] == octets);
        }
    }
}

#[test]
fn what_a_caller_sends_after_the_refusal_follows_what_it_sent_before() {
    let messages = messages();
    for split in 1..messages.len() {
        let (before, after) = messages.split_at(split);
        let (server, client) = Scripted::serve(&[Step::Refuse(framed(before).len())]);
        let (outbound, mut inbound) = client.chat();
        for message in before {
            outbound.send(message.clone()).wait().unwrap();
        }
        eventually("the stream was sent again", || server.streams().len() == 2);
        for message in after {
            outbound.send(message.clone()).wait().unwrap();
        }
        outbound.finish();
        assert!(collect(&mut inbound).unwrap() == messages);
        assert!(server.streams()[1] == framed(&messages));
    }
}

#[test]
fn calls_are_sent_again_whether_or_not_there_are_retries() {
    let (server, client) =
        Scripted::serve_with(&[Step::Refuse(7), Step::Echo, Step::Leave(7)], ChannelBuilder::disable_retry);
    for _ in 0..2 {
        let (outbound, mut inbound) = client.chat();
        outbound.send("hi".into()).wait().unwrap();
        outbound.finish();
        assert_eq!(collect(&mut inbound).unwrap(), ["hi"]);
    }
    assert_eq!(server.streams(), vec![framed(&["hi".into()]); 4]);
}

#[test]
fn calls_are_sent_again_though_their_channel_is_dropped() {
    for step in [Step::Refuse(10), Step::Leave(10)] {
        let (server, client) = Scripted::serve(&[step]);
        let call = client.unary("hello");
        drop(client);
        assert_eq!(call.wait().unwrap().message(), "hello");
        assert_eq!(server.streams().len(), 2);
    }
}

#[test]
fn a_stream_that_has_sent_more_than_is_kept_is_not_sent_again() {
    for size in [100, 1_500] {
        let steps = [Step::Refuse(2_000)];
        let (server, client) = Scripted::serve_with(&steps, |builder| builder.retry_buffer_size(1_000));
        let (outbound, mut inbound) = client.chat();
        let message = Bytes::from(vec![7; size]);
        // The last may come when the stream is refused.
        while outbound.send(message.clone()).wait().is_ok() {}
        assert_eq!(inbound.message().wait().unwrap_err().code(), Code::Unavailable);
        assert_eq!(server.streams().len(), 1);
    }
    let (server, client) = Scripted::serve(&[Step::Refuse(15)]);
    let (outbound, mut inbound) = client.chat_with(Request::new(()).with_retry_buffer_size(10));
    outbound.send("ten octets".into()).wait().unwrap();
    assert_eq!(inbound.message().wait().unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.streams().len(), 1);
}

#[test]
fn a_call_whose_response_has_begun_is_not_sent_again() {
    let (server, client) = Scripted::serve(&[Step::AnswerAndRefuse; 2]);
    assert_eq!(client.unary("hello").wait().unwrap_err().code(), Code::Unavailable);
    let (outbound, mut inbound) = client.chat();
    outbound.send("hello".into()).wait().ok();
    assert_eq!(inbound.message().wait().unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.streams().len(), 2);
}

/// Tells of each call that was given to a connection.
struct Begun(Mutex<mpsc::Sender<()>>);

impl StatsHandler for Begun {
    fn begin(&self, _: &Begin<'_>) -> Option<Box<dyn CallStats>> {
        let begun = self.0.lock().unwrap().clone();
        let on_head = move |event: &CallEvent<'_>| {
            if let CallEvent::OutHeader { .. } = event {
                let _ = begun.send(());
            }
        };
        Some(Box::new(OnEvent(on_head)))
    }
}

struct OnEvent<F>(F);

impl<F: FnMut(&CallEvent<'_>) + Send> CallStats for OnEvent<F> {
    fn handle(&mut self, event: &CallEvent<'_>) {
        (self.0)(event);
    }
}

/// The first connection takes nothing more once the client is ready: the call's head stays with the client, which finds
/// then that the connection has ended.
fn a_call_is_lost_before_its_head_is_written(end: fn(UnixStream)) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut server_end, mut client_end) = (theirs, ours.try_clone().unwrap());
    let server = serve(&Echo::default());
    let address = server.local_address().to_string();
    let first = Mutex::new(Some(ours));
    let dial = move |_: &Address, _: Instant| -> io::Result<Dialed> {
        match first.lock().unwrap().take() {
            Some(socket) => Ok(socket.into()),
            None => Ok(TcpStream::connect(&address)?.into()),
        }
    };
    let (sender, begun) = mpsc::channel();
    let channel = Channel::builder("ipv4:127.0.0.1:1").plaintext().dialer(dial);
    let channel = channel.stats_handler(Begun(Mutex::new(sender))).build().unwrap();
    channel.connect();
    let mut settings = Vec::new();
    encode::settings(&mut settings, &[]);
    server_end.write_all(&settings).unwrap();
    let mut ack = Vec::new();
    encode::settings_ack(&mut ack);
    let mut received = Vec::new();
    while !received.ends_with(&ack) {
        let mut octets = [0; 1024];
        let count = server_end.read(&mut octets).unwrap();
        received.extend_from_slice(&octets[..count]);
    }
    while channel.state() != ConnectivityState::Ready {
        channel.state_change(channel.state()).wait();
    }
    loop {
        match client_end.write(&[0; 1024]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    let call = EchoClient::new(channel).unary("hello");
    begun.recv().unwrap();
    end(server_end);
    assert_eq!(call.wait().unwrap().message(), "hello");
    assert_eq!(begun.try_iter().count(), 1);
}

#[test]
fn a_call_of_which_nothing_was_sent_before_its_connection_failed_is_sent_again() {
    a_call_is_lost_before_its_head_is_written(drop);
}

#[test]
fn a_call_of_which_nothing_was_sent_before_the_server_closed_is_sent_again() {
    a_call_is_lost_before_its_head_is_written(|socket| socket.shutdown(Shutdown::Write).unwrap());
}
