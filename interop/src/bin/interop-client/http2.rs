//! The cases against a server that does what HTTP/2 allows and few servers do (`http2-test-server`).

use std::time::Duration;

use lariat::{Code, Wait};

use crate::Test;
use crate::check::{Checked, expect_status, expect_zeros};
use crate::unary::{LARGE_RESPONSE, large_unary};

/// Calls at once in `max_streams`, of which the server takes one at a time.
const AT_ONCE: usize = 15;

/// The server says GOAWAY behind the first call; the second needs another connection.
pub(crate) fn goaway(test: &Test) -> Checked {
    large_unary(test)?;
    std::thread::sleep(Duration::from_secs(1));
    large_unary(test)
}

/// A reset without error in place of a response is no success.
pub(crate) fn rst_after_header(test: &Test) -> Checked {
    expect_status(test.start_large_unary()?.wait(), Code::Internal, None)
}

pub(crate) fn rst_during_data(test: &Test) -> Checked {
    expect_status(test.start_large_unary()?.wait(), Code::Internal, None)
}

pub(crate) fn rst_after_data(test: &Test) -> Checked {
    expect_status(test.start_large_unary()?.wait(), Code::Internal, None)
}

/// The server asks between any two frames and wants its answers.
pub(crate) fn ping(test: &Test) -> Checked {
    large_unary(test)
}

pub(crate) fn max_streams(test: &Test) -> Checked {
    large_unary(test)?;
    let calls: Result<Vec<_>, _> = (0..AT_ONCE).map(|_| test.start_large_unary()).collect();
    for call in calls? {
        expect_zeros(call.wait()?.message().payload.as_ref(), LARGE_RESPONSE as usize)?;
    }
    Ok(())
}

/// Octets of padding outnumber those of the message by far, and all of them need credit.
pub(crate) fn data_frame_padding(test: &Test) -> Checked {
    large_unary(test)?;
    large_unary(test)
}
