//! A server facing clients of raw octets that do what no honest client does.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lariat::{Server, Wait};
use lariat_frame::hpack::{Encoder, HeaderList, Indexing};
use lariat_frame::{ErrorCode, Frame, PREFACE, StreamId, decode, encode, setting};
use support::*;

/// A connection that has sent the preface and SETTINGS.
fn raw(server: &Server) -> TcpStream {
    let mut socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut octets = PREFACE.to_vec();
    encode::settings(&mut octets, &[]);
    socket.write_all(&octets).unwrap();
    socket
}

/// Reads frames until `stop` says so or the server closes; true if it was `stop`.
fn read_until(socket: &mut TcpStream, mut stop: impl FnMut(&Frame<'_>) -> bool) -> bool {
    let mut input = Vec::new();
    let mut piece = [0; 65_536];
    loop {
        while let Some((frame, size)) = decode(&input, 1 << 20).unwrap() {
            if stop(&frame) {
                return true;
            }
            input.drain(..size);
        }
        match socket.read(&mut piece) {
            Ok(0) => return false,
            Ok(count) => input.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Asks for messages without end, and grants windows that hold them.
fn download_without_end(socket: &mut TcpStream) {
    let mut octets = Vec::new();
    encode::settings(&mut octets, &[(setting::INITIAL_WINDOW_SIZE, i32::MAX as u32)]);
    encode::window_update(&mut octets, StreamId::ZERO, i32::MAX as u32 - 65_535);
    let mut fields = HeaderList::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/test.Echo/Download"),
        ("content-type", "application/grpc"),
    ] {
        fields.push(name.as_bytes(), value.as_bytes(), Indexing::Skip);
    }
    let mut block = Vec::new();
    Encoder::new(4096).encode(&fields, &mut block);
    encode::headers(&mut octets, StreamId::new(1), &block, 16_384, false);
    // A message of 10,000 octets, to be sent without end.
    encode::data_header(&mut octets, StreamId::new(1), 5 + 10_000, true);
    octets.extend_from_slice(&[0, 0, 0, 0x27, 0x10]);
    octets.extend_from_slice(&[0xff; 10_000]);
    socket.write_all(&octets).unwrap();
}

fn goaway_code(socket: &mut TcpStream) -> Option<ErrorCode> {
    let mut found = None;
    read_until(socket, |frame| {
        if let Frame::GoAway { code, .. } = frame {
            found = Some(*code);
        }
        found.is_some()
    });
    found
}

#[test]
fn a_client_that_floods_settings_and_does_not_read_is_sent_away_and_holds_up_nobody() {
    const FLOOD: usize = 300_000;
    let server = serve(&Echo::default());
    let socket = raw(&server);
    let mut writer = socket.try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        let mut octets = Vec::new();
        for _ in 0..FLOOD {
            encode::settings(&mut octets, &[]);
        }
        // It fails when the server has had enough.
        let _ = writer.write_all(&octets);
    });
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        client(&server).unary("others are served").wait().unwrap().into_message(),
        "others are served"
    );
    let mut socket = socket;
    assert_eq!(goaway_code(&mut socket), Some(ErrorCode::ENHANCE_YOUR_CALM));
    drop(socket);
    flood.join().unwrap();
}

#[test]
fn a_client_that_pings_too_often_is_sent_away_and_told_why() {
    let server = serve(&Echo::default());
    let mut socket = raw(&server);
    let mut octets = Vec::new();
    for _ in 0..10 {
        encode::ping(&mut octets, false, [7; 8]);
    }
    socket.write_all(&octets).unwrap();
    let mut debug = Vec::new();
    read_until(&mut socket, |frame| {
        if let Frame::GoAway { debug: text, .. } = frame {
            debug = text.to_vec();
        }
        !debug.is_empty()
    });
    assert_eq!(debug, b"too_many_pings");
}

#[test]
fn a_client_that_speaks_another_protocol_is_told_and_closed() {
    let server = serve(&Echo::default());
    let mut socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(goaway_code(&mut socket), Some(ErrorCode::PROTOCOL_ERROR));
    assert!(!read_until(&mut socket, |_| false));
}

#[test]
fn a_request_that_is_not_grpc_is_answered_by_text() {
    let server = serve(&Echo::default());
    let mut socket = raw(&server);
    let mut octets = Vec::new();
    // GET, http, `/`: nothing of them is in the dynamic table.
    encode::headers(&mut octets, StreamId::new(1), &[0x82, 0x86, 0x84], 16_384, false);
    socket.write_all(&octets).unwrap();
    let mut text = Vec::new();
    assert!(read_until(&mut socket, |frame| match frame {
        Frame::Data { payload, end_stream, .. } => {
            text.extend_from_slice(payload);
            *end_stream
        }
        Frame::RstStream { .. } => panic!("the client is given time"),
        _ => false,
    }));
    assert_eq!(
        text,
        b"This is a gRPC server: the request has no content-type; gRPC's is application/grpc.\n"
    );
}

#[test]
fn a_frame_of_a_wrong_size_costs_the_connection_and_only_that() {
    let server = serve(&Echo::default());
    let honest = client(&server);
    honest.unary("before").wait().unwrap();
    let mut socket = raw(&server);
    let mut octets = Vec::new();
    encode::frame_header(&mut octets, 3, 6, 0, StreamId::ZERO);
    octets.extend_from_slice(&[0; 3]);
    socket.write_all(&octets).unwrap();
    assert_eq!(goaway_code(&mut socket), Some(ErrorCode::FRAME_SIZE_ERROR));
    assert_eq!(honest.unary("after").wait().unwrap().into_message(), "after");
}

#[test]
fn what_is_refused_and_why_connections_end_is_counted() {
    let server = builder(&Echo::default()).max_concurrent_streams(1).bind("127.0.0.1:0").unwrap();
    client(&server).unary("hello").wait().unwrap();
    eventually("an orderly end is counted", || server.stats().connections_ended.values().sum::<u64>() == 1);

    let mut socket = raw(&server);
    let mut octets = Vec::new();
    for stream in [1, 3] {
        // GET, http, `/`: no gRPC, and not ended.
        encode::headers(&mut octets, StreamId::new(stream), &[0x82, 0x86, 0x84], 16_384, false);
    }
    encode::frame_header(&mut octets, 3, 6, 0, StreamId::ZERO);
    octets.extend_from_slice(&[0; 3]);
    socket.write_all(&octets).unwrap();
    let mut text = Vec::new();
    read_until(&mut socket, |frame| {
        if let Frame::GoAway { debug, .. } = frame {
            text = debug.to_vec();
        }
        false
    });
    eventually("the end is counted", || server.connections() == 0);
    let stats = server.stats();
    let rule = String::from_utf8(text).unwrap();
    assert_eq!(stats.connections_ended.get(&rule[..]), Some(&1), "{rule}: {stats:?}");
    assert_eq!((stats.connections_accepted, stats.connections_refused, stats.accepts_failed), (2, 0, 0));
    assert_eq!((stats.requests_rejected, stats.streams_refused, stats.resets_sent), (1, 1, 1));
}

#[test]
fn a_client_whose_kernel_takes_nothing_more_is_given_up() {
    let second = Duration::from_secs(1);
    let server = builder(&Echo::default()).keepalive(3600 * second, second).bind("127.0.0.1:0").unwrap();
    let mut socket = raw(&server);
    download_without_end(&mut socket);
    eventually("the server has the connection", || server.stats().connections_accepted == 1);
    // Nothing is read: the client's kernel takes what it has room for, and then no more.
    eventually("the kernel has ended the connection", || server.connections() == 0);
    assert_eq!(server.stats().connections_ended.get("the connection was lost"), Some(&1));
}

#[test]
fn connections_beyond_the_limit_are_closed_at_once() {
    let server = builder(&Echo::default()).max_connections(1).bind("127.0.0.1:0").unwrap();
    let honest = client(&server);
    honest.unary("first").wait().unwrap();
    let mut second = raw(&server);
    assert!(!read_until(&mut second, |_| false));
    assert_eq!(honest.unary("still").wait().unwrap().into_message(), "still");
    assert_eq!(server.stats().connections_refused, 1);
}

#[test]
fn a_connection_that_ends_in_the_middle_of_a_frame_leaves_nothing_behind() {
    let server = serve(&Echo::default());
    for cut in 0..60 {
        let mut octets = PREFACE.to_vec();
        encode::settings(&mut octets, &[(4, 1_000)]);
        encode::ping(&mut octets, false, [1; 8]);
        encode::data_header(&mut octets, StreamId::new(1), 100, false);
        let mut socket = TcpStream::connect(server.local_address().to_string()).unwrap();
        socket.write_all(&octets[..cut.min(octets.len())]).unwrap();
    }
    eventually("every connection is gone", || server.connections() == 0);
}

#[test]
fn the_reason_reaches_a_client_that_goes_on_sending() {
    let server = serve(&Echo::default());
    let mut socket = raw(&server);
    let mut octets = Vec::new();
    encode::frame_header(&mut octets, 3, 6, 0, StreamId::ZERO);
    octets.resize(1 << 20, 0);
    // It fails once the server has stopped reading, long after it has answered.
    let _ = socket.write_all(&octets);
    assert_eq!(goaway_code(&mut socket), Some(ErrorCode::FRAME_SIZE_ERROR));
}

#[test]
fn a_client_that_does_not_read_its_stream_holds_up_its_handler_at_a_bound() {
    let echo = Echo::default();
    let server = builder(&echo).adaptive_window(false).bind("127.0.0.1:0").unwrap();
    let channel = lariat::Channel::builder(server.local_address().to_string()).plaintext();
    let client = EchoClient::new(channel.adaptive_window(false).build().unwrap());
    let (outbound, mut inbound) = client.chat();
    outbound.send("x".into()).wait().unwrap();
    inbound.message().wait().unwrap();
    // Nothing is read from here on: the echo fills its way back, then its way there, then `send` waits.
    let (mut accepted, mut idle, begin) = (0, 0, Instant::now());
    while accepted <= 256 * 1024 || idle < 50 {
        let mut send = outbound.send(bytes::Bytes::from(vec![1; 1_000]));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        if std::pin::Pin::new(&mut send).poll(&mut cx).is_ready() {
            (accepted, idle) = (accepted + 1_000, 0);
        } else {
            idle += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(accepted < 4 << 20, "{accepted} octets were taken and nobody reads");
        assert!(begin.elapsed() < PATIENCE, "{accepted} octets were taken, and no more");
    }
    assert_eq!(client.unary("others are served").wait().unwrap().into_message(), "others are served");
}

#[test]
fn a_client_that_never_closes_after_the_farewell_is_closed() {
    let server = serve(&Echo::default());
    let mut socket = raw(&server);
    let mut octets = Vec::new();
    encode::frame_header(&mut octets, 3, 6, 0, StreamId::ZERO);
    octets.extend_from_slice(&[0; 3]);
    socket.write_all(&octets).unwrap();
    assert!(!read_until(&mut socket, |_| false), "the server ends its side");
    // The server's end is gone when the kernel answers what is sent with a reset.
    eventually("the socket is closed", || (&socket).write_all(b"more").is_err());
}

#[test]
fn a_client_that_reads_nothing_of_what_is_left_is_closed() {
    let engine = lariat::Engine::builder().threads(1).build().unwrap();
    let server = builder(&Echo::default()).engine(&engine).bind("127.0.0.1:0").unwrap();
    let mut socket = raw(&server);
    download_without_end(&mut socket);
    // Nothing is read. When the kernel has taken what it has room for, writes end, and some octets are left.
    let written = || engine.stats()[0].octets_written;
    let last = std::cell::Cell::new((0, 0));
    eventually("the kernel takes no more", || {
        let (before, times) = last.get();
        let now = written();
        last.set((now, if now == before { times + 1 } else { 0 }));
        now > 100_000 && times > 20
    });
    server.stop().wait();
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_transfer_without_end_leaves_room_for_other_connections_of_its_loop() {
    let engine = lariat::Engine::builder().threads(1).build().unwrap();
    let server = builder(&Echo::default()).engine(&engine).bind("127.0.0.1:0").unwrap();
    let transfer = client(&server);
    let mut inbound = transfer.download(u32::MAX, 100_000);
    let reader = std::thread::spawn(move || while let Ok(Some(_)) = inbound.message().wait() {});
    let other = client(&server);
    for _ in 0..100 {
        let request = lariat::Request::new(bytes::Bytes::from("small")).with_timeout(PATIENCE);
        assert_eq!(other.request(request).wait().unwrap().into_message(), "small");
    }
    transfer.channel.close();
    reader.join().unwrap();
}
