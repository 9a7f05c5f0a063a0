//! Header lists keep fields in order, count as the RFC does, and stop storing at their limit.

use lariat_frame::hpack::{HeaderList, Indexing};

fn list() -> HeaderList {
    let mut list = HeaderList::new();
    list.push(b"name", b"1", Indexing::Index);
    list.push(b"other", b"", Indexing::Skip);
    list.push(b"name", b"2", Indexing::Never);
    list
}

#[test]
fn fields_come_in_order_and_are_found_by_name() {
    let list = list();
    let fields: Vec<_> = list.iter().map(|field| (field.name, field.value, field.indexing)).collect();
    let expected: [(&[u8], &[u8], Indexing); 3] =
        [(b"name", b"1", Indexing::Index), (b"other", b"", Indexing::Skip), (b"name", b"2", Indexing::Never)];
    assert_eq!(fields, expected);
    assert_eq!(list.get(b"name"), Some(&b"1"[..]));
    assert_eq!(list.get(b"other"), Some(&b""[..]));
    assert_eq!(list.get(b"nam"), None);
    assert_eq!(list.get_all(b"name").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!((list.len(), list.iter().len(), list.is_empty()), (3, 3, false));
}

#[test]
fn the_size_counts_names_values_and_32_for_each_field() {
    assert_eq!(HeaderList::new().size(), 0);
    assert_eq!(list().size(), 5 + 5 + 5 + 3 * 32);
}

#[test]
fn the_field_that_reaches_the_limit_is_stored_and_the_next_only_counted() {
    let mut list = HeaderList::with_limit(2 * 34);
    list.push(b"a", b"1", Indexing::Index);
    list.push(b"b", b"2", Indexing::Index);
    assert!(!list.is_truncated());
    list.push(b"", b"", Indexing::Index);
    assert!(list.is_truncated());
    list.push(b"c", b"3", Indexing::Index);
    assert_eq!((list.len(), list.size()), (2, 2 * 34 + 32 + 34));
    list.clear();
    assert_eq!((list.len(), list.size(), list.is_truncated()), (0, 0, false));
    list.push(b"a", &[0; 36], Indexing::Index);
    assert!(list.is_truncated(), "the limit stays");
}

#[test]
fn values_of_sensitive_fields_are_not_printed() {
    assert_eq!(format!("{:?}", list()), "[name: 1, other: , name: <redacted>]");
}

#[test]
fn lists_are_equal_when_their_fields_are() {
    let copy: HeaderList = list().iter().collect();
    assert_eq!(copy, list());
    let mut more = list();
    more.extend(&copy);
    assert_eq!(more.len(), 6);
    assert_ne!(more, copy);
}
