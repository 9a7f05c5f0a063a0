//! What a peer may and may not put into a header block.

use lariat_frame::hpack::{DEFAULT_TABLE_SIZE, Decoder, Error, HeaderList, Indexing, huffman};
use proptest::collection::vec;
use proptest::prelude::*;

fn decoder() -> Decoder {
    Decoder::new(DEFAULT_TABLE_SIZE)
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<HeaderList, Error> {
    let mut list = HeaderList::new();
    decoder.decode(block, &mut list).map(|()| list)
}

#[track_caller]
fn refused(decoder: &mut Decoder, block: &[u8], section: &str) {
    let error = decode(decoder, block).expect_err("the block is malformed");
    assert_eq!(error.section, format!("RFC 7541 {section}"), "{error}");
}

/// A literal without indexing, of plain strings below 127 octets.
fn literal(pattern: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[pattern, name.len() as u8], name, &[value.len() as u8], value].concat()
}

const INCREMENTAL: u8 = 0x40;
const NOT_INDEXED: u8 = 0x00;
const NEVER_INDEXED: u8 = 0x10;

fn huffman(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    huffman::encode(text, &mut out);
    out
}

/// An integer with a prefix of seven bits, under the bit that says Huffman.
fn huffman_len(len: usize) -> Vec<u8> {
    let mut out = vec![0xff];
    let mut rest = len - 127;
    while rest >= 128 {
        out.push(0x80 | rest as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

#[test]
fn an_empty_block_has_no_fields() {
    assert!(decode(&mut decoder(), b"").unwrap().is_empty());
}

#[test]
fn the_representation_says_how_a_field_may_be_indexed() {
    let block = [
        vec![0x82],
        literal(INCREMENTAL, b"a", b"1"),
        literal(NOT_INDEXED, b"b", b"2"),
        literal(NEVER_INDEXED, b"c", b"3"),
        vec![0xbe],
    ]
    .concat();
    let mut decoder = decoder();
    let list = decode(&mut decoder, &block).unwrap();
    let got: Vec<_> = list.iter().map(|field| (field.name, field.value, field.indexing)).collect();
    let expected: [(&[u8], &[u8], Indexing); 5] = [
        (b":method", b"GET", Indexing::Index),
        (b"a", b"1", Indexing::Index),
        (b"b", b"2", Indexing::Skip),
        (b"c", b"3", Indexing::Never),
        (b"a", b"1", Indexing::Index),
    ];
    assert_eq!(got, expected);
    assert_eq!(decoder.table_size(), 34);
}

#[test]
fn an_index_without_an_entry_is_an_error() {
    for block in [&[0x80][..], &[0xbe], &[0xff, 0xff, 0xff, 0x7f], &[0x7e, 0x01, b'x'], &[0x0f, 0x2f, 0x00]] {
        refused(&mut decoder(), block, "§2.3.3");
    }
}

#[test]
fn a_block_cut_short_anywhere_in_a_field_is_an_error() {
    let whole = [&[0x40, 0x84][..], &huffman(b"names")[..], &[0x05], b"value"].concat();
    assert!(decode(&mut decoder(), &whole).is_ok());
    for len in 1..whole.len() {
        assert!(decode(&mut decoder(), &whole[..len]).is_err(), "{len} octets");
    }
}

#[test]
fn a_string_longer_than_the_block_is_an_error_without_an_allocation() {
    refused(&mut decoder(), &[0x00, 0x01, b'a', 0x7f, 0x80, 0xff, 0xff, 0x7f], "§5.2");
    refused(&mut decoder(), &[0x00, 0x01, b'a', 0xff, 0x80, 0xff, 0xff, 0x7e], "§5.2");
}

#[test]
fn an_integer_that_overflows_is_an_error_wherever_it_stands() {
    let tail = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for first in [&[0xff][..], &[0x7f], &[0x0f], &[0x1f], &[0x3f], &[0x00, 0x7f], &[0x00, 0xff]] {
        refused(&mut decoder(), &[first, &tail].concat(), "§5.1");
    }
}

#[test]
fn huffman_errors_are_errors_of_the_block() {
    refused(&mut decoder(), &[0x00, 0x01, b'a', 0x84, 0xff, 0xff, 0xff, 0xff], "§5.2");
    refused(&mut decoder(), &[0x00, 0x01, b'a', 0x82, 0x07, 0xff], "§5.2");
    refused(&mut decoder(), &[0x00, 0x81, 0x00, 0x00], "§5.2");
}

#[test]
fn size_updates_stand_only_at_the_beginning_of_a_block_and_at_most_two() {
    let mut decoder = decoder();
    assert!(decode(&mut decoder, &[0x20, 0x3e, 0x82]).is_ok());
    assert!(decode(&mut decoder, &[0x3e]).is_ok(), "a block may be nothing else");
    refused(&mut decoder, &[0x20, 0x20, 0x20], "§4.2");
    refused(&mut decoder, &[0x82, 0x20], "§4.2");
}

#[test]
fn a_size_update_above_the_setting_is_an_error() {
    assert!(decode(&mut decoder(), &[0x3f, 0xe1, 0x1f]).is_ok(), "4096");
    refused(&mut decoder(), &[0x3f, 0xe2, 0x1f], "§6.3");
    refused(&mut Decoder::new(0), &[0x21], "§6.3");
}

#[test]
fn a_lowered_setting_must_be_answered_by_a_size_update() {
    let mut decoder = decoder();
    decoder.set_max_table_size(30);
    refused(&mut decoder, &[0x82], "§4.2");
    assert!(decode(&mut decoder, &[0x3e, 0x82]).is_ok());
    assert!(decode(&mut decoder, &[0x82]).is_ok(), "once is enough");
}

#[test]
fn a_setting_lowered_and_raised_again_asks_for_the_smallest_size() {
    let mut lenient = decoder();
    lenient.set_max_table_size(30);
    lenient.set_max_table_size(4096);
    refused(&mut lenient, &[0x3f, 0xe1, 0x1f, 0x82], "§4.2");
    let mut strict = decoder();
    strict.set_max_table_size(30);
    strict.set_max_table_size(4096);
    assert!(decode(&mut strict, &[0x3e, 0x3f, 0xe1, 0x1f, 0x82]).is_ok());
}

#[test]
fn a_setting_that_is_raised_or_still_above_the_table_asks_for_nothing() {
    let mut decoder = decoder();
    decoder.set_max_table_size(8192);
    assert!(decode(&mut decoder, &[0x82]).is_ok());
    assert!(decode(&mut decoder, &[0x20, 0x82]).is_ok());
    decoder.set_max_table_size(100);
    assert!(decode(&mut decoder, &[0x82]).is_ok(), "the table was at 0 already");
}

#[test]
fn the_revision_stays_for_blocks_that_leave_the_table_alone_and_changes_for_others() {
    let mut decoder = decoder();
    let start = decoder.revision();
    decode(&mut decoder, &[0x82, 0x86]).unwrap();
    decode(&mut decoder, &literal(NOT_INDEXED, b"a", b"b")).unwrap();
    decode(&mut decoder, &literal(NEVER_INDEXED, b"a", b"b")).unwrap();
    assert_eq!(decoder.revision(), start);
    decode(&mut decoder, &literal(INCREMENTAL, b"a", b"b")).unwrap();
    let inserted = decoder.revision();
    assert_ne!(inserted, start);
    decode(&mut decoder, &[0x3f, 0xe1, 0x1f]).unwrap();
    let resized = decoder.revision();
    assert_ne!(resized, inserted);
    // A block seen before must not be taken as known now: it lacks the update that is due.
    decoder.set_max_table_size(0);
    assert_ne!(decoder.revision(), resized);
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new(50);
    decode(&mut decoder, &literal(INCREMENTAL, b"a", b"1")).unwrap();
    assert_eq!(decoder.table_size(), 34);
    let list = decode(&mut decoder, &literal(INCREMENTAL, b"name", &[b'v'; 15])).unwrap();
    assert_eq!(list.get(b"name"), Some(&[b'v'; 15][..]), "the field itself is there");
    assert_eq!(decoder.table_size(), 0);
}

#[test]
fn a_name_may_come_from_the_entry_that_its_field_pushes_out() {
    let mut decoder = Decoder::new(40);
    decode(&mut decoder, &literal(INCREMENTAL, b"name", b"1234")).unwrap();
    let list = decode(&mut decoder, &[0x7e, 0x04, b'5', b'6', b'7', b'8', 0xbe]).unwrap();
    assert_eq!(list.get_all(b"name").collect::<Vec<_>>(), [b"5678", b"5678"]);
}

#[test]
fn fields_beyond_the_limit_are_counted_and_the_table_stays_in_step() {
    let mut decoder = decoder();
    let mut list = HeaderList::with_limit(50);
    let block = [literal(INCREMENTAL, b"a", b"1"), literal(INCREMENTAL, b"b", b"2"), vec![0xbe]].concat();
    decoder.decode(&block, &mut list).unwrap();
    assert_eq!((list.len(), list.size(), list.is_truncated()), (1, 3 * 34, true));
    // Both entries are known all the same.
    let list = decode(&mut decoder, &[0xbe, 0xbf]).unwrap();
    assert_eq!((list.get(b"b"), list.get(b"a")), (Some(&b"2"[..]), Some(&b"1"[..])));
}

#[test]
fn a_huffman_string_beyond_both_limits_is_counted_but_not_kept() {
    let coded = huffman(&[b'0'; 40_000]);
    let mut decoder = decoder();
    for pattern in [INCREMENTAL, NOT_INDEXED] {
        decode(&mut decoder, &literal(INCREMENTAL, b"a", b"1")).unwrap();
        let block = [&[pattern, 0x01, b'n'][..], &huffman_len(coded.len()), &coded].concat();
        let mut list = HeaderList::with_limit(16_384);
        decoder.decode(&block, &mut list).unwrap();
        assert_eq!((list.len(), list.size()), (0, 40_000 + 1 + 32));
        assert_eq!(decoder.table_size(), if pattern == INCREMENTAL { 0 } else { 34 });
    }
    // Wrong padding isn't overlooked because nobody wants the string.
    let mut bad = [&[0x00, 0x01, b'n'][..], &huffman_len(coded.len() + 1), &coded, &[0xff]].concat();
    assert!(decoder.decode(&bad, &mut HeaderList::with_limit(0)).is_err());
    bad.truncate(10);
    assert!(decoder.decode(&bad, &mut HeaderList::with_limit(0)).is_err());
}

#[test]
fn a_bomb_of_one_octet_references_stores_no_more_than_the_limit() {
    let mut decoder = decoder();
    decode(&mut decoder, &[&[0x40, 0x01, b'n', 0x7f, 0xa1, 0x1e][..], &[b'v'; 4000]].concat()).unwrap();
    let mut list = HeaderList::with_limit(16_384);
    decoder.decode(&[0xbe; 10_000], &mut list).unwrap();
    assert_eq!(list.len(), 4);
    assert_eq!(list.size(), 10_000 * (4001 + 32));
}

#[test]
fn debugging_output_shows_no_fields() {
    let mut decoder = decoder();
    decode(&mut decoder, &literal(INCREMENTAL, b"cookie", b"secret")).unwrap();
    assert_eq!(format!("{decoder:?}"), "Decoder { table_size: 44, max_table_size: 4096 }");
}

proptest! {
    #[test]
    fn random_octets_never_panic(
        blocks in vec(vec(any::<u8>(), 0..60), 0..8),
        max in 0_usize..200,
        limit in 0_usize..500
    ) {
        let mut decoder = Decoder::new(max);
        for block in blocks {
            let mut list = HeaderList::with_limit(limit);
            if decoder.decode(&block, &mut list).is_err() {
                break;
            }
            prop_assert!(decoder.table_size() <= max);
            let stored: usize = list.iter().map(|field| field.name.len() + field.value.len() + 32).sum();
            prop_assert!(stored <= limit && stored <= list.size());
            prop_assert_eq!(list.is_truncated(), list.size() > limit);
        }
    }
}
