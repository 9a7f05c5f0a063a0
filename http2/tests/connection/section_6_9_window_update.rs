//! RFC 9113 §6.9: WINDOW_UPDATE and flow control of what is sent; the turns that streams take.

use crate::support::*;
use bytes::Bytes;
use lariat_frame::{ErrorCode, Frame, encode, kind, setting};
use lariat_http2::{Config, Event};

#[test]
fn an_increment_of_0_costs_the_stream_or_the_connection() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    let zero = |out: &mut Vec<u8>, stream| {
        encode::frame_header(out, 4, kind::WINDOW_UPDATE, 0, id(stream));
        out.extend([0; 4]);
    };
    let events = peer.send(|out| zero(out, 1));
    assert_reset_event(&events, key, ErrorCode::PROTOCOL_ERROR);
    peer.assert_reset(1, ErrorCode::PROTOCOL_ERROR);
    peer.send(|out| zero(out, 0));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.9");
}

#[test]
fn a_wrong_size_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.send(|out| {
        encode::frame_header(out, 3, kind::WINDOW_UPDATE, 0, id(0));
        out.extend([1; 3]);
    });
    peer.assert_failed(ErrorCode::FRAME_SIZE_ERROR, "RFC 9113 §6.9");
}

#[test]
fn a_stream_window_past_its_maximum_is_a_stream_error() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    let events = peer.send(|out| encode::window_update(out, id(1), (1 << 31) - 65_535));
    assert_reset_event(&events, key, ErrorCode::FLOW_CONTROL_ERROR);
    peer.assert_reset(1, ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn a_connection_window_past_its_maximum_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.send(|out| encode::window_update(out, id(0), (1 << 31) - 65_535));
    peer.assert_failed(ErrorCode::FLOW_CONTROL_ERROR, "RFC 9113 §6.9.1");
}

#[test]
fn no_more_is_sent_than_the_streams_window_allows() {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 4)]);
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, false);
    peer.connection.send_data(key, Bytes::from_static(b"abcdef"), true, &mut peer.out).unwrap();
    peer.settle();
    let frames = peer.frames();
    assert!(matches!(frames[..], [_, Frame::Data { payload: b"abcd", end_stream: false, .. }]), "{frames:?}");
    peer.send(|out| encode::window_update(out, id(1), 1));
    assert!(matches!(peer.frames()[..], [Frame::Data { payload: b"e", end_stream: false, .. }]));
    peer.send(|out| encode::window_update(out, id(1), 10));
    assert!(matches!(peer.frames()[..], [Frame::Data { payload: b"f", end_stream: true, .. }]));
    assert_eq!(peer.connection.active_streams(), 0);
}

#[test]
fn no_more_is_sent_than_the_connections_window_allows() {
    let mut peer =
        RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]);
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, false);
    peer.connection.send_data(key, vec![1; 65_536].into(), true, &mut peer.out).unwrap();
    peer.settle();
    assert_eq!(peer.connection.flow_control().send, 0);
    peer.frames();
    peer.send(|out| encode::window_update(out, id(1), 100));
    peer.assert_quiet();
    peer.send(|out| encode::window_update(out, id(0), 100));
    assert!(matches!(peer.frames()[..], [Frame::Data { payload: [1], end_stream: true, .. }]));
}

#[test]
fn an_empty_end_needs_no_window() {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, false);
    peer.connection.send_data(key, Bytes::new(), true, &mut peer.out).unwrap();
    let frames = peer.frames();
    assert!(matches!(frames[..], [_, Frame::Data { payload: [], end_stream: true, .. }]), "{frames:?}");
}

#[test]
fn streams_take_turns() {
    let mut peer =
        RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]);
    let keys = [1, 3, 5].map(|stream| peer.request(stream, true));
    // The connection's window is used up by a stream of its own first.
    let greedy = peer.request(7, true);
    peer.answer(greedy, RESPONSE, false);
    peer.connection.send_data(greedy, vec![0; 65_535].into(), true, &mut peer.out).unwrap();
    for key in keys {
        peer.answer(key, RESPONSE, false);
        peer.connection.send_data(key, vec![0; 40_000].into(), true, &mut peer.out).unwrap();
    }
    peer.frames();
    peer.send(|out| encode::window_update(out, id(0), 200_000));
    let turns: Vec<(u32, usize)> = (peer.frames().iter())
        .map(|frame| match frame {
            Frame::Data { stream, payload, .. } => (stream.get(), payload.len()),
            _ => panic!("{frame:?}"),
        })
        .collect();
    let rest = 40_000 - 2 * 16_384;
    assert_eq!(
        turns,
        [
            (1, 16_384),
            (3, 16_384),
            (5, 16_384),
            (1, 16_384),
            (3, 16_384),
            (5, 16_384),
            (1, rest),
            (3, rest),
            (5, rest),
        ]
    );
}

#[test]
fn a_stream_without_window_does_not_hold_up_the_others() {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 10)]);
    let [first, second] = [1, 3].map(|stream| peer.request(stream, true));
    for key in [first, second] {
        peer.answer(key, RESPONSE, false);
        peer.connection.send_data(key, vec![0; 20].into(), true, &mut peer.out).unwrap();
    }
    peer.settle();
    peer.frames();
    peer.send(|out| encode::window_update(out, id(3), 10));
    assert!(matches!(peer.frames()[..], [Frame::Data { stream, end_stream: true, .. }] if stream == id(3)));
}

#[test]
fn queued_pieces_leave_in_as_few_frames_as_possible() {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, false);
    for piece in [&b"\0\0\0\0\x02"[..], b"ab", b"\0\0\0\0\x01", b"c"] {
        peer.connection.send_data(key, Bytes::from_static(piece), false, &mut peer.out).unwrap();
    }
    peer.settle();
    peer.frames();
    peer.send(|out| encode::window_update(out, id(1), 100));
    assert!(matches!(peer.frames()[..], [Frame::Data { payload: b"\0\0\0\0\x02ab\0\0\0\0\x01c", .. }]));
}

#[test]
fn data_beyond_the_window_waits_for_credit() {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 3)]);
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, false);
    let RawPeer { connection, out, .. } = &mut peer;
    connection.send_data(key, Bytes::from_static(b"12345ab"), true, out).unwrap();
    peer.settle();
    assert!(matches!(peer.frames()[1..], [Frame::Data { payload: b"123", end_stream: false, .. }]));
    peer.send(|out| encode::window_update(out, id(1), 100));
    assert!(matches!(peer.frames()[..], [Frame::Data { payload: b"45ab", end_stream: true, .. }]));
}

#[test]
fn data_in_place_needs_room_everywhere() {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 100)]);
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, false);
    peer.frames();
    let in_place = |peer: &mut RawPeer, len: usize| {
        peer.connection
            .send_data_in_place(key, len, false, &mut peer.out, &mut |out| out.resize(out.len() + len, 7))
    };
    assert!(!in_place(&mut peer, 101));
    assert!(in_place(&mut peer, 60));
    assert!(!in_place(&mut peer, 41));
    assert!(matches!(peer.frames()[..], [Frame::Data { payload: [7, ..], .. }]));
    peer.connection.send_data(key, vec![0; 50].into(), false, &mut peer.out).unwrap();
    assert!(!in_place(&mut peer, 0), "what is queued comes first");
}

#[test]
fn writers_are_told_when_half_of_the_quota_is_free_again() {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    let key = peer.request(1, true);
    peer.connection.set_token(key, 9);
    peer.answer(key, RESPONSE, false);
    assert_eq!(peer.connection.capacity(key), 64 * 1024);
    peer.connection.send_data(key, vec![0; 50 * 1024].into(), false, &mut peer.out).unwrap();
    assert_eq!(peer.connection.capacity(key), 14 * 1024);
    peer.connection.send_data(key, vec![0; 14 * 1024].into(), false, &mut peer.out).unwrap();
    assert_eq!(peer.connection.capacity(key), 0);
    let events = peer.send(|out| encode::window_update(out, id(1), 31 * 1024));
    assert!(events.is_empty(), "{events:?}");
    let events = peer.send(|out| encode::window_update(out, id(1), 1024));
    assert!(matches!(events[..], [Event::Writable { stream, token: 9 }] if stream == key), "{events:?}");
    let events = peer.send(|out| encode::window_update(out, id(1), 32 * 1024));
    assert!(events.is_empty(), "once is enough: {events:?}");
}

#[test]
fn the_quota_of_the_connection_leaves_every_stream_something() {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    let keys: Vec<_> = (0..20).map(|n| peer.request(2 * n + 1, true)).collect();
    for &key in &keys[..18] {
        peer.answer(key, RESPONSE, false);
        peer.connection.send_data(key, vec![0; 60 * 1024].into(), false, &mut peer.out).unwrap();
    }
    assert_eq!(peer.connection.capacity(keys[0]), 0, "the connection holds more than its quota");
    assert_eq!(peer.connection.capacity(keys[19]), 64 * 1024);
    let events = peer.send(|out| {
        encode::window_update(out, id(0), 1 << 20);
        encode::window_update(out, id(1), 60 * 1024);
    });
    assert!(matches!(events[..], [Event::Writable { stream, .. }] if stream == keys[0]), "{events:?}");
}
