//! What is checked of a story.

use crate::{Fields, Oracle, Story, fields_of};
use lariat_frame::hpack::{DEFAULT_TABLE_SIZE, Decoder, Encoder, HeaderList, Indexing};

/// Decodes the recorded blocks with Lariat's decoder, which must find the recorded fields. Says how many
/// blocks there were.
///
/// # Errors
///
/// In words, what differs and where.
pub fn decodes_as_recorded(story: &Story) -> Result<usize, String> {
    let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
    let mut blocks = 0;
    for (number, case) in story.cases.iter().enumerate() {
        let place = || format!("{} case {number}", story.name);
        if let Some(size) = case.header_table_size {
            decoder.set_max_table_size(size);
        }
        let Some(wire) = &case.wire else { continue };
        let list = decode(&mut decoder, wire).map_err(|error| format!("{}: {error}", place()))?;
        compare(&place(), "the recorded block", &case.headers, &fields_of(&list))?;
        let never: Vec<_> = list.iter().filter(|field| field.indexing == Indexing::Never).collect();
        if !case.never_indexed.is_empty() && !never.iter().map(|field| field.name).eq(&case.never_indexed) {
            return Err(format!("{}: other fields are marked as never to be indexed: {never:?}", place()));
        }
        blocks += 1;
    }
    Ok(blocks)
}

/// As [`decodes_as_recorded`] with the oracle's decoder: is the story itself right?
///
/// # Errors
///
/// In words, what differs and where.
pub fn oracle_decodes_as_recorded(story: &Story) -> Result<usize, String> {
    let mut oracle = Oracle::new();
    let mut blocks = 0;
    for (number, case) in story.cases.iter().enumerate() {
        let place = format!("{} case {number}", story.name);
        let Some(wire) = &case.wire else { continue };
        let fields = oracle.decode(wire).map_err(|error| format!("{place}: {error}"))?;
        compare(&place, "the recorded block (by the oracle)", &case.headers, &fields)?;
        blocks += 1;
    }
    Ok(blocks)
}

/// Encodes the recorded fields with Lariat's encoder, each as `indexing` says of its name, with the recorded
/// changes of the table size; Lariat's decoder and the oracle must find the same fields again. Says how many
/// blocks there were.
///
/// # Errors
///
/// In words, what differs and where.
pub fn encodes_to_the_same(story: &Story, indexing: impl Fn(&[u8]) -> Indexing) -> Result<usize, String> {
    let mut encoder = Encoder::new(DEFAULT_TABLE_SIZE);
    let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
    let mut oracle = Oracle::new();
    for (number, case) in story.cases.iter().enumerate() {
        let place = || format!("{} case {number}", story.name);
        if let Some(size) = case.header_table_size {
            encoder.set_max_table_size(size);
            decoder.set_max_table_size(size);
        }
        let mut list = HeaderList::new();
        for (name, value) in &case.headers {
            list.push(name, value, indexing(name));
        }
        let mut block = Vec::new();
        encoder.encode(&list, &mut block);
        let decoded = decode(&mut decoder, &block).map_err(|error| format!("{}: {error}", place()))?;
        compare(&place(), "the block encoded anew", &case.headers, &fields_of(&decoded))?;
        let fields = oracle.decode(&block).map_err(|error| format!("{}: {error}", place()))?;
        compare(&place(), "the block encoded anew (by the oracle)", &case.headers, &fields)?;
        for (sent, received) in list.iter().zip(&decoded) {
            if (sent.indexing == Indexing::Never) != (received.indexing == Indexing::Never) {
                return Err(format!("{}: the mark of {sent:?} got lost or came from nowhere", place()));
            }
        }
        if encoder.table_size() != decoder.table_size() {
            return Err(format!("{}: the tables of both sides differ", place()));
        }
    }
    Ok(story.cases.len())
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<HeaderList, lariat_frame::hpack::Error> {
    let mut list = HeaderList::new();
    decoder.decode(block, &mut list)?;
    Ok(list)
}

fn compare(place: &str, what: &str, expected: &Fields, got: &Fields) -> Result<(), String> {
    if expected == got {
        return Ok(());
    }
    let show = |field: Option<&(Vec<u8>, Vec<u8>)>| match field {
        Some((name, value)) => format!("\"{}: {}\"", name.escape_ascii(), value.escape_ascii()),
        None => "nothing".to_owned(),
    };
    let first = expected.iter().zip(got).take_while(|(expected, got)| expected == got).count();
    let (expected, got) = (show(expected.get(first)), show(got.get(first)));
    Err(format!("{place}: {what} has {got} as field {first}, not {expected}"))
}
