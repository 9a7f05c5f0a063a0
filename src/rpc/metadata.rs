//! `Metadata`: the custom metadata of a call, in both directions (PROTOCOL-HTTP2.md, "Custom-Metadata").

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use lariat_frame::hpack::{Field, HeaderList, Indexing};

use super::binary;
use super::compression::IDENTITY;
use super::status::Status;

/// Values up to this length go into HPACK's dynamic table: short ones repeat from call to call (names, tokens, flags),
/// while a few long ones would push everything else out of its 4,096 octets.
const MAX_INDEXED_VALUE: usize = 64;

/// Fields that speak about the call or the HTTP message itself; users neither see nor set them.
const HIDDEN: [&[u8]; 11] = [
    b"content-type",
    b"content-length",
    b"te",
    b"host",
    b"grpc-encoding",
    b"grpc-accept-encoding",
    b"grpc-message",
    b"grpc-message-type",
    b"grpc-status",
    b"grpc-status-details-bin",
    b"grpc-timeout",
];

/// Fields that users may see, if a peer sends them at all, but not set: the channel's own, and those that RFC 9113
/// §8.2.2 forbids.
const RECEIVE_ONLY: [&[u8]; 6] =
    [b"user-agent", b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];

/// Fields whose values are secrets by their nature: never indexed (RFC 7541 §7.1.3), never printed.
const ALWAYS_SENSITIVE: [&[u8]; 4] = [b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"];

/// Custom metadata: an ordered list of keys and values.
///
/// Keys are case-insensitive and kept in lower case. A key that ends in `-bin` holds octets, any other holds printable
/// ASCII. A key may occur several times.
///
/// Empty metadata costs no memory, received metadata is a view on the header list it came in, and a clone shares its
/// memory until one of the two is changed.
#[derive(Clone, Default)]
pub struct Metadata {
    list: Option<Arc<HeaderList>>,
    /// Whether the list is as a peer sent it, with everything else that was in the header block. A list that the user
    /// has changed holds custom metadata alone, but for the request's authority.
    is_received: bool,
}

/// One value of metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// The value of an ordinary key.
    Ascii(&'a str),
    /// The value of a key that ends in `-bin`, decoded.
    Binary(Vec<u8>),
}

impl Metadata {
    /// Empty metadata.
    pub const fn new() -> Self {
        Self { list: None, is_received: false }
    }

    /// The custom metadata among these received headers or trailers; nothing is copied.
    ///
    /// Hidden are the fields of the protocol itself, and values with octets outside of %x20-%x7E, which gRPC lets a
    /// receiver drop but not fail on.
    pub(crate) fn received(headers: Arc<HeaderList>) -> Self {
        Self { list: Some(headers), is_received: true }
    }

    /// The value of `grpc-accept-encoding` in received metadata.
    pub(crate) fn accept_encoding(&self) -> Option<&[u8]> {
        self.list.as_ref()?.get(b"grpc-accept-encoding")
    }

    /// The names in a received `grpc-accept-encoding`, which is no custom metadata.
    pub(crate) fn accepted_encodings(&self) -> impl Iterator<Item = &str> {
        let names = self.accept_encoding().and_then(text).unwrap_or_default().split(',').map(str::trim_ascii);
        names.filter(|name| !name.is_empty() && *name != IDENTITY)
    }

    /// The first value under this key, if the key is not binary.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.get_all(key).next()
    }

    /// Every value under this key in order, if the key is not binary.
    pub fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.under(key)
            .filter(|field| !binary::is_binary_key(field.name))
            .filter_map(|field| text(field.value))
    }

    /// The first value under this binary key, which ends in `-bin`.
    pub fn get_bin(&self, key: &str) -> Option<Vec<u8>> {
        self.get_all_bin(key).next()
    }

    /// Every value under this binary key in order; a received field that holds several, joined by commas, is split.
    pub fn get_all_bin(&self, key: &str) -> impl Iterator<Item = Vec<u8>> {
        self.under(key)
            .filter(|field| binary::is_binary_key(field.name))
            .flat_map(|field| binary::pieces(field.value))
            .filter_map(binary::decode)
    }

    /// Whether there is a value under this key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.under(key).next().is_some()
    }

    /// Every key and value in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.visible().flat_map(|field| {
            let is_binary = binary::is_binary_key(field.name);
            let pieces = field.value.split(move |octet| is_binary && *octet == b',');
            pieces.filter_map(move |piece| {
                let value = match is_binary {
                    true => Value::Binary(binary::decode(piece)?),
                    false => Value::Ascii(text(piece)?),
                };
                Some((text(field.name)?, value))
            })
        })
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        let values_in = |field: Field<'_>| match binary::is_binary_key(field.name) {
            true => binary::pieces(field.value).count(),
            false => 1,
        };
        self.visible().map(values_in).sum()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.list.is_none() || self.visible().next().is_none()
    }

    /// What the metadata adds to the size of a header list: name, value and 32 octets for each field (RFC 9113 §6.5.2).
    pub fn size(&self) -> usize {
        const FIELD_OVERHEAD: usize = 32;
        self.visible().map(|field| field.name.len() + field.value.len() + FIELD_OVERHEAD).sum()
    }

    /// Sets the value under this key; values that were there before are removed.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), MetadataError> {
        let key = ascii_pair(key, value)?;
        self.replace(&key, value.as_bytes(), Indexing::Index);
        Ok(())
    }

    /// Adds a value under this key, behind those that are there.
    pub fn append(&mut self, key: &str, value: &str) -> Result<(), MetadataError> {
        let key = ascii_pair(key, value)?;
        self.push(key.as_bytes(), value.as_bytes(), Indexing::Index);
        Ok(())
    }

    /// Sets the octets under this binary key, which ends in `-bin`; values that were there before are removed.
    pub fn insert_bin(&mut self, key: &str, value: &[u8]) -> Result<(), MetadataError> {
        let key = binary_key(key)?;
        self.replace(&key, binary::encode(value).as_bytes(), Indexing::Index);
        Ok(())
    }

    /// Adds octets under this binary key, behind those that are there.
    pub fn append_bin(&mut self, key: &str, value: &[u8]) -> Result<(), MetadataError> {
        let key = binary_key(key)?;
        self.push(key.as_bytes(), binary::encode(value).as_bytes(), Indexing::Index);
        Ok(())
    }

    /// As [`Metadata::insert`], for a secret: the value never enters a compression table, of this or of any other hop,
    /// and `Debug` does not print it. `authorization` and cookies are always treated so.
    pub fn insert_sensitive(&mut self, key: &str, value: &str) -> Result<(), MetadataError> {
        let key = ascii_pair(key, value)?;
        self.replace(&key, value.as_bytes(), Indexing::Never);
        Ok(())
    }

    /// Makes the values that are under this key now secrets, as [`Metadata::insert_sensitive`] does.
    pub fn set_sensitive(&mut self, key: &str) {
        if self.contains_key(key) {
            self.rebuild(|field| match is_key(field.name, key) {
                true => Some(Field { indexing: Indexing::Never, ..field }),
                false => Some(field),
            });
        }
    }

    /// Removes every value under this key; returns whether there was one.
    pub fn remove(&mut self, key: &str) -> bool {
        let found = self.contains_key(key);
        if found {
            self.rebuild(|field| (!is_key(field.name, key)).then_some(field));
        }
        found
    }

    /// Adds every value of `other`, behind those that are here.
    pub fn merge(&mut self, other: &Metadata) {
        for field in other.visible() {
            self.push(field.name, field.value, field.indexing);
        }
    }

    /// Appends the fields to a header list that is to be sent. What a sender may not set is left out, so received
    /// metadata can be passed on as it is.
    #[inline]
    pub(crate) fn write_to(&self, out: &mut HeaderList) {
        // Most calls have none.
        if self.list.is_some() {
            self.write_visible_to(out);
        }
    }

    fn write_visible_to(&self, out: &mut HeaderList) {
        for field in self.visible().filter(|field| !RECEIVE_ONLY.contains(&field.name)) {
            out.push(field.name, field.value, indexing(&field));
        }
    }

    /// The authority that a received request with this metadata is for: `:authority`, or `host` in its place.
    pub fn authority(&self) -> Option<&str> {
        let list = self.list.as_ref()?;
        list.get(b":authority").or_else(|| list.get(b"host")).and_then(text)
    }

    /// The path of a received request: `/package.Service/Method`.
    pub(crate) fn path(&self) -> Option<&str> {
        self.list.as_ref()?.get(b":path").and_then(text)
    }

    fn visible(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        self.list.iter().flat_map(|list| list.iter()).filter(is_visible)
    }

    fn under<'a>(&'a self, key: &str) -> impl Iterator<Item = Field<'a>> {
        // Names first: few fields have the right one, so few values have to be looked at.
        let fields = self.list.iter().flat_map(|list| list.iter());
        fields.filter(move |field| is_key(field.name, key)).filter(is_visible)
    }

    fn replace(&mut self, key: &str, value: &[u8], indexing: Indexing) {
        self.remove(key);
        self.push(key.as_bytes(), value, indexing);
    }

    fn push(&mut self, key: &[u8], value: &[u8], indexing: Indexing) {
        if self.is_received {
            self.rebuild(|field| Some(field));
        }
        Arc::make_mut(self.list.get_or_insert_default()).push(key, value, indexing);
    }

    /// Makes a list of its own from what `change` leaves of each field.
    fn rebuild(&mut self, change: impl Fn(Field<'_>) -> Option<Field<'_>>) {
        // What is hidden and still asked for: whom the request is for, and what the peer accepts.
        let is_asked_for =
            |field: &Field<'_>| matches!(field.name, b":authority" | b"host" | b"grpc-accept-encoding");
        let stays = |field: &Field<'_>| is_visible(field) || is_asked_for(field);
        if let Some(list) = &self.list {
            self.list = Some(Arc::new(list.iter().filter(stays).filter_map(change).collect()));
        }
        self.is_received = false;
    }
}

impl fmt::Debug for Metadata {
    /// Prints every key and value but those of secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_map();
        for field in self.visible() {
            out.key(&String::from_utf8_lossy(field.name));
            match indexing(&field) {
                Indexing::Never => out.value(&format_args!("<sensitive>")),
                Indexing::Index | Indexing::Skip => out.value(&String::from_utf8_lossy(field.value)),
            };
        }
        out.finish()
    }
}

impl PartialEq for Metadata {
    /// Whether both hold the same keys and values in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Metadata {}

/// Why a key or a value cannot be put into metadata. The mistake is the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataError {
    /// The key is empty or has characters other than letters, digits, `_`, `-` and `.`.
    InvalidKey(String),
    /// The protocol sets this field by itself.
    ReservedKey(String),
    /// The key ends in `-bin`, so its value is binary: use the method for octets.
    BinaryKey(String),
    /// The value is binary and the key does not end in `-bin`.
    NotBinaryKey(String),
    /// The value under this key has characters other than printable ASCII, or begins or ends with a space. Arbitrary
    /// text can travel as octets, under a key that ends in `-bin`.
    InvalidValue(String),
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidKey(key) => {
                write!(f, "metadata key {key:?} must be of letters, digits, '_', '-' and '.' alone")
            }
            Self::ReservedKey(key) => write!(f, "metadata key {key:?} is set by the protocol itself"),
            Self::BinaryKey(key) => {
                write!(
                    f,
                    "metadata key {key:?} ends in -bin: its value is octets, use insert_bin or append_bin"
                )
            }
            Self::NotBinaryKey(key) => write!(f, "metadata key {key:?} must end in -bin to hold octets"),
            Self::InvalidValue(key) => write!(
                f,
                "the value under metadata key {key:?} must be printable ASCII without a space at either end; \
                 other text goes under a key that ends in -bin"
            ),
        }
    }
}

impl std::error::Error for MetadataError {}

impl From<MetadataError> for Status {
    /// INTERNAL: the program gave its own metadata a name or value that cannot be sent.
    fn from(error: MetadataError) -> Self {
        Status::internal(error.to_string())
    }
}

fn ascii_pair<'a>(key: &'a str, value: &str) -> Result<Cow<'a, str>, MetadataError> {
    let key = valid_key(key)?;
    if binary::is_binary_key(key.as_bytes()) {
        return Err(MetadataError::BinaryKey(key.into_owned()));
    }
    // RFC 9113 §8.2.1 makes a message with a space at either end of a value malformed.
    if text(value.as_bytes()).is_none() || value.starts_with(' ') || value.ends_with(' ') {
        return Err(MetadataError::InvalidValue(key.into_owned()));
    }
    Ok(key)
}

fn binary_key(key: &str) -> Result<Cow<'_, str>, MetadataError> {
    let key = valid_key(key)?;
    match binary::is_binary_key(key.as_bytes()) {
        true => Ok(key),
        false => Err(MetadataError::NotBinaryKey(key.into_owned())),
    }
}

fn valid_key(key: &str) -> Result<Cow<'_, str>, MetadataError> {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-' | b'.');
    if key.is_empty() || !key.bytes().all(is_allowed) {
        return Err(MetadataError::InvalidKey(key.to_owned()));
    }
    let key = match key.bytes().any(|octet| octet.is_ascii_uppercase()) {
        true => Cow::Owned(key.to_ascii_lowercase()),
        false => Cow::Borrowed(key),
    };
    match is_hidden(key.as_bytes()) || RECEIVE_ONLY.contains(&key.as_bytes()) {
        true => Err(MetadataError::ReservedKey(key.into_owned())),
        false => Ok(key),
    }
}

fn is_visible(field: &Field<'_>) -> bool {
    !is_hidden(field.name)
        && text(field.name).is_some()
        && (binary::is_binary_key(field.name) || text(field.value).is_some())
}

fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b':') || HIDDEN.contains(&name)
}

fn is_key(name: &[u8], key: &str) -> bool {
    name.eq_ignore_ascii_case(key.as_bytes())
}

/// How a field is to be sent, whatever table a peer had put it into.
fn indexing(field: &Field<'_>) -> Indexing {
    if field.indexing == Indexing::Never || ALWAYS_SENSITIVE.contains(&field.name) {
        Indexing::Never
    } else if field.value.len() <= MAX_INDEXED_VALUE {
        Indexing::Index
    } else {
        Indexing::Skip
    }
}

/// The value as text, if it is of %x20-%x7E alone.
fn text(value: &[u8]) -> Option<&str> {
    match value.iter().all(|octet| matches!(octet, b' '..=b'~')) {
        true => std::str::from_utf8(value).ok(),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(fields: &[(&str, &[u8])]) -> Arc<HeaderList> {
        let mut list = HeaderList::with_limit(800);
        for (name, value) in fields {
            list.push(name.as_bytes(), value, Indexing::Skip);
        }
        Arc::new(list)
    }

    fn written(metadata: &Metadata) -> Vec<(String, String, Indexing)> {
        let mut list = HeaderList::new();
        metadata.write_to(&mut list);
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        list.iter().map(|field| (text(field.name), text(field.value), field.indexing)).collect()
    }

    fn request() -> Arc<HeaderList> {
        headers(&[
            (":method", b"POST"),
            (":authority", b"example.com"),
            ("content-type", b"application/grpc"),
            ("te", b"trailers"),
            ("grpc-timeout", b"1S"),
            ("user-agent", b"grpc-go/1.85.0"),
            ("grpc-previous-rpc-attempts", b"1"),
            ("color", b"red"),
            ("color", b"blue"),
            ("odd", b"\xff"),
            ("trace-bin", b"AQI,Aw=="),
        ])
    }

    #[test]
    fn empty_metadata_has_nothing() {
        let metadata = Metadata::new();
        assert!(metadata.is_empty());
        assert_eq!((metadata.len(), metadata.size()), (0, 0));
        assert_eq!(metadata.get("a"), None);
        assert!(written(&metadata).is_empty());
    }

    #[test]
    fn received_metadata_hides_the_fields_of_the_protocol() {
        let metadata = Metadata::received(request());
        let seen: Vec<_> = metadata.iter().collect();
        assert_eq!(
            seen,
            [
                ("user-agent", Value::Ascii("grpc-go/1.85.0")),
                ("grpc-previous-rpc-attempts", Value::Ascii("1")),
                ("color", Value::Ascii("red")),
                ("color", Value::Ascii("blue")),
                ("trace-bin", Value::Binary(vec![1, 2])),
                ("trace-bin", Value::Binary(vec![3])),
            ]
        );
        assert_eq!(metadata.len(), seen.len());
        assert_eq!(metadata.get("te"), None);
        assert_eq!(metadata.get(":authority"), None);
        assert!(!metadata.contains_key("odd"));
        assert_eq!(metadata.authority(), Some("example.com"));
    }

    #[test]
    fn keys_are_looked_up_in_any_case() {
        let metadata = Metadata::received(request());
        assert_eq!(metadata.get("Color"), Some("red"));
        assert_eq!(metadata.get_all("COLOR").collect::<Vec<_>>(), ["red", "blue"]);
        assert_eq!(metadata.get_bin("Trace-Bin"), Some(vec![1, 2]));
        assert_eq!(metadata.get_all_bin("trace-bin").collect::<Vec<_>>(), [vec![1, 2], vec![3]]);
    }

    #[test]
    fn a_value_is_only_given_as_what_it_is() {
        let metadata = Metadata::received(request());
        assert_eq!(metadata.get("trace-bin"), None);
        assert_eq!(metadata.get_bin("color"), None);
    }

    #[test]
    fn changing_received_metadata_leaves_the_original_and_has_no_limit() {
        let original = Metadata::received(request());
        let mut changed = original.clone();
        changed.insert("color", "green").unwrap();
        changed.insert("long", &"x".repeat(1_000)).unwrap();
        assert_eq!(original.get_all("color").count(), 2);
        assert_eq!(changed.get_all("color").collect::<Vec<_>>(), ["green"]);
        assert_eq!(changed.get("long").map(str::len), Some(1_000));
        assert_eq!(changed.get("grpc-timeout"), None);
        assert_eq!(changed.authority(), Some("example.com"));
    }

    #[test]
    fn received_metadata_can_be_passed_on() {
        assert_eq!(
            written(&Metadata::received(request())),
            [
                ("grpc-previous-rpc-attempts".into(), "1".into(), Indexing::Index),
                ("color".into(), "red".into(), Indexing::Index),
                ("color".into(), "blue".into(), Indexing::Index),
                ("trace-bin".into(), "AQI,Aw==".into(), Indexing::Index),
            ]
        );
    }

    #[test]
    fn insert_replaces_and_append_adds() {
        let mut metadata = Metadata::new();
        metadata.append("a", "1").unwrap();
        metadata.append("A", "2").unwrap();
        metadata.append_bin("b-bin", &[1]).unwrap();
        metadata.append_bin("b-bin", &[2]).unwrap();
        assert_eq!(metadata.len(), 4);
        metadata.insert("a", "3").unwrap();
        metadata.insert_bin("B-BIN", &[3]).unwrap();
        assert_eq!(
            metadata.iter().collect::<Vec<_>>(),
            [("a", Value::Ascii("3")), ("b-bin", Value::Binary(vec![3]))]
        );
        assert!(metadata.remove("A"));
        assert!(!metadata.remove("a"));
        assert_eq!(metadata.len(), 1);
    }

    #[test]
    fn binary_values_are_sent_as_base64_without_padding() {
        let mut metadata = Metadata::new();
        metadata.insert_bin("b-bin", b"a").unwrap();
        assert_eq!(written(&metadata), [("b-bin".into(), "YQ".into(), Indexing::Index)]);
    }

    #[test]
    fn secrets_are_never_indexed_and_never_printed() {
        let mut metadata = Metadata::new();
        metadata.insert("Authorization", "Bearer hunter2").unwrap();
        metadata.insert_sensitive("key", "hunter3").unwrap();
        metadata.insert("later", "hunter4").unwrap();
        metadata.set_sensitive("later");
        metadata.insert("plain", "seen").unwrap();
        let printed = format!("{metadata:?}");
        assert!(!printed.contains("hunter") && printed.contains("seen"), "{printed}");
        let indexing: Vec<_> = written(&metadata).into_iter().map(|(_, _, indexing)| indexing).collect();
        assert_eq!(indexing, [Indexing::Never, Indexing::Never, Indexing::Never, Indexing::Index]);
    }

    #[test]
    fn long_values_stay_out_of_the_table() {
        let mut metadata = Metadata::new();
        metadata.insert("short", &"x".repeat(MAX_INDEXED_VALUE)).unwrap();
        metadata.insert("long", &"x".repeat(MAX_INDEXED_VALUE + 1)).unwrap();
        let indexing: Vec<_> = written(&metadata).into_iter().map(|(_, _, indexing)| indexing).collect();
        assert_eq!(indexing, [Indexing::Index, Indexing::Skip]);
    }

    #[test]
    fn wrong_keys_and_values_are_refused_with_their_reason() {
        let mut metadata = Metadata::new();
        for key in ["", "a b", "a:b", ":path", "ä", "a\n"] {
            assert_eq!(metadata.insert(key, "x"), Err(MetadataError::InvalidKey(key.into())));
        }
        for key in ["te", "Content-Type", "grpc-status", "grpc-timeout", "user-agent", "connection", "host"] {
            assert_eq!(metadata.insert(key, "x"), Err(MetadataError::ReservedKey(key.to_lowercase())));
        }
        for value in ["ä", "a\nb", "\t", " a", "a ", "\u{7f}"] {
            assert_eq!(
                metadata.insert("key", value),
                Err(MetadataError::InvalidValue("key".into())),
                "{value:?}"
            );
        }
        assert_eq!(metadata.insert("key-bin", "x"), Err(MetadataError::BinaryKey("key-bin".into())));
        assert_eq!(metadata.insert_bin("key", b"x"), Err(MetadataError::NotBinaryKey("key".into())));
        assert_eq!(
            metadata.insert_bin("grpc-status-details-bin", b"x").map_err(|error| error.to_string()),
            Err("metadata key \"grpc-status-details-bin\" is set by the protocol itself".into())
        );
        assert!(metadata.is_empty());
        assert_eq!(metadata.insert("empty", ""), Ok(()));
    }

    #[test]
    fn changed_metadata_still_says_what_the_peer_accepts() {
        let list = headers(&[("grpc-accept-encoding", b"gzip"), ("color", b"red")]);
        let mut metadata = Metadata::received(list);
        metadata.insert("color", "blue").unwrap();
        assert_eq!(metadata.accepted_encodings().collect::<Vec<_>>(), ["gzip"]);
        assert_eq!(metadata.len(), 1);
        assert_eq!(written(&metadata), [("color".into(), "blue".into(), Indexing::Index)]);
    }

    #[test]
    fn merged_metadata_keeps_both() {
        let mut metadata = Metadata::received(request());
        let mut more = Metadata::new();
        more.insert("color", "green").unwrap();
        metadata.merge(&more);
        assert_eq!(metadata.get_all("color").collect::<Vec<_>>(), ["red", "blue", "green"]);
    }

    #[test]
    fn the_size_counts_what_is_visible() {
        let mut metadata = Metadata::received(headers(&[(":path", b"/a/b"), ("ab", b"cde")]));
        assert_eq!(metadata.size(), 37);
        metadata.append("ab", "").unwrap();
        assert_eq!(metadata.size(), 71);
    }

    proptest! {
        #[test]
        fn what_one_side_sets_the_other_receives(
            entries in proptest::collection::vec(
                ("[a-z0-9_.]{1,8}", "([!-~]([ -~]{0,8}[!-~])?)?", any::<Vec<u8>>()),
                0..8
            )
        ) {
            let mut sent = Metadata::new();
            for (key, value, octets) in &entries {
                let key = format!("x{key}");
                sent.append(&key, value).unwrap();
                sent.append_bin(&format!("{key}-bin"), octets).unwrap();
            }
            let mut wire = HeaderList::new();
            sent.write_to(&mut wire);
            let received = Metadata::received(Arc::new(wire));
            prop_assert_eq!(received.len(), entries.len() * 2);
            prop_assert_eq!(received, sent);
        }
    }
}
