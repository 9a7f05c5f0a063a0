//! Each limit by its name, with its default: what reaches it, and what follows. And what honest peers do, which
//! doesn't.

use crate::support::*;
use bytes::Bytes;
use lariat_frame::{ErrorCode, Frame, PREFACE, Priority, encode, flag, kind, setting};
use lariat_http2::{Config, Connection, Enforcement, Event, Initiator, Keepalive, Limits, Rate};
use std::time::Duration;

const CALM: ErrorCode = ErrorCode::ENHANCE_YOUR_CALM;

/// Asserts that the connection failed by a limit.
#[track_caller]
fn assert_limited(peer: &mut RawPeer, code: ErrorCode, rule: &str) {
    let reason = peer.connection.close_reason().expect("the limit is reached");
    assert_eq!((reason.code, reason.rule), (code, rule));
    assert!(matches!(peer.frames().last(), Some(Frame::GoAway { debug, .. }) if *debug == rule.as_bytes()));
}

/// Runs `attack` with growing stream identifiers until the connection fails; how often it took.
fn attack(peer: &mut RawPeer, mut attack: impl FnMut(&mut RawPeer, u32)) -> u32 {
    for count in 0..20_000 {
        if peer.connection.is_closed() {
            return count;
        }
        attack(peer, 2 * count + 1);
        peer.connection.handle_flushed();
    }
    panic!("the attack goes on without a limit");
}

#[test]
fn resets_stop_rapid_reset() {
    let mut peer = RawPeer::server();
    let times = attack(&mut peer, |peer, stream| {
        peer.send_headers(stream, REQUEST, true);
        peer.send(|out| encode::rst_stream(out, id(stream), ErrorCode::CANCEL));
    });
    assert_eq!(times, 1_001);
    assert_limited(&mut peer, CALM, "too many resets");
}

#[test]
fn resets_stop_streams_that_the_server_is_made_to_reset() {
    let faults: [fn(&mut Vec<u8>, u32); 4] = [
        |out, stream| encode::window_update(out, id(stream), (1 << 31) - 1),
        |out, stream| {
            encode::frame_header(out, 4, kind::WINDOW_UPDATE, 0, id(stream));
            out.extend([0; 4]);
        },
        |out, stream| data(out, stream, b"after the end", false),
        |out, stream| {
            encode::frame_header(out, 4, kind::PRIORITY, 0, id(stream));
            out.extend([0; 4]);
        },
    ];
    for fault in faults {
        let mut peer = RawPeer::server();
        let times = attack(&mut peer, |peer, stream| {
            peer.send_headers(stream, REQUEST, true);
            peer.send(|out| fault(out, stream));
        });
        assert_eq!(times, 1_001);
        assert_limited(&mut peer, CALM, "too many resets");
    }
}

#[test]
fn resets_stop_malformed_and_refused_requests() {
    let mut peer = RawPeer::server();
    attack(&mut peer, |peer, stream| {
        peer.send_headers(stream, &[(":method", "GET")], true);
    });
    assert_limited(&mut peer, CALM, "too many resets");
    let mut peer = RawPeer::server_with(Config { max_concurrent_streams: Some(0), ..Config::default() });
    attack(&mut peer, |peer, stream| {
        peer.send_headers(stream, REQUEST, true);
    });
    assert_limited(&mut peer, CALM, "too many resets");
}

#[test]
fn resets_leave_a_client_alone_that_cancels_half_of_many_calls() {
    let mut peer = RawPeer::server();
    for count in 0..10_000 {
        let key = peer.request(4 * count + 1, true);
        peer.request(4 * count + 3, true);
        peer.answer(key, RESPONSE, true);
        peer.send(|out| encode::rst_stream(out, id(4 * count + 3), ErrorCode::CANCEL));
        peer.frames();
    }
    assert!(!peer.connection.is_closed());
}

#[test]
fn resets_come_back_with_time() {
    let mut peer = RawPeer::server();
    for count in 0..5_000 {
        peer.request(2 * count + 1, true);
        peer.send(|out| encode::rst_stream(out, id(2 * count + 1), ErrorCode::CANCEL));
        peer.now += Duration::from_millis(10);
    }
    assert!(!peer.connection.is_closed());
}

#[test]
fn glitches_stop_frames_without_effect() {
    let glitches: [fn(&mut Vec<u8>); 4] = [
        |out| encode::priority(out, id(1), Priority { dependency: id(3), exclusive: false, weight: 1 }),
        |out| encode::frame_header(out, 0, 0xbe, 0, id(0)),
        encode::settings_ack,
        |out| encode::ping(out, true, *b"nobody's"),
    ];
    for glitch in glitches {
        let mut peer = RawPeer::server();
        assert_eq!(attack(&mut peer, |peer, _| drop(peer.send(glitch))), 10_001);
        assert_limited(&mut peer, CALM, "too many glitches");
    }
}

#[test]
fn glitches_stop_settings_and_window_updates_that_nothing_calls_for() {
    let mut peer = RawPeer::server();
    let times = attack(&mut peer, |peer, _| drop(peer.send(|out| encode::settings(out, &[]))));
    assert_eq!(times, 10_001);
    assert_limited(&mut peer, CALM, "too many glitches");
    let mut peer = RawPeer::server();
    let times = attack(&mut peer, |peer, _| drop(peer.send(|out| encode::window_update(out, id(0), 1))));
    assert_eq!(times, 10_002);
    assert_limited(&mut peer, CALM, "too many glitches");
}

#[test]
fn glitches_leave_a_client_alone_that_grants_window_for_each_frame() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, false);
    for _ in 0..20_000 {
        peer.connection.send_data(key, Bytes::from_static(b"x"), false, &mut peer.out).unwrap();
        peer.send(|out| {
            encode::window_update(out, id(0), 1);
            encode::window_update(out, id(1), 1);
        });
        peer.out.clear();
    }
    assert!(!peer.connection.is_closed(), "{:?}", peer.connection.close_reason());
}

#[test]
fn glitches_stop_frames_for_streams_that_are_gone() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    peer.connection.reset(key, ErrorCode::CANCEL, &mut peer.out);
    attack(&mut peer, |peer, _| drop(peer.send(|out| encode::window_update(out, id(1), 1))));
    assert_limited(&mut peer, CALM, "too many glitches");
}

#[test]
fn glitches_stop_headers_that_nobody_reads() {
    // Behind a reset of this side.
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    peer.connection.reset(key, ErrorCode::CANCEL, &mut peer.out);
    assert_eq!(attack(&mut peer, |peer, _| drop(peer.send_headers(1, TRAILERS, true))), 10_001);
    assert_limited(&mut peer, CALM, "too many glitches");
    // Behind the last GOAWAY.
    let mut peer = RawPeer::server();
    peer.request(1, false);
    peer.connection.shutdown(peer.now, "graceful_stop", &mut peer.out);
    peer.pass(Duration::from_secs(60));
    let times = attack(&mut peer, |peer, stream| drop(peer.send_headers(stream + 2, REQUEST, true)));
    assert_eq!(times, 10_001);
    assert_limited(&mut peer, CALM, "too many glitches");
}

#[test]
fn glitches_stop_goaways_again_and_again() {
    let mut peer = RawPeer::server();
    let times = attack(&mut peer, |peer, _| {
        drop(peer.send(|out| encode::goaway(out, id(0), ErrorCode::NO_ERROR, b"")))
    });
    assert_eq!(times, 10_002);
    assert_limited(&mut peer, CALM, "too many glitches");
}

#[test]
fn glitches_stop_answers_to_pings_that_were_not_sent() {
    // Of the estimate of the path, of a shutdown, of keepalive.
    for payload in [[2, 4, 16, 16, 9, 14, 7, 7], [1, 6, 1, 8, 0, 3, 3, 9], [0; 8]] {
        let mut peer = RawPeer::server_with(Config {
            keepalive: Keepalive { time: Some(Duration::from_secs(10)), ..Keepalive::default() },
            ..Config::default()
        });
        let times = attack(&mut peer, |peer, _| drop(peer.send(|out| encode::ping(out, true, payload))));
        assert_eq!(times, 10_001, "{payload:?}");
        assert_limited(&mut peer, CALM, "too many glitches");
    }
}

#[test]
fn answers_to_pings_that_were_sent_are_no_glitches() {
    let mut peer = RawPeer::server_with(Config {
        keepalive: Keepalive { time: Some(Duration::from_secs(10)), ..Keepalive::default() },
        ..Config::default()
    });
    peer.request(1, false);
    peer.pass(Duration::from_secs(11));
    peer.send(|out| encode::ping(out, true, [0; 8]));
    peer.connection.shutdown(peer.now, "graceful_stop", &mut peer.out);
    peer.send(|out| encode::ping(out, true, [1, 6, 1, 8, 0, 3, 3, 9]));
    assert_eq!(peer.connection.stats().glitches, 0);
}

#[test]
fn glitches_count_each_frame_that_is_held_against_the_peer() {
    let mut peer = RawPeer::server();
    for _ in 0..5 {
        peer.send(|out| encode::settings(out, &[]));
        peer.send(|out| encode::window_update(out, id(0), 1));
    }
    // The first WINDOW_UPDATE of a connection may come at any time.
    assert_eq!(peer.connection.stats().glitches, 5 + 4);
}

#[test]
fn glitches_leave_a_server_alone_whose_answers_cross_the_resets_of_its_client() {
    let mut peer = RawPeer::client();
    for _ in 0..20_000 {
        let key = peer.open(true);
        peer.connection.reset(key, ErrorCode::CANCEL, &mut peer.out);
        peer.send_headers(key.id().get(), RESPONSE, false);
        peer.send_headers(key.id().get(), TRAILERS, true);
        peer.frames();
    }
    assert!(!peer.connection.is_closed());
}

#[test]
fn glitches_leave_a_client_alone_whose_frames_cross_the_answers() {
    let mut peer = RawPeer::server();
    for count in 0..20_000 {
        let stream = 2 * count + 1;
        let key = peer.request(stream, true);
        peer.answer(key, RESPONSE, true);
        peer.send(|out| {
            encode::window_update(out, id(stream), 100);
            encode::window_update(out, id(stream), 100);
            encode::rst_stream(out, id(stream), ErrorCode::NO_ERROR);
        });
        peer.frames();
    }
    assert!(!peer.connection.is_closed());
}

#[test]
fn empty_data_run_stops_empty_data() {
    let mut peer = RawPeer::server();
    peer.request(1, false);
    assert_eq!(attack(&mut peer, |peer, _| drop(peer.send_data(1, b"", false))), 101);
    assert_limited(&mut peer, CALM, "too many empty DATA frames in a row");
}

#[test]
fn tiny_messages_are_never_too_many() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    for _ in 0..50_000 {
        let events = peer.send_data(1, b"\0\0\0\0\0", false);
        assert!(matches!(events[..], [Event::Data { .. }]), "{events:?}");
        peer.connection.release(key, 5, &mut peer.out);
        peer.out.clear();
    }
}

#[test]
fn continuations_stop_a_flood_of_them() {
    for fragment in [&b"\x40\x01a\x01b"[..], b""] {
        let mut peer = RawPeer::server();
        peer.send(|out| encode::frame_header(out, 0, kind::HEADERS, 0, id(1)));
        let times = attack(&mut peer, |peer, _| {
            peer.send(|out| encode::continuation(out, id(1), fragment, false));
        });
        assert_eq!(times, 9);
        assert_limited(&mut peer, CALM, "too many CONTINUATION frames");
    }
}

#[test]
fn header_block_octets_stop_large_blocks() {
    let mut peer = RawPeer::server();
    let fragment = [0x82; 16_384];
    peer.send(|out| encode::frame_header(out, 0, kind::HEADERS, 0, id(1)));
    let times = attack(&mut peer, |peer, _| {
        peer.send(|out| encode::continuation(out, id(1), &fragment, false));
    });
    assert_eq!(times, 5);
    assert_limited(&mut peer, CALM, "too many octets in a header block");

    let config = Config { max_frame_size: 1 << 20, ..Config::default() };
    let mut peer = RawPeer::server_with(config);
    peer.send(|out| encode::headers(out, id(1), &[0x82; 65_537], 1 << 20, true));
    assert_limited(&mut peer, CALM, "too many octets in a header block");
}

#[test]
fn a_header_list_over_its_limit_is_answered_and_not_stored() {
    let mut peer = RawPeer::server();
    let value = "~".repeat(20_000);
    let fields = [REQUEST, &[("x-long", &value), ("x-after", "still in the table")]].concat();
    assert!(peer.send_headers(1, &fields, false).is_empty());
    let frames = peer.frames();
    assert!(
        matches!(
            frames[..],
            [
                Frame::Headers { end_stream: true, fragment: [0x08, ..], .. },
                Frame::RstStream { code: ErrorCode::NO_ERROR, .. }
            ]
        ),
        "{frames:?}"
    );
    // The table has kept step.
    let events = peer.send_headers(3, &[REQUEST, &[("x-after", "still in the table")]].concat(), true);
    let [Event::Headers { headers, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(headers.get(b"x-after"), Some(&b"still in the table"[..]));
}

#[test]
fn the_answer_to_a_header_list_over_its_limit_may_be_chosen() {
    let answer = std::sync::Arc::new(list(&[(":status", "200"), ("grpc-status", "8")]));
    let mut peer = RawPeer::server_with(Config { header_list_too_large: Some(answer), ..Config::default() });
    let value = "~".repeat(20_000);
    peer.send_headers(1, &[REQUEST, &[("x-long", &value)]].concat(), true);
    let frames = peer.frames();
    let [Frame::Headers { fragment, end_stream: true, .. }] = frames[..] else { panic!("{frames:?}") };
    let mut headers = lariat_frame::hpack::HeaderList::new();
    lariat_frame::hpack::Decoder::new(4096).decode(fragment, &mut headers).unwrap();
    assert_eq!(headers.get(b"grpc-status"), Some(&b"8"[..]));
}

#[test]
fn a_header_list_over_its_limit_resets_a_clients_stream() {
    let mut peer = RawPeer::client();
    let key = peer.open(true);
    let value = "~".repeat(20_000);
    let events = peer.send_headers(1, &[(":status", "200"), ("x-long", &value)], false);
    assert_reset_event(&events, key, CALM);
    peer.assert_reset(1, CALM);
}

#[test]
fn header_list_factor_stops_hpack_bombs() {
    let mut peer = RawPeer::server();
    // One field of 3,000 octets into the table, then references to it of one octet each.
    let value = "~".repeat(3_000);
    peer.send_headers(1, &[REQUEST, &[("x-bomb", &value)]].concat(), true);
    peer.frames();
    let newest_entry = 0x80 | 62;
    peer.send(|out| encode::headers(out, id(3), &[newest_entry; 30], 16_384, true));
    assert_limited(&mut peer, CALM, "a header list far larger than allowed");
}

#[test]
fn settings_entries_stop_huge_settings() {
    let mut peer = RawPeer::server();
    peer.send(|out| encode::settings(out, &[(0xf0f0, 0); 128]));
    assert!(!peer.connection.is_closed());
    peer.send(|out| encode::settings(out, &[(0xf0f0, 0); 129]));
    assert_limited(&mut peer, CALM, "too many entries in SETTINGS");
}

#[test]
fn queued_replies_stop_a_peer_that_asks_and_does_not_read() {
    let questions: [fn(&mut Vec<u8>); 2] =
        [|out| encode::settings(out, &[]), |out| encode::ping(out, false, [7; 8])];
    for question in questions {
        let mut peer = RawPeer::client();
        for count in 0..1_000 {
            assert!(peer.connection.wants_input(), "{count}");
            peer.send(question);
        }
        assert!(!peer.connection.wants_input());
        peer.connection.handle_flushed();
        assert!(peer.connection.wants_input());
        peer.pass(Duration::from_secs(60));
        assert!(!peer.connection.is_closed(), "the replies were read");
    }
}

#[test]
fn unread_replies_timeout_ends_a_peer_that_does_not_read() {
    let mut peer = RawPeer::client();
    for _ in 0..1_000 {
        peer.send(|out| encode::ping(out, false, [7; 8]));
    }
    peer.pass(Duration::from_millis(19_999));
    assert!(!peer.connection.is_closed());
    peer.pass(Duration::from_millis(1));
    assert_limited(&mut peer, CALM, "replies that the peer doesn't read");
}

#[test]
fn unsent_output_stops_a_client_that_does_not_read_its_answers() {
    let mut peer = RawPeer::server();
    let mut stream = 1;
    while peer.connection.wants_input() {
        let key = peer.request(stream, true);
        peer.answer(key, &[(":status", "200"), ("x-long", &"~".repeat(1_000))], true);
        peer.settle();
        stream += 2;
        assert!(peer.out.len() < 500 * 1024);
    }
    assert!(peer.out.len() >= 384 * 1024);
    peer.frames();
    peer.connection.handle_flushed();
    assert!(peer.connection.wants_input());
}

#[test]
fn unsent_output_stops_within_what_one_read_has_brought() {
    let mut peer = RawPeer::server();
    let mut octets = Vec::new();
    for stream in (1..20_000).step_by(2) {
        let block = peer.block(REQUEST);
        encode::headers(&mut octets, id(stream), &block, 16_384, true);
    }
    let (mut rest, mut answered) = (&octets[..], 0);
    while !rest.is_empty() {
        while let Some(event) = peer.connection.handle_input(peer.now, &mut rest, &mut peer.out) {
            let Event::Headers { stream, .. } = event else { panic!("{event:?}") };
            peer.answer(stream, &[(":status", "200"), ("x-long", &"~".repeat(5_000))], true);
            answered += 1;
            assert!(peer.out.len() < 384 * 1024 + 6_000);
        }
        assert_eq!(peer.connection.wants_input(), rest.is_empty());
        peer.out.clear();
        peer.connection.handle_flushed();
        assert!(peer.connection.wants_input());
    }
    assert_eq!(answered, 10_000, "nothing was lost");
}

#[test]
fn output_high_water_keeps_data_in_its_queue() {
    let mut peer =
        RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 1 << 30)]);
    peer.send(|out| encode::window_update(out, id(0), 1 << 30));
    peer.frames();
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, false);
    peer.connection.send_data(key, vec![0; 1 << 20].into(), true, &mut peer.out).unwrap();
    peer.settle();
    assert!((128 * 1024..128 * 1024 + 16_384 + 200).contains(&peer.out.len()), "{}", peer.out.len());
    assert!(peer.connection.wants_input(), "DATA alone never stops the reading");
    let mut received = 0;
    while peer.connection.active_streams() > 0 || !peer.out.is_empty() {
        for frame in peer.frames() {
            if let Frame::Data { payload, .. } = frame {
                received += payload.len();
            }
        }
        peer.settle();
    }
    assert_eq!(received, 1 << 20);
}

#[test]
fn preface_timeout_ends_a_connection_that_says_nothing() {
    for octets in [&b""[..], b"PRI * HTTP", PREFACE] {
        let mut peer = RawPeer::new_server(Config::default());
        peer.feed(octets);
        peer.pass(Duration::from_millis(9_999));
        assert!(!peer.connection.is_closed());
        peer.pass(Duration::from_millis(1));
        assert_limited(&mut peer, ErrorCode::PROTOCOL_ERROR, "the peer's SETTINGS didn't come in time");
    }
}

#[test]
fn settings_ack_timeout_ends_a_connection_whose_settings_are_ignored() {
    let mut peer = RawPeer::new_client(Config::default());
    peer.send(|out| encode::settings(out, &[]));
    peer.pass(Duration::from_secs(10));
    assert_limited(&mut peer, ErrorCode::SETTINGS_TIMEOUT, "SETTINGS weren't acknowledged in time");
}

#[test]
fn header_block_timeout_ends_a_slow_header_block() {
    let mut peer = RawPeer::server();
    peer.send(|out| encode::frame_header(out, 0, kind::HEADERS, flag::END_STREAM, id(1)));
    peer.pass(Duration::from_secs(6));
    peer.send(|out| encode::continuation(out, id(1), &[0x83], false));
    peer.pass(Duration::from_secs(4));
    assert_limited(&mut peer, ErrorCode::PROTOCOL_ERROR, "a header block wasn't completed in time");
}

#[test]
fn frame_timeout_ends_a_dribbled_frame() {
    let mut peer = RawPeer::server();
    let mut input = Vec::new();
    encode::ping(&mut input, false, [0; 8]);
    for len in 1..16 {
        assert!(!peer.connection.is_closed(), "{len}");
        assert_eq!(peer.take(&input[..len]), 0);
        peer.pass(Duration::from_secs(2));
    }
    assert_limited(&mut peer, ErrorCode::PROTOCOL_ERROR, "a frame wasn't completed in time");
}

#[test]
fn frame_timeout_is_for_each_frame_anew() {
    let mut peer = RawPeer::server();
    let mut ping = Vec::new();
    encode::ping(&mut ping, true, [0; 8]);
    let (begin, end) = ping.split_at(9);
    let mut input = begin.to_vec();
    for _ in 0..10 {
        assert_eq!(peer.take(&input), input.len() - begin.len());
        input.drain(..input.len() - begin.len());
        peer.pass(Duration::from_secs(20));
        input.extend_from_slice(end);
        input.extend_from_slice(begin);
    }
    assert!(!peer.connection.is_closed());
    let end = input.len() - begin.len();
    assert_eq!(peer.take(&input[..end]), end);
    peer.pass(Duration::from_secs(100));
    assert!(!peer.connection.is_closed(), "no frame is under way");
}

#[test]
fn stalled_stream_timeout_resets_a_stream_without_window() {
    let mut peer = RawPeer::new_server(Config::default()).shake_hands(&[(setting::INITIAL_WINDOW_SIZE, 1)]);
    let key = peer.request(1, true);
    peer.answer(key, RESPONSE, false);
    peer.connection.send_data(key, Bytes::from_static(b"waiting"), true, &mut peer.out).unwrap();
    peer.settle();
    peer.frames();
    assert!(peer.pass(Duration::from_secs(299)).is_empty());
    // Any progress begins the time anew.
    peer.send(|out| encode::window_update(out, id(1), 1));
    assert!(peer.pass(Duration::from_secs(299)).is_empty());
    peer.frames();
    let events = peer.pass(Duration::from_secs(62));
    assert_reset_event(&events, key, ErrorCode::CANCEL);
    peer.assert_reset(1, ErrorCode::CANCEL);
    assert_eq!(peer.connection.poll_timeout(), None, "nothing is queued any more");
}

#[test]
fn linger_timeout_resets_a_stream_whose_request_does_not_end() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    peer.connection.linger(key);
    peer.answer(key, &[(":status", "405")], true);
    assert!(matches!(peer.frames()[..], [Frame::Headers { end_stream: true, .. }]));
    peer.pass(Duration::from_secs(9));
    peer.assert_quiet();
    assert_eq!(peer.connection.active_streams(), 1);
    assert!(peer.pass(Duration::from_secs(1)).is_empty());
    peer.assert_reset(1, ErrorCode::NO_ERROR);
    assert_eq!((peer.connection.active_streams(), peer.connection.poll_timeout()), (0, None));
}

#[test]
fn ping_strikes_stop_a_flood_of_pings() {
    let mut peer = RawPeer::server();
    peer.request(1, true);
    peer.frames();
    let times = attack(&mut peer, |peer, _| drop(peer.send(|out| encode::ping(out, false, [0; 8]))));
    assert_eq!(times, 4);
    assert_limited(&mut peer, CALM, "too_many_pings");
}

#[test]
fn ping_strikes_leave_a_client_alone_that_keeps_the_minimum_time() {
    let enforcement = Enforcement { min_time: Duration::from_secs(10), permit_without_stream: true };
    let mut peer = RawPeer::server_with(Config { enforcement, ..Config::default() });
    for _ in 0..100 {
        peer.send(|out| encode::ping(out, false, [0; 8]));
        peer.frames();
        peer.now += Duration::from_millis(9_900);
    }
    assert!(!peer.connection.is_closed());
}

#[test]
fn limits_can_be_chosen() {
    let limits = Limits { resets: Rate { burst: 3, per_second: 0 }, ..Limits::default() };
    let mut peer = RawPeer::server_with(Config { limits, ..Config::default() });
    let times = attack(&mut peer, |peer, stream| {
        peer.send_headers(stream, REQUEST, true);
        peer.send(|out| encode::rst_stream(out, id(stream), ErrorCode::CANCEL));
    });
    assert_eq!(times, 4);
}

#[test]
fn the_reason_names_the_limit_and_its_initiator() {
    let mut peer = RawPeer::server();
    peer.send(|out| encode::settings(out, &[(0xf0f0, 0); 129]));
    let reason = Connection::close_reason(&peer.connection).unwrap();
    assert_eq!(reason.by, Initiator::Library("too many entries in SETTINGS"));
    assert_eq!(
        reason.to_string(),
        "too many entries in SETTINGS (RFC 9113 §10.5), closed by this side with ENHANCE_YOUR_CALM"
    );
}
