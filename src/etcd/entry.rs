//! [`Entry`]: what stands in etcd about one backend, as the Go package `endpoints` of etcd writes it.

use std::fmt;

use serde_json::{Map, Value};

/// One backend as it is registered.
///
/// On the client's side, the endpoint of a backend that has metadata carries the entry as an attribute, for balancers
/// of one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Where the backend listens: `host:port`, `unix:/path` or `unix-abstract:name`.
    pub address: String,
    /// Whatever else is to be known of it: a JSON value.
    pub metadata: Option<String>,
}

/// Why a value of etcd is no [`Entry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryError(String);

impl Entry {
    /// An entry for a backend that listens here, without metadata.
    pub fn new(address: impl Into<String>) -> Self {
        Entry { address: address.into(), metadata: None }
    }

    /// The same with this metadata, a JSON value.
    ///
    /// # Errors
    ///
    /// When it is no JSON.
    pub fn with_metadata(mut self, json: &str) -> Result<Self, EntryError> {
        let metadata: Value = serde_json::from_str(json)
            .map_err(|error| EntryError(format!("the metadata {json:?} is no JSON: {error}")))?;
        self.metadata = (!metadata.is_null()).then(|| metadata.to_string());
        Ok(self)
    }

    /// Reads a value of etcd: a JSON object with the address in `Addr` and the metadata, if any, in `Metadata`. All
    /// other fields are skipped, such as `Op`, which says nothing that the kind of the event does not.
    ///
    /// # Errors
    ///
    /// When the value is something else.
    pub fn parse(value: &[u8]) -> Result<Self, EntryError> {
        let value: Value = serde_json::from_slice(value)
            .map_err(|error| EntryError(format!("the value is no JSON: {error}")))?;
        let Value::Object(mut fields) = value else {
            return Err(EntryError("the value is no JSON object".to_owned()));
        };
        let address = match fields.remove("Addr") {
            Some(Value::String(address)) if !address.is_empty() => address,
            Some(other) => return Err(EntryError(format!("\"Addr\" is {other}, which is no address"))),
            None => return Err(EntryError("there is no \"Addr\"".to_owned())),
        };
        let metadata = fields.remove("Metadata").filter(|metadata| !metadata.is_null());
        Ok(Entry { address, metadata: metadata.map(|metadata| metadata.to_string()) })
    }

    /// The value as it is put into etcd.
    pub fn to_json(&self) -> String {
        let metadata = self.metadata.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let mut fields = Map::new();
        fields.insert("Op".to_owned(), Value::from(0));
        fields.insert("Addr".to_owned(), Value::from(self.address.as_str()));
        fields.insert("Metadata".to_owned(), metadata.unwrap_or(Value::Null));
        Value::Object(fields).to_string()
    }
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EntryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_go_package_writes_is_read() {
        let entry = Entry::parse(br#"{"Op":0,"Addr":"10.0.0.1:50051","Metadata":null}"#).unwrap();
        assert_eq!(entry, Entry::new("10.0.0.1:50051"));
        let entry = Entry::parse(br#"{"Op":0,"Addr":"a:1","Metadata":{"zone": "x"}}"#).unwrap();
        assert_eq!(entry.metadata.as_deref(), Some(r#"{"zone":"x"}"#));
        assert_eq!(Entry::parse(br#"{"Addr":"a:1","More":[]}"#).unwrap(), Entry::new("a:1"));
    }

    #[test]
    fn what_is_written_has_the_fields_of_the_go_package() {
        let value: Value = serde_json::from_str(&Entry::new("10.0.0.1:50051").to_json()).unwrap();
        assert_eq!(value, serde_json::json!({"Op": 0, "Addr": "10.0.0.1:50051", "Metadata": null}));
        let entry = Entry::new("a:1").with_metadata(r#"{"weight": 3}"#).unwrap();
        assert_eq!(Entry::parse(entry.to_json().as_bytes()), Ok(entry));
    }

    #[test]
    fn what_is_no_entry_is_refused_with_the_reason() {
        for (value, part) in [
            (&b""[..], "no JSON"),
            (b"10.0.0.1:50051", "no JSON"),
            (b"[1]", "no JSON object"),
            (b"{}", "no \"Addr\""),
            (br#"{"Addr": 1}"#, "\"Addr\" is 1"),
            (br#"{"Addr": ""}"#, "\"Addr\" is \"\""),
            (b"{\"Addr\": \"\xff\"}", "no JSON"),
        ] {
            let error = Entry::parse(value).unwrap_err().to_string();
            assert!(error.contains(part), "{error} lacks {part}");
        }
        assert!(Entry::new("a:1").with_metadata("{").is_err());
    }
}
