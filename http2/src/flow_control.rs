//! [`FlowControl`]: what the windows are at a moment.

/// Octets that may be sent in either direction. Negative after SETTINGS have made a window smaller than what was sent
/// already (RFC 9113 §6.9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowControl {
    /// What this side may send.
    pub send: i64,
    /// What the peer may send.
    pub receive: i64,
}
