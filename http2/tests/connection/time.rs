//! What happens by itself: keepalive, idleness, age (gRFC A8, A9), and the estimate of the path.

use crate::support::*;
use lariat_frame::{ErrorCode, Frame, StreamId, encode, setting};
use lariat_http2::{Config, Event, Keepalive};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const KEEPALIVE_PING: Frame<'static> = Frame::Ping { ack: false, payload: [0; 8] };
const BDP_PING: Frame<'static> = Frame::Ping { ack: false, payload: [2, 4, 16, 16, 9, 14, 7, 7] };

fn keepalive(permit_without_stream: bool) -> Config {
    let keepalive = Keepalive { time: Some(10 * SECOND), timeout: 3 * SECOND, permit_without_stream };
    Config { keepalive, ..Config::default() }
}

#[test]
fn a_silent_server_is_asked_and_given_up() {
    let mut peer = RawPeer::client_with(keepalive(false));
    peer.open(true);
    peer.frames();
    peer.pass(10 * SECOND);
    assert_eq!(peer.frames(), [KEEPALIVE_PING]);
    assert!(peer.pass(Duration::from_millis(2_999)).is_empty());
    let events = peer.pass(Duration::from_millis(1));
    assert!(matches!(events[..], [Event::Reset { .. }, Event::Closed]), "{events:?}");
    peer.assert_failed(ErrorCode::NO_ERROR, "gRFC A8");
}

#[test]
fn a_server_that_answers_is_asked_again_and_again() {
    let mut peer = RawPeer::client_with(keepalive(false));
    peer.open(true);
    peer.frames();
    for _ in 0..10 {
        peer.pass(10 * SECOND);
        assert_eq!(peer.frames(), [KEEPALIVE_PING]);
        peer.send(|out| encode::ping(out, true, [0; 8]));
    }
    assert_eq!(peer.connection.stats().keepalives_sent, 10);
}

#[test]
fn a_server_that_sends_anything_is_not_asked() {
    let mut peer = RawPeer::client_with(keepalive(false));
    peer.open(true);
    peer.frames();
    for _ in 0..10 {
        peer.pass(9 * SECOND);
        peer.send(|out| encode::window_update(out, id(1), 1));
    }
    peer.assert_quiet();
}

#[test]
fn without_streams_a_client_asks_only_if_permitted() {
    let mut peer = RawPeer::client_with(keepalive(false));
    peer.pass(1000 * SECOND);
    peer.assert_quiet();
    // The first stream after such a time begins with a PING.
    peer.open(true);
    assert!(matches!(peer.frames()[..], [Frame::Headers { .. }, KEEPALIVE_PING]));
    let mut peer = RawPeer::client_with(keepalive(true));
    peer.pass(10 * SECOND);
    assert_eq!(peer.frames(), [KEEPALIVE_PING]);
}

#[test]
fn a_server_asks_without_streams() {
    let mut peer = RawPeer::server_with(keepalive(false));
    peer.pass(10 * SECOND);
    assert_eq!(peer.frames(), [KEEPALIVE_PING]);
    peer.pass(3 * SECOND);
    peer.assert_failed(ErrorCode::NO_ERROR, "gRFC A8");
}

#[test]
fn an_idle_connection_is_shut_down() {
    let mut peer =
        RawPeer::server_with(Config { max_connection_idle: Some(10 * SECOND), ..Config::default() });
    peer.pass(9 * SECOND);
    let key = peer.request(1, true);
    peer.pass(100 * SECOND);
    peer.answer(key, RESPONSE, true);
    peer.settle();
    peer.frames();
    peer.pass(Duration::from_millis(9_999));
    peer.assert_quiet();
    peer.pass(Duration::from_millis(1));
    let frames = peer.frames();
    assert!(
        matches!(
            frames[..],
            [Frame::GoAway { last_stream: StreamId::MAX, debug: b"max_idle", .. }, Frame::Ping { .. }]
        ),
        "{frames:?}"
    );
}

#[test]
fn an_old_connection_is_shut_down_and_after_its_grace_closed() {
    let config = Config {
        max_connection_age: Some(100 * SECOND),
        max_connection_age_grace: Some(20 * SECOND),
        ..Config::default()
    };
    let mut peer = RawPeer::server_with(config);
    let key = peer.request(1, true);
    peer.pass(90 * SECOND);
    peer.assert_quiet();
    peer.pass(20 * SECOND);
    let frames = peer.frames();
    assert!(
        matches!(frames[0], Frame::GoAway { last_stream: StreamId::MAX, debug: b"max_age", .. }),
        "{frames:?}"
    );
    let events = peer.pass(20 * SECOND);
    assert!(
        matches!(events[..], [Event::Reset { stream, .. }, Event::Closed] if stream == key),
        "{events:?}"
    );
    peer.assert_failed(ErrorCode::NO_ERROR, "gRFC A9");
}

#[test]
fn an_old_connection_without_a_grace_finishes_its_streams() {
    let config = Config { max_connection_age: Some(100 * SECOND), ..Config::default() };
    let mut peer = RawPeer::server_with(config);
    let key = peer.request(1, true);
    assert!(peer.pass(10_000 * SECOND).is_empty());
    peer.answer(key, RESPONSE, true);
    assert!(matches!(peer.settle()[..], [Event::Closed]));
}

#[test]
fn the_windows_grow_with_the_path() {
    let mut peer = RawPeer::server();
    let key = peer.request(1, false);
    let mut windows = Vec::new();
    for _ in 0..20 {
        // As much as the stream's window allows, within one round trip.
        let window = peer.connection.stream_flow_control(key).unwrap().receive as usize;
        let mut left = window;
        while left > 0 {
            let len = left.min(16_384);
            peer.send_data(1, &vec![0; len], false);
            left -= len;
        }
        peer.connection.release(key, window, &mut peer.out);
        let frames = peer.frames();
        peer.now += Duration::from_millis(10);
        if frames.contains(&BDP_PING) {
            peer.send(|out| encode::ping(out, true, [2, 4, 16, 16, 9, 14, 7, 7]));
        }
        for frame in peer.frames() {
            if let Frame::Settings { ack: false, entries } = frame {
                windows.extend(entries);
                peer.send(encode::settings_ack);
            }
        }
    }
    let sizes: Vec<u32> = windows.iter().map(|&(_, value)| value).collect();
    assert!(windows.iter().all(|&(id, _)| id == setting::INITIAL_WINDOW_SIZE));
    assert!(sizes.is_sorted() && sizes.len() >= 3, "{sizes:?}");
    assert_eq!(sizes.last(), Some(&(4 * 1024 * 1024)), "{sizes:?}");
    assert!(peer.connection.flow_control().receive > 4 * 1024 * 1024);
}

#[test]
fn fixed_windows_stay_and_need_no_pings() {
    let mut peer = RawPeer::server_with(Config { adaptive_window: false, ..Config::default() });
    let key = peer.request(1, false);
    for _ in 0..100 {
        peer.send_data(1, &[0; 16_384], false);
        peer.connection.release(key, 16_384, &mut peer.out);
    }
    assert!(peer.frames().iter().all(|frame| matches!(frame, Frame::WindowUpdate { .. })));
}

#[test]
fn endless_times_are_never_over() {
    let keepalive =
        Keepalive { time: Some(Duration::MAX), timeout: Duration::MAX, permit_without_stream: true };
    let config = Config {
        keepalive,
        max_connection_idle: Some(Duration::MAX),
        max_connection_age: Some(Duration::MAX),
        max_connection_age_grace: Some(Duration::MAX),
        ..Config::default()
    };
    for mut peer in [RawPeer::server_with(config.clone()), RawPeer::client_with(config.clone())] {
        assert!(peer.pass(1_000_000_000 * SECOND).is_empty());
        peer.assert_quiet();
    }
}

#[test]
fn a_connection_with_nothing_to_wait_for_has_no_deadline() {
    let peer = RawPeer::server();
    assert_eq!(peer.connection.poll_timeout(), None);
}
