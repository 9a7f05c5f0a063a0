//! Calls with streams of messages.

use lariat::Wait;
use lariat_interop::payload;
use lariat_interop::testing::{ResponseParameters, StreamingInputCallRequest, StreamingOutputCallRequest};

use crate::Test;
use crate::check::{Checked, expect, expect_zeros};

/// Sizes of the requests, and of the responses.
pub(crate) const REQUESTS: [i32; 4] = [27_182, 8, 1_828, 45_904];
pub(crate) const RESPONSES: [i32; 4] = [31_415, 9, 2_653, 58_979];

/// Asks for one response, with a payload of its own.
pub(crate) fn ask(request: i32, response: i32) -> Result<StreamingOutputCallRequest, lariat::Status> {
    Ok(StreamingOutputCallRequest {
        response_parameters: vec![ResponseParameters { size: response, ..Default::default() }],
        payload: Some(payload::of_size(request)?),
        ..Default::default()
    })
}

pub(crate) fn client_streaming(test: &Test) -> Checked {
    let (outbound, response) = test.client.streaming_input_call(test.request(())?);
    for size in REQUESTS {
        let payload = Some(payload::of_size(size)?);
        outbound.send(StreamingInputCallRequest { payload, ..Default::default() }).wait()?;
    }
    outbound.finish();
    expect("sizes together", response.wait()?.message().aggregated_payload_size, REQUESTS.iter().sum())
}

pub(crate) fn server_streaming(test: &Test) -> Checked {
    let response_parameters =
        RESPONSES.iter().map(|&size| ResponseParameters { size, ..Default::default() }).collect();
    let request = StreamingOutputCallRequest { response_parameters, ..Default::default() };
    let mut inbound = test.client.streaming_output_call(test.request(request)?);
    for size in RESPONSES {
        let response = inbound.message().wait()?.ok_or("the stream ended early")?;
        expect_zeros(response.payload.as_ref(), size as usize)?;
    }
    expect("whether more came", inbound.message().wait()?.is_some(), false)
}

pub(crate) fn ping_pong(test: &Test) -> Checked {
    let (outbound, mut inbound) = test.client.full_duplex_call(test.request(())?);
    for (request, response) in REQUESTS.into_iter().zip(RESPONSES) {
        outbound.send(ask(request, response)?).wait()?;
        let message = inbound.message().wait()?.ok_or("the stream ended early")?;
        expect_zeros(message.payload.as_ref(), response as usize)?;
    }
    outbound.finish();
    expect("whether more came", inbound.message().wait()?.is_some(), false)
}

pub(crate) fn empty_stream(test: &Test) -> Checked {
    let (outbound, mut inbound) = test.client.full_duplex_call(test.request(())?);
    outbound.finish();
    expect("whether a message came", inbound.message().wait()?.is_some(), false)
}
