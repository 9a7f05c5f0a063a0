//! Body of the fuzz target of etcd's values. It panics if what must hold does not.

use super::backends::Backends;
use super::entry::Entry;

/// Any value is an entry or an error; an entry is read as the same again when it is written; and no series of values
/// makes more backends than there are keys.
pub fn payload(data: &[u8]) {
    if let Ok(entry) = Entry::parse(data) {
        assert!(!entry.address.is_empty());
        assert_eq!(Entry::parse(entry.to_json().as_bytes()).as_ref(), Ok(&entry));
    }
    let mut backends = Backends::default();
    let values: Vec<&[u8]> = data.split(|octet| *octet == b'\n').collect();
    for (index, value) in values.iter().enumerate() {
        backends.put(vec![index as u8 % 4], value);
    }
    if let Ok(resolution) = backends.resolution() {
        assert!(resolution.endpoints.len() <= values.len().min(4));
        assert!(resolution.endpoints.iter().all(|endpoint| !endpoint.addresses.is_empty()));
    }
}
