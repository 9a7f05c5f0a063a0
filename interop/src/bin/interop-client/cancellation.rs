//! Calls that the client gives up.

use std::time::Duration;

use lariat::{CancellationToken, Code, Request, Wait};

use crate::Test;
use crate::check::{Checked, expect, expect_status};
use crate::streaming::{REQUESTS, RESPONSES, ask};

pub(crate) fn cancel_after_begin(test: &Test) -> Checked {
    let token = CancellationToken::new();
    let request = test.request(())?.with_cancellation(token.clone());
    let (_outbound, response) = test.client.streaming_input_call(request);
    token.cancel();
    expect_status(response.wait(), Code::Cancelled, None)
}

pub(crate) fn cancel_after_first_response(test: &Test) -> Checked {
    let token = CancellationToken::new();
    let request = test.request(())?.with_cancellation(token.clone());
    let (outbound, mut inbound) = test.client.full_duplex_call(request);
    outbound.send(ask(REQUESTS[0], RESPONSES[0])?).wait()?;
    expect("whether a message came", inbound.message().wait()?.is_some(), true)?;
    token.cancel();
    expect_status(inbound.message().wait(), Code::Cancelled, None)
}

pub(crate) fn timeout_on_sleeping_server(test: &Test) -> Checked {
    let request = Request::new(()).with_timeout(Duration::from_millis(1));
    let (outbound, mut inbound) = test.client.full_duplex_call(request);
    // The deadline may be over before the message has left.
    let sent = outbound.send(ask(REQUESTS[0], RESPONSES[0])?).wait();
    if sent.is_err() {
        return expect_status(sent, Code::DeadlineExceeded, None);
    }
    // A fast server may have answered in time; what ends the call is the deadline, since nobody else does.
    while let Ok(Some(_)) = inbound.message().wait() {}
    expect_status(inbound.message().wait(), Code::DeadlineExceeded, None)
}
