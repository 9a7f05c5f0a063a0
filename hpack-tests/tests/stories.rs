//! Recorded stories: our own, shipped with the crate, and those of other encoders where they lie beside the
//! project.

use lariat_frame::hpack::Indexing;
use lariat_hpack_tests::{Story, check, stories_in};
use std::path::{Path, PathBuf};

const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/stories");
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/hpack-stories");

/// A policy that uses every way of indexing.
fn mixed(name: &[u8]) -> Indexing {
    match name {
        b"authorization" | b"cookie" | b"set-cookie" => Indexing::Never,
        b":path" | b"date" | b"last-modified" | b"grpc-timeout" => Indexing::Skip,
        _ => Indexing::Index,
    }
}

/// The stories of a folder; none, and a word why, if it can't be read.
fn read(folder: &Path) -> Vec<Story> {
    match stories_in(folder) {
        Ok(paths) => paths.iter().map(|path| Story::read(path).unwrap()).collect(),
        Err(error) => {
            println!("skipped: {}: {error}", folder.display());
            Vec::new()
        }
    }
}

fn decode_all(stories: &[Story]) -> usize {
    stories.iter().map(|story| check::decodes_as_recorded(story).unwrap()).sum()
}

fn encode_all(stories: &[Story], indexing: fn(&[u8]) -> Indexing) -> usize {
    stories.iter().map(|story| check::encodes_to_the_same(story, indexing).unwrap()).sum()
}

fn shared(encoder: &str) -> Vec<Story> {
    read(&PathBuf::from(SHARED).join(encoder))
}

#[test]
fn our_own_stories_are_there_and_decode_as_recorded() {
    let stories = read(Path::new(OWN));
    assert!(stories.len() >= 4);
    assert!(decode_all(&stories) >= 20);
    for story in &stories {
        check::oracle_decodes_as_recorded(story).unwrap();
    }
}

#[test]
fn our_own_stories_encode_anew() {
    let stories = read(Path::new(OWN));
    encode_all(&stories, |_| Indexing::Index);
    encode_all(&stories, mixed);
}

#[test]
fn go_hpack_is_understood() {
    println!("{} blocks", decode_all(&shared("go-hpack")));
}

#[test]
fn nghttp2_is_understood() {
    println!("{} blocks", decode_all(&shared("nghttp2")));
}

#[test]
fn nghttp2_that_changes_its_table_size_is_understood() {
    println!("{} blocks", decode_all(&shared("nghttp2-change-table-size")));
}

#[test]
fn recorded_fields_encode_to_what_both_decoders_understand() {
    println!("{} blocks", encode_all(&shared("raw-data"), |_| Indexing::Index));
}

#[test]
fn so_they_do_with_changes_of_the_table_size_and_fields_that_are_not_indexed() {
    println!("{} blocks", encode_all(&shared("nghttp2-change-table-size"), mixed));
}
