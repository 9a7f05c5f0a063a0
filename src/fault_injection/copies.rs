//! How often the octets of a message are copied between the codec and the sockets.
//!
//! The codec of these tests notes where it has written a message, and where the octets lie that it is given to read;
//! the sockets of the simulation note where the octets lie that they write, and where they put what they read. What
//! lies at the same place on both sides was not copied in between: the codec's own copy is then the only one.
//!
//! What is copied by design is held, too, so that a change of it is seen: see each test.

use std::cell::RefCell;
use std::ops::Range;

use bytes::Bytes;

use super::world::World;
use crate::client::Method;
use crate::net::simulation::{Passage, Weather};
use crate::rpc::{Codec, Payload};
use crate::server::{Handler, Service};
use crate::{Request, Response, Status};

thread_local! {
    /// Where messages were written to and read from by the codec, on the one thread that a simulation has.
    static SEEN: RefCell<Vec<Seen>> = const { RefCell::new(Vec::new()) };
}

/// Where a message lay when the codec had written it, or when it was to read it.
struct Seen {
    is_encoded: bool,
    address: usize,
    octets: Bytes,
}

/// The octets of messages as they are, with a note of where they lie.
struct Noting;

impl Codec<Bytes> for Noting {
    const SUBTYPE: &'static str = "";

    fn encoded_len(message: &Bytes) -> usize {
        message.len()
    }

    fn encode(message: &Bytes, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(message);
        note(true, &out[start..]);
    }

    fn decode(payload: Payload<'_>) -> Result<Bytes, Status> {
        note(false, payload.as_ref());
        Ok(Bytes::copy_from_slice(payload.as_ref()))
    }
}

fn note(is_encoded: bool, octets: &[u8]) {
    let seen = Seen { is_encoded, address: octets.as_ptr().addr(), octets: Bytes::copy_from_slice(octets) };
    SEEN.with_borrow_mut(|all| all.push(seen));
}

/// Answers with what it gets, once or in a stream.
pub(super) struct Mirror;

impl Service for Mirror {
    fn name(&self) -> &str {
        "test.Mirror"
    }

    fn methods(&self) -> Vec<Handler> {
        vec![
            Handler::unary::<Noting, Bytes, Bytes, _, _>("Unary", |request| async move {
                Ok(Response::new(request.into_message()))
            }),
            Handler::bidi_streaming::<Noting, Bytes, Bytes, _, _>(
                "Stream",
                |mut inbound, outbound| async move {
                    while let Some(message) = inbound.message().await? {
                        outbound.send(message).await?;
                    }
                    Ok(())
                },
            ),
        ]
    }
}

/// Octets that are the same nowhere else.
fn message(size: usize) -> Bytes {
    (0..size as u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect()
}

/// Whether a message went between the codec and the sockets in place.
#[derive(Debug, PartialEq, Eq)]
struct InPlace {
    /// From the client's codec to its socket.
    request_out: bool,
    /// From the server's socket to its codec.
    request_in: bool,
    response_out: bool,
    response_in: bool,
}

/// Sends a message to and fro, after some others have brought about the memory that is used again and again.
fn exchange(size: usize, is_stream: bool) -> InPlace {
    let world =
        World::with(1, Weather::CALM, Vec::new(), |server| server.add_service(Mirror), |channel| channel);
    let method = |name: &str| -> Method { world.channel.method(format!("/test.Mirror/{name}")) };
    let message = message(size);
    world.run(async {
        let stream =
            world.channel.bidi_streaming::<Noting, Bytes, Bytes>(&method("Stream"), Request::new(()));
        let (outbound, mut inbound) = stream;
        for n in 0..4 {
            if n == 3 {
                SEEN.take();
                world.network.watch();
            }
            let answer = if is_stream {
                outbound.send(message.clone()).await.unwrap();
                inbound.message().await.unwrap().unwrap()
            } else {
                let request = Request::new(message.clone());
                let unary = world.channel.unary::<Noting, Bytes, Bytes>(&method("Unary"), request);
                unary.await.unwrap().into_message()
            };
            assert_eq!(answer, message);
        }
    });
    let (seen, passages) = (SEEN.take(), world.network.passages());
    let [request_out, request_in, response_out, response_in] = &seen[..] else { panic!("two of each") };
    let is_in_place = |seen: &Seen, of_client: bool, is_encoded: bool| {
        assert_eq!((seen.is_encoded, &seen.octets), (is_encoded, &message));
        let of_socket = passages.iter();
        let of_socket =
            of_socket.filter(|other| other.of_client == of_client && other.is_write == is_encoded);
        covers(&of_socket.collect::<Vec<_>>(), seen)
    };
    let in_place = InPlace {
        request_out: is_in_place(request_out, true, true),
        request_in: is_in_place(request_in, false, false),
        response_out: is_in_place(response_out, false, true),
        response_in: is_in_place(response_in, true, false),
    };
    world.end();
    in_place
}

/// Whether the socket has moved each octet of what was seen from or to the very place, with that value.
fn covers(passages: &[&Passage], seen: &Seen) -> bool {
    let place = |address: usize, len: usize| address..address + len;
    let wanted = place(seen.address, seen.octets.len());
    let mut pieces: Vec<Range<usize>> = passages
        .iter()
        .map(|passage| {
            let moved = place(passage.address, passage.octets.len());
            let common = moved.start.max(wanted.start)..moved.end.min(wanted.end);
            let is_same = !common.is_empty()
                && passage.octets[common.start - moved.start..common.end - moved.start]
                    == seen.octets[common.start - wanted.start..common.end - wanted.start];
            if is_same { common } else { 0..0 }
        })
        .collect();
    pieces.sort_by_key(|piece| piece.start);
    let end = pieces
        .iter()
        .fold(wanted.start, |end, piece| if piece.start <= end { end.max(piece.end) } else { end });
    end == wanted.end
}

#[test]
fn a_small_unary_call_is_copied_by_its_codec_alone_but_for_the_request_that_is_kept() {
    // The request is kept until the answer begins, in case the call has to be sent again, and is copied from there:
    // for so few octets that costs less than a place of their own in the vectored write.
    let expected = InPlace { request_out: false, request_in: true, response_out: true, response_in: true };
    assert_eq!(exchange(100, false), expected);
}

#[test]
fn small_messages_of_a_stream_are_gathered_where_the_session_takes_them() {
    // Any thread may send them; on the loop's they are copied into the frames of its output.
    let expected = InPlace { request_out: false, request_in: true, response_out: false, response_in: true };
    assert_eq!(exchange(100, true), expected);
}

#[test]
fn large_messages_are_sent_from_where_the_codec_wrote_them_and_put_together_once() {
    // They come in many frames and are read where they lie together.
    let expected = InPlace { request_out: true, request_in: false, response_out: true, response_in: false };
    assert_eq!(exchange(300_000, false), expected);
    assert_eq!(exchange(300_000, true), expected);
}

#[test]
fn a_message_of_one_frame_is_read_where_the_socket_put_it() {
    let expected = InPlace { request_out: true, request_in: true, response_out: true, response_in: true };
    assert_eq!(exchange(10_000, false), expected);
    assert_eq!(exchange(10_000, true), expected);
}
