//! The examples of RFC 7541 appendix C, octet by octet.

use lariat_frame::hpack::{DEFAULT_TABLE_SIZE, Decoder, Encoder, HeaderList, Indexing, huffman};

/// Octets from hexadecimal digits, with spaces as the RFC sets them.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

type Field = (&'static str, &'static str);

fn text(list: &HeaderList) -> Vec<(String, String)> {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    list.iter().map(|field| (text(field.name), text(field.value))).collect()
}

fn owned(fields: &[Field]) -> Vec<(String, String)> {
    fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// One block of an example: its octets, the fields, and the table afterwards (the newest entry first) with
/// its size.
struct Block {
    wire: &'static str,
    fields: &'static [Field],
    table: &'static [Field],
    size: usize,
}

#[track_caller]
fn decodes(max_table_size: usize, blocks: &[Block]) {
    let mut decoder = Decoder::new(max_table_size);
    for block in blocks {
        let mut list = HeaderList::new();
        decoder.decode(&hex(block.wire), &mut list).unwrap();
        assert_eq!(text(&list), owned(block.fields));
        assert_eq!(decoder.table_size(), block.size);
        // Every entry asked for by its index, then one too many.
        let indexes: Vec<u8> = (0..block.table.len()).map(|entry| 0x80 | (62 + entry as u8)).collect();
        let mut table = HeaderList::new();
        decoder.decode(&indexes, &mut table).unwrap();
        assert_eq!(text(&table), owned(block.table));
        let beyond = 0x80 | (62 + block.table.len() as u8);
        assert!(decoder.decode(&[beyond], &mut HeaderList::new()).is_err());
    }
}

#[track_caller]
fn encodes(max_table_size: usize, blocks: &[Block]) {
    let mut encoder = Encoder::new(DEFAULT_TABLE_SIZE);
    if max_table_size != DEFAULT_TABLE_SIZE {
        // The examples take the size as agreed on already, so the announcement goes into a block of its own.
        encoder.set_max_table_size(max_table_size);
        encoder.encode([], &mut Vec::new());
    }
    for block in blocks {
        let mut list = HeaderList::new();
        for (name, value) in block.fields {
            list.push(name.as_bytes(), value.as_bytes(), Indexing::Index);
        }
        let mut wire = Vec::new();
        encoder.encode(&list, &mut wire);
        assert_eq!(wire, hex(block.wire));
        assert_eq!(encoder.table_size(), block.size);
    }
}

#[test]
fn c_1_integers() {
    // Seen through a field whose value has that many octets: the lengths have a prefix of seven bits.
    for (len, octets) in [(10, "0a"), (126, "7e"), (127, "7f 00"), (1337, "7f ba 09")] {
        let value = vec![b'~'; len];
        let mut list = HeaderList::new();
        list.push(b":path", &value, Indexing::Skip);
        let mut wire = Vec::new();
        Encoder::new(DEFAULT_TABLE_SIZE).encode(&list, &mut wire);
        assert_eq!(wire, [hex("04"), hex(octets), value].concat());
        let mut decoded = HeaderList::new();
        Decoder::new(DEFAULT_TABLE_SIZE).decode(&wire, &mut decoded).unwrap();
        assert_eq!(decoded, list);
    }
    // C.1.1 and C.1.2 with their prefix of five bits, as table size updates.
    let mut decoder = Decoder::new(1337);
    decoder.decode(&hex("2a"), &mut HeaderList::new()).unwrap();
    decoder.decode(&hex("3f 9a 0a"), &mut HeaderList::new()).unwrap();
    let mut smaller = Decoder::new(1336);
    assert!(smaller.decode(&hex("3f 9a 0a"), &mut HeaderList::new()).is_err());
}

#[test]
fn c_2_1_a_literal_with_indexing() {
    decodes(
        DEFAULT_TABLE_SIZE,
        &[Block {
            wire: "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            fields: &[("custom-key", "custom-header")],
            table: &[("custom-key", "custom-header")],
            size: 55,
        }],
    );
}

#[test]
fn c_2_2_a_literal_without_indexing() {
    decodes(
        DEFAULT_TABLE_SIZE,
        &[Block {
            wire: "040c 2f73 616d 706c 652f 7061 7468",
            fields: &[(":path", "/sample/path")],
            table: &[],
            size: 0,
        }],
    );
}

#[test]
fn c_2_3_a_literal_never_indexed() {
    let wire = hex("1008 7061 7373 776f 7264 0673 6563 7265 74");
    let mut list = HeaderList::new();
    Decoder::new(DEFAULT_TABLE_SIZE).decode(&wire, &mut list).unwrap();
    assert_eq!(text(&list), owned(&[("password", "secret")]));
    assert_eq!(list.iter().next().unwrap().indexing, Indexing::Never);
}

#[test]
fn c_2_4_an_indexed_field() {
    decodes(DEFAULT_TABLE_SIZE, &[Block { wire: "82", fields: &[(":method", "GET")], table: &[], size: 0 }]);
}

const FIRST_REQUEST: &[Field] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
const SECOND_REQUEST: &[Field] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD_REQUEST: &[Field] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];

/// The requests of C.3 and C.4, which differ in their octets only.
fn requests(wires: [&'static str; 3]) -> [Block; 3] {
    let [first, second, third] = wires;
    [
        Block { wire: first, fields: FIRST_REQUEST, table: &[(":authority", "www.example.com")], size: 57 },
        Block {
            wire: second,
            fields: SECOND_REQUEST,
            table: &[("cache-control", "no-cache"), (":authority", "www.example.com")],
            size: 110,
        },
        Block {
            wire: third,
            fields: THIRD_REQUEST,
            table: &[
                ("custom-key", "custom-value"),
                ("cache-control", "no-cache"),
                (":authority", "www.example.com"),
            ],
            size: 164,
        },
    ]
}

#[test]
fn c_3_requests_without_huffman() {
    decodes(
        DEFAULT_TABLE_SIZE,
        &requests([
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ]),
    );
}

#[test]
fn c_4_requests_with_huffman() {
    let blocks = requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
    decodes(DEFAULT_TABLE_SIZE, &blocks);
    encodes(DEFAULT_TABLE_SIZE, &blocks);
}

const FIRST_RESPONSE: &[Field] = &[
    (":status", "302"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const SECOND_RESPONSE: &[Field] = &[
    (":status", "307"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const THIRD_RESPONSE: &[Field] = &[
    (":status", "200"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
    ("location", "https://www.example.com"),
    ("content-encoding", "gzip"),
    ("set-cookie", COOKIE),
];

/// The responses of C.5 and C.6, for a table of 256 octets.
fn responses(wires: [&'static str; 3]) -> [Block; 3] {
    let [first, second, third] = wires;
    [
        Block {
            wire: first,
            fields: FIRST_RESPONSE,
            table: &[
                ("location", "https://www.example.com"),
                ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
                ("cache-control", "private"),
                (":status", "302"),
            ],
            size: 222,
        },
        Block {
            wire: second,
            fields: SECOND_RESPONSE,
            table: &[
                (":status", "307"),
                ("location", "https://www.example.com"),
                ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
                ("cache-control", "private"),
            ],
            size: 222,
        },
        Block {
            wire: third,
            fields: THIRD_RESPONSE,
            table: &[
                ("set-cookie", COOKIE),
                ("content-encoding", "gzip"),
                ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            ],
            size: 215,
        },
    ]
}

#[test]
fn c_5_responses_without_huffman() {
    decodes(
        256,
        &responses([
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120
             474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738
             666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33
             3630 303b 2076 6572 7369 6f6e 3d31",
        ]),
    );
}

const THIRD_RESPONSE_WITH_HUFFMAN: &str =
    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
     dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07";
const FIRST_RESPONSE_WITH_HUFFMAN: &str =
    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
     8f0b 97c8 e9ae 82ae 43d3";

#[test]
fn c_6_responses_with_huffman() {
    decodes(
        256,
        &responses([FIRST_RESPONSE_WITH_HUFFMAN, "4883 640e ffc1 c0bf", THIRD_RESPONSE_WITH_HUFFMAN]),
    );
    // The RFC's example encodes "307" by Huffman although that saves nothing; ours leaves such strings plain.
    encodes(
        256,
        &responses([FIRST_RESPONSE_WITH_HUFFMAN, "4803 3330 37c1 c0bf", THIRD_RESPONSE_WITH_HUFFMAN]),
    );
}

#[test]
fn the_strings_of_c_4_and_c_6_by_themselves() {
    for (plain, coded) in [
        ("www.example.com", "f1e3 c2e5 f23a 6ba0 ab90 f4ff"),
        ("custom-key", "25a8 49e9 5ba9 7d7f"),
        ("302", "6402"),
        ("307", "640e ff"),
        ("https://www.example.com", "9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3"),
    ] {
        let mut out = Vec::new();
        huffman::encode(plain.as_bytes(), &mut out);
        assert_eq!(out, hex(coded));
        out.clear();
        huffman::decode(&hex(coded), &mut out).unwrap();
        assert_eq!(out, plain.as_bytes());
    }
}
