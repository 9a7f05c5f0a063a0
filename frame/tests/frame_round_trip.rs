//! Encoded frames decode to what went in, whatever it was.

use lariat_frame::{
    DEFAULT_MAX_FRAME_SIZE, ErrorCode, FRAME_HEADER_LEN, Frame, MAX_MAX_FRAME_SIZE, Priority, StreamId,
    decode, decode_plain, encode, setting,
};
use proptest::collection::vec;
use proptest::prelude::*;

const STREAM: StreamId = StreamId::new(5);

/// The only frame in `octets`.
#[track_caller]
fn only(octets: &[u8]) -> Frame<'_> {
    let (frame, len) = decode(octets, MAX_MAX_FRAME_SIZE).unwrap().unwrap();
    assert_eq!(len, octets.len());
    frame
}

fn encoded(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"before".to_vec();
    fill(&mut out);
    out.split_off(6)
}

/// Puts a header block together from a HEADERS or PUSH_PROMISE frame and its CONTINUATIONs; says how many
/// frames it took.
fn block_of(mut octets: &[u8], max_frame_size: u32) -> (Vec<u8>, usize) {
    let mut block = Vec::new();
    let mut frames = 0;
    loop {
        let (frame, len) = decode(octets, max_frame_size).unwrap().unwrap();
        octets = &octets[len..];
        frames += 1;
        let (fragment, last) = match frame {
            Frame::Headers { fragment, end_headers, .. } if frames == 1 => (fragment, end_headers),
            Frame::PushPromise { fragment, end_headers, .. } if frames == 1 => (fragment, end_headers),
            Frame::Continuation { stream: STREAM, fragment, end_headers } if frames > 1 => {
                (fragment, end_headers)
            }
            other => panic!("{other:?} in the middle of a block"),
        };
        block.extend_from_slice(fragment);
        if last {
            assert!(octets.is_empty());
            return (block, frames);
        }
    }
}

#[test]
fn settings_keep_their_entries_in_order() {
    let entries =
        [(setting::INITIAL_WINDOW_SIZE, 1 << 20), (0xabcd, u32::MAX), (setting::INITIAL_WINDOW_SIZE, 0)];
    let octets = encoded(|out| encode::settings(out, &entries));
    let Frame::Settings { ack: false, entries: got } = only(&octets) else { panic!() };
    assert_eq!(got.len(), 3);
    assert_eq!(got.collect::<Vec<_>>(), entries);
}

#[test]
fn an_acknowledgement_of_settings_is_empty() {
    let octets = encoded(encode::settings_ack);
    assert_eq!(octets, [0, 0, 0, 4, 1, 0, 0, 0, 0]);
    assert!(matches!(only(&octets), Frame::Settings { ack: true, entries } if entries.len() == 0));
}

#[test]
fn a_block_that_fits_takes_one_frame_and_one_octet_more_takes_two() {
    for (len, frames) in [(0, 1), (16_384, 1), (16_385, 2), (3 * 16_384, 3), (3 * 16_384 + 1, 4)] {
        let block = vec![7; len];
        let octets = encoded(|out| encode::headers(out, STREAM, &block, DEFAULT_MAX_FRAME_SIZE, true));
        assert_eq!(octets.len(), len + frames * FRAME_HEADER_LEN);
        assert_eq!(block_of(&octets, DEFAULT_MAX_FRAME_SIZE), (block, frames));
    }
}

#[test]
fn a_frame_size_of_zero_does_not_loop_forever() {
    let octets = encoded(|out| encode::headers(out, STREAM, b"abc", 0, false));
    assert_eq!(block_of(&octets, 1), (b"abc".to_vec(), 3));
    let octets = encoded(|out| encode::push_promise(out, STREAM, StreamId::new(2), b"abc", 0));
    assert_eq!(block_of(&octets, 5).0, b"abc");
}

#[test]
fn headers_carry_priority_and_padding() {
    let priority = Priority { dependency: StreamId::new(1), exclusive: true, weight: 200 };
    for padding in [None, Some(0), Some(255)] {
        let octets = encoded(|out| {
            encode::headers_with_priority(out, STREAM, b"block", priority, padding, true);
        });
        let expected = Frame::Headers {
            stream: STREAM,
            fragment: b"block",
            priority: Some(priority),
            end_stream: true,
            end_headers: true,
        };
        assert_eq!(only(&octets), expected);
    }
}

fn stream() -> impl Strategy<Value = StreamId> {
    any::<u32>().prop_map(StreamId::new).prop_filter("not the connection", |id| !id.is_zero())
}

fn priority() -> impl Strategy<Value = Priority> {
    (any::<u32>(), any::<bool>(), any::<u8>()).prop_map(|(dependency, exclusive, weight)| Priority {
        dependency: StreamId::new(dependency),
        exclusive,
        weight,
    })
}

proptest! {
    #[test]
    fn data_comes_back(stream in stream(), payload in vec(any::<u8>(), 0..300), padding: Option<u8>, end_stream: bool) {
        let octets = encoded(|out| match padding {
            Some(padding) => encode::data_padded(out, stream, &payload, padding, end_stream),
            None => {
                encode::data_header(out, stream, payload.len(), end_stream);
                out.extend_from_slice(&payload);
            }
        });
        let padding = padding.map_or(0, |padding| u32::from(padding) + 1);
        prop_assert_eq!(only(&octets), Frame::Data { stream, payload: &payload, padding, end_stream });
    }

    #[test]
    fn blocks_come_back_at_any_frame_size(block in vec(any::<u8>(), 0..500), max in 1_u32..600, end_stream: bool) {
        let octets = encoded(|out| encode::headers(out, STREAM, &block, max, end_stream));
        let first = decode(&octets, max).unwrap().unwrap().0;
        let is_first = matches!(first, Frame::Headers { stream: STREAM, end_stream: end, .. } if end == end_stream);
        prop_assert!(is_first);
        let (got, frames) = block_of(&octets, max);
        prop_assert_eq!(frames, block.len().div_ceil(max as usize).max(1));
        prop_assert_eq!(got, block);
    }

    #[test]
    fn promises_come_back(block in vec(any::<u8>(), 0..500), max in 5_u32..600, promised in stream()) {
        let octets = encoded(|out| encode::push_promise(out, STREAM, promised, &block, max));
        let first = decode(&octets, max).unwrap().unwrap().0;
        let is_first = matches!(first, Frame::PushPromise { stream: STREAM, promised: got, .. } if got == promised);
        prop_assert!(is_first);
        prop_assert_eq!(block_of(&octets, max).0, block);
    }

    #[test]
    fn small_frames_come_back(
        stream in stream(),
        fields in priority(),
        code in any::<u32>().prop_map(ErrorCode),
        ack: bool,
        payload: [u8; 8],
        debug in vec(any::<u8>(), 0..300),
        increment in 1_u32..1 << 31,
        end_headers: bool,
    ) {
        let octets = encoded(|out| encode::priority(out, stream, fields));
        prop_assert_eq!(only(&octets), Frame::Priority { stream, priority: fields });
        let octets = encoded(|out| encode::rst_stream(out, stream, code));
        prop_assert_eq!(only(&octets), Frame::RstStream { stream, code });
        let octets = encoded(|out| encode::ping(out, ack, payload));
        prop_assert_eq!(only(&octets), Frame::Ping { ack, payload });
        let octets = encoded(|out| encode::goaway(out, stream, code, &debug));
        prop_assert_eq!(only(&octets), Frame::GoAway { last_stream: stream, code, debug: &debug });
        let octets = encoded(|out| encode::window_update(out, stream, increment));
        prop_assert_eq!(only(&octets), Frame::WindowUpdate { stream, increment });
        let octets = encoded(|out| encode::continuation(out, stream, &debug, end_headers));
        prop_assert_eq!(only(&octets), Frame::Continuation { stream, fragment: &debug, end_headers });
    }

    #[test]
    fn a_plain_frame_is_what_the_full_decoder_makes_of_it(
        kind in 0_u8..3,
        flags in (0_u8..6, any::<u8>()).prop_map(|(few, any)| if any < 200 { few } else { any }),
        stream in 0_u32..3,
        payload in vec(any::<u8>(), 0..40),
        cut in 0_usize..60,
        max in 0_u32..60,
    ) {
        let mut octets = encoded(|out| {
            encode::frame_header(out, payload.len(), kind, flags, StreamId::new(stream));
            out.extend_from_slice(&payload);
        });
        octets.truncate(octets.len().min(cut));
        let full = decode(&octets, max);
        let plain = decode_plain(&octets, max).map(|(plain, rest)| {
            let (stream, payload, end_stream) = (plain.stream, plain.payload, plain.end_stream);
            let frame = match plain.is_headers {
                true => Frame::Headers { stream, fragment: payload, priority: None, end_stream, end_headers: true },
                false => Frame::Data { stream, payload, padding: 0, end_stream },
            };
            (frame, octets.len() - rest.len())
        });
        match full {
            // All that have no flag beyond these.
            Ok(Some((Frame::Data { .. }, _))) if flags & !1 == 0 => prop_assert_eq!(Ok(plain), full),
            Ok(Some((Frame::Headers { .. }, _))) if flags & !1 == 4 => prop_assert_eq!(Ok(plain), full),
            _ => prop_assert_eq!(plain, None),
        }
    }

    #[test]
    fn a_frame_made_ahead_is_the_frame_of_its_block(block in vec(any::<u8>(), 0..300), stream in stream(), end: bool) {
        let frame = encode::HeadersFrame::new(&block);
        prop_assert_eq!(frame.block(), &block);
        prop_assert_eq!(
            encoded(|out| frame.write(out, stream, end)),
            encoded(|out| encode::headers(out, stream, &block, DEFAULT_MAX_FRAME_SIZE, end))
        );
    }

    #[test]
    fn a_decoded_frame_encodes_to_the_same_frame(
        kind in 0_u8..12,
        flags: u8,
        stream: u32,
        payload in vec(any::<u8>(), 0..40),
    ) {
        let octets = encoded(|out| {
            encode::frame_header(out, payload.len(), kind, flags, StreamId::new(stream));
            out.extend_from_slice(&payload);
        });
        if let Ok(Some((frame, _))) = decode(&octets, DEFAULT_MAX_FRAME_SIZE) {
            let again = encoded(|out| encode::frame(out, &frame));
            match (&frame, only(&again)) {
                // Padding doesn't come back, that is all.
                (Frame::Data { stream, payload, end_stream, .. }, got) => {
                    let expected = Frame::Data { stream: *stream, payload, padding: 0, end_stream: *end_stream };
                    prop_assert_eq!(got, expected);
                }
                (frame, got) => prop_assert_eq!(&got, frame),
            }
        }
    }
}
