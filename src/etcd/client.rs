//! [`Client`]: the calls of etcd's API to one member of a cluster.

use std::time::Duration;

use super::api::{
    KeyValue, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseRevokeRequest, LeaseRevokeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
    WatchCreateRequest, WatchRequest, WatchResponse,
};
use super::backends::MAX_BACKENDS;
use super::range_end;
use crate::call::{Inbound, Outbound, Request};
use crate::client::Channel;
use crate::rpc::{Prost, Status};

/// How long one question may take. A member that has lost the others cannot answer, and another should be asked.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// One member of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Client {
    channel: Channel,
}

impl Client {
    pub(super) fn new(channel: Channel) -> Self {
        Client { channel }
    }

    /// All keys with this prefix, and the revision of the store that they are from.
    pub(super) async fn range(&self, prefix: &[u8]) -> Result<(Vec<KeyValue>, i64), Status> {
        let request =
            RangeRequest { key: prefix.to_vec(), range_end: range_end(prefix), limit: MAX_BACKENDS as i64 };
        let response: RangeResponse = self.unary("/etcdserverpb.KV/Range", request).await?;
        Ok((response.kvs, response.header.map_or(0, |header| header.revision)))
    }

    pub(super) async fn put(&self, key: &str, value: &str, lease: i64) -> Result<(), Status> {
        let request = PutRequest { key: key.into(), value: value.into(), lease };
        let _: PutResponse = self.unary("/etcdserverpb.KV/Put", request).await?;
        Ok(())
    }

    /// The changes of keys with this prefix from a revision on. They end when the sending side is dropped.
    pub(super) async fn watch(
        &self,
        prefix: &[u8],
        start_revision: i64,
    ) -> Result<(Outbound<WatchRequest>, Inbound<WatchResponse>), Status> {
        let mut request = Request::new(());
        // Has the member end the watch when it has lost the others, rather than to stay silent.
        request.metadata_mut().insert("hasleader", "true")?;
        let method = self.channel.method("/etcdserverpb.Watch/Watch");
        let (requests, responses) = self.channel.bidi_streaming::<Prost, _, _>(&method, request);
        let create = WatchCreateRequest {
            key: prefix.to_vec(),
            range_end: range_end(prefix),
            start_revision,
            fragment: true,
        };
        requests.send(WatchRequest { create_request: Some(create) }).await?;
        Ok((requests, responses))
    }

    pub(super) async fn grant(&self, ttl: Duration) -> Result<LeaseGrantResponse, Status> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        self.unary("/etcdserverpb.Lease/LeaseGrant", LeaseGrantRequest { ttl: seconds.max(1) }).await
    }

    pub(super) async fn revoke(&self, id: i64) -> Result<(), Status> {
        let request = LeaseRevokeRequest { id };
        let _: LeaseRevokeResponse = self.unary("/etcdserverpb.Lease/LeaseRevoke", request).await?;
        Ok(())
    }

    pub(super) fn keep_alive(&self) -> (Outbound<LeaseKeepAliveRequest>, Inbound<LeaseKeepAliveResponse>) {
        let method = self.channel.method("/etcdserverpb.Lease/LeaseKeepAlive");
        self.channel.bidi_streaming::<Prost, _, _>(&method, Request::new(()))
    }

    async fn unary<Req, Resp>(&self, path: &str, request: Req) -> Result<Resp, Status>
    where
        Req: prost::Message + Default,
        Resp: prost::Message + Default + 'static,
    {
        let request = Request::new(request).with_timeout(CALL_TIMEOUT);
        let call = self.channel.unary::<Prost, Req, Resp>(&self.channel.method(path), request);
        Ok(call.await?.into_message())
    }
}
