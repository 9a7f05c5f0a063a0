//! The messages of etcd's API, version 3, as far as they are needed here: `etcdserverpb` and `mvccpb`, with their field
//! numbers. Fields that are not listed are skipped when they arrive.

/// What every response begins with.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResponseHeader {
    /// The revision of the store that the response tells of.
    #[prost(int64, tag = "3")]
    pub(super) revision: i64,
}

/// A key with its value.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) value: Vec<u8>,
}

/// `KV.Range`: reads the keys from `key` up to but not including `range_end`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
    /// How many keys at most.
    #[prost(int64, tag = "3")]
    pub(super) limit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RangeResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<ResponseHeader>,
    #[prost(message, repeated, tag = "2")]
    pub(super) kvs: Vec<KeyValue>,
}

/// `KV.Put`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
    /// The key is deleted with this lease.
    #[prost(int64, tag = "3")]
    pub(super) lease: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PutResponse {}

/// What a client says in `Watch.Watch`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WatchRequest {
    /// One of several kinds of requests, and the only one used here.
    #[prost(message, optional, tag = "1")]
    pub(super) create_request: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WatchCreateRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
    /// The first revision whose changes are wanted.
    #[prost(int64, tag = "3")]
    pub(super) start_revision: i64,
    /// Lets the server split what would be too large for one message.
    #[prost(bool, tag = "8")]
    pub(super) fragment: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WatchResponse {
    /// The watch has ended, for the reason below.
    #[prost(bool, tag = "4")]
    pub(super) canceled: bool,
    /// Not zero: changes from before this revision are forgotten, some of which were wanted.
    #[prost(int64, tag = "5")]
    pub(super) compact_revision: i64,
    #[prost(string, tag = "6")]
    pub(super) cancel_reason: String,
    #[prost(message, repeated, tag = "11")]
    pub(super) events: Vec<Event>,
}

/// A change of one key.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Event {
    #[prost(enumeration = "EventType", tag = "1")]
    pub(super) r#type: i32,
    /// What was put; of what was deleted, the key alone.
    #[prost(message, optional, tag = "2")]
    pub(super) kv: Option<KeyValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum EventType {
    Put = 0,
    Delete = 1,
}

/// `Lease.LeaseGrant`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LeaseGrantRequest {
    /// In seconds.
    #[prost(int64, tag = "1")]
    pub(super) ttl: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LeaseGrantResponse {
    #[prost(int64, tag = "2")]
    pub(super) id: i64,
    /// In seconds, which may be more than was asked for.
    #[prost(int64, tag = "3")]
    pub(super) ttl: i64,
}

/// `Lease.LeaseRevoke`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LeaseRevokeRequest {
    #[prost(int64, tag = "1")]
    pub(super) id: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LeaseRevokeResponse {}

/// What a client says in `Lease.LeaseKeepAlive`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LeaseKeepAliveRequest {
    #[prost(int64, tag = "1")]
    pub(super) id: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LeaseKeepAliveResponse {
    /// In seconds; zero if there is no such lease any more.
    #[prost(int64, tag = "3")]
    pub(super) ttl: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn requests_have_the_octets_that_etcd_expects() {
        let create = WatchCreateRequest {
            key: b"a/".to_vec(),
            range_end: b"a0".to_vec(),
            start_revision: 300,
            fragment: true,
        };
        let watch = WatchRequest { create_request: Some(create) }.encode_to_vec();
        assert_eq!(watch, b"\x0a\x0d\x0a\x02a/\x12\x02a0\x18\xac\x02\x40\x01");
        let put = PutRequest { key: b"k".to_vec(), value: b"v".to_vec(), lease: 5 }.encode_to_vec();
        assert_eq!(put, b"\x0a\x01k\x12\x01v\x18\x05");
    }

    #[test]
    fn a_watch_response_is_read_past_the_fields_that_nobody_needs() {
        // header {cluster_id 1, revision 7}, watch_id 2, created, one DELETE of "k" with its mod_revision.
        let octets = b"\x0a\x04\x08\x01\x18\x07\x10\x02\x18\x01\x5a\x09\x08\x01\x12\x05\x0a\x01k\x18\x07";
        let response = WatchResponse::decode(&octets[..]).unwrap();
        assert!(!response.canceled && response.compact_revision == 0);
        let kv = KeyValue { key: b"k".to_vec(), value: Vec::new() };
        assert_eq!(response.events, [Event { r#type: EventType::Delete.into(), kv: Some(kv) }]);
    }
}
