//! The corpora of the fuzz targets, replayed.

use lariat_frame::fuzz;
use std::fs;
use std::path::Path;

#[track_caller]
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus")).join(target);
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        run(&fs::read(path).unwrap());
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

#[test]
fn frames_of_the_corpus_decode_and_encode_again() {
    replay("frame_decode", fuzz::frames);
}

#[test]
fn header_blocks_of_the_corpus_decode_or_fail_in_order() {
    replay("hpack_decode", fuzz::hpack_decode);
}

#[test]
fn header_lists_of_the_corpus_come_back() {
    replay("hpack_round_trip", fuzz::hpack_round_trip);
}
