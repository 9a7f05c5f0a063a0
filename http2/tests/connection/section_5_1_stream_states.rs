//! RFC 9113 §5.1: the states of streams, their identifiers, how many there may be.

use crate::support::*;
use lariat_frame::{ErrorCode, Frame, Priority, encode, setting};
use lariat_http2::{Config, Event, OpenError};

const SECTION: &str = "RFC 9113 §5.1";

#[test]
fn data_on_an_idle_stream_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.send_data(1, b"x", false);
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, SECTION);
}

#[test]
fn rst_stream_on_an_idle_stream_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.send(|out| encode::rst_stream(out, id(1), ErrorCode::CANCEL));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, SECTION);
}

#[test]
fn window_update_on_an_idle_stream_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.send(|out| encode::window_update(out, id(1), 1));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, SECTION);
}

#[test]
fn priority_on_an_idle_stream_is_ignored() {
    let mut peer = RawPeer::server();
    let priority = Priority { dependency: id(3), exclusive: false, weight: 1 };
    peer.send(|out| encode::priority(out, id(5), priority));
    peer.assert_quiet();
    peer.request(1, true);
}

#[test]
fn streams_that_only_a_server_could_open_are_idle() {
    let mut peer = RawPeer::server();
    peer.request(3, false);
    peer.send_data(2, b"x", false);
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, SECTION);
}

#[test]
fn after_its_end_of_stream_the_peer_may_send_no_data() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, true);
    let events = peer.send_data(1, b"x", false);
    assert_reset_event(&events, key, ErrorCode::STREAM_CLOSED);
    peer.assert_reset(1, ErrorCode::STREAM_CLOSED);
}

#[test]
fn after_its_end_of_stream_the_peer_may_send_no_headers() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, true);
    let events = peer.send_headers(1, TRAILERS, true);
    assert_reset_event(&events, key, ErrorCode::STREAM_CLOSED);
    peer.assert_reset(1, ErrorCode::STREAM_CLOSED);
}

#[test]
fn after_its_end_of_stream_the_peer_may_send_window_update_priority_and_rst_stream() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, true);
    let events = peer.send(|out| {
        encode::window_update(out, id(1), 100);
        encode::priority(out, id(1), Priority { dependency: id(0), exclusive: false, weight: 1 });
        encode::rst_stream(out, id(1), ErrorCode::CANCEL);
    });
    assert!(
        matches!(events[..], [Event::Reset { stream, code: ErrorCode::CANCEL, .. }] if stream == key),
        "{events:?}"
    );
    peer.assert_quiet();
}

#[test]
fn data_on_a_stream_that_both_have_ended_is_a_connection_error() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, true);
    peer.send_data(1, b"x", false);
    peer.assert_failed(ErrorCode::STREAM_CLOSED, SECTION);
}

#[test]
fn headers_on_a_stream_that_both_have_ended_are_a_connection_error() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, true);
    peer.send_headers(1, REQUEST, true);
    peer.assert_failed(ErrorCode::STREAM_CLOSED, SECTION);
}

#[test]
fn window_update_and_rst_stream_on_an_ended_stream_are_ignored() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, true);
    peer.frames();
    peer.send(|out| {
        encode::window_update(out, id(1), 100);
        encode::rst_stream(out, id(1), ErrorCode::CANCEL);
    });
    peer.assert_quiet();
}

#[test]
fn what_follows_the_peers_own_reset_is_a_stream_error() {
    for with_data in [true, false] {
        let mut peer = RawPeer::server();
        peer.request(1, false);
        peer.send(|out| encode::rst_stream(out, id(1), ErrorCode::CANCEL));
        let events =
            if with_data { peer.send_data(1, b"x", false) } else { peer.send_headers(1, TRAILERS, true) };
        assert!(events.is_empty(), "the application has heard of the end already: {events:?}");
        peer.assert_reset(1, ErrorCode::STREAM_CLOSED);
    }
}

#[test]
fn what_follows_this_sides_reset_is_ignored() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    peer.connection.reset(key, ErrorCode::CANCEL, &mut peer.out);
    peer.assert_reset(1, ErrorCode::CANCEL);
    peer.connection.reset(key, ErrorCode::CANCEL, &mut peer.out);
    peer.send_data(1, b"x", false);
    peer.send_headers(1, TRAILERS, true);
    peer.send(|out| {
        encode::window_update(out, id(1), 100);
        encode::rst_stream(out, id(1), ErrorCode::CANCEL);
    });
    peer.assert_quiet();
}

#[test]
fn a_client_opens_no_even_stream() {
    let mut peer = RawPeer::server();
    peer.send_headers(2, REQUEST, true);
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §5.1.1");
}

#[test]
fn a_stream_that_was_passed_over_is_never_opened() {
    let mut peer = RawPeer::server();
    peer.request(5, true);
    peer.send_headers(3, REQUEST, true);
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §5.1.1");
}

#[test]
fn a_server_opens_no_stream() {
    for stream in [2, 3] {
        let mut peer = RawPeer::client();
        peer.open(true);
        peer.send_headers(stream, RESPONSE, false);
        peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §5.1.1");
    }
}

#[test]
fn a_client_counts_its_streams_up_by_two() {
    let mut peer = RawPeer::client();
    let ids: Vec<u32> = (0..4).map(|_| peer.open(true).id().get()).collect();
    assert_eq!(ids, [1, 3, 5, 7]);
}

#[test]
fn one_stream_too_many_is_refused() {
    let mut peer = RawPeer::server_with(Config { max_concurrent_streams: Some(2), ..Config::default() });
    let first = peer.request(1, true);
    peer.request(3, true);
    assert!(peer.send_headers(5, REQUEST, true).is_empty());
    peer.assert_reset(5, ErrorCode::REFUSED_STREAM);
    peer.answer(first, RESPONSE, true);
    peer.request(7, true);
    assert_eq!(peer.connection.stats().streams_refused, 1);
}

#[test]
fn a_client_keeps_to_the_servers_limit_and_is_told_when_it_may_go_on() {
    let mut peer =
        RawPeer::new_client(Config::default()).shake_hands(&[(setting::MAX_CONCURRENT_STREAMS, 1)]);
    peer.open(true);
    assert!(!peer.connection.can_open());
    let request = list(REQUEST);
    let refused = peer.connection.open(peer.now, (&request).into(), true, &mut peer.out);
    assert_eq!(refused, Err(OpenError::StreamLimit));
    let events = peer.send_headers(1, RESPONSE, true);
    assert!(matches!(events[..], [Event::Headers { .. }, Event::StreamsAvailable]), "{events:?}");
    peer.open(true);
    let events = peer.send(|out| encode::settings(out, &[(setting::MAX_CONCURRENT_STREAMS, 2)]));
    assert!(matches!(events[..], [Event::StreamsAvailable]), "{events:?}");
    peer.open(true);
}

#[test]
fn a_client_opens_a_hundred_streams_before_it_knows_the_limit() {
    let mut peer = RawPeer::new_client(Config::default());
    for _ in 0..100 {
        peer.open(true);
    }
    assert!(!peer.connection.can_open());
    let events = peer.send(|out| encode::settings(out, &[]));
    assert!(matches!(events[..], [Event::Ready, Event::StreamsAvailable]), "{events:?}");
}

#[test]
fn a_refused_stream_is_unprocessed() {
    let mut peer = RawPeer::client();
    let key = peer.open(true);
    let events = peer.send(|out| encode::rst_stream(out, id(1), ErrorCode::REFUSED_STREAM));
    assert!(
        matches!(events[..], [Event::Reset { stream, unprocessed: true, .. }] if stream == key),
        "{events:?}"
    );
    peer.open(true);
    let events = peer.send(|out| encode::rst_stream(out, id(3), ErrorCode::CANCEL));
    assert!(matches!(events[..], [Event::Reset { unprocessed: false, .. }]), "{events:?}");
}

#[test]
fn a_server_cannot_open_streams() {
    let mut peer = RawPeer::server();
    let request = list(REQUEST);
    let refused = peer.connection.open(peer.now, (&request).into(), true, &mut peer.out);
    assert_eq!(refused, Err(OpenError::NotClient));
    assert!(!peer.connection.can_open());
}

#[test]
fn a_client_ignores_what_comes_for_streams_it_has_reset() {
    let mut peer = RawPeer::client();
    let key = peer.open(false);
    peer.connection.reset(key, ErrorCode::CANCEL, &mut peer.out);
    let frames = peer.frames();
    assert!(matches!(frames[..], [Frame::Headers { .. }, Frame::RstStream { code: ErrorCode::CANCEL, .. }]));
    peer.send_headers(1, RESPONSE, false);
    peer.send_data(1, b"late", false);
    peer.send_headers(1, TRAILERS, true);
    peer.assert_quiet();
}
