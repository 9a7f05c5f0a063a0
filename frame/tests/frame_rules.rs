//! Every rule of RFC 9113 §4 and §6 that one frame can break by its size, padding or stream identifier.

use lariat_frame::{
    DEFAULT_MAX_FRAME_SIZE, ErrorCode, FRAME_HEADER_LEN, Frame, FrameError, Scope, StreamId, decode, encode,
    flag, kind,
};

const STREAM: StreamId = StreamId::new(3);

fn raw(kind: u8, flags: u8, stream: StreamId, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode::frame_header(&mut out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
    out
}

#[track_caller]
fn error(kind: u8, flags: u8, stream: StreamId, payload: &[u8]) -> FrameError {
    let octets = raw(kind, flags, stream, payload);
    let error = decode(&octets, DEFAULT_MAX_FRAME_SIZE).expect_err("the frame breaks a rule");
    match error.scope {
        Scope::Connection => assert_eq!(error.consumed, 0),
        Scope::Stream(id) => assert_eq!((id, error.consumed), (stream, octets.len())),
    }
    error
}

#[track_caller]
fn costs_the_connection(
    code: ErrorCode,
    section: &str,
    kind: u8,
    flags: u8,
    stream: StreamId,
    payload: &[u8],
) {
    let error = error(kind, flags, stream, payload);
    assert_eq!((error.scope, error.code), (Scope::Connection, code), "{error}");
    assert_eq!(error.section, format!("RFC 9113 {section}"));
}

#[track_caller]
fn costs_the_stream(code: ErrorCode, section: &str, kind: u8, flags: u8, payload: &[u8]) {
    let error = error(kind, flags, STREAM, payload);
    assert_eq!((error.scope, error.code), (Scope::Stream(STREAM), code), "{error}");
    assert_eq!(error.section, format!("RFC 9113 {section}"));
}

#[test]
fn a_frame_over_the_limit_is_reported_before_its_payload_is_there() {
    for kind in 0..=kind::CONTINUATION + 1 {
        let mut header = Vec::new();
        encode::frame_header(&mut header, DEFAULT_MAX_FRAME_SIZE as usize + 1, kind, 0, STREAM);
        let error = decode(&header, DEFAULT_MAX_FRAME_SIZE).unwrap_err();
        assert_eq!((error.scope, error.code), (Scope::Connection, ErrorCode::FRAME_SIZE_ERROR));
        assert_eq!(error.section, "RFC 9113 §4.2");
        assert_eq!(decode(&header, DEFAULT_MAX_FRAME_SIZE + 1), Ok(None));
    }
}

#[test]
fn an_incomplete_frame_is_waited_for() {
    let octets = raw(kind::PING, 0, StreamId::ZERO, b"abcdefgh");
    for len in 0..octets.len() {
        assert_eq!(decode(&octets[..len], DEFAULT_MAX_FRAME_SIZE), Ok(None), "{len} octets");
    }
    let longer = [&octets[..], b"rest"].concat();
    let expected = Frame::Ping { ack: false, payload: *b"abcdefgh" };
    assert_eq!(decode(&longer, DEFAULT_MAX_FRAME_SIZE), Ok(Some((expected, FRAME_HEADER_LEN + 8))));
}

#[test]
fn frames_of_a_stream_are_errors_of_the_connection_on_stream_0() {
    let cases: [(u8, &str, &[u8]); 6] = [
        (kind::DATA, "§6.1", b""),
        (kind::HEADERS, "§6.2", b""),
        (kind::PRIORITY, "§6.3", &[0; 5]),
        (kind::RST_STREAM, "§6.4", &[0; 4]),
        (kind::PUSH_PROMISE, "§6.6", &[0, 0, 0, 2]),
        (kind::CONTINUATION, "§6.10", b""),
    ];
    for (kind, section, payload) in cases {
        costs_the_connection(ErrorCode::PROTOCOL_ERROR, section, kind, 0, StreamId::ZERO, payload);
    }
}

#[test]
fn frames_of_the_connection_are_errors_of_the_connection_on_a_stream() {
    let cases: [(u8, &str, &[u8]); 3] =
        [(kind::SETTINGS, "§6.5", b""), (kind::PING, "§6.7", &[0; 8]), (kind::GOAWAY, "§6.8", &[0; 8])];
    for (kind, section, payload) in cases {
        costs_the_connection(ErrorCode::PROTOCOL_ERROR, section, kind, 0, STREAM, payload);
    }
}

#[test]
fn data_padded_beyond_its_payload_is_an_error_of_the_connection() {
    for payload in [&[1][..], &[5, 0, 0, 0, 0], &[255]] {
        costs_the_connection(ErrorCode::PROTOCOL_ERROR, "§6.1", kind::DATA, flag::PADDED, STREAM, payload);
    }
}

#[test]
fn padded_data_without_a_pad_length_is_a_size_error_of_its_stream() {
    costs_the_stream(ErrorCode::FRAME_SIZE_ERROR, "§6.1", kind::DATA, flag::PADDED, b"");
}

#[test]
fn data_that_is_all_padding_is_right() {
    let octets = raw(kind::DATA, flag::PADDED | flag::END_STREAM, STREAM, &[4, 0, 0, 0, 0]);
    let expected = Frame::Data { stream: STREAM, payload: b"", padding: 5, end_stream: true };
    assert_eq!(decode(&octets, DEFAULT_MAX_FRAME_SIZE), Ok(Some((expected, octets.len()))));
}

#[test]
fn the_longest_padding_is_counted_with_its_length_octet() {
    let mut octets = Vec::new();
    encode::data_padded(&mut octets, STREAM, b"x", 255, false);
    let expected = Frame::Data { stream: STREAM, payload: b"x", padding: 256, end_stream: false };
    assert_eq!(decode(&octets, DEFAULT_MAX_FRAME_SIZE), Ok(Some((expected, octets.len()))));
}

#[test]
fn headers_padded_beyond_their_payload_are_an_error_of_the_connection() {
    let both = flag::PADDED | flag::PRIORITY;
    costs_the_connection(ErrorCode::PROTOCOL_ERROR, "§6.2", kind::HEADERS, flag::PADDED, STREAM, &[2, 0]);
    // The priority fields aren't there to be padding.
    costs_the_connection(
        ErrorCode::PROTOCOL_ERROR,
        "§6.2",
        kind::HEADERS,
        both,
        STREAM,
        &[2, 0, 0, 0, 0, 0, 0],
    );
}

#[test]
fn headers_too_short_for_what_their_flags_announce_are_a_size_error_of_the_connection() {
    let both = flag::PADDED | flag::PRIORITY;
    let cases: [(u8, &[u8]); 4] =
        [(flag::PADDED, b""), (flag::PRIORITY, &[0; 4]), (both, b""), (both, &[0; 5])];
    for (flags, payload) in cases {
        costs_the_connection(ErrorCode::FRAME_SIZE_ERROR, "§6.2", kind::HEADERS, flags, STREAM, payload);
    }
}

#[test]
fn a_priority_of_another_size_is_an_error_of_its_stream() {
    for payload in [&[0; 4][..], &[0; 6], &[]] {
        costs_the_stream(ErrorCode::FRAME_SIZE_ERROR, "§6.3", kind::PRIORITY, 0, payload);
    }
}

#[test]
fn a_rst_stream_of_another_size_is_an_error_of_the_connection() {
    for payload in [&[0; 3][..], &[0; 5], &[]] {
        costs_the_connection(ErrorCode::FRAME_SIZE_ERROR, "§6.4", kind::RST_STREAM, 0, STREAM, payload);
    }
}

#[test]
fn settings_that_are_no_multiple_of_six_or_acknowledge_with_entries_are_size_errors() {
    for (flags, payload) in [(0, &[0; 5][..]), (0, &[0; 7]), (flag::ACK, &[0; 6]), (flag::ACK, &[0; 1])] {
        costs_the_connection(
            ErrorCode::FRAME_SIZE_ERROR,
            "§6.5",
            kind::SETTINGS,
            flags,
            StreamId::ZERO,
            payload,
        );
    }
}

#[test]
fn a_push_promise_too_short_or_padded_too_far_is_an_error_of_the_connection() {
    let cases: [(ErrorCode, u8, &[u8]); 4] = [
        (ErrorCode::FRAME_SIZE_ERROR, 0, &[0; 3]),
        (ErrorCode::FRAME_SIZE_ERROR, flag::PADDED, b""),
        (ErrorCode::FRAME_SIZE_ERROR, flag::PADDED, &[0; 4]),
        (ErrorCode::PROTOCOL_ERROR, flag::PADDED, &[1, 0, 0, 0, 2]),
    ];
    for (code, flags, payload) in cases {
        costs_the_connection(code, "§6.6", kind::PUSH_PROMISE, flags, STREAM, payload);
    }
}

#[test]
fn a_ping_with_the_wrong_size_is_a_frame_size_error() {
    for payload in [&[0; 7][..], &[0; 9], &[]] {
        costs_the_connection(ErrorCode::FRAME_SIZE_ERROR, "§6.7", kind::PING, 0, StreamId::ZERO, payload);
    }
}

#[test]
fn a_goaway_shorter_than_its_fields_is_a_frame_size_error() {
    for payload in [&[0; 7][..], &[]] {
        costs_the_connection(ErrorCode::FRAME_SIZE_ERROR, "§6.8", kind::GOAWAY, 0, StreamId::ZERO, payload);
    }
}

#[test]
fn a_window_update_of_another_size_is_an_error_of_the_connection_on_any_stream() {
    for stream in [StreamId::ZERO, STREAM] {
        for payload in [&[0; 3][..], &[0; 5], &[]] {
            costs_the_connection(
                ErrorCode::FRAME_SIZE_ERROR,
                "§6.9",
                kind::WINDOW_UPDATE,
                0,
                stream,
                payload,
            );
        }
    }
}

#[test]
fn a_window_update_by_zero_costs_what_its_window_belongs_to() {
    for zero in [[0; 4], [0x80, 0, 0, 0]] {
        costs_the_stream(ErrorCode::PROTOCOL_ERROR, "§6.9", kind::WINDOW_UPDATE, 0, &zero);
        costs_the_connection(
            ErrorCode::PROTOCOL_ERROR,
            "§6.9",
            kind::WINDOW_UPDATE,
            0,
            StreamId::ZERO,
            &zero,
        );
    }
}

#[test]
fn reserved_bits_are_ignored() {
    let mut octets = raw(kind::WINDOW_UPDATE, 0xff, STREAM, &[0xff; 4]);
    octets[5] |= 0x80;
    let expected = Frame::WindowUpdate { stream: STREAM, increment: 0x7fff_ffff };
    assert_eq!(decode(&octets, DEFAULT_MAX_FRAME_SIZE), Ok(Some((expected, octets.len()))));
    let octets = raw(kind::GOAWAY, 0, StreamId::ZERO, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2, b'!']);
    let expected = Frame::GoAway { last_stream: StreamId::MAX, code: ErrorCode::INTERNAL_ERROR, debug: b"!" };
    assert_eq!(decode(&octets, DEFAULT_MAX_FRAME_SIZE), Ok(Some((expected, octets.len()))));
}

#[test]
fn flags_that_a_type_does_not_define_are_ignored() {
    let octets = raw(kind::RST_STREAM, 0xff, STREAM, &[0, 0, 0, 8]);
    let expected = Frame::RstStream { stream: STREAM, code: ErrorCode::CANCEL };
    assert_eq!(decode(&octets, DEFAULT_MAX_FRAME_SIZE), Ok(Some((expected, octets.len()))));
    let octets = raw(kind::CONTINUATION, !flag::END_HEADERS, STREAM, &[9, 9]);
    let expected = Frame::Continuation { stream: STREAM, fragment: &[9, 9], end_headers: false };
    assert_eq!(decode(&octets, DEFAULT_MAX_FRAME_SIZE), Ok(Some((expected, octets.len()))));
}

#[test]
fn a_type_nobody_knows_is_handed_on_on_any_stream_and_of_any_length() {
    for stream in [StreamId::ZERO, STREAM] {
        for payload in [&b""[..], b"x", &[7; 1000]] {
            let octets = raw(0xbe, 0xff, stream, payload);
            let expected = Frame::Unknown { kind: 0xbe, stream, payload };
            assert_eq!(decode(&octets, DEFAULT_MAX_FRAME_SIZE), Ok(Some((expected, octets.len()))));
        }
    }
}

#[test]
fn an_error_says_who_what_and_where() {
    let error = error(kind::PING, 0, STREAM, &[0; 8]);
    assert_eq!(error.to_string(), "peer error PROTOCOL_ERROR: PING on a stream (RFC 9113 §6.7)");
}
