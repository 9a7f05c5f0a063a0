//! A write buffer gives back every octet once and in order, however it is filled and drained.

use bytes::Bytes;
use lariat_frame::WriteBuf;
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::IoSlice;

/// What a vectored write with `slots` slices would see.
fn front(buf: &WriteBuf, slots: usize) -> Vec<u8> {
    let mut slices = vec![IoSlice::new(&[]); slots];
    let filled = buf.chunks(&mut slices);
    assert!(slices[..filled].iter().all(|slice| !slice.is_empty()));
    slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
}

#[test]
fn small_things_stand_in_one_slice_and_large_payloads_in_their_own() {
    let mut buf = WriteBuf::new();
    buf.tail().extend_from_slice(b"head");
    buf.put_payload(Bytes::from_static(b"small"));
    let large = Bytes::from(vec![7; WriteBuf::CHAIN_THRESHOLD]);
    buf.put_payload(large.clone());
    buf.tail().extend_from_slice(b"tail");
    let mut slices = [IoSlice::new(&[]); 8];
    assert_eq!(buf.chunks(&mut slices), 3);
    assert_eq!(&slices[0][..], b"headsmall");
    assert_eq!(slices[1].as_ptr(), large.as_ptr(), "chained, not copied");
    assert_eq!(&slices[2][..], b"tail");
    assert_eq!(buf.len(), 9 + large.len() + 4);
}

#[test]
fn what_has_passed_is_counted_over_all_writes() {
    let mut buf = WriteBuf::new();
    buf.tail().extend_from_slice(&[1; 100]);
    buf.push_bytes(Bytes::from(vec![2; 50]));
    let head = buf.end();
    buf.tail().extend_from_slice(&[3; 10]);
    assert_eq!((buf.passed(), head, buf.end()), (0, 150, 160));
    buf.advance(120);
    assert_eq!((buf.passed(), buf.end()), (120, 160));
    buf.advance(1_000);
    assert_eq!((buf.passed(), buf.end()), (160, 160));
    buf.tail().extend_from_slice(&[4; 5]);
    buf.advance(5);
    assert_eq!((buf.passed(), buf.end()), (165, 165));
}

#[test]
fn an_emptied_buffer_starts_anew_in_the_same_memory() {
    let mut buf = WriteBuf::new();
    buf.tail().extend_from_slice(&[1; 100]);
    let place = buf.tail().as_ptr();
    buf.advance(100);
    assert!(buf.is_empty());
    assert!(buf.tail().is_empty());
    buf.tail().push(2);
    assert_eq!(buf.tail().as_ptr(), place);
}

#[test]
fn a_buffer_that_never_runs_empty_does_not_grow_without_end() {
    let mut buf = WriteBuf::new();
    buf.tail().push(0);
    for _ in 0..1000 {
        buf.tail().extend_from_slice(&[1; 1000]);
        buf.advance(1000);
    }
    assert_eq!(buf.len(), 1);
    assert!(buf.tail().capacity() < 100_000);
}

#[test]
fn shrink_gives_memory_back_and_keeps_the_octets() {
    let mut buf = WriteBuf::new();
    buf.tail().extend_from_slice(&[1; 100_000]);
    buf.push_bytes(Bytes::from_static(b"chained"));
    buf.tail().extend_from_slice(b"tail");
    buf.advance(99_999);
    buf.shrink();
    assert_eq!(buf.to_vec(), b"\x01chainedtail");
    assert!(buf.tail().capacity() < 1000);
    buf.clear();
    assert!(buf.is_empty() && buf.to_vec().is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Small(Vec<u8>),
    Chain(Vec<u8>),
    Put(Vec<u8>),
    Advance(usize),
    Shrink,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        vec(any::<u8>(), 0..50).prop_map(Step::Small),
        vec(any::<u8>(), 20_000..20_001).prop_map(Step::Small),
        vec(any::<u8>(), 0..50).prop_map(Step::Chain),
        vec(any::<u8>(), 1000..1050).prop_map(Step::Put),
        (0_usize..100).prop_map(Step::Advance),
        (0_usize..50_000).prop_map(Step::Advance),
        Just(Step::Shrink),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_behaves_as_one_queue_of_octets(steps in vec(step(), 0..40)) {
        let mut buf = WriteBuf::new();
        let mut model = Vec::new();
        for step in steps {
            match step {
                Step::Small(octets) => {
                    model.extend_from_slice(&octets);
                    buf.tail().extend_from_slice(&octets);
                }
                Step::Chain(octets) => {
                    model.extend_from_slice(&octets);
                    buf.push_bytes(octets.into());
                }
                Step::Put(octets) => {
                    model.extend_from_slice(&octets);
                    buf.put_payload(octets.into());
                }
                Step::Advance(n) => {
                    model.drain(..n.min(model.len()));
                    buf.advance(n);
                }
                Step::Shrink => buf.shrink(),
            }
            prop_assert_eq!(buf.len(), model.len());
            prop_assert_eq!(&buf.to_vec(), &model);
            prop_assert!(model.starts_with(&front(&buf, 2)));
        }
    }
}
