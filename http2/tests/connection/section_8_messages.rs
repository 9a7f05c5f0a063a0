//! RFC 9113 §8.1 to §8.3, §8.5: the parts of messages and their fields.

use crate::support::*;
use lariat_frame::ErrorCode;
use lariat_http2::{Event, HeadersKind, Initiator};

/// A request with these fields is malformed: its stream is reset, for this section.
#[track_caller]
fn assert_bad_request(fields: &[(&str, &str)]) {
    let mut peer = RawPeer::server();
    let events = peer.send_headers(1, fields, true);
    assert!(events.is_empty(), "{events:?}");
    peer.assert_reset(1, ErrorCode::PROTOCOL_ERROR);
    // The connection goes on.
    peer.request(3, true);
}

/// A response with these fields is malformed.
#[track_caller]
fn assert_bad_response(fields: &[(&str, &str)]) {
    let mut peer = RawPeer::client();
    let key = peer.open(true);
    let events = peer.send_headers(1, fields, false);
    assert_reset_event(&events, key, ErrorCode::PROTOCOL_ERROR);
    peer.assert_reset(1, ErrorCode::PROTOCOL_ERROR);
}

fn with<'a>(fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [REQUEST, fields].concat()
}

fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    REQUEST.iter().copied().filter(|field| field.0 != name).collect()
}

#[test]
fn what_follows_a_malformed_request_is_ignored() {
    let mut peer = RawPeer::server();
    assert!(peer.send_headers(1, &without(":path"), false).is_empty());
    peer.assert_reset(1, ErrorCode::PROTOCOL_ERROR);
    assert!(peer.send_data(1, b"x", false).is_empty());
    assert!(peer.send_headers(1, TRAILERS, true).is_empty());
    peer.assert_quiet();
}

#[test]
fn trailers_must_end_the_stream() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    let events = peer.send_headers(1, TRAILERS, false);
    assert_reset_event(&events, key, ErrorCode::PROTOCOL_ERROR);
    peer.assert_reset(1, ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn trailers_of_a_request_are_trailers() {
    let mut peer = RawPeer::server();
    peer.request(1, false);
    let events = peer.send_headers(1, TRAILERS, true);
    assert!(
        matches!(events[..], [Event::Headers { kind: HeadersKind::Trailers, end_stream: true, .. }]),
        "{events:?}"
    );
}

#[test]
fn trailers_have_no_pseudo_header_fields() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    let events = peer.send_headers(1, REQUEST, true);
    assert_reset_event(&events, key, ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn a_response_begins_with_its_head() {
    let mut peer = RawPeer::client();
    let key = peer.open(true);
    let events = peer.send_data(1, b"x", false);
    assert_reset_event(&events, key, ErrorCode::PROTOCOL_ERROR);
    assert!(matches!(events[..], [Event::Reset { by: Initiator::Library(rule), .. }]
        if rule == "DATA before the response's HEADERS"));
}

#[test]
fn an_interim_response_does_not_end_the_stream() {
    let mut peer = RawPeer::client();
    let key = peer.open(true);
    let events = peer.send_headers(1, &[(":status", "100")], true);
    assert_reset_event(&events, key, ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn content_length_must_be_what_comes() {
    // More, less, and less by trailers.
    for (payload, by_trailers) in [(&b"123456"[..], false), (b"1234", false), (b"1234", true)] {
        let mut peer = RawPeer::server();
        let [Event::Headers { stream: key, .. }] =
            peer.send_headers(1, &with(&[("content-length", "5")]), false)[..]
        else {
            panic!("the request is well-formed");
        };
        let events = if by_trailers {
            peer.send_data(1, payload, false);
            peer.send_headers(1, TRAILERS, true)
        } else {
            peer.send_data(1, payload, true)
        };
        assert_reset_event(&events, key, ErrorCode::PROTOCOL_ERROR);
    }
    let mut peer = RawPeer::server();
    peer.send_headers(1, &with(&[("content-length", "5")]), false);
    peer.send_data(1, b"12", false);
    let events = peer.send_data(1, b"345", true);
    assert!(matches!(events[..], [Event::Data { end_stream: true, .. }]), "{events:?}");
}

#[test]
fn content_length_must_be_0_when_nothing_comes() {
    assert_bad_request(&with(&[("content-length", "5")]));
    let mut peer = RawPeer::client();
    let key = peer.open(true);
    let events = peer.send_headers(1, &[(":status", "200"), ("content-length", "5")], true);
    assert_reset_event(&events, key, ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn content_length_is_one_number() {
    for value in ["", "x", "-1", "+1", "1,1", "99999999999999999999999"] {
        assert_bad_request(&with(&[("content-length", value)]));
    }
    assert_bad_request(&with(&[("content-length", "0"), ("content-length", "1")]));
    let mut peer = RawPeer::server();
    let events = peer.send_headers(1, &with(&[("content-length", "0"), ("content-length", "0")]), true);
    assert!(matches!(events[..], [Event::Headers { .. }]), "{events:?}");
}

#[test]
fn some_responses_have_no_content_whatever_they_say() {
    for status in ["204", "304"] {
        let mut peer = RawPeer::client();
        peer.open(true);
        let events = peer.send_headers(1, &[(":status", status), ("content-length", "5")], true);
        assert!(matches!(events[..], [Event::Headers { .. }]), "{events:?}");
    }
    let mut peer = RawPeer::client();
    let head = list(&[(":method", "HEAD"), (":scheme", "http"), (":path", "/")]);
    peer.connection.open(peer.now, (&head).into(), true, &mut peer.out).unwrap();
    let events = peer.send_headers(1, &[(":status", "200"), ("content-length", "5")], true);
    assert!(matches!(events[..], [Event::Headers { .. }]), "{events:?}");
}

#[test]
fn field_names_are_lower_case_tokens() {
    for name in ["", "X-Upper", "with space", "nul\0", "colon:inside", "h\u{e4}", "del\x7f", "tab\t"] {
        assert_bad_request(&with(&[(name, "value")]));
    }
}

#[test]
fn field_values_have_no_line_ends_and_no_blanks_around() {
    for value in ["nul\0", "cr\rlf", "lf\n", " leading", "trailing ", "\ttab", "tab\t", " "] {
        assert_bad_request(&with(&[("x-value", value)]));
        assert_bad_response(&[(":status", "200"), ("x-value", value)]);
    }
}

#[test]
fn field_values_may_be_empty_or_beyond_ascii() {
    let mut peer = RawPeer::server();
    let events =
        peer.send_headers(1, &with(&[("x-empty", ""), ("x-latin", "\u{e4}"), ("x-in", "a \t b")]), true);
    assert!(matches!(events[..], [Event::Headers { .. }]), "{events:?}");
}

#[test]
fn connection_specific_fields_are_malformed() {
    for name in ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"] {
        assert_bad_request(&with(&[(name, "x")]));
        assert_bad_response(&[(":status", "200"), (name, "x")]);
    }
}

#[test]
fn te_is_trailers_or_nothing() {
    assert_bad_request(&with(&[("te", "gzip")]));
    assert_bad_request(&with(&[("te", "trailers, deflate;q=0.5")]));
    let mut peer = RawPeer::server();
    let events = peer.send_headers(1, &with(&[("te", "trailers")]), true);
    assert!(matches!(events[..], [Event::Headers { .. }]), "{events:?}");
}

#[test]
fn pseudo_header_fields_come_first_and_once() {
    assert_bad_request(&[&[("x-first", "1")], REQUEST].concat());
    for &field in REQUEST {
        assert_bad_request(&with(&[field]));
        assert_bad_request(&[REQUEST, &[field]].concat());
    }
    assert_bad_response(&[("x-first", "1"), (":status", "200")]);
    assert_bad_response(&[(":status", "200"), (":status", "200")]);
}

#[test]
fn only_the_pseudo_header_fields_of_the_rfc_are_known() {
    assert_bad_request(&[REQUEST, &[(":unknown", "x")]].concat());
    assert_bad_request(&[REQUEST, &[(":status", "200")]].concat());
    assert_bad_request(&[REQUEST, &[(":protocol", "websocket")]].concat());
    assert_bad_response(&[(":status", "200"), (":path", "/")]);
}

#[test]
fn a_request_has_a_method_a_scheme_and_a_path() {
    for name in [":method", ":scheme", ":path"] {
        assert_bad_request(&without(name));
    }
    assert_bad_request(&[(":method", "POST"), (":scheme", "http"), (":path", "")]);
    assert_bad_request(&[(":method", ""), (":scheme", "http"), (":path", "/")]);
    let mut peer = RawPeer::server();
    let events = peer.send_headers(1, &without(":authority"), true);
    assert!(matches!(events[..], [Event::Headers { .. }]), "{events:?}");
}

#[test]
fn connect_has_an_authority_and_neither_scheme_nor_path() {
    assert_bad_request(&[(":method", "CONNECT"), (":scheme", "http"), (":path", "/"), (":authority", "a")]);
    assert_bad_request(&[(":method", "CONNECT")]);
    let mut peer = RawPeer::server();
    let events = peer.send_headers(1, &[(":method", "CONNECT"), (":authority", "a:1")], false);
    assert!(matches!(events[..], [Event::Headers { .. }]), "{events:?}");
}

#[test]
fn a_response_has_a_status_of_three_digits() {
    assert_bad_response(&[("x-field", "1")]);
    for status in ["", "20", "2000", "abc", "099", "2 0", "+20"] {
        assert_bad_response(&[(":status", status)]);
    }
}

#[test]
fn malformed_trailers_reset_the_stream() {
    let mut peer = RawPeer::client();
    let key = peer.open(true);
    peer.send_headers(1, RESPONSE, false);
    let events = peer.send_headers(1, &[("Upper", "x")], true);
    assert_reset_event(&events, key, ErrorCode::PROTOCOL_ERROR);
    peer.assert_reset(1, ErrorCode::PROTOCOL_ERROR);
}
