//! RFC 9113 §6.1: DATA; §5.2, §6.9: flow control of what is received.

use crate::support::*;
use lariat_frame::{ErrorCode, Frame, encode, flag, kind};
use lariat_http2::{Config, Event};

fn small_windows() -> Config {
    Config {
        initial_stream_window: 100,
        initial_connection_window: 65_535,
        adaptive_window: false,
        ..Config::default()
    }
}

#[test]
fn data_on_stream_0_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.send_data(0, b"x", false);
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.1");
}

#[test]
fn padding_is_no_payload() {
    let mut peer = RawPeer::server();
    peer.request(1, false);
    let events = peer.send(|out| encode::data_padded(out, id(1), b"x", 255, true));
    assert!(matches!(events[..], [Event::Data { payload: b"x", end_stream: true, .. }]), "{events:?}");
}

#[test]
fn more_padding_than_payload_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.request(1, false);
    peer.send(|out| {
        encode::frame_header(out, 2, kind::DATA, flag::PADDED, id(1));
        out.extend([2, 0]);
    });
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.1");
}

#[test]
fn the_credit_of_padding_comes_back_at_once() {
    let mut peer = RawPeer::server_with(small_windows());
    let key = peer.request(1, false);
    peer.send(|out| encode::data_padded(out, id(1), b"x", 89, false));
    let frames = peer.frames();
    assert_eq!(frames, [Frame::WindowUpdate { stream: id(1), increment: 90 }]);
    assert_eq!(peer.connection.stream_flow_control(key).unwrap().receive, 99);
}

#[test]
fn stream_credit_comes_back_as_the_application_consumes() {
    let mut peer = RawPeer::server_with(small_windows());
    let key = peer.request(1, false);
    peer.send_data(1, &[0; 100], false);
    peer.connection.release(key, 24, &mut peer.out);
    peer.assert_quiet();
    peer.connection.release(key, 1, &mut peer.out);
    assert_eq!(peer.frames(), [Frame::WindowUpdate { stream: id(1), increment: 25 }]);
    peer.connection.release(key, 1000, &mut peer.out);
    assert_eq!(
        peer.frames(),
        [Frame::WindowUpdate { stream: id(1), increment: 75 }],
        "no more than was received can be released"
    );
}

#[test]
fn no_stream_credit_is_given_when_the_peer_has_ended() {
    let mut peer = RawPeer::server_with(small_windows());
    let key = peer.request(1, false);
    peer.send_data(1, &[0; 100], true);
    peer.connection.release(key, 100, &mut peer.out);
    peer.connection.expect(key, 1000, &mut peer.out);
    peer.assert_quiet();
}

#[test]
fn a_message_larger_than_the_window_gets_its_credit_at_once() {
    let mut peer = RawPeer::server_with(small_windows());
    let key = peer.request(1, false);
    peer.connection.expect(key, 100, &mut peer.out);
    peer.assert_quiet();
    peer.connection.expect(key, 1000, &mut peer.out);
    assert_eq!(peer.frames(), [Frame::WindowUpdate { stream: id(1), increment: 900 }]);
    peer.send_data(1, &[0; 1000], false);
    peer.connection.release(key, 1000, &mut peer.out);
    assert_eq!(peer.frames(), [Frame::WindowUpdate { stream: id(1), increment: 100 }]);
}

#[test]
fn connection_credit_comes_back_whatever_the_application_does() {
    let mut peer = RawPeer::server_with(Config { initial_stream_window: 65_535, ..small_windows() });
    peer.request(1, false);
    peer.send_data(1, &[0; 16_384], false);
    assert_eq!(peer.frames(), [Frame::WindowUpdate { stream: id(0), increment: 16_384 }]);
}

#[test]
fn data_for_streams_that_are_gone_counts_for_the_connection() {
    let mut peer = RawPeer::server_with(Config { initial_stream_window: 65_535, ..small_windows() });
    let key = peer.request(1, false);
    peer.connection.reset(key, ErrorCode::CANCEL, &mut peer.out);
    peer.frames();
    peer.send(|out| encode::data_padded(out, id(1), &[0; 16_000], 255, false));
    assert_eq!(peer.connection.flow_control().receive, 65_535 - 16_256);
    peer.send_data(1, &[0; 1000], false);
    assert_eq!(peer.frames(), [Frame::WindowUpdate { stream: id(0), increment: 17_256 }]);
    assert_eq!(peer.connection.flow_control().receive, 65_535);
}

#[test]
fn more_than_the_streams_window_is_a_stream_error() {
    let mut peer = RawPeer::server_with(small_windows());
    let key = peer.request(1, false);
    peer.send_data(1, &[0; 100], false);
    let events = peer.send_data(1, &[0; 1], false);
    assert_reset_event(&events, key, ErrorCode::FLOW_CONTROL_ERROR);
    peer.assert_reset(1, ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn padding_counts_for_the_streams_window() {
    let mut peer = RawPeer::server_with(small_windows());
    peer.request(1, false);
    peer.send(|out| encode::data_padded(out, id(1), b"", 100, true));
    peer.assert_reset(1, ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn more_than_the_connections_window_is_a_connection_error() {
    // A frame may be larger than the window's quarter that is always left.
    let config = Config { initial_stream_window: 1 << 20, max_frame_size: 1 << 20, ..small_windows() };
    let mut peer = RawPeer::server_with(config);
    peer.request(1, false);
    peer.send_data(1, &vec![0; 65_536], false);
    peer.assert_failed(ErrorCode::FLOW_CONTROL_ERROR, "RFC 9113 §6.9");
}

#[test]
fn until_settings_are_acknowledged_the_default_window_holds() {
    let mut peer = RawPeer::new_server(small_windows());
    let block = peer.block(REQUEST);
    let mut octets = lariat_frame::PREFACE.to_vec();
    encode::settings(&mut octets, &[]);
    encode::headers(&mut octets, id(1), &block, 16_384, false);
    data(&mut octets, 1, &[0; 1000], false);
    let events = peer.feed(&octets);
    assert!(matches!(events[..], [Event::Ready, Event::Headers { stream, .. }, Event::Data { .. }]
        if peer.connection.stream_flow_control(stream).unwrap().receive == 65_535 - 1000));
    peer.send(encode::settings_ack);
    let Event::Headers { stream, .. } = events[1] else { unreachable!() };
    assert_eq!(peer.connection.stream_flow_control(stream).unwrap().receive, 100 - 1000);
    peer.frames();
    peer.connection.release(stream, 1000, &mut peer.out);
    assert_eq!(peer.frames(), [Frame::WindowUpdate { stream: id(1), increment: 1000 }]);
}

#[test]
fn empty_data_without_the_end_is_no_event() {
    let mut peer = RawPeer::server();
    peer.request(1, false);
    assert!(peer.send_data(1, b"", false).is_empty());
    let events = peer.send_data(1, b"", true);
    assert!(matches!(events[..], [Event::Data { payload: [], end_stream: true, .. }]), "{events:?}");
}
