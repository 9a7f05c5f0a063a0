//! RFC 9113 §4: frames in general; §5.5: extensions.

use crate::support::*;
use lariat_frame::{ErrorCode, Frame, encode, kind, setting};
use lariat_http2::{Config, Event};

#[test]
fn unknown_frame_types_are_ignored() {
    let mut peer = RawPeer::server();
    for kind in [0x0a, 0x0b, 0x10, 0x4d, 0xff] {
        let events = peer.send(|out| {
            encode::frame_header(out, 3, kind, 0xff, id(9));
            out.extend(b"abc");
        });
        assert!(events.is_empty());
    }
    peer.assert_quiet();
}

#[test]
fn a_frame_over_the_limit_is_refused_by_its_header() {
    let mut peer = RawPeer::server();
    peer.send(|out| encode::frame_header(out, 16_385, kind::DATA, 0, id(1)));
    peer.assert_failed(ErrorCode::FRAME_SIZE_ERROR, "RFC 9113 §4.2");
}

#[test]
fn a_larger_limit_is_announced_and_kept() {
    let config = Config { max_frame_size: 20_000, ..Config::default() };
    let mut peer = RawPeer::new_server(config);
    let frames = peer.frames();
    let Frame::Settings { entries, .. } = &frames[0] else { panic!("{frames:?}") };
    assert!(entries.clone().any(|entry| entry == (setting::MAX_FRAME_SIZE, 20_000)));
    let mut peer = peer.shake_hands(&[]);
    peer.request(1, false);
    let events = peer.send_data(1, &[0; 20_000], false);
    assert!(matches!(events[..], [Event::Data { payload: [_, ..], .. }]), "{events:?}");
    peer.send(|out| encode::frame_header(out, 20_001, kind::DATA, 0, id(1)));
    peer.assert_failed(ErrorCode::FRAME_SIZE_ERROR, "RFC 9113 §4.2");
}

#[test]
fn frames_sent_are_16_kib_at_most_whatever_the_peer_offers() {
    let mut peer = RawPeer::new_server(Config::default())
        .shake_hands(&[(setting::MAX_FRAME_SIZE, 1 << 20), (setting::INITIAL_WINDOW_SIZE, 1 << 20)]);
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, false);
    peer.connection.send_data(key, vec![0; 40_000].into(), true, &mut peer.out).unwrap();
    let sizes: Vec<usize> = (peer.frames().iter())
        .filter_map(|frame| if let Frame::Data { payload, .. } = frame { Some(payload.len()) } else { None })
        .collect();
    assert_eq!(sizes, [16_384, 16_384, 40_000 - 2 * 16_384]);
}

#[test]
fn a_block_that_cannot_be_decoded_is_a_compression_error() {
    let mut peer = RawPeer::server();
    // An index beyond both tables.
    peer.send(|out| encode::headers(out, id(1), &[0xfe], 16_384, true));
    let reason = peer.connection.close_reason().expect("the tables differ now").clone();
    assert_eq!(reason.code, ErrorCode::COMPRESSION_ERROR);
    assert!(reason.section.starts_with("RFC 7541"), "{reason}");
}

#[test]
fn blocks_of_refused_and_closed_streams_still_count_for_the_table() {
    let config = Config { max_concurrent_streams: Some(1), ..Config::default() };
    let mut peer = RawPeer::server_with(config);
    let first = peer.request(1, false);
    // Refused, with a field that only this block adds to the table.
    peer.send_headers(3, &[REQUEST, &[("x-only-here", "refused")]].concat(), true);
    peer.assert_reset(3, ErrorCode::REFUSED_STREAM);
    // Trailers for a stream that was reset.
    peer.connection.reset(first, ErrorCode::CANCEL, &mut peer.out);
    peer.send_headers(1, &[("x-also-here", "reset")], true);
    let fields = [REQUEST, &[("x-only-here", "refused"), ("x-also-here", "reset")]].concat();
    let events = peer.send_headers(5, &fields, true);
    let [Event::Headers { headers, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(headers.get(b"x-only-here"), Some(&b"refused"[..]));
    assert_eq!(headers.get(b"x-also-here"), Some(&b"reset"[..]));
}

#[test]
fn header_lists_sent_are_split_into_frames() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, true);
    let value = "~".repeat(20_000);
    peer.answer(key, &[(":status", "200"), ("x-long", &value)], true);
    let frames = peer.frames();
    assert!(
        matches!(
            frames[..],
            [
                Frame::Headers { end_headers: false, end_stream: true, .. },
                Frame::Continuation { end_headers: true, .. }
            ]
        ),
        "{frames:?}"
    );
}
