//! Large messages are received into the memory of those before them, which the loop remembers.

use crate::net::Turn;
use crate::rpc::{Deframer, Payload};

/// Gives a message under way that is large the memory of another.
pub(crate) fn lend(turn: &mut Turn<'_>, deframer: &mut Deframer) {
    if let Some(size) = deframer.outgrown()
        && let Some(buffer) = turn.take_buffer(size)
    {
        deframer.move_to(buffer);
    }
}

/// Remembers a message that was received, if it has memory of its own.
#[inline]
pub(crate) fn remember(turn: &mut Turn<'_>, payload: &Payload<'_>) {
    if let Payload::Owned(message) = payload {
        turn.remember(message);
    }
}
