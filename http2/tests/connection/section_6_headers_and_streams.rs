//! RFC 9113 §6.2 to §6.4, §6.6: HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE; §6.10: CONTINUATION.

use crate::support::*;
use lariat_frame::{ErrorCode, Priority, encode, flag, kind};
use lariat_http2::{Event, Initiator};

#[test]
fn headers_on_stream_0_are_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.send_headers(0, REQUEST, true);
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.2");
}

#[test]
fn priority_fields_and_padding_of_headers_are_skipped() {
    let mut peer = RawPeer::server();
    let block = peer.block(REQUEST);
    let priority = Priority { dependency: id(7), exclusive: true, weight: 255 };
    let events =
        peer.send(|out| encode::headers_with_priority(out, id(1), &block, priority, Some(100), true));
    assert!(matches!(events[..], [Event::Headers { end_stream: true, .. }]), "{events:?}");
}

#[test]
fn a_stream_that_depends_on_itself_is_a_connection_error() {
    let own = Priority { dependency: id(1), exclusive: false, weight: 255 };
    let mut peer = RawPeer::server();
    let block = peer.block(REQUEST);
    peer.send(|out| encode::headers_with_priority(out, id(1), &block, own, None, true));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 7540 §5.3.1");
    let mut peer = RawPeer::server();
    peer.send(|out| encode::priority(out, id(1), own));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 7540 §5.3.1");
}

#[test]
fn more_padding_than_headers_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.send(|out| {
        encode::frame_header(out, 2, kind::HEADERS, flag::PADDED | flag::END_HEADERS, id(1));
        out.extend([2, 0]);
    });
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.2");
}

#[test]
fn priority_of_a_wrong_size_is_a_stream_error() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    let events = peer.send(|out| {
        encode::frame_header(out, 4, kind::PRIORITY, 0, id(1));
        out.extend([0; 4]);
    });
    assert_reset_event(&events, key, ErrorCode::FRAME_SIZE_ERROR);
    peer.assert_reset(1, ErrorCode::FRAME_SIZE_ERROR);
}

#[test]
fn an_idle_stream_is_never_reset_so_that_the_connection_pays() {
    let mut peer = RawPeer::server();
    peer.send(|out| {
        encode::frame_header(out, 4, kind::PRIORITY, 0, id(1));
        out.extend([0; 4]);
    });
    peer.assert_failed(ErrorCode::FRAME_SIZE_ERROR, "RFC 9113 §6.3");
}

#[test]
fn priority_on_stream_0_is_a_connection_error() {
    let mut peer = RawPeer::server();
    let priority = Priority { dependency: id(1), exclusive: false, weight: 0 };
    peer.send(|out| encode::priority(out, id(0), priority));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.3");
}

#[test]
fn rst_stream_ends_a_stream_with_its_code() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    peer.connection.set_token(key, 5);
    let events = peer.send(|out| encode::rst_stream(out, id(1), ErrorCode(0x1234)));
    assert!(
        matches!(
            events[..],
            [Event::Reset { stream, token: 5, code: ErrorCode(0x1234), by: Initiator::Remote, .. }] if stream == key
        ),
        "{events:?}"
    );
    assert_eq!(peer.connection.active_streams(), 0);
    peer.assert_quiet();
}

#[test]
fn rst_stream_of_a_wrong_size_or_on_stream_0_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.send(|out| {
        encode::frame_header(out, 3, kind::RST_STREAM, 0, id(1));
        out.extend([0; 3]);
    });
    peer.assert_failed(ErrorCode::FRAME_SIZE_ERROR, "RFC 9113 §6.4");
    let mut peer = RawPeer::server();
    peer.send(|out| encode::rst_stream(out, id(0), ErrorCode::CANCEL));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.4");
}

#[test]
fn a_client_that_pushes_is_a_connection_error() {
    let mut peer = RawPeer::server();
    peer.request(1, false);
    let block = peer.block(REQUEST);
    peer.send(|out| encode::push_promise(out, id(1), id(2), &block, 16_384));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §8.4");
}

#[test]
fn a_push_although_it_is_disabled_is_a_connection_error() {
    let mut peer = RawPeer::client();
    peer.open(true);
    let block = peer.block(REQUEST);
    peer.send(|out| encode::push_promise(out, id(1), id(2), &block, 16_384));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.6");
}

/// Sends HEADERS without END_HEADERS; the rest of the block is returned.
fn begin_block(peer: &mut RawPeer, stream: u32) -> Vec<u8> {
    let block = peer.block(REQUEST);
    let (first, rest) = block.split_at(3);
    let events = peer.send(|out| {
        encode::frame_header(out, first.len(), kind::HEADERS, flag::END_STREAM, id(stream));
        out.extend(first);
    });
    assert!(events.is_empty());
    rest.to_vec()
}

#[test]
fn a_block_may_come_in_pieces() {
    let mut peer = RawPeer::server();
    let rest = begin_block(&mut peer, 1);
    let events = peer.send(|out| {
        encode::continuation(out, id(1), &rest[..2], false);
        encode::continuation(out, id(1), &[], false);
        encode::continuation(out, id(1), &rest[2..], true);
    });
    let [Event::Headers { headers, end_stream: true, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(**headers, list(REQUEST));
    assert_eq!(peer.pass(std::time::Duration::from_secs(20)).len(), 0, "the deadline of the block is gone");
}

#[test]
fn no_other_frame_may_come_within_a_block() {
    let frames: [fn(&mut Vec<u8>); 6] = [
        |out| data(out, 1, b"x", false),
        |out| encode::ping(out, false, [0; 8]),
        |out| encode::settings(out, &[]),
        |out| encode::headers(out, id(3), &[], 16_384, false),
        |out| encode::frame_header(out, 0, 0xbe, 0, id(1)),
        |out| encode::window_update(out, id(1), 5),
    ];
    for frame in frames {
        let mut peer = RawPeer::server();
        begin_block(&mut peer, 1);
        peer.send(frame);
        peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.10");
    }
}

#[test]
fn not_even_a_broken_frame_may_come_within_a_block() {
    let mut peer = RawPeer::server();
    begin_block(&mut peer, 1);
    peer.send(|out| {
        encode::frame_header(out, 4, kind::PRIORITY, 0, id(1));
        out.extend([0; 4]);
    });
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.10");
}

#[test]
fn a_block_continues_on_its_own_stream() {
    let mut peer = RawPeer::server();
    let rest = begin_block(&mut peer, 1);
    peer.send(|out| encode::continuation(out, id(3), &rest, true));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.10");
}

#[test]
fn a_continuation_needs_a_block_to_continue() {
    let mut peer = RawPeer::server();
    peer.request(1, false);
    peer.send(|out| encode::continuation(out, id(1), &[], true));
    peer.assert_failed(ErrorCode::PROTOCOL_ERROR, "RFC 9113 §6.10");
}
