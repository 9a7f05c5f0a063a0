//! Bodies of the fuzz targets. Each takes any octets and panics if what must hold does not.

use std::sync::Arc;

use lariat_frame::hpack::{HeaderList, Indexing};

use super::binary;
use super::code::Code;
use super::deframer::Deframer;
use super::metadata::Metadata;
use super::percent;
use super::request_head::RequestHead;
use super::response_head::ResponseHead;
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

/// What a deframer made of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    messages: Vec<(bool, Vec<u8>)>,
    /// The code of the error, or how many octets are missing.
    end: Result<usize, Code>,
}

fn outcome<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    const LIMIT: usize = 1 << 12;
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

/// Header lists of any octets are read without a panic, and metadata that was received can be changed and passed on.
/// The input is lines of `name: value`.
pub fn metadata(data: &[u8]) {
    let mut list = HeaderList::with_limit(1 << 14);
    for line in data.split(|octet| *octet == b'\n') {
        let mut parts = line.splitn(2, |octet| *octet == b' ');
        // Upper case does not get here: HTTP/2 takes it as malformed.
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let name = name.strip_suffix(b":").unwrap_or(&name);
        list.push(name, parts.next().unwrap_or_default(), Indexing::Index);
    }
    let list = Arc::new(list);
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
