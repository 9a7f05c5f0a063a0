//! Bodies of the fuzz targets. Each takes any octets and panics if what must hold does not.

use std::sync::Arc;

use lariat_frame::ErrorCode;
use lariat_frame::hpack::{HeaderList, Indexing};

use super::binary;
use super::code::Code;
use super::compression::{self, Compressor};
use super::deframer::Deframer;
use super::grammar::{Cardinality, ClientCall, HeadersOutcome, ServerCall};
use super::message::PREFIX_LEN;
use super::metadata::Metadata;
use super::percent;
use super::request_head::RequestHead;
use super::response_head::{self, ResponseHead};
use super::status::Status;
use super::timeout;
use super::trailers;

/// Any cut of the same octets gives the same messages and the same outcome. The first octet chooses the cuts.
pub fn deframe(data: &[u8]) {
    let Some((seed, input)) = data.split_first() else {
        return;
    };
    let whole = outcome(std::iter::once(input));
    assert_eq!(whole, outcome(input.chunks(usize::from(seed % 16) + 1)), "in equal pieces");
    let (front, back) = input.split_at(usize::from(*seed).min(input.len()));
    assert_eq!(whole, outcome([front, back].into_iter()), "in two pieces");
}

/// Octets are inflated to no more than the limit or refused, whatever was inflated with the same memory before; and
/// what is compressed comes back. The first octet chooses the algorithm.
pub fn decompress(data: &[u8]) {
    const LIMIT: usize = 1 << 16;
    let Some((choice, input)) = data.split_first() else {
        return;
    };
    let mut algorithms: Vec<Box<dyn Compressor>> = vec![
        #[cfg(feature = "gzip")]
        Box::new(compression::Gzip::with_level(1)),
        #[cfg(feature = "deflate")]
        Box::new(compression::Deflate::with_level(1)),
        #[cfg(feature = "zstd")]
        Box::new(compression::Zstd::with_level(1)),
    ];
    let Some(choice) = usize::from(*choice).checked_rem(algorithms.len()) else {
        return;
    };
    let algorithm = &mut *algorithms[choice];
    let mut inflate = |octets: &[u8], limit| {
        compression::decompress(algorithm, octets, limit).map_err(|status| status.code())
    };
    let first = inflate(input, LIMIT);
    assert_eq!(first, inflate(input, LIMIT), "with memory that was used before");
    match &first {
        Ok(message) => assert!(message.len() <= LIMIT),
        Err(code) => assert!(matches!(code, Code::Internal | Code::ResourceExhausted)),
    }
    let mut compressed = Vec::new();
    assert!(algorithm.compress(input, &mut compressed).is_ok());
    let again = compression::decompress(algorithm, &compressed, input.len()).map_err(|status| status.code());
    assert_eq!(again.as_deref(), Ok(input));
}

/// What a deframer made of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    messages: Vec<(bool, Vec<u8>)>,
    /// The code of the error, or how many octets are missing.
    end: Result<usize, Code>,
}

/// The largest message that is taken, in octets: so small that inputs are often above it.
const LIMIT: usize = 1 << 12;

fn outcome<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut deframer = Deframer::new(LIMIT);
    let mut messages = Vec::new();
    for mut piece in pieces {
        loop {
            match deframer.next(&mut piece) {
                Ok(Some(message)) => {
                    assert!(message.payload.len() <= LIMIT);
                    messages.push((message.compressed, message.payload.as_ref().to_vec()));
                }
                Ok(None) => break,
                Err(status) => {
                    return Outcome { messages, end: Err(status.code()) };
                }
            }
        }
        assert!(piece.is_empty(), "without a message the input is used up");
    }
    assert_eq!(deframer.finish().is_ok(), !deframer.is_inside_message());
    Outcome { messages, end: Ok(deframer.expected()) }
}

/// A request has one outcome however it is cut into DATA frames: the messages that a plain reading of its octets gives,
/// or an error. The first octet chooses the method and how the stream ends, the second how long the frames are.
pub fn server_call(data: &[u8]) {
    let [flags, cut, input @ ..] = data else { return };
    let requests = if flags & 1 == 0 { Cardinality::One } else { Cardinality::Many };
    let accepts_compressed = flags & 2 != 0;
    let end_apart = flags & 4 != 0;
    let new_call = || {
        let mut call = ServerCall::new(requests, LIMIT);
        if accepts_compressed {
            call.accept_compressed();
        }
        call
    };
    let mut frames: Vec<&[u8]> = input.chunks(usize::from(*cut) + 1).collect();
    if end_apart || frames.is_empty() {
        frames.push(&[]);
    }
    let got = match requests {
        Cardinality::One => read_one(new_call(), &frames),
        Cardinality::Many => read_many(new_call(), &frames),
    };
    let expected = read_plainly(input, accepts_compressed)
        .filter(|messages| requests == Cardinality::Many || messages.len() == 1);
    match got {
        Ok(messages) => assert_eq!(Some(messages), expected),
        Err(status) => {
            assert_ne!(status.code(), Code::Ok);
            assert_eq!(expected, None, "{status}");
        }
    }
    let code = ErrorCode(u32::from(*flags));
    assert_ne!(new_call().handle_reset(code, None, accepts_compressed).code(), Code::Ok);
}

/// The payload of each message.
type Messages = Vec<Vec<u8>>;

fn read_one(mut call: ServerCall, frames: &[&[u8]]) -> Result<Messages, Status> {
    let mut messages = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        let end_stream = index + 1 == frames.len();
        if let Some(message) = call.handle_one(frame, end_stream)? {
            assert!(end_stream, "the message is given when the request is complete");
            messages.push(message.payload.as_ref().to_vec());
        }
    }
    Ok(messages)
}

fn read_many(mut call: ServerCall, frames: &[&[u8]]) -> Result<Messages, Status> {
    let mut messages = Vec::new();
    for frame in frames {
        let mut payload = *frame;
        while let Some(message) = call.handle_data(&mut payload)? {
            messages.push(message.payload.as_ref().to_vec());
        }
    }
    call.handle_end()?;
    Ok(messages)
}

/// The messages of a whole stream; `None` if it is not in order.
fn read_plainly(mut input: &[u8], accepts_compressed: bool) -> Option<Messages> {
    let mut messages = Vec::new();
    while !input.is_empty() {
        let ([flag, length @ ..], rest) = input.split_first_chunk::<PREFIX_LEN>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let is_flag_good = *flag == 0 || *flag == 1 && accepts_compressed;
        let (payload, rest) = rest.split_at_checked(length).filter(|_| is_flag_good && length <= LIMIT)?;
        messages.push(payload.to_vec());
        input = rest;
    }
    Some(messages)
}

/// Whatever a server sends and in whatever order, a call has one outcome, and nothing comes after it. The first octet
/// chooses the method; those that follow say what the server does.
pub fn client_call(data: &[u8]) {
    let Some((flags, mut script)) = data.split_first() else { return };
    let responses = if flags & 1 == 0 { Cardinality::One } else { Cardinality::Many };
    let mut call = ClientCall::new(responses, LIMIT);
    if flags & 2 != 0 {
        call.accept_compressed();
    }
    let mut messages = 0;
    let mut outcome = None;
    while let Some(action) = take(&mut script, 1).first() {
        let ends = action & 8 != 0;
        let step = match action % 8 {
            0..=2 => {
                let length = take(&mut script, 1).first().map_or(0, |length| usize::from(*length));
                let mut payload = take(&mut script, length);
                handle_response_data(&mut call, &mut payload, ends && outcome.is_none(), &mut messages)
            }
            6 if outcome.is_none() => Some(Err(call.handle_end())),
            7 if outcome.is_none() => {
                Some(Err(call.handle_reset(ErrorCode(u32::from(*action >> 4)), None, ends)))
            }
            _ => {
                let headers = response_headers(*action >> 4, &mut script);
                match call.handle_headers(&headers, ends) {
                    Ok(HeadersOutcome::Nothing | HeadersOutcome::Initial { .. }) => None,
                    Ok(HeadersOutcome::Closed { result, .. }) => Some(result),
                    Err(violation) => Some(Err(violation.status)),
                }
            }
        };
        if let Some(result) = step {
            assert!(outcome.is_none(), "a call has one outcome: {outcome:?}, then {result:?}");
            match &result {
                Ok(()) => assert!(responses == Cardinality::Many || messages == 1),
                Err(status) => assert_ne!(status.code(), Code::Ok),
            }
            outcome = Some(result);
        }
    }
    assert!(responses == Cardinality::Many || messages <= 1);
}

/// A DATA frame of the response; the outcome if the call is over.
fn handle_response_data(
    call: &mut ClientCall,
    payload: &mut &[u8],
    ends: bool,
    messages: &mut u32,
) -> Option<Result<(), Status>> {
    loop {
        match call.handle_data(payload) {
            Ok(Some(message)) => {
                assert!(message.payload.len() <= LIMIT);
                *messages += 1;
            }
            Ok(None) => return ends.then(|| Err(call.handle_end())),
            Err(violation) => return Some(Err(violation.status)),
        }
    }
}

/// A header list of a response: one that servers send, or lines of the script.
fn response_headers(choice: u8, script: &mut &[u8]) -> Arc<HeaderList> {
    let fields: &[u8] = match choice {
        0 | 1 => return response_head::template(""),
        2 | 3 => return trailers::ok_template(),
        4 => b":status 200\ncontent-type application/grpc\ngrpc-status 0",
        5 => b":status 103",
        6 => b":status 502\ncontent-type text/html",
        7 => b":status 200\ncontent-type application/grpc\na-bin !",
        8 => b"grpc-status 5\ngrpc-message not%20here",
        9 => b":status 200\ncontent-type application/grpc\ngrpc-encoding gzip",
        _ => take(script, 64),
    };
    Arc::new(header_list(fields))
}

/// Cuts that many octets off the front, or what there is.
fn take<'a>(script: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = script.split_at(length.min(script.len()));
    *script = rest;
    taken
}

/// The fields of lines of `name: value`.
fn header_list(data: &[u8]) -> HeaderList {
    let mut list = HeaderList::with_limit(1 << 14);
    for line in data.split(|octet| *octet == b'\n') {
        let mut parts = line.splitn(2, |octet| *octet == b' ');
        // Upper case does not get here: HTTP/2 takes it as malformed.
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let name = name.strip_suffix(b":").unwrap_or(&name);
        list.push(name, parts.next().unwrap_or_default(), Indexing::Index);
    }
    list
}

/// Header lists of any octets are read without a panic, and metadata that was received can be changed and passed on.
/// The input is lines of `name: value`.
pub fn metadata(data: &[u8]) {
    let list = Arc::new(header_list(data));
    let _ = RequestHead::parse(&list);
    let _ = ResponseHead::parse(&list, false);
    let _ = ResponseHead::parse(&list, true);
    let _ = trailers::parse(&list);

    let received = Metadata::received(Arc::clone(&list));
    let entries: Vec<_> =
        received.iter().map(|(key, value)| (key.to_owned(), format!("{value:?}"))).collect();
    assert!(received.len() >= entries.len(), "only binary values that are not base64 are left out");
    for (key, _) in &entries {
        assert!(received.contains_key(key));
        assert_eq!(received.get(key).is_some(), !binary::is_binary_key(key.as_bytes()));
        let _ = received.get_all_bin(key).count();
    }

    let mut changed = received.clone();
    assert_eq!(changed.insert("lariat", "1"), Ok(()));
    assert_eq!(changed.get("lariat"), Some("1"));
    assert_eq!(changed.len(), received.len() + 1 - received.get_all("lariat").count());
    let mut wire = HeaderList::new();
    changed.write_to(&mut wire);
    let passed_on = Metadata::received(Arc::new(wire));
    assert!(passed_on.iter().all(|entry| changed.iter().any(|original| original == entry)));
}

/// Timeouts are read without a panic; what is read is written back as the same duration, but for rounding up.
pub fn timeout(data: &[u8]) {
    if let Ok(timeout) = timeout::decode(data) {
        let written = timeout::encode(timeout);
        assert!((2..=9).contains(&written.len()));
        let again = timeout::decode(&written).map_err(|error| error.to_string());
        assert!(again.is_ok_and(|again| again >= timeout));
    }
}

/// Messages are read without a panic, and what is read survives being written and read again.
pub fn percent(data: &[u8]) {
    let message = percent::decode(data);
    let mut written = Vec::new();
    percent::encode(&message, &mut written);
    assert!(written.iter().all(|octet| matches!(octet, b' '..=b'~')));
    assert_eq!(percent::needs_encoding(&message), written != message.as_bytes());
    assert_eq!(percent::decode(&written), message);
}
