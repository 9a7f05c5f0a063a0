//! Further attempts of a call: retries and hedging (gRFC A6).
//!
//! A call whose method has a policy for that is an [`AttemptedCall`]: it stands between the user's side of the call and
//! its attempts, each of which is a call of its own for the control plane and the connections. Which attempts there are
//! and when is decided by a [`Schedule`](schedule::Schedule), which is pure. Calls without a policy go past all of
//! this. Transparent retries, of calls that no server has processed, are not attempts and made by the connections; a
//! stream keeps what it has sent for them by itself.

mod attempted_call;
mod pushback;
mod schedule;
mod token_bucket;

pub(super) use attempted_call::{AttemptedCall, SharedBucket};
pub(super) use token_bucket::TokenBucket;

/// The most attempts of a call unless the channel is told another number, as in every gRPC implementation.
pub(super) const DEFAULT_MAX_ATTEMPTS: u32 = 5;
/// How much of what a call sends is kept to be sent again unless the channel is told another number, as in grpc-go.
pub(super) const DEFAULT_BUFFER: usize = 256 * 1024;

/// What bounds the attempts of a channel's calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptLimits {
    /// Attempts of a call, whatever its policy says.
    pub(super) max_attempts: u32,
    /// Octets of a call's framed requests kept to be sent again.
    pub(super) buffer: usize,
}

impl Default for AttemptLimits {
    fn default() -> Self {
        AttemptLimits { max_attempts: DEFAULT_MAX_ATTEMPTS, buffer: DEFAULT_BUFFER }
    }
}
