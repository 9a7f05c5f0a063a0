//! RFC 9113 §6.5: SETTINGS; §6.9.2: their effect on windows.

use crate::support::*;
use bytes::Bytes;
use lariat_frame::{ErrorCode, Frame, encode, flag, kind, setting};
use lariat_http2::{Config, OpenError, SendError};

#[test]
fn settings_are_acknowledged() {
    let mut peer = RawPeer::server();
    peer.send(|out| encode::settings(out, &[(0xf00, 1), (setting::MAX_FRAME_SIZE, 16_384)]));
    let frames = peer.frames();
    assert!(matches!(frames[..], [Frame::Settings { ack: true, .. }]), "{frames:?}");
}

#[test]
fn values_out_of_range_are_connection_errors() {
    let cases = [
        (setting::ENABLE_PUSH, 2, ErrorCode::PROTOCOL_ERROR),
        (setting::INITIAL_WINDOW_SIZE, 1 << 31, ErrorCode::FLOW_CONTROL_ERROR),
        (setting::MAX_FRAME_SIZE, 0, ErrorCode::PROTOCOL_ERROR),
        (setting::MAX_FRAME_SIZE, 16_383, ErrorCode::PROTOCOL_ERROR),
        (setting::MAX_FRAME_SIZE, 1 << 24, ErrorCode::PROTOCOL_ERROR),
    ];
    for (id, value, code) in cases {
        for mut peer in [RawPeer::server(), RawPeer::client()] {
            peer.send(|out| encode::settings(out, &[(id, value)]));
            peer.assert_failed(code, "RFC 9113 §6.5.2");
        }
    }
}

#[test]
fn only_a_client_may_enable_push() {
    let mut peer = RawPeer::server();
    peer.send(|out| encode::settings(out, &[(setting::ENABLE_PUSH, 1)]));
    assert!(!peer.connection.is_closed());
    let mut peer = RawPeer::client();
    peer.send(|out| encode::settings(out, &[(setting::ENABLE_PUSH, 1)]));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.5.2");
}

#[test]
fn settings_of_a_wrong_shape_are_connection_errors() {
    let cases: [(usize, u8, u32, ErrorCode); 3] = [
        (5, 0, 0, ErrorCode::FRAME_SIZE_ERROR),
        (6, flag::ACK, 0, ErrorCode::FRAME_SIZE_ERROR),
        (0, 0, 1, ErrorCode::PROTOCOL_ERROR),
    ];
    for (len, flags, stream, code) in cases {
        let mut peer = RawPeer::server();
        peer.send(|out| {
            encode::frame_header(out, len, kind::SETTINGS, flags, id(stream));
            out.resize(out.len() + len, 0);
        });
        peer.assert_failed(code, "RFC 9113 §6.5");
    }
}

#[test]
fn a_smaller_initial_window_makes_windows_negative() {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 100)]);
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, false);
    peer.connection.send_data(key, vec![0; 300].into(), false, &mut peer.out).unwrap();
    peer.send(|out| encode::settings(out, &[(setting::INITIAL_WINDOW_SIZE, 40)]));
    assert_eq!(peer.connection.stream_flow_control(key).unwrap().send, -60);
    peer.frames();
    peer.send(|out| encode::window_update(out, id(1), 60));
    peer.assert_quiet();
    peer.send(|out| encode::window_update(out, id(1), 1));
    assert!(matches!(peer.frames()[..], [Frame::Data { payload: [0], .. }]));
}

#[test]
fn a_larger_initial_window_sets_waiting_streams_free() {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    let keys = [1, 3, 5].map(|stream| peer.request(stream, true));
    for key in keys {
        peer.answer(key, RESPONSE, false);
        peer.connection.send_data(key, Bytes::from_static(b"abc"), true, &mut peer.out).unwrap();
    }
    peer.settle();
    peer.frames();
    peer.send(|out| encode::settings(out, &[(setting::INITIAL_WINDOW_SIZE, 3)]));
    let frames = peer.frames();
    let data =
        frames.iter().filter(|frame| matches!(frame, Frame::Data { payload: b"abc", end_stream: true, .. }));
    assert_eq!(data.count(), 3);
    assert_eq!(peer.connection.active_streams(), 0);
}

#[test]
fn an_initial_window_that_overflows_a_stream_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.request(1, false);
    peer.send(|out| encode::window_update(out, id(1), (1 << 31) - 1 - 65_535));
    peer.send(|out| encode::settings(out, &[(setting::INITIAL_WINDOW_SIZE, 65_536)]));
    peer.assert_failed(ErrorCode::FLOW_CONTROL_ERROR, "RFC 9113 §6.9.2");
}

#[test]
fn a_stream_that_is_gone_overflows_no_more() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, true);
    peer.send(|out| encode::window_update(out, id(1), (1 << 31) - 1 - 65_535));
    peer.answer(key, RESPONSE, true);
    peer.send(|out| encode::settings(out, &[(setting::INITIAL_WINDOW_SIZE, 65_536)]));
    assert!(!peer.connection.is_closed());
}

#[test]
fn header_lists_larger_than_the_peer_accepts_are_not_sent() {
    let settings = [(setting::MAX_HEADER_LIST_SIZE, 100)];
    let request = list(REQUEST);
    let mut client = RawPeer::new_client(Config::default()).shake_hands(&settings);
    let refused = client.connection.open(client.now, (&request).into(), true, &mut client.out);
    assert_eq!(refused, Err(OpenError::HeaderListTooLarge { size: request.size(), limit: 100 }));

    let mut server = RawPeer::new_server(Config::default()).shake_hands(&settings);
    let key = server.request(1, true);
    let refused = server.connection.send_headers(key, (&request).into(), true, &mut server.out);
    assert_eq!(refused, Err(SendError::HeaderListTooLarge { size: request.size(), limit: 100 }));
    server.answer(key, RESPONSE, true);
}

#[test]
fn a_smaller_table_of_the_peer_is_kept_to() {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::HEADER_TABLE_SIZE, 0)]);
    for stream in [1, 3] {
        let key = peer.request(stream, true);
        peer.answer(key, &[(":status", "200"), ("x-some", "value")], true);
        let frames = peer.frames();
        let [Frame::Headers { fragment, .. }] = frames[..] else { panic!("{frames:?}") };
        let mut decoder = lariat_frame::hpack::Decoder::new(0);
        let mut headers = lariat_frame::hpack::HeaderList::new();
        decoder.decode(fragment, &mut headers).expect("the block needs no table");
        assert_eq!(headers.get(b"x-some"), Some(&b"value"[..]));
    }
}

#[test]
fn a_smaller_table_of_this_side_holds_once_it_is_acknowledged() {
    let config = Config { header_table_size: 0, ..Config::default() };
    let mut peer = RawPeer::new_server(config).shake_hands(&[]);
    // The raw peer's encoder doesn't know of the smaller table and sends no update.
    peer.send_headers(1, REQUEST, true);
    let reason = peer.connection.close_reason().expect("the update is missing");
    assert_eq!(reason.code, ErrorCode::COMPRESSION_ERROR);
}

#[test]
fn an_unasked_acknowledgement_is_ignored() {
    let mut peer = RawPeer::server();
    peer.send(encode::settings_ack);
    peer.assert_quiet();
    assert_eq!(peer.connection.stats().glitches, 1);
}
