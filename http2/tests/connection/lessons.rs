//! What has gone wrong in other implementations, by their changelogs and advisories: each must not happen here.

use crate::support::*;
use lariat_frame::hpack::{Decoder, HeaderList};
use lariat_frame::{ErrorCode, Frame, encode, setting};
use lariat_http2::{Config, Event, Limits};

/// A server whose client grants no window to new streams, and a response of which so many octets wait for it.
fn waiting(octets: usize) -> (RawPeer, lariat_http2::StreamKey) {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    let key = peer.request(1, false);
    peer.answer(key, RESPONSE, false);
    peer.connection.send_data(key, vec![0; octets].into(), false, &mut peer.out).unwrap();
    peer.settle();
    peer.frames();
    (peer, key)
}

#[test]
fn what_waits_on_a_stream_that_is_reset_takes_no_window_and_no_quota() {
    let (mut peer, _) = waiting(60_000);
    let before = peer.connection.flow_control();
    peer.send(|out| encode::rst_stream(out, id(1), ErrorCode::CANCEL));
    // More than the connection's quota passes, so the reset must have given back what waited.
    for stream in 0..100 {
        let key = peer.request(2 * stream + 3, true);
        assert_eq!(peer.connection.capacity(key), 64 * 1024);
        peer.answer(key, RESPONSE, false);
        peer.connection.send_data(key, vec![0; 60_000].into(), false, &mut peer.out).unwrap();
        peer.connection.reset(key, ErrorCode::CANCEL, &mut peer.out);
        peer.settle();
    }
    assert_eq!(peer.connection.flow_control(), before);
    assert!(peer.frames().iter().all(|frame| !matches!(frame, Frame::Data { .. })));
}

#[test]
fn a_reset_while_a_response_is_written_ends_it_there() {
    let (mut peer, key) = waiting(10_000);
    peer.send(|out| encode::window_update(out, id(1), 4_000));
    assert!(matches!(peer.frames()[..], [Frame::Data { payload, .. }] if payload.len() == 4_000));
    let events = peer.send(|out| {
        encode::rst_stream(out, id(1), ErrorCode::CANCEL);
        encode::window_update(out, id(1), 4_000);
    });
    assert!(matches!(events[..], [Event::Reset { code: ErrorCode::CANCEL, .. }]), "{events:?}");
    assert_eq!(peer.connection.capacity(key), 0);
    peer.assert_quiet();
}

#[test]
fn an_end_of_the_request_while_trailers_wait_for_window_takes_nothing_from_them() {
    let (mut peer, key) = waiting(10);
    peer.answer(key, TRAILERS, true);
    let events = peer.send_data(1, b"", true);
    assert!(matches!(events[..], [Event::Data { end_stream: true, .. }]), "{events:?}");
    peer.assert_quiet();
    peer.send(|out| encode::window_update(out, id(1), 10));
    let frames = peer.frames();
    assert!(
        matches!(
            frames[..],
            [Frame::Data { end_stream: false, .. }, Frame::Headers { end_stream: true, .. }]
        ),
        "{frames:?}"
    );
    assert_eq!(peer.connection.active_streams(), 0);
}

#[test]
fn data_for_a_stream_beyond_goaway_counts_for_the_connection() {
    let mut peer = RawPeer::server_with(Config { adaptive_window: false, ..Config::default() });
    peer.request(1, false);
    peer.connection.shutdown(peer.now, "graceful_stop", &mut peer.out);
    peer.send(|out| encode::ping(out, true, [1, 6, 1, 8, 0, 3, 3, 9]));
    let before = peer.connection.flow_control().receive;
    peer.send_headers(3, REQUEST, false);
    for _ in 0..100 {
        peer.send(|out| encode::data_padded(out, id(3), &[0; 16_000], 255, false));
    }
    assert!(!peer.connection.is_closed(), "{:?}", peer.connection.close_reason());
    peer.frames();
    // At most what is not worth a WINDOW_UPDATE yet is missing.
    assert!(peer.connection.flow_control().receive > before / 2);
}

#[test]
fn whoever_is_told_of_room_has_some() {
    let (mut peer, key) = waiting(64 * 1024);
    assert_eq!(peer.connection.capacity(key), 0);
    let mut told = 0;
    for _ in 0..100 {
        let events = peer.send(|out| {
            encode::window_update(out, id(0), 1_000);
            encode::window_update(out, id(1), 1_000);
        });
        for event in events {
            assert!(matches!(event, Event::Writable { .. }), "{event:?}");
            let room = peer.connection.capacity(key);
            assert!(room > 0);
            told += 1;
            peer.connection.send_data(key, vec![0; room].into(), false, &mut peer.out).unwrap();
            assert_eq!(peer.connection.capacity(key), 0);
        }
        peer.out.clear();
    }
    assert!(told > 1);
}

#[test]
fn tens_of_thousands_of_fields_are_a_list_like_any_other() {
    let limits = Limits { header_block_octets: 1 << 20, continuations: 100, ..Limits::default() };
    let config = Config { max_header_list_size: 1 << 24, limits, ..Config::default() };
    let mut peer = RawPeer::server_with(config);
    let mut block = peer.block(REQUEST);
    // A field of one octet and one octet, and then references to it.
    block.extend([0x40, 1, b'x', 1, b'y']);
    block.extend([0xbe; 40_000]);
    let events = peer.send(|out| encode::headers(out, id(1), &block, 16_384, true));
    let [Event::Headers { headers, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(headers.iter().count(), REQUEST.len() + 40_001);
}

#[test]
fn a_table_larger_than_the_usual_is_not_used_although_the_peer_offers_it() {
    let mut peer =
        RawPeer::new_server(Config::default()).shake_hands(&[(setting::HEADER_TABLE_SIZE, 1 << 20)]);
    let mut decoder = Decoder::new(4096);
    for call in 0..1_000 {
        let key = peer.request(2 * call + 1, true);
        let value = format!("{call:0>100}");
        peer.answer(key, &[(":status", "200"), ("x-call", &value)], true);
        for frame in peer.frames() {
            let Frame::Headers { fragment, .. } = frame else { panic!("{frame:?}") };
            let mut list = HeaderList::new();
            decoder.decode(fragment, &mut list).expect("it decodes with a table of 4,096 octets");
            assert_eq!(list.get(b"x-call"), Some(value.as_bytes()));
        }
    }
    assert!(decoder.table_size() <= 4096);
}

#[test]
fn a_reset_behind_the_end_of_a_response_takes_nothing_from_it() {
    let mut peer = RawPeer::client();
    peer.open(false);
    peer.frames();
    let head = peer.block(RESPONSE);
    let trailers = peer.block(TRAILERS);
    let events = peer.send(|out| {
        encode::headers(out, id(1), &head, 16_384, false);
        data(out, 1, b"content", false);
        encode::headers(out, id(1), &trailers, 16_384, true);
        encode::rst_stream(out, id(1), ErrorCode::NO_ERROR);
    });
    assert!(
        matches!(
            events[..],
            [
                Event::Headers { .. },
                Event::Data { payload: b"content", .. },
                Event::Headers { end_stream: true, .. }
            ]
        ),
        "{events:?}"
    );
    assert!(!peer.connection.is_closed());
}
