//! [`Backends`]: what the entries under a prefix say, as a pure machine: events go in, resolutions come out.

use std::collections::BTreeMap;

use super::api::{Event, EventType, KeyValue};
use super::entry::Entry;
use crate::client::endpoint::Endpoint;
use crate::client::resolver::{Resolution, ResolveError};
use crate::net::Address;

/// Keys that are looked at; what lies beyond is left out. A channel that connects to so many backends has other
/// worries, and a mistaken prefix should not fill the memory.
pub(super) const MAX_BACKENDS: usize = 10_000;

/// The backends under one prefix, by their keys.
#[derive(Debug, Default)]
pub(super) struct Backends {
    entries: BTreeMap<Vec<u8>, Result<Backend, String>>,
}

#[derive(Debug)]
struct Backend {
    entry: Entry,
    /// Without addresses until the host name of the entry has been looked up.
    endpoint: Endpoint,
    /// Why the last look-up has found none.
    failure: Option<String>,
}

impl Backend {
    fn new(entry: Entry) -> Self {
        let mut endpoint = Endpoint::new(entry.address.parse().into_iter().collect());
        if entry.metadata.is_some() {
            endpoint = endpoint.with_attribute(entry.clone());
        }
        Backend { entry, endpoint, failure: None }
    }
}

impl Backends {
    /// These are all the keys there are. Backends that stay keep what is known of them.
    pub(super) fn reset(&mut self, kvs: Vec<KeyValue>) {
        let mut old = std::mem::take(&mut self.entries);
        for KeyValue { key, value } in kvs {
            if let Some(backend) = old.remove(&key) {
                self.entries.insert(key.clone(), backend);
            }
            self.put(key, &value);
        }
    }

    /// One key has changed.
    pub(super) fn apply(&mut self, event: Event) {
        let is_put = event.r#type == i32::from(EventType::Put);
        let Some(KeyValue { key, value }) = event.kv else { return };
        match is_put {
            true => self.put(key, &value),
            false => drop(self.entries.remove(&key)),
        }
    }

    /// The key has this value. The endpoint of a backend whose entry is the same stays the same, and so its
    /// connections.
    pub(super) fn put(&mut self, key: Vec<u8>, value: &[u8]) {
        if self.entries.len() >= MAX_BACKENDS && !self.entries.contains_key(&key) {
            return;
        }
        match Entry::parse(value) {
            Ok(entry) => match self.entries.get(&key) {
                Some(Ok(backend)) if backend.entry == entry => {}
                _ => drop(self.entries.insert(key, Ok(Backend::new(entry)))),
            },
            Err(error) => {
                let name = String::from_utf8_lossy(&key);
                let why = format!("the entry \"{name}\" cannot be read: {error}");
                self.entries.insert(key, Err(why));
            }
        }
    }

    /// Addresses with a host name that has not been looked up, or in vain.
    pub(super) fn names(&self) -> Vec<String> {
        let backends = self.entries.values().flatten();
        let unknown = backends.filter(|backend| backend.endpoint.addresses.is_empty());
        unknown.map(|backend| backend.entry.address.clone()).collect()
    }

    /// All addresses with a host name.
    pub(super) fn all_names(&self) -> Vec<String> {
        let backends = self.entries.values().flatten();
        let named = backends.filter(|backend| backend.entry.address.parse::<Address>().is_err());
        named.map(|backend| backend.entry.address.clone()).collect()
    }

    /// What the look-up of a name has found. If that is nothing, what was found before holds.
    pub(super) fn locate(&mut self, name: &str, found: Result<Vec<Address>, String>) {
        for backend in self.entries.values_mut().flatten() {
            if backend.entry.address == name {
                match &found {
                    Ok(addresses) => backend.endpoint.addresses.clone_from(addresses),
                    Err(why) => backend.failure = Some(format!("cannot resolve \"{name}\": {why}")),
                }
            }
        }
    }

    /// What the channel is to know: every backend with an address, in the order of the keys. The error is the first
    /// reason if there are entries and none of them can be used.
    pub(super) fn resolution(&self) -> Result<Resolution, ResolveError> {
        let backends = self.entries.values().flatten();
        let usable = backends.filter(|backend| !backend.endpoint.addresses.is_empty());
        let endpoints: Vec<Endpoint> = usable.map(|backend| backend.endpoint.clone()).collect();
        let failure = |entry: &Result<Backend, String>| match entry {
            Ok(backend) => backend.failure.clone(),
            Err(why) => Some(why.clone()),
        };
        match self.entries.values().find_map(failure) {
            Some(why) if endpoints.is_empty() => Err(ResolveError::new(why)),
            _ => Ok(Resolution::new(endpoints)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(key: &str, value: &str) -> KeyValue {
        KeyValue { key: key.into(), value: value.into() }
    }

    fn entry(key: &str, address: &str) -> KeyValue {
        kv(key, &Entry::new(address).to_json())
    }

    fn put(kv: KeyValue) -> Event {
        Event { r#type: EventType::Put.into(), kv: Some(kv) }
    }

    fn delete(key: &str) -> Event {
        Event { r#type: EventType::Delete.into(), kv: Some(kv(key, "")) }
    }

    fn addresses(backends: &Backends) -> Vec<String> {
        let resolution = backends.resolution().unwrap();
        resolution.endpoints.iter().flat_map(|endpoint| &endpoint.addresses).map(Address::to_string).collect()
    }

    #[test]
    fn backends_come_change_and_go() {
        let mut backends = Backends::default();
        assert!(backends.resolution().unwrap().endpoints.is_empty());
        backends.reset(vec![entry("a/2", "10.0.0.2:1"), entry("a/1", "10.0.0.1:1")]);
        assert_eq!(addresses(&backends), ["10.0.0.1:1", "10.0.0.2:1"]);
        backends.apply(put(entry("a/3", "unix:/s")));
        backends.apply(put(entry("a/1", "[::1]:1")));
        assert_eq!(addresses(&backends), ["[::1]:1", "10.0.0.2:1", "unix:/s"]);
        backends.apply(delete("a/2"));
        backends.apply(delete("a/2"));
        assert_eq!(addresses(&backends), ["[::1]:1", "unix:/s"]);
        backends.reset(vec![entry("a/4", "10.0.0.4:1")]);
        assert_eq!(addresses(&backends), ["10.0.0.4:1"]);
    }

    #[test]
    fn a_backend_whose_entry_is_put_again_stays_the_same() {
        let with_metadata = Entry::new("10.0.0.1:1").with_metadata(r#"{"zone":"x"}"#).unwrap();
        let same = kv("a/1", &with_metadata.to_json());
        let mut backends = Backends::default();
        backends.reset(vec![same.clone()]);
        let before = backends.resolution().unwrap().endpoints.remove(0);
        assert_eq!(before.attributes.get::<Entry>(), Some(&with_metadata));
        backends.apply(put(same.clone()));
        backends.reset(vec![same]);
        let after = backends.resolution().unwrap().endpoints.remove(0);
        assert!(before.attributes == after.attributes);
    }

    #[test]
    fn entries_that_cannot_be_read_are_left_out_as_long_as_there_are_others() {
        let mut backends = Backends::default();
        backends.reset(vec![kv("a/1", "nonsense"), entry("a/2", "10.0.0.2:1")]);
        assert_eq!(addresses(&backends), ["10.0.0.2:1"]);
        backends.apply(delete("a/2"));
        let error = backends.resolution().unwrap_err().to_string();
        assert!(error.starts_with("the entry \"a/1\" cannot be read: the value is no JSON"), "{error}");
        backends.apply(put(entry("a/1", "10.0.0.1:1")));
        assert_eq!(addresses(&backends), ["10.0.0.1:1"]);
    }

    #[test]
    fn host_names_count_once_they_are_looked_up() {
        let mut backends = Backends::default();
        backends.reset(vec![entry("a/1", "one.example:1"), entry("a/2", "10.0.0.2:1")]);
        assert_eq!(backends.names(), ["one.example:1"]);
        assert_eq!(addresses(&backends), ["10.0.0.2:1"]);
        backends.locate("one.example:1", Err("no such host".to_owned()));
        assert_eq!(backends.names(), ["one.example:1"]);
        backends.apply(delete("a/2"));
        let error = backends.resolution().unwrap_err().to_string();
        assert_eq!(error, "cannot resolve \"one.example:1\": no such host");
        let two = ["10.0.0.1:1", "[::1]:1"].map(|text| Address::Tcp(text.parse().unwrap()));
        backends.locate("one.example:1", Ok(two.to_vec()));
        assert!(backends.names().is_empty());
        assert_eq!(backends.resolution().unwrap().endpoints[0].addresses, two);
    }

    #[test]
    fn host_names_that_are_looked_up_again_keep_what_is_known_until_there_is_better() {
        let mut backends = Backends::default();
        backends.reset(vec![
            entry("a/1", "one.example:1"),
            entry("a/2", "10.0.0.2:1"),
            entry("a/3", "[::1]:1"),
        ]);
        let at = |text: &str| Ok(vec![Address::Tcp(text.parse().unwrap())]);
        backends.locate("one.example:1", at("10.0.0.1:1"));
        assert_eq!(backends.all_names(), ["one.example:1"]);
        backends.locate("one.example:1", Err("no such host".to_owned()));
        assert_eq!(addresses(&backends), ["10.0.0.1:1", "10.0.0.2:1", "[::1]:1"]);
        backends.locate("one.example:1", at("10.0.0.9:1"));
        assert_eq!(addresses(&backends), ["10.0.0.9:1", "10.0.0.2:1", "[::1]:1"]);
    }

    #[test]
    fn no_more_backends_are_kept_than_a_channel_can_use() {
        let mut backends = Backends::default();
        let key = |number: usize| format!("a/{number:06}");
        backends.reset((0..MAX_BACKENDS + 1).map(|number| entry(&key(number), "10.0.0.1:1")).collect());
        assert_eq!(addresses(&backends).len(), MAX_BACKENDS);
        // Those that are known still change.
        backends.apply(put(entry(&key(0), "10.0.0.2:1")));
        assert_eq!(addresses(&backends)[0], "10.0.0.2:1");
        backends.apply(delete(&key(0)));
        backends.apply(put(entry(&key(MAX_BACKENDS), "10.0.0.3:1")));
        assert_eq!(addresses(&backends)[MAX_BACKENDS - 1], "10.0.0.3:1");
    }
}
