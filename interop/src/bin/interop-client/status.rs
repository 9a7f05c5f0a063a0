//! Statuses that are not OK.

use lariat::{Code, Wait};
use lariat_interop::testing::{EchoStatus, Empty, SimpleRequest, StreamingOutputCallRequest};

use crate::Test;
use crate::check::{Checked, expect_status};

pub(crate) fn status_code_and_message(test: &Test) -> Checked {
    let message = "test status message";
    let response_status = Some(EchoStatus { code: Code::Unknown as i32, message: message.into() });
    expect_unary(test, response_status.clone(), message)?;

    let (outbound, mut inbound) = test.client.full_duplex_call(test.request(())?);
    outbound.send(StreamingOutputCallRequest { response_status, ..Default::default() }).wait()?;
    outbound.finish();
    expect_status(inbound.message().wait(), Code::Unknown, Some(message))
}

pub(crate) fn special_status_message(test: &Test) -> Checked {
    let message = "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n";
    let response_status = Some(EchoStatus { code: Code::Unknown as i32, message: message.into() });
    expect_unary(test, response_status, message)
}

fn expect_unary(test: &Test, response_status: Option<EchoStatus>, message: &str) -> Checked {
    let request = SimpleRequest { response_status, ..Default::default() };
    expect_status(test.client.unary_call(test.request(request)?).wait(), Code::Unknown, Some(message))
}

pub(crate) fn unimplemented_method(test: &Test) -> Checked {
    let call = test.client.unimplemented_call(test.request(Empty {})?);
    expect_status(call.wait(), Code::Unimplemented, None)
}

pub(crate) fn unimplemented_service(test: &Test) -> Checked {
    let call = test.unimplemented.unimplemented_call(test.request(Empty {})?);
    expect_status(call.wait(), Code::Unimplemented, None)
}
