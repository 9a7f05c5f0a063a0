//! RFC 9113 §6.8: GOAWAY, graceful shutdown, and the end of a connection.

use crate::support::*;
use bytes::Bytes;
use lariat_frame::{ErrorCode, Frame, StreamId, encode, kind};
use lariat_http2::{Event, Initiator, OpenError};
use std::time::Duration;

const DRAIN_PING: [u8; 8] = [1, 6, 1, 8, 0, 3, 3, 9];

#[test]
fn a_server_says_goodbye_in_two_steps() {
    let mut peer = RawPeer::server();
    let first = peer.request(1, true);
    peer.connection.shutdown(peer.now, "graceful_stop", &mut peer.out);
    assert_eq!(
        peer.frames(),
        [
            Frame::GoAway { last_stream: StreamId::MAX, code: ErrorCode::NO_ERROR, debug: b"graceful_stop" },
            Frame::Ping { ack: false, payload: DRAIN_PING },
        ]
    );
    assert!(peer.connection.is_draining() && !peer.connection.is_closed());
    // A stream that was on its way is still served.
    let second = peer.request(3, true);
    peer.send(|out| encode::ping(out, true, DRAIN_PING));
    assert_eq!(
        peer.frames(),
        [Frame::GoAway { last_stream: id(3), code: ErrorCode::NO_ERROR, debug: b"graceful_stop" }]
    );
    assert_eq!(peer.connection.poll_timeout(), None, "the second step need not be waited for");
    // One that comes now was opened by a client that knew better.
    assert!(peer.send_headers(5, REQUEST, false).is_empty());
    assert!(peer.send_data(5, b"x", true).is_empty());
    peer.assert_quiet();
    peer.answer(first, RESPONSE, true);
    assert!(peer.settle().is_empty() && !peer.connection.is_closed());
    peer.answer(second, RESPONSE, true);
    assert!(matches!(peer.settle()[..], [Event::Closed]));
    let reason = peer.connection.close_reason().unwrap();
    assert_eq!((reason.code, reason.by), (ErrorCode::NO_ERROR, Initiator::Library("graceful_stop")));
}

#[test]
fn the_second_step_comes_after_five_seconds_at_the_latest() {
    let mut peer = RawPeer::server();
    peer.request(1, true);
    peer.connection.shutdown(peer.now, "graceful_stop", &mut peer.out);
    peer.frames();
    peer.pass(Duration::from_millis(4_900));
    peer.assert_quiet();
    peer.pass(Duration::from_millis(100));
    assert!(matches!(peer.frames()[..], [Frame::GoAway { last_stream, .. }] if last_stream == id(1)));
}

#[test]
fn a_server_without_streams_closes_after_the_second_step() {
    let mut peer = RawPeer::server();
    peer.connection.shutdown(peer.now, "graceful_stop", &mut peer.out);
    peer.connection.shutdown(peer.now, "again", &mut peer.out);
    assert_eq!(peer.frames().len(), 2, "a second shutdown adds nothing");
    let events = peer.send(|out| encode::ping(out, true, DRAIN_PING));
    assert!(matches!(events[..], [Event::Closed]), "{events:?}");
    assert!(peer.connection.is_closed());
}

#[test]
fn a_client_says_goodbye_and_finishes_its_streams() {
    let mut peer = RawPeer::client();
    peer.open(true);
    peer.connection.shutdown(peer.now, "client transport shutdown", &mut peer.out);
    let frames = peer.frames();
    assert!(matches!(frames[..], [Frame::Headers { .. }, Frame::GoAway { last_stream: StreamId::ZERO, .. }]));
    let request = list(REQUEST);
    let refused = peer.connection.open(peer.now, (&request).into(), true, &mut peer.out);
    assert_eq!(refused, Err(OpenError::Draining));
    let events = peer.send_headers(1, RESPONSE, true);
    assert!(matches!(events[..], [Event::Headers { .. }, Event::Closed]), "{events:?}");
    let refused = peer.connection.open(peer.now, (&request).into(), true, &mut peer.out);
    assert_eq!(refused, Err(OpenError::Closed));
}

#[test]
fn streams_after_the_last_one_are_unprocessed() {
    let mut peer = RawPeer::client();
    let keys = [peer.open(true), peer.open(true), peer.open(true)];
    let events = peer.send(|out| encode::goaway(out, id(1), ErrorCode::NO_ERROR, b"max_age"));
    let Event::GoAway { last_stream, code: ErrorCode::NO_ERROR, debug } = &events[0] else {
        panic!("{events:?}")
    };
    assert_eq!((*last_stream, debug.as_ref()), (id(1), &b"max_age"[..]));
    let mut unprocessed: Vec<u32> = (events[1..].iter())
        .map(|event| match event {
            Event::Reset {
                stream,
                code: ErrorCode::REFUSED_STREAM,
                by: Initiator::Remote,
                unprocessed: true,
                ..
            } => stream.id().get(),
            _ => panic!("{events:?}"),
        })
        .collect();
    unprocessed.sort();
    assert_eq!(unprocessed, [3, 5]);
    assert!(peer.connection.is_draining() && !peer.connection.can_open());
    assert_eq!(peer.connection.stream_flow_control(keys[1]), None);
    // The first goes on, and ends the connection.
    let events = peer.send_headers(1, RESPONSE, true);
    assert!(matches!(events[..], [Event::Headers { .. }, Event::Closed]), "{events:?}");
    let reason = peer.connection.close_reason().unwrap();
    assert_eq!((reason.by, reason.debug.as_ref()), (Initiator::Remote, &b"max_age"[..]));
}

#[test]
fn a_goaway_that_leaves_no_stream_closes_after_their_resets() {
    let mut peer = RawPeer::client();
    peer.open(true);
    let events = peer.send(|out| encode::goaway(out, id(0), ErrorCode::NO_ERROR, b""));
    assert!(
        matches!(events[..], [Event::GoAway { .. }, Event::Reset { unprocessed: true, .. }, Event::Closed]),
        "{events:?}"
    );
}

#[test]
fn a_client_lives_with_a_servers_two_steps() {
    let mut peer = RawPeer::client();
    peer.open(true);
    peer.send(|out| {
        encode::goaway(out, StreamId::MAX, ErrorCode::NO_ERROR, b"");
        encode::ping(out, false, DRAIN_PING);
    });
    assert_eq!(peer.frames().last(), Some(&Frame::Ping { ack: true, payload: DRAIN_PING }));
    let events = peer.send(|out| encode::goaway(out, id(1), ErrorCode::NO_ERROR, b""));
    assert!(matches!(events[..], [Event::GoAway { .. }]), "{events:?}");
    assert_eq!(peer.connection.peer_goaway().unwrap().last_stream, id(1));
}

#[test]
fn a_last_stream_that_grows_is_a_connection_error() {
    let mut peer = RawPeer::client();
    peer.open(true);
    peer.send(|out| encode::goaway(out, id(1), ErrorCode::NO_ERROR, b""));
    peer.send(|out| encode::goaway(out, id(3), ErrorCode::NO_ERROR, b""));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.8");
}

#[test]
fn a_last_stream_that_is_not_the_clients_is_a_connection_error() {
    let mut peer = RawPeer::client();
    peer.send(|out| encode::goaway(out, id(2), ErrorCode::NO_ERROR, b""));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.8");
}

#[test]
fn goaway_on_a_stream_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.send(|out| {
        encode::frame_header(out, 8, kind::GOAWAY, 0, id(1));
        out.extend([0; 8]);
    });
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.8");
}

#[test]
fn a_server_serves_on_when_the_client_says_goodbye() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, true);
    let events = peer.send(|out| encode::goaway(out, StreamId::MAX, ErrorCode::NO_ERROR, b"bye"));
    assert!(matches!(events[..], [Event::GoAway { .. }]), "{events:?}");
    peer.answer(key, RESPONSE, true);
    assert!(!peer.connection.is_closed());
    peer.connection.handle_eof(peer.now);
    assert!(matches!(peer.settle()[..], [Event::Closed]));
    assert_eq!(peer.connection.close_reason().unwrap().debug.as_ref(), b"bye");
}

#[test]
fn too_many_pings_can_be_told_from_the_reason() {
    let mut peer = RawPeer::client();
    peer.open(true);
    peer.send(|out| encode::goaway(out, id(1), ErrorCode::ENHANCE_YOUR_CALM, b"too_many_pings"));
    peer.connection.handle_eof(peer.now);
    let events = peer.settle();
    assert!(matches!(events[..], [Event::Reset { unprocessed: false, .. }, Event::Closed]), "{events:?}");
    let reason = peer.connection.close_reason().unwrap();
    assert!(reason.is_too_many_pings());
    assert_eq!(
        reason.to_string(),
        "the peer closed the connection, received goaway: code: ENHANCE_YOUR_CALM, debug data: \"too_many_pings\""
    );
}

#[test]
fn the_end_of_input_resets_what_is_open() {
    let mut peer = RawPeer::client();
    let key = peer.open(true);
    peer.connection.handle_eof(peer.now);
    let events = peer.settle();
    assert!(
        matches!(events[..], [Event::Reset { stream, by: Initiator::Remote, .. }, Event::Closed] if stream == key),
        "{events:?}"
    );
    assert_eq!(peer.connection.close_reason().unwrap().to_string(), "the peer closed the connection");
}

#[test]
fn the_application_may_close_at_once() {
    let mut peer = RawPeer::server();
    peer.request(1, true);
    peer.connection.close(ErrorCode::INTERNAL_ERROR, "out of memory", &mut peer.out);
    assert_eq!(
        peer.frames(),
        [Frame::GoAway { last_stream: id(1), code: ErrorCode::INTERNAL_ERROR, debug: b"out of memory" }]
    );
    let events = peer.settle();
    assert!(matches!(events[..], [Event::Reset { .. }, Event::Closed]), "{events:?}");
}

#[test]
fn a_closed_connection_takes_everything_and_does_nothing() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    peer.send_data(0, b"", false);
    assert!(peer.connection.is_closed());
    peer.settle();
    peer.frames();
    let junk = [0x55; 100];
    assert_eq!(peer.take(&junk), junk.len());
    assert!(peer.connection.send_data(key, Bytes::from_static(b"x"), true, &mut peer.out).is_err());
    peer.connection.reset(key, ErrorCode::CANCEL, &mut peer.out);
    peer.connection.release(key, 1, &mut peer.out);
    peer.connection.shutdown(peer.now, "late", &mut peer.out);
    peer.connection.close(ErrorCode::NO_ERROR, "later", &mut peer.out);
    peer.connection.handle_eof(peer.now);
    assert!(peer.pass(Duration::from_secs(100_000)).is_empty());
    assert!(peer.frames().is_empty() && peer.settle().is_empty());
    assert_eq!(peer.connection.poll_timeout(), None);
}
