//! A server facing clients of raw octets that do what no honest client does.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lariat::{Server, Wait};
use lariat_frame::{ErrorCode, Frame, PREFACE, StreamId, decode, encode};
use support::*;

const SECOND: Duration = Duration::from_secs(1);

/// A connection that has sent the preface and SETTINGS.
fn raw(server: &Server) -> TcpStream {
    let mut socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    socket.set_read_timeout(Some(10 * SECOND)).unwrap();
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
fn a_client_that_floods_settings_and_does_not_read_is_held_back_and_then_answered() {
    const FLOOD: usize = 300_000;
    let server = serve(&Echo::default());
    let socket = raw(&server);
    let mut writer = socket.try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        let mut octets = Vec::new();
        for _ in 0..FLOOD {
            encode::settings(&mut octets, &[]);
        }
        // It fails if the server has had enough, which is as good an answer.
        let _ = writer.write_all(&octets);
    });
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        client(&server).unary("others are served").wait().unwrap().into_message(),
        "others are served"
    );
    let mut socket = socket;
    let mut acks = 0;
    let mut sent_away = false;
    read_until(&mut socket, |frame| {
        match frame {
            Frame::Settings { ack: true, .. } => acks += 1,
            Frame::GoAway { code, .. } => sent_away = *code == ErrorCode::ENHANCE_YOUR_CALM,
            _ => {}
        }
        acks > FLOOD || sent_away
    });
    assert!(acks > FLOOD || sent_away, "{acks} acks");
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
    socket.set_read_timeout(Some(10 * SECOND)).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(goaway_code(&mut socket), Some(ErrorCode::PROTOCOL_ERROR));
    assert!(!read_until(&mut socket, |_| false));
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
fn connections_beyond_the_limit_are_closed_at_once() {
    let server = builder(&Echo::default()).max_connections(1).bind("127.0.0.1:0").unwrap();
    let honest = client(&server);
    honest.unary("first").wait().unwrap();
    let mut second = raw(&server);
    assert!(!read_until(&mut second, |_| false));
    assert_eq!(honest.unary("still").wait().unwrap().into_message(), "still");
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
