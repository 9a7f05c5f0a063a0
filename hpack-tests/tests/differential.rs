//! Two implementations that know nothing of each other must agree.

use lariat_frame::hpack::{DEFAULT_TABLE_SIZE, Decoder, Encoder, HeaderList, Indexing, huffman};
use lariat_hpack_tests::{Fields, Oracle, fields_of};
use proptest::collection::vec;
use proptest::prelude::*;

/// Names and values that repeat often enough to be found in the tables.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b":path".to_vec()),
        Just(b":status".to_vec()),
        Just(b"cookie".to_vec()),
        Just(b"404".to_vec()),
        "[a-d]{0,2}".prop_map(String::into_bytes),
        "[ -~]{0,200}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..40),
    ]
}

fn indexing() -> impl Strategy<Value = Indexing> {
    prop_oneof![3 => Just(Indexing::Index), 1 => Just(Indexing::Skip), 1 => Just(Indexing::Never)]
}

/// One step of a valid block, in terms of the wire.
#[derive(Clone, Debug)]
enum Item {
    /// An indexed field; the index is brought into the range of what there is.
    Indexed(usize),
    Literal {
        indexing: Indexing,
        name: Result<usize, (bool, Vec<u8>)>,
        huffman: bool,
        value: Vec<u8>,
    },
}

fn item() -> impl Strategy<Value = Item> {
    let name = prop_oneof![any::<usize>().prop_map(Ok), (any::<bool>(), octets()).prop_map(Err)];
    prop_oneof![
        any::<usize>().prop_map(Item::Indexed),
        (indexing(), name, any::<bool>(), octets()).prop_map(|(indexing, name, huffman, value)| {
            Item::Literal { indexing, name, huffman, value }
        }),
    ]
}

/// The index of [`Oracle::MISNAMED`].
const MISNAMED: usize = 15;

/// Whether the oracle can be asked about a block with these fields.
fn is_fair(list: &HeaderList) -> bool {
    list.get(Oracle::MISNAMED).is_none()
}

/// A block: sizes for updates at its beginning, then its items.
type Block = (Vec<usize>, Vec<Item>);

fn block() -> impl Strategy<Value = Block> {
    (vec(0..=DEFAULT_TABLE_SIZE, 0..=2), vec(item(), 0..12))
        .prop_map(|(sizes, items)| if items.len() % 3 == 0 { (sizes, items) } else { (Vec::new(), items) })
}

/// A writer that is neither of the two encoders. It knows just enough of the table to choose indexes that
/// exist.
struct Writer {
    /// The sizes of the entries, the newest first.
    table: Vec<usize>,
    max_size: usize,
    /// The lengths of all static names, found by asking a decoder.
    static_names: Vec<usize>,
    /// The lengths of the names of the entries.
    names: Vec<usize>,
}

impl Writer {
    fn new() -> Self {
        let mut list = HeaderList::new();
        let indexes: Vec<u8> = (1..=61).map(|index| 0x80 | index).collect();
        Decoder::new(DEFAULT_TABLE_SIZE).decode(&indexes, &mut list).unwrap();
        let static_names = list.iter().map(|field| field.name.len()).collect();
        Writer { table: Vec::new(), max_size: DEFAULT_TABLE_SIZE, static_names, names: Vec::new() }
    }

    fn index(&self, wish: usize) -> usize {
        match 1 + wish % (61 + self.table.len()) {
            MISNAMED => 1,
            index => index,
        }
    }

    fn name_len(&self, index: usize) -> usize {
        self.static_names.iter().chain(&self.names).copied().nth(index - 1).unwrap()
    }

    fn evict(&mut self) {
        while self.table.iter().sum::<usize>() > self.max_size {
            self.table.pop();
            self.names.pop();
        }
    }

    fn write(&mut self, (sizes, items): &Block) -> Vec<u8> {
        let mut out = Vec::new();
        for &size in sizes {
            integer(&mut out, 0x20, 5, size);
            self.max_size = size;
            self.evict();
        }
        for item in items {
            match item {
                Item::Indexed(wish) => integer(&mut out, 0x80, 7, self.index(*wish)),
                Item::Literal { indexing, name, huffman, value } => {
                    let (pattern, prefix) = match indexing {
                        Indexing::Index => (0x40, 6),
                        Indexing::Skip => (0x00, 4),
                        Indexing::Never => (0x10, 4),
                    };
                    let name_len = match name {
                        Ok(wish) => {
                            let index = self.index(*wish);
                            integer(&mut out, pattern, prefix, index);
                            self.name_len(index)
                        }
                        Err((huffman, name)) => {
                            out.push(pattern);
                            string(&mut out, *huffman, name);
                            name.len()
                        }
                    };
                    string(&mut out, *huffman, value);
                    if *indexing == Indexing::Index {
                        self.table.insert(0, name_len + value.len() + 32);
                        self.names.insert(0, name_len);
                        self.evict();
                    }
                }
            }
        }
        out
    }
}

fn integer(out: &mut Vec<u8>, pattern: u8, prefix: u32, value: usize) {
    let full = (1_usize << prefix) - 1;
    out.push(pattern | value.min(full) as u8);
    if let Some(mut rest) = value.checked_sub(full) {
        while rest >= 128 {
            out.push((rest % 128 + 128) as u8);
            rest /= 128;
        }
        out.push(rest as u8);
    }
}

fn string(out: &mut Vec<u8>, by_huffman: bool, text: &[u8]) {
    if by_huffman {
        let mut coded = Vec::new();
        huffman::encode(text, &mut coded);
        integer(out, 0x80, 7, coded.len());
        out.extend_from_slice(&coded);
    } else {
        integer(out, 0x00, 7, text.len());
        out.extend_from_slice(text);
    }
}

proptest! {
    #[test]
    fn any_valid_block_decodes_to_the_same_fields(blocks in vec(block(), 0..8)) {
        let (mut decoder, mut oracle, mut writer) = (Decoder::new(DEFAULT_TABLE_SIZE), Oracle::new(), Writer::new());
        for block in &blocks {
            let wire = writer.write(block);
            let mut list = HeaderList::new();
            decoder.decode(&wire, &mut list).unwrap();
            prop_assert_eq!(oracle.decode(&wire), Ok(fields_of(&list)));
            prop_assert_eq!(list.len(), block.1.len());
            prop_assert_eq!(decoder.table_size(), writer.table.iter().sum::<usize>());
        }
    }

    #[test]
    fn what_we_encode_the_oracle_understands(
        lists in vec(
            (vec((octets(), octets(), indexing()), 0..12), proptest::option::weighted(0.2, 0_usize..500)),
            0..10
        ),
    ) {
        let (mut encoder, mut oracle) = (Encoder::new(DEFAULT_TABLE_SIZE), Oracle::new());
        for (fields, resize) in lists {
            let list = {
                let mut list = HeaderList::new();
                for (name, value, indexing) in &fields {
                    list.push(name, value, *indexing);
                }
                list
            };
            if let Some(size) = resize {
                encoder.set_max_table_size(size);
            }
            let mut wire = Vec::new();
            encoder.encode(&list, &mut wire);
            prop_assert_eq!(oracle.decode(&wire), Ok(fields_of(&list)));
        }
    }

    #[test]
    fn what_the_oracle_encodes_we_understand(lists in vec(vec((octets(), octets()), 0..12), 0..10)) {
        let (mut encoder, mut decoder) = (hpack::Encoder::new(), Decoder::new(DEFAULT_TABLE_SIZE));
        for fields in lists {
            let wire = encoder.encode(fields.iter().map(|(name, value)| (&name[..], &value[..])));
            let mut list = HeaderList::new();
            decoder.decode(&wire, &mut list).unwrap();
            prop_assert_eq!(fields_of(&list), fields);
        }
    }

    /// The oracle is the more lenient of the two: what we accept it accepts, and finds the same.
    #[test]
    fn random_octets_that_we_accept_mean_the_same_to_the_oracle(blocks in vec(vec(any::<u8>(), 0..24), 1..6)) {
        let (mut decoder, mut oracle) = (Decoder::new(DEFAULT_TABLE_SIZE), Oracle::new());
        for wire in blocks {
            let mut list = HeaderList::new();
            if decoder.decode(&wire, &mut list).is_err() || !is_fair(&list) {
                break;
            }
            prop_assert_eq!(oracle.decode(&wire), Ok(fields_of(&list)));
        }
    }

    /// One octet of a valid block changed, or its end cut off.
    #[test]
    fn damaged_blocks_give_errors_or_the_same_fields_but_never_panics(
        blocks in vec(block(), 1..4),
        place: proptest::sample::Index,
        octet: u8,
        cut: bool,
    ) {
        let (mut decoder, mut oracle, mut writer) = (Decoder::new(DEFAULT_TABLE_SIZE), Oracle::new(), Writer::new());
        let last = blocks.len() - 1;
        for (number, block) in blocks.iter().enumerate() {
            let mut wire = writer.write(block);
            if number == last && !wire.is_empty() {
                let place = place.index(wire.len());
                if cut {
                    wire.truncate(place);
                } else {
                    wire[place] = octet;
                }
            }
            let mut list = HeaderList::new();
            if decoder.decode(&wire, &mut list).is_err() {
                prop_assert_eq!(number, last);
                break;
            }
            if !is_fair(&list) {
                break;
            }
            let fields: Result<Fields, String> = oracle.decode(&wire);
            prop_assert_eq!(fields, Ok(fields_of(&list)));
        }
    }
}

#[test]
fn blocks_on_which_the_oracle_panics_are_errors_for_us() {
    for wire in [&[0x3f_u8][..], &[0x40], &[0x00], &[0x0f], &[0x3f, 0xff]] {
        assert!(Decoder::new(DEFAULT_TABLE_SIZE).decode(wire, &mut HeaderList::new()).is_err());
        assert!(Oracle::new().decode(wire).is_err());
    }
}
