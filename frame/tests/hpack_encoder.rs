//! What the encoder puts on the wire, and that a decoder on the other side understands it.

use lariat_frame::hpack::{DEFAULT_TABLE_SIZE, Decoder, Encoder, Field, HeaderList, Indexing};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

fn encoder() -> Encoder {
    Encoder::new(DEFAULT_TABLE_SIZE)
}

fn list(fields: &[(&str, &str, Indexing)]) -> HeaderList {
    let mut list = HeaderList::new();
    for (name, value, indexing) in fields {
        list.push(name.as_bytes(), value.as_bytes(), *indexing);
    }
    list
}

fn encode(encoder: &mut Encoder, list: &HeaderList) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.encode(list, &mut out);
    out
}

fn template(encoder: &mut Encoder, list: &Arc<HeaderList>) -> Vec<u8> {
    let mut out = b"before".to_vec();
    encoder.encode_template(list, &mut out);
    out.split_off(6)
}

/// The head of a gRPC request, all of which repeats from call to call.
fn request(path: &str) -> HeaderList {
    list(&[
        (":method", "POST", Indexing::Index),
        (":scheme", "http", Indexing::Index),
        (":path", path, Indexing::Index),
        (":authority", "localhost:50051", Indexing::Index),
        ("content-type", "application/grpc", Indexing::Index),
        ("user-agent", "lariat/0.1.0", Indexing::Index),
        ("te", "trailers", Indexing::Index),
    ])
}

#[test]
fn a_repeated_request_is_one_octet_for_each_field() {
    let mut encoder = encoder();
    let first = encode(&mut encoder, &request("/helloworld.Greeter/SayHello"));
    assert!(first.len() > 50);
    let second = encode(&mut encoder, &request("/helloworld.Greeter/SayHello"));
    assert_eq!(second, [0x83, 0x86, 0xc2, 0xc1, 0xc0, 0xbf, 0xbe]);
}

#[test]
fn a_new_value_refers_to_the_name_it_shares() {
    let mut encoder = encoder();
    encode(&mut encoder, &list(&[("te", "trailers", Indexing::Index)]));
    // The name at dynamic index 62; the value of plain octets, for Huffman wouldn't be shorter.
    assert_eq!(encode(&mut encoder, &list(&[("te", "~", Indexing::Index)])), [0x7e, 0x01, b'~']);
    assert_eq!(encode(&mut encoder, &list(&[("age", "~", Indexing::Index)])), [0x55, 0x01, b'~']);
}

#[test]
fn a_field_that_is_not_to_be_indexed_leaves_the_table_alone() {
    let mut encoder = encoder();
    let revision = encoder.revision();
    let list = list(&[("grpc-timeout", "1S", Indexing::Skip)]);
    let first = encode(&mut encoder, &list);
    assert_eq!(first[0], 0x00);
    assert_eq!(encode(&mut encoder, &list), first);
    assert_eq!((encoder.revision(), encoder.table_size()), (revision, 0));
}

#[test]
fn a_secret_is_never_indexed_even_where_a_table_holds_it() {
    let mut encoder = encoder();
    encode(&mut encoder, &list(&[("authorization", "~", Indexing::Index)]));
    let secret = list(&[("authorization", "~", Indexing::Never), (":method", "GET", Indexing::Never)]);
    let block = encode(&mut encoder, &secret);
    // The name's index takes a second octet: 23 in a prefix of four bits.
    assert_eq!(block[..4], [0x1f, 0x08, 0x01, b'~']);
    assert_eq!(block[4], 0x12);
    let mut decoded = HeaderList::new();
    let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
    decoder.decode(&block, &mut decoded).unwrap();
    assert_eq!(decoded, secret);
}

#[test]
fn a_field_larger_than_the_table_is_sent_without_emptying_it() {
    let mut encoder = encoder();
    encode(&mut encoder, &list(&[("a", "1", Indexing::Index)]));
    let block = encode(&mut encoder, &list(&[("b", &"x".repeat(4096), Indexing::Index)]));
    assert_eq!(block[0], 0x00);
    assert_eq!(encoder.table_size(), 34);
}

#[test]
fn huffman_is_used_only_where_it_is_shorter() {
    let mut encoder = encoder();
    assert_eq!(
        encode(&mut encoder, &list(&[("age", "aaaa", Indexing::Skip)])),
        [0x0f, 0x06, 0x83, 0x18, 0xc6, 0x3f]
    );
    assert_eq!(encode(&mut encoder, &list(&[("age", "XZ", Indexing::Skip)])), [0x0f, 0x06, 0x02, b'X', b'Z']);
}

#[test]
fn a_changed_table_size_is_told_at_the_next_block_smallest_first() {
    let mut encoder = encoder();
    let get = list(&[(":method", "GET", Indexing::Index)]);
    encoder.set_max_table_size(4096);
    assert_eq!(encode(&mut encoder, &get), [0x82], "nothing changed");
    encoder.set_max_table_size(10);
    assert_eq!(encode(&mut encoder, &get), [0x2a, 0x82]);
    assert_eq!(encode(&mut encoder, &get), [0x82], "once is enough");
    encoder.set_max_table_size(20);
    encoder.set_max_table_size(0);
    encoder.set_max_table_size(30);
    assert_eq!(encode(&mut encoder, &get), [0x20, 0x3e, 0x82]);
    encoder.set_max_table_size(0);
    encoder.set_max_table_size(30);
    assert_eq!(encode(&mut encoder, &get), [0x20, 0x3e, 0x82], "the table was emptied in between");
}

#[test]
fn an_encoder_of_another_size_than_the_default_says_so_first() {
    let get = list(&[(":method", "GET", Indexing::Index)]);
    assert_eq!(encode(&mut Encoder::new(0), &get), [0x20, 0x82]);
    assert_eq!(encode(&mut Encoder::new(4096), &get), [0x82]);
}

#[test]
fn a_table_of_no_size_still_sends_everything() {
    let mut encoder = Encoder::new(0);
    let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
    for _ in 0..2 {
        let block = encode(&mut encoder, &request("/a/b"));
        let mut decoded = HeaderList::new();
        decoder.decode(&block, &mut decoded).unwrap();
        let pairs = |list: &HeaderList| -> Vec<_> {
            list.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
        };
        assert_eq!(pairs(&decoded), pairs(&request("/a/b")));
    }
}

#[test]
fn a_template_encodes_as_its_fields_would() {
    let template_list = Arc::new(request("/a/b"));
    let (mut by_template, mut by_fields) = (encoder(), encoder());
    for _ in 0..4 {
        assert_eq!(template(&mut by_template, &template_list), encode(&mut by_fields, &template_list));
    }
    // A table that changed in between must not be taken for the one before.
    for encoder in [&mut by_template, &mut by_fields] {
        encode(encoder, &list(&[("x", "y", Indexing::Index)]));
    }
    for _ in 0..3 {
        assert_eq!(template(&mut by_template, &template_list), encode(&mut by_fields, &template_list));
    }
    for encoder in [&mut by_template, &mut by_fields] {
        encoder.set_max_table_size(100);
    }
    for _ in 0..3 {
        assert_eq!(template(&mut by_template, &template_list), encode(&mut by_fields, &template_list));
    }
}

#[test]
fn templates_are_let_go_of_when_many_others_come() {
    let mut encoder = Encoder::new(0);
    let first = Arc::new(request("/first/one"));
    for _ in 0..3 {
        template(&mut encoder, &first);
    }
    assert!(Arc::strong_count(&first) <= 2);
    for number in 0..100 {
        let other = Arc::new(request(&format!("/other/{number}")));
        template(&mut encoder, &other);
        template(&mut encoder, &other);
    }
    let held: Vec<_> = (0..100).map(|_| Arc::new(list(&[(":method", "POST", Indexing::Index)]))).collect();
    for list in &held {
        template(&mut encoder, list);
    }
    assert!(held.iter().filter(|list| Arc::strong_count(list) > 1).count() <= 16);
}

fn indexing() -> impl Strategy<Value = Indexing> {
    prop_oneof![4 => Just(Indexing::Index), 1 => Just(Indexing::Skip), 1 => Just(Indexing::Never)]
}

/// Fields out of few names and values, so that they repeat.
fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Indexing)> {
    let names = prop_oneof![
        Just(b":path".to_vec()),
        Just(b"content-type".to_vec()),
        "x-[a-c]{1,2}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..6),
    ];
    let values = prop_oneof![
        Just(b"/".to_vec()),
        "[a-c]{0,2}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..300),
    ];
    (names, values, indexing())
}

#[derive(Clone, Debug)]
enum Step {
    Encode(Vec<(Vec<u8>, Vec<u8>, Indexing)>),
    /// The template of that number.
    Template(usize),
    Resize(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => vec(field(), 0..10).prop_map(Step::Encode),
        4 => (0_usize..20).prop_map(Step::Template),
        1 => (0_usize..600).prop_map(Step::Resize),
    ]
}

/// What a decoder makes of a field: one found in a table looks as one that was indexed.
fn same(sent: Field<'_>, got: Field<'_>) -> bool {
    let indexing = match sent.indexing {
        Indexing::Never => got.indexing == Indexing::Never,
        Indexing::Index | Indexing::Skip => got.indexing != Indexing::Never,
    };
    sent.name == got.name && sent.value == got.value && indexing
}

proptest! {
    #[test]
    fn both_tables_stay_in_step_whatever_is_sent(steps in vec(step(), 0..60), max in 0_usize..5000) {
        let (mut encoder, mut decoder) = (Encoder::new(max), Decoder::new(DEFAULT_TABLE_SIZE));
        decoder.set_max_table_size(5000);
        let templates: Vec<_> =
            (0..20).map(|number| Arc::new(request(&format!("/service/{number}")))).collect();
        for step in steps {
            let mut out = Vec::new();
            let sent = match step {
                Step::Resize(size) => {
                    encoder.set_max_table_size(size);
                    continue;
                }
                Step::Template(number) => {
                    encoder.encode_template(&templates[number], &mut out);
                    (*templates[number]).clone()
                }
                Step::Encode(fields) => {
                    let mut list = HeaderList::new();
                    for (name, value, indexing) in &fields {
                        list.push(name, value, *indexing);
                    }
                    encoder.encode(&list, &mut out);
                    list
                }
            };
            let mut got = HeaderList::new();
            decoder.decode(&out, &mut got).unwrap();
            prop_assert_eq!(got.len(), sent.len());
            for (sent, got) in sent.iter().zip(&got) {
                prop_assert!(same(sent, got), "{:?} became {:?}", sent, got);
            }
            prop_assert_eq!(encoder.table_size(), decoder.table_size());
        }
    }
}
