//! What the fuzz targets run. It lives here so that ordinary tests replay the corpora; nothing else is meant
//! to call it.
//!
//! Each function takes any octets at all and panics if something that must always hold doesn't.

use crate::hpack::{DEFAULT_TABLE_SIZE, Decoder, Encoder, HeaderList, Indexing, huffman};
use crate::{DEFAULT_MAX_FRAME_SIZE, Frame, PlainFrame, Scope, decode, decode_plain, encode};
use std::sync::Arc;

/// Decodes frames one after the other; what was decoded encodes to a frame that says the same.
pub fn frames(mut input: &[u8]) {
    loop {
        let decoded = decode(input, DEFAULT_MAX_FRAME_SIZE);
        if let Some((plain, rest)) = decode_plain(input, DEFAULT_MAX_FRAME_SIZE) {
            assert_eq!(decoded, Ok(Some((in_full(plain), input.len() - rest.len()))));
        }
        let used = match decoded {
            Ok(None) => return,
            Ok(Some((frame, used))) => {
                let cut = input.get(..used - 1).expect("a frame is within its input");
                assert_eq!(decode(cut, DEFAULT_MAX_FRAME_SIZE), Ok(None), "one octet less is waited for");
                encodes_again(frame);
                used
            }
            Err(error) => match error.scope {
                Scope::Connection => return,
                Scope::Stream(stream) => {
                    assert!(!stream.is_zero() && error.consumed > 0);
                    error.consumed
                }
            },
        };
        input = input.get(used..).expect("a frame is within its input");
    }
}

fn in_full(plain: PlainFrame<'_>) -> Frame<'_> {
    let PlainFrame { is_headers, stream, payload, end_stream } = plain;
    match is_headers {
        true => Frame::Headers { stream, fragment: payload, priority: None, end_stream, end_headers: true },
        false => Frame::Data { stream, payload, padding: 0, end_stream },
    }
}

fn encodes_again(mut frame: Frame<'_>) {
    let mut out = Vec::new();
    encode::frame(&mut out, &frame);
    if let Frame::Data { padding, .. } = &mut frame {
        // The only thing that doesn't come back.
        *padding = 0;
    }
    let len = out.len();
    assert_eq!(decode(&out, DEFAULT_MAX_FRAME_SIZE), Ok(Some((frame, len))));
}

/// Decodes header blocks with one decoder. The first octet chooses the size of the table and the second the
/// limit of the lists, in units of 16 octets; blocks follow, each after an octet with its length.
pub fn hpack_decode(input: &[u8]) {
    let Some((&[size, limit], mut rest)) = input.split_first_chunk() else {
        return;
    };
    let (size, limit) = (usize::from(size) * 16, usize::from(limit) * 16);
    let mut decoder = Decoder::new(size);
    while let Some(block) = take_with_length(&mut rest) {
        let before = decoder.revision();
        let mut list = HeaderList::with_limit(limit);
        if decoder.decode(block, &mut list).is_err() {
            return;
        }
        assert!(decoder.table_size() <= size);
        let stored: usize = list.iter().map(|field| field.name.len() + field.value.len() + 32).sum();
        assert!(stored <= limit && stored <= list.size());
        assert_eq!(list.is_truncated(), list.size() > limit);
        if decoder.revision() == before {
            let mut again = HeaderList::with_limit(limit);
            decoder.decode(block, &mut again).expect("a block that left the table alone decodes again");
            assert_eq!((&again, again.size()), (&list, list.size()));
        }
    }
}

/// Builds header lists, encodes and decodes them. Each list begins with an octet: its lowest bit says whether
/// it is a template, which is sent three times, the next whether the table size changes before, the others
/// how many fields there are. A field is an octet for its indexing, then name and value, each after an octet
/// with its length.
pub fn hpack_round_trip(input: &[u8]) {
    string_round_trip(input);
    let mut encoder = Encoder::new(DEFAULT_TABLE_SIZE);
    let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
    let mut rest = input;
    while let Some(kind) = take(&mut rest) {
        if kind & 2 != 0
            && let Some(size) = take(&mut rest)
        {
            encoder.set_max_table_size(usize::from(size) * 16);
        }
        let mut list = HeaderList::new();
        for _ in 0..kind >> 2 {
            let indexing = match take(&mut rest) {
                Some(0) => Indexing::Never,
                Some(1) => Indexing::Skip,
                Some(_) => Indexing::Index,
                None => break,
            };
            let (name, value) = (take_with_length(&mut rest), take_with_length(&mut rest));
            list.push(name.unwrap_or_default(), value.unwrap_or_default(), indexing);
        }
        let list = Arc::new(list);
        for _ in 0..if kind & 1 == 0 { 1 } else { 3 } {
            let mut block = Vec::new();
            if kind & 1 == 0 {
                encoder.encode(list.iter(), &mut block);
            } else {
                encoder.encode_template(&list, &mut block);
            }
            arrives(&list, &block, &mut decoder);
            assert_eq!(encoder.table_size(), decoder.table_size());
        }
    }
}

fn arrives(list: &HeaderList, block: &[u8], decoder: &mut Decoder) {
    let mut decoded = HeaderList::with_limit(list.size());
    decoder.decode(block, &mut decoded).expect("what was encoded decodes");
    assert_eq!((decoded.len(), decoded.size()), (list.len(), list.size()));
    for (sent, got) in list.iter().zip(&decoded) {
        assert_eq!((sent.name, sent.value), (got.name, got.value));
        assert_eq!(sent.indexing == Indexing::Never, got.indexing == Indexing::Never);
    }
}

fn string_round_trip(text: &[u8]) {
    let mut coded = Vec::new();
    huffman::encode(text, &mut coded);
    assert_eq!(coded.len(), huffman::encoded_len(text));
    let mut decoded = Vec::new();
    huffman::decode(&coded, &mut decoded).expect("what was encoded decodes");
    assert_eq!(decoded, text);
    // And the other way round: a text has one coding only.
    let mut meant = Vec::new();
    if huffman::decode(text, &mut meant).is_ok() {
        let mut again = Vec::new();
        huffman::encode(&meant, &mut again);
        assert_eq!(again, text);
    }
}

fn take(input: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = input.split_first()?;
    *input = rest;
    Some(first)
}

/// As many octets as the first one says, or all there are.
fn take_with_length<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::from(take(input)?).min(input.len());
    let (octets, rest) = input.split_at(len);
    *input = rest;
    Some(octets)
}
