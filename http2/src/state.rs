//! [`State`]: the life of a stream, as one table (RFC 9113 §5.1).
//!
//! Idle streams and closed ones have no record: an identifier that was never used is idle, and what is known of a
//! closed one is in [`Closed`](crate::closed::Closed).

use crate::violation::{self, Violation};

/// The state of an open stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Both sides may send.
    Open,
    /// This side has ended its part.
    HalfClosedLocal,
    /// The peer has ended its part.
    HalfClosedRemote,
    /// Both have.
    Closed,
}

impl State {
    /// The state after this side ended its part.
    #[inline]
    pub(crate) fn end_local(self) -> State {
        match self {
            State::Open | State::HalfClosedLocal => State::HalfClosedLocal,
            State::HalfClosedRemote | State::Closed => State::Closed,
        }
    }

    /// The state after the peer ended its part.
    #[inline]
    pub(crate) fn end_remote(self) -> State {
        match self {
            State::Open | State::HalfClosedRemote => State::HalfClosedRemote,
            State::HalfClosedLocal | State::Closed => State::Closed,
        }
    }

    /// Whether this side may still send HEADERS and DATA.
    #[inline]
    pub(crate) fn can_send(self) -> bool {
        matches!(self, State::Open | State::HalfClosedRemote)
    }

    /// Whether the peer may still send HEADERS and DATA.
    #[inline]
    pub(crate) fn can_receive(self) -> bool {
        matches!(self, State::Open | State::HalfClosedLocal)
    }
}

/// What the peer's part of a stream consists of, in order (RFC 9113 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A response's head, final or interim.
    Head,
    /// Content, then perhaps trailers.
    Content,
}

impl Expected {
    /// Whether DATA may come now.
    #[inline]
    pub(crate) fn check_data(self) -> Result<(), Violation> {
        match self {
            Expected::Content => Ok(()),
            Expected::Head => Err(violation::DATA_BEFORE_HEADERS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_ends_a_stream_once_and_both_close_it() {
        use State::*;
        let table = [
            // before, after END_STREAM sent, after END_STREAM received, may send, may receive
            (Open, HalfClosedLocal, HalfClosedRemote, true, true),
            (HalfClosedLocal, HalfClosedLocal, Closed, false, true),
            (HalfClosedRemote, Closed, HalfClosedRemote, true, false),
            (Closed, Closed, Closed, false, false),
        ];
        for (state, sent, received, can_send, can_receive) in table {
            assert_eq!(state.end_local(), sent);
            assert_eq!(state.end_remote(), received);
            assert_eq!(state.can_send(), can_send);
            assert_eq!(state.can_receive(), can_receive);
        }
    }
}
