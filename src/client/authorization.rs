//! Call credentials: the step before an attempt is sent, once it has a connection, in which they say what to add to it.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::pending::PendingCall;
use crate::call::interceptor::Attach;
use crate::call::{CallCredentials, CallTarget, MetadataFuture, Receiver, SharedCallCredentials};
use crate::credentials::CompositeCallCredentials;
use crate::engine::{sleep, spawn};
use crate::net::{LoopHandle, SecurityLevel, clock};
use crate::rpc::{Code, Metadata, Status};

/// Asks the credentials of a call, if it has any, for what they add to it, and goes on with it by `start`: at once when
/// they know, else on a loop. They are not asked for a connection that is known to be too little secure for them.
pub(super) fn authorize(
    handle: &LoopHandle,
    security: Option<SecurityLevel>,
    mut call: PendingCall,
    start: impl FnOnce(PendingCall) + Send + 'static,
) {
    let Some(SharedCallCredentials(credentials)) = call.credentials.clone() else { return start(call) };
    let target = target(call.method.authority(), call.method.path());
    call.required_security = credentials.required_security();
    if let Some(found) = security.filter(|found| *found < call.required_security) {
        let status = insecure(call.required_security, found);
        return call.fail(status);
    }
    let asked = catch_unwind(AssertUnwindSafe(|| {
        let mut future = credentials.metadata(&target);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Ok(result),
            Poll::Pending => Err(future),
        }
    }));
    match asked {
        Ok(Ok(result)) => go_on(call, result, start),
        Ok(Err(future)) => spawn(handle, wait(future, call, start)),
        Err(_) => call.fail(Status::internal("the call credentials panicked")),
    }
}

/// Waits for the credentials, unless the call ends before.
async fn wait(mut future: MetadataFuture, call: PendingCall, start: impl FnOnce(PendingCall)) {
    let user: Arc<dyn Receiver> = call.receiver();
    let mut carrier = Attach::new(Some(Arc::clone(&user)), None);
    let left = call.deadline.map(|deadline| deadline.saturating_duration_since(clock::now()));
    let mut timeout = pin!(left.map(sleep));
    let result = poll_fn(|cx| {
        if !carrier.attach(cx.waker()) || user.is_abandoned() {
            return Poll::Ready(Err(Status::cancelled("the call was dropped")));
        }
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(result)) => return Poll::Ready(result.map_err(restrict)),
            Err(_) => return Poll::Ready(Err(Status::internal("the call credentials panicked"))),
        }
        match timeout.as_mut().as_pin_mut().map(|timeout: Pin<_>| Future::poll(timeout, cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(Status::deadline_exceeded(
                "the deadline of the call passed while its call credentials were awaited",
            ))),
            _ => Poll::Pending,
        }
    })
    .await;
    match result {
        Ok(metadata) => go_on(call, Ok(metadata), start),
        Err(status) => call.fail(status),
    }
}

fn go_on(mut call: PendingCall, result: Result<Metadata, Status>, start: impl FnOnce(PendingCall)) {
    match result {
        Ok(metadata) => {
            call.added = Some(Box::new(metadata));
            start(call);
        }
        Err(status) => call.fail(restrict(status)),
    }
}

/// A status that only servers give must not come from a client's own machinery (gRFC A54).
fn restrict(status: Status) -> Status {
    match status.code() {
        code if code == Code::Ok || code.is_for_servers() => Status::internal(format!(
            "the call credentials failed with a status that only servers give: {code}: {}",
            status.message()
        )),
        _ => status,
    }
}

/// The credentials of the channel and of the call as one.
pub(super) fn combine(
    channel: Option<&Arc<dyn CallCredentials>>,
    call: Option<SharedCallCredentials>,
) -> Option<SharedCallCredentials> {
    let Some(channel) = channel.map(Arc::clone) else { return call };
    Some(SharedCallCredentials(match call {
        None => channel,
        Some(call) => Arc::new(CompositeCallCredentials::new().with_shared(channel).with_shared(call.0)),
    }))
}

/// The call as credentials know it.
pub(super) fn target(authority: &str, path: &str) -> CallTarget {
    let host = authority.strip_suffix(":443").unwrap_or(authority);
    let service = path.rsplit_once('/').map_or(path, |(service, _)| service);
    CallTarget { audience: format!("https://{host}{service}"), path: path.to_owned() }
}

/// Whether a call may have this `:authority`, before it is known to whom it goes.
pub(super) fn check_authority(authority: &str) -> Result<(), Status> {
    match !authority.is_empty() && authority.bytes().all(|octet| octet.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(Status::internal(format!(
            "the authority of the call is no authority (RFC 3986 \u{a7}3.2): \"{}\"",
            authority.escape_debug()
        ))),
    }
}

/// The error of a call whose credentials ask for more than its connection protects from.
pub(super) fn insecure(required: SecurityLevel, found: SecurityLevel) -> Status {
    Status::unauthenticated(format!(
        "the call credentials require a connection with {required}, and this one has {found}: use TLS"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audience_has_neither_the_method_nor_port_443() {
        for (authority, audience) in [
            ("localhost", "https://localhost/a.Service"),
            ("localhost:443", "https://localhost/a.Service"),
            ("localhost:50051", "https://localhost:50051/a.Service"),
        ] {
            assert_eq!(target(authority, "/a.Service/Method").audience, audience);
        }
    }

    #[test]
    fn a_status_that_only_servers_give_becomes_internal() {
        let status = restrict(Status::not_found("no key"));
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains("NOT_FOUND: no key"), "{status}");
        assert_eq!(restrict(Status::unavailable("later")).code(), Code::Unavailable);
    }
}
