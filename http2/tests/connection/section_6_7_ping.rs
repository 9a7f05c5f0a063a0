//! RFC 9113 §6.7: PING.

use crate::support::*;
use lariat_frame::{ErrorCode, Frame, encode, kind};

#[test]
fn a_ping_is_answered_with_its_payload() {
    for mut peer in [RawPeer::server(), RawPeer::client()] {
        peer.send(|out| encode::ping(out, false, *b"12345678"));
        assert_eq!(peer.frames(), [Frame::Ping { ack: true, payload: *b"12345678" }]);
    }
}

#[test]
fn an_answer_is_not_answered() {
    let mut peer = RawPeer::client();
    peer.send(|out| encode::ping(out, true, *b"12345678"));
    peer.assert_quiet();
}

#[test]
fn a_ping_with_the_wrong_size_is_a_frame_size_error() {
    for len in [0, 7, 9] {
        let mut peer = RawPeer::server();
        peer.send(|out| {
            encode::frame_header(out, len, kind::PING, 0, id(0));
            out.resize(out.len() + len, 0);
        });
        peer.assert_failed(ErrorCode::FRAME_SIZE_ERROR, "RFC 9113 §6.7");
    }
}

#[test]
fn a_ping_on_a_stream_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.send(|out| {
        encode::frame_header(out, 8, kind::PING, 0, id(1));
        out.extend([0; 8]);
    });
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.7");
}
