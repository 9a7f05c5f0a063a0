//! Octets and frames of a call on the wire in steady state, counted by a relay between our client and our server.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lariat::Wait;
use support::*;

/// The message that goes each way.
const MESSAGE: &str = "ten octets";
/// Calls before the count, until header fields are in the dynamic tables and settings are acknowledged.
const WARM_UP: usize = 20;
const COUNTED: usize = 50;

const FRAME_HEADER: usize = 9;
/// In front of a message.
const PREFIX: usize = 5;
const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// A frame's kind and its length with its header.
type Frame = (u8, usize);
/// The frames of one direction.
type Frames = Arc<Mutex<Vec<Frame>>>;

/// Passes one connection on to a server and notes its frames.
struct Relay {
    target: String,
    requests: Frames,
    responses: Frames,
}

impl Relay {
    fn to(server: &lariat::Server) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let address = server.local_address().to_string();
        let relay = Relay { target, requests: Frames::default(), responses: Frames::default() };
        let (requests, responses) = (Arc::clone(&relay.requests), Arc::clone(&relay.responses));
        std::thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let server = TcpStream::connect(address).unwrap();
            let (back, forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || pass(back, forth, 0, &responses));
            pass(client, server, PREFACE, &requests);
        });
        relay
    }

    /// The frames of both directions while `run` runs.
    fn frames_of(&self, run: impl FnOnce()) -> (Vec<Frame>, Vec<Frame>) {
        locked(&self.requests).clear();
        locked(&self.responses).clear();
        run();
        (locked(&self.requests).clone(), locked(&self.responses).clone())
    }
}

/// Passes octets on, and notes each frame before its last octet is passed on.
fn pass(mut from: TcpStream, mut to: TcpStream, skip: usize, frames: &Frames) {
    to.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let mut partial = Vec::new();
    let mut skip = skip;
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        partial.extend_from_slice(&buffer[..read]);
        let skipped = skip.min(partial.len());
        partial.drain(..skipped);
        skip -= skipped;
        while let [a, b, c, kind, ..] = partial[..] {
            let whole = FRAME_HEADER + u32::from_be_bytes([0, a, b, c]) as usize;
            if partial.len() < whole {
                break;
            }
            partial.drain(..whole);
            locked(frames).push((kind, whole));
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // Either side may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}

fn locked(frames: &Frames) -> MutexGuard<'_, Vec<Frame>> {
    frames.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_unary_call_is_two_frames_there_and_three_back_of_few_octets() {
    let server = serve(&Echo::default());
    let relay = Relay::to(&server);
    let client = connect(&relay.target);
    let call = || assert_eq!(client.unary(MESSAGE).wait().unwrap().into_message(), MESSAGE);
    (0..WARM_UP).for_each(|_| call());
    let (requests, responses) = relay.frames_of(|| (0..COUNTED).for_each(|_| call()));
    // The header block is eight fields of the tables, an octet each; of the response two, of the trailers one.
    let message = (DATA, FRAME_HEADER + PREFIX + MESSAGE.len());
    assert_eq!(requests, [(HEADERS, FRAME_HEADER + 8), message].repeat(COUNTED));
    let response = [(HEADERS, FRAME_HEADER + 2), message, (HEADERS, FRAME_HEADER + 1)];
    assert_eq!(responses, response.repeat(COUNTED));
}

#[test]
fn a_message_of_a_stream_is_one_frame_and_nothing_else() {
    let server = serve(&Echo::default());
    let relay = Relay::to(&server);
    let (outbound, mut inbound) = connect(&relay.target).chat();
    let mut turn = || {
        outbound.send(MESSAGE.into()).wait().unwrap();
        assert_eq!(inbound.message().wait().unwrap().unwrap(), MESSAGE);
    };
    (0..WARM_UP).for_each(|_| turn());
    let (requests, responses) = relay.frames_of(|| (0..COUNTED).for_each(|_| turn()));
    let message = (DATA, FRAME_HEADER + PREFIX + MESSAGE.len());
    assert_eq!(requests, vec![message; COUNTED]);
    assert_eq!(responses, vec![message; COUNTED]);
}
