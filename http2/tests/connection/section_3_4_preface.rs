//! RFC 9113 §3.4: the connection preface.

use crate::support::*;
use lariat_frame::{ErrorCode, Frame, PREFACE, encode, setting};
use lariat_http2::{Config, Event};

#[test]
fn a_client_begins_with_magic_settings_and_window() {
    let mut peer = RawPeer::new_client(Config::default());
    let frames = peer.frames();
    let [Frame::Settings { ack: false, entries }, Frame::WindowUpdate { stream, increment }] = &frames[..]
    else {
        panic!("{frames:?}");
    };
    let entries: Vec<_> = entries.clone().collect();
    assert_eq!(
        entries,
        [
            (setting::ENABLE_PUSH, 0),
            (setting::INITIAL_WINDOW_SIZE, 256 * 1024),
            (setting::MAX_HEADER_LIST_SIZE, 16 * 1024)
        ]
    );
    assert!(stream.is_zero());
    assert_eq!(*increment, 1024 * 1024 - 65_535);
}

#[test]
fn a_server_begins_with_settings_at_once() {
    let mut peer = RawPeer::new_server(Config::default());
    let frames = peer.frames();
    let [Frame::Settings { ack: false, entries }, Frame::WindowUpdate { .. }] = &frames[..] else {
        panic!("{frames:?}");
    };
    assert!(entries.clone().any(|entry| entry == (setting::MAX_CONCURRENT_STREAMS, 256)));
    assert!(entries.clone().all(|(id, _)| id != setting::ENABLE_PUSH));
}

#[test]
fn what_is_not_the_preface_is_refused_at_its_first_wrong_octet() {
    let mut peer = RawPeer::new_server(Config::default());
    peer.feed(b"PRI * HTTP/2.1");
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §3.4");
}

#[test]
fn a_preface_octet_by_octet_is_a_preface() {
    let mut peer = RawPeer::new_server(Config::default());
    let mut octets = PREFACE.to_vec();
    encode::settings(&mut octets, &[]);
    for len in 1..PREFACE.len() {
        assert_eq!(peer.take(&octets[..len]), 0);
    }
    assert!(matches!(peer.feed(&octets)[..], [Event::Ready]));
}

#[test]
fn an_http_1_request_is_told_so() {
    let mut peer = RawPeer::new_server(Config::default());
    peer.feed(b"GET / HTTP/1.1\r\n");
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §3.4");
}

#[test]
fn the_first_frame_of_a_client_is_settings() {
    let mut peer = RawPeer::new_server(Config::default());
    peer.feed(PREFACE);
    peer.send(|out| encode::ping(out, false, [0; 8]));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §3.4");
}

#[test]
fn the_first_frame_of_a_server_is_settings() {
    let mut peer = RawPeer::new_client(Config::default());
    peer.send(|out| encode::window_update(out, id(0), 1));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §3.4");
}

#[test]
fn an_acknowledgement_is_no_preface() {
    let mut peer = RawPeer::new_client(Config::default());
    peer.send(encode::settings_ack);
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §3.4");
}

#[test]
fn a_client_may_send_requests_before_the_settings_arrive() {
    let mut peer = RawPeer::new_client(Config::default());
    peer.frames();
    peer.open(true);
    assert!(matches!(peer.frames()[..], [Frame::Headers { .. }]));
}

#[test]
fn requests_may_come_right_behind_the_preface() {
    let mut peer = RawPeer::new_server(Config::default());
    let block = peer.block(REQUEST);
    let mut octets = PREFACE.to_vec();
    encode::settings(&mut octets, &[]);
    encode::headers(&mut octets, id(1), &block, 16_384, true);
    let events = peer.feed(&octets);
    assert!(matches!(events[..], [Event::Ready, Event::Headers { .. }]), "{events:?}");
}
