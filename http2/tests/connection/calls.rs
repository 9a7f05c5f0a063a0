//! Calls as they should be: what a client and a server exchange when nobody does anything wrong.

use crate::support::*;
use bytes::Bytes;
use lariat_frame::{ErrorCode, Frame, encode};
use lariat_http2::{Event, HeadersKind, SendError};

#[test]
fn a_server_answers_a_unary_call() {
    let mut peer = RawPeer::server();
    let block = peer.block(REQUEST);
    let events = peer.send(|out| {
        encode::headers(out, id(1), &block, 16_384, false);
        data(out, 1, b"hello", true);
    });
    let key = match &events[..] {
        [
            Event::Headers {
                stream, token: 0, kind: HeadersKind::Request, headers, end_stream: false, ..
            },
            Event::Data { stream: same, payload: b"hello", end_stream: true, .. },
        ] => {
            assert_eq!(stream, same);
            assert_eq!(headers.get(b":path"), Some(&b"/a.B/C"[..]));
            *stream
        }
        _ => panic!("{events:?}"),
    };
    peer.answer(key, RESPONSE, false);
    let sent =
        peer.connection.send_data_in_place(key, 5, false, &mut peer.out, &mut |out| out.extend(b"world"));
    assert!(sent);
    peer.answer(key, TRAILERS, true);
    let frames = peer.frames();
    assert!(
        matches!(
            frames[..],
            [
                Frame::Headers { end_stream: false, .. },
                Frame::Data { payload: b"world", end_stream: false, .. },
                Frame::Headers { end_stream: true, .. },
            ]
        ),
        "{frames:?}"
    );
    assert_eq!(peer.connection.active_streams(), 0);
    assert_eq!(
        peer.connection.send_data(key, Bytes::new(), true, &mut peer.out),
        Err(SendError::Gone),
        "both sides have ended the stream"
    );
}

/// What a server makes of these octets, if it takes content behind its head or not: the events and all that can be seen
/// of it. Whether it has taken any.
fn made_of(octets: &[u8], takes_content: bool) -> (String, bool) {
    let mut peer = RawPeer::server();
    let (mut events, mut rest, mut has_taken) = (Vec::new(), octets, false);
    while let Some(event) = peer.connection.handle_input(peer.now, &mut rest, &mut peer.out) {
        events.push(format!("{event:?}"));
        if takes_content
            && let Event::Headers { stream, .. } = event
            && let Some(payload) = peer.connection.take_content(stream, &mut rest, &mut peer.out)
        {
            has_taken = true;
            events.push(format!("{:?}", Event::Data { stream, token: 0, payload, end_stream: true }));
        }
    }
    let connection = &peer.connection;
    let state =
        format!("{:?} {:?} {}", connection.stats(), connection.flow_control(), connection.active_streams());
    (format!("{events:#?} {state} {} {:?}", rest.len(), peer.frames()), has_taken)
}

#[test]
fn content_behind_its_head_is_taken_as_an_event_would_bring_it_and_all_else_is_left() {
    type Write = fn(&mut Vec<u8>);
    let cases: [(&str, Write, bool); 13] = [
        ("", |out| data(out, 1, b"hello", true), true),
        ("5", |out| data(out, 1, b"hello", true), true),
        ("", |out| (0..4).for_each(|n| data(out, 1, &[n; 16_384], n == 3)), false),
        ("", |out| data(out, 1, &[7; 16_384], true), true),
        // More may follow, or none is there.
        ("", |out| data(out, 1, b"hello", false), false),
        ("", |out| data(out, 1, b"", true), false),
        ("", |out| out.extend(b"\0\0\x05\0\x01\0\0\0\x01hell"), false),
        ("", |_| {}, false),
        // Padding, another stream, another kind of frame.
        ("", |out| out.extend(b"\0\0\x03\0\x09\0\0\0\x01\x01h\0"), false),
        ("", |out| data(out, 3, b"hello", true), false),
        ("", |out| encode::rst_stream(out, id(1), ErrorCode::CANCEL), false),
        // Against a rule.
        ("4", |out| data(out, 1, b"hello", true), false),
        ("", |out| data(out, 1, &[7; 16_385], true), false),
    ];
    for (number, (content_length, write, is_taken)) in cases.into_iter().enumerate() {
        let length = [("content-length", content_length)];
        let fields = [REQUEST, if content_length.is_empty() { &[] } else { &length }].concat();
        let block = RawPeer::server().block(&fields);
        let mut octets = Vec::new();
        encode::headers(&mut octets, id(1), &block, 16_384, false);
        write(&mut octets);
        let (by_events, _) = made_of(&octets, false);
        assert_eq!(made_of(&octets, true), (by_events, is_taken), "case {number}");
    }
}

#[test]
fn a_client_makes_a_unary_call() {
    let mut peer = RawPeer::client();
    let key = peer.open(false);
    peer.connection.set_token(key, 7);
    peer.connection.send_data(key, Bytes::from_static(b"hello"), true, &mut peer.out).unwrap();
    let frames = peer.frames();
    assert!(
        matches!(
            frames[..],
            [Frame::Headers { .. }, Frame::Data { payload: b"hello", end_stream: true, .. }]
        ),
        "{frames:?}"
    );
    let (head, trailers) = (peer.block(RESPONSE), peer.block(TRAILERS));
    let events = peer.send(|out| {
        encode::headers(out, id(1), &head, 16_384, false);
        data(out, 1, b"world", false);
        encode::headers(out, id(1), &trailers, 16_384, true);
    });
    assert!(
        matches!(
            events[..],
            [
                Event::Headers { token: 7, kind: HeadersKind::Response, end_stream: false, .. },
                Event::Data { token: 7, payload: b"world", end_stream: false, .. },
                Event::Headers { token: 7, kind: HeadersKind::Trailers, end_stream: true, .. },
            ]
        ),
        "{events:?}"
    );
    assert_eq!(peer.connection.active_streams(), 0);
    peer.assert_quiet();
}

#[test]
fn a_server_that_answers_early_tells_the_client_to_stop() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    peer.answer(key, &[(":status", "200"), ("grpc-status", "12")], true);
    let frames = peer.frames();
    assert!(
        matches!(
            frames[..],
            [Frame::Headers { end_stream: true, .. }, Frame::RstStream { code: ErrorCode::NO_ERROR, .. }]
        ),
        "{frames:?}"
    );
    assert_eq!(peer.connection.active_streams(), 0);
    // What the client had sent before it knew is ignored, whatever it is.
    assert!(peer.send_data(1, b"late", true).is_empty());
    assert!(peer.send_headers(1, TRAILERS, true).is_empty());
    peer.assert_quiet();
}

/// A server that has answered a request that isn't complete, and lets the client end it.
fn lingering() -> RawPeer {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    peer.connection.linger(key);
    peer.answer(key, &[(":status", "405")], false);
    peer.connection.send_data(key, Bytes::from_static(b"POST alone"), true, &mut peer.out).unwrap();
    let frames = peer.frames();
    assert!(
        matches!(frames[..], [Frame::Headers { .. }, Frame::Data { end_stream: true, .. }]),
        "{frames:?}"
    );
    assert_eq!(peer.connection.active_streams(), 1);
    peer
}

#[test]
fn a_client_may_end_a_request_that_was_answered_early() {
    let mut peer = lingering();
    peer.send_data(1, b"late", false);
    peer.send_data(1, b"later", true);
    peer.assert_quiet();
    assert_eq!(peer.connection.active_streams(), 0);
    let mut peer = lingering();
    peer.send(|out| encode::rst_stream(out, id(1), ErrorCode::CANCEL));
    peer.assert_quiet();
    assert_eq!(peer.connection.active_streams(), 0);
}

#[test]
fn a_request_that_was_answered_early_is_still_held_to_the_rules() {
    let mut peer = lingering();
    peer.send_headers(1, TRAILERS, false);
    peer.assert_reset(1, ErrorCode::PROTOCOL_ERROR);
    let mut peer = lingering();
    peer.send_data(1, b"late", true);
    peer.send_data(1, b"after the end", true);
    peer.assert_failed(ErrorCode::STREAM_CLOSED, "RFC 9113 §5.1");
}

#[test]
fn a_shutdown_does_not_wait_for_requests_that_were_answered() {
    let mut peer = lingering();
    peer.connection.shutdown(peer.now, "graceful_stop", &mut peer.out);
    peer.send(|out| encode::ping(out, true, [1, 6, 1, 8, 0, 3, 3, 9]));
    assert!(peer.connection.is_closed());
}

#[test]
fn a_client_that_is_answered_early_stops() {
    let mut peer = RawPeer::client();
    let key = peer.open(false);
    peer.frames();
    let events = peer.send_headers(1, &[(":status", "200"), ("grpc-status", "12")], true);
    assert!(matches!(events[..], [Event::Headers { end_stream: true, .. }]), "{events:?}");
    peer.assert_reset(1, ErrorCode::NO_ERROR);
    assert_eq!(peer.connection.send_data(key, Bytes::new(), true, &mut peer.out), Err(SendError::Gone));
    assert!(peer.send(|out| encode::rst_stream(out, id(1), ErrorCode::NO_ERROR)).is_empty());
    peer.assert_quiet();
}

#[test]
fn trailers_wait_for_the_data_before_them() {
    let mut peer = RawPeer::new_server(Default::default()).shake_hands(&[(4, 10)]);
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, false);
    peer.connection.send_data(key, Bytes::from_static(b"0123456789abcde"), false, &mut peer.out).unwrap();
    peer.answer(key, TRAILERS, true);
    peer.settle();
    let frames = peer.frames();
    assert!(
        matches!(frames[..], [Frame::Headers { .. }, Frame::Data { payload: b"0123456789", .. }]),
        "{frames:?}"
    );
    assert_eq!(
        peer.connection.send_data(key, Bytes::from_static(b"more"), false, &mut peer.out),
        Err(SendError::Ended)
    );
    peer.send(|out| encode::window_update(out, id(1), 100));
    let frames = peer.frames();
    assert!(
        matches!(
            frames[..],
            [
                Frame::Data { payload: b"abcde", end_stream: false, .. },
                Frame::Headers { end_stream: true, .. }
            ]
        ),
        "{frames:?}"
    );
    assert_eq!(peer.connection.active_streams(), 0);
}

#[test]
fn a_known_header_block_is_the_same_list_again() {
    let mut peer = RawPeer::server();
    let mut lists = Vec::new();
    for stream in [1, 3, 5, 7] {
        let events = peer.send_headers(stream, REQUEST, true);
        let [Event::Headers { headers, .. }] = &events[..] else { panic!("{events:?}") };
        lists.push(headers.clone());
    }
    // The first fills the table, the second is all indices and kept, the others are known.
    assert!(std::sync::Arc::ptr_eq(&lists[1], &lists[2]) && std::sync::Arc::ptr_eq(&lists[1], &lists[3]));
    assert_eq!(peer.connection.stats().header_blocks_recognised, 2);
    assert_eq!(lists[0], lists[3]);
}

#[test]
fn a_known_header_block_is_known_for_its_table_and_its_place_only() {
    let mut peer = RawPeer::server();
    let newest_entry = [0x80 | 62];
    let trailers = |peer: &mut RawPeer, stream| {
        let block = newest_entry;
        let events = peer.send(|out| encode::headers(out, id(stream), &block, 16_384, true));
        let [Event::Headers { headers, .. }] = &events[..] else { panic!("{events:?}") };
        headers.clone()
    };
    for stream in [1, 3, 5, 7] {
        peer.request(stream, false);
    }
    peer.send_headers(1, &[("x-a", "1")], true);
    assert_eq!(trailers(&mut peer, 3).get(b"x-a"), Some(&b"1"[..]));
    // The same block after the table has changed.
    peer.send_headers(5, &[("x-b", "2")], true);
    assert_eq!(trailers(&mut peer, 7).get(b"x-b"), Some(&b"2"[..]));
    // The block of a request, by now well known, as trailers.
    let key = peer.request(9, false);
    peer.request(11, false);
    let events = peer.send_headers(9, REQUEST, true);
    assert_reset_event(&events, key, ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn a_response_needs_its_head_first_and_trailers_end_it() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, true);
    let data = Bytes::from_static(b"x");
    assert_eq!(peer.connection.send_data(key, data, false, &mut peer.out), Err(SendError::HeadMissing));
    assert!(!peer.connection.send_data_in_place(key, 1, false, &mut peer.out, &mut |out| out.push(0)));
    peer.answer(key, RESPONSE, false);
    let trailers = list(TRAILERS);
    assert_eq!(
        peer.connection.send_headers(key, (&trailers).into(), false, &mut peer.out),
        Err(SendError::TrailersWithoutEnd)
    );
}

#[test]
fn interim_responses_come_before_the_final_one() {
    let mut peer = RawPeer::client();
    peer.open(true);
    for status in ["100", "103"] {
        let events = peer.send_headers(1, &[(":status", status)], false);
        assert!(
            matches!(events[..], [Event::Headers { kind: HeadersKind::Informational, .. }]),
            "{events:?}"
        );
    }
    let events = peer.send_headers(1, RESPONSE, true);
    assert!(matches!(events[..], [Event::Headers { kind: HeadersKind::Response, .. }]), "{events:?}");
}

#[test]
fn input_may_come_octet_by_octet() {
    let mut peer = RawPeer::server();
    let block = peer.block(REQUEST);
    let mut octets = Vec::new();
    encode::headers(&mut octets, id(1), &block, 16_384, false);
    data(&mut octets, 1, b"hello", true);
    let mut events = Vec::new();
    let mut pending = Vec::new();
    for octet in octets {
        pending.push(octet);
        let mut input: &'static [u8] = pending.clone().leak();
        events.extend(peer.connection.handle_input(peer.now, &mut input, &mut peer.out));
        pending = input.to_vec();
    }
    assert!(pending.is_empty());
    assert!(
        matches!(events[..], [Event::Headers { .. }, Event::Data { payload: b"hello", .. }]),
        "{events:?}"
    );
}
