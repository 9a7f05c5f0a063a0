//! Compressed messages, and ones that only say that they are.

use lariat::{Code, Request, Wait};
use lariat_interop::payload;
use lariat_interop::testing::{
    BoolValue, ResponseParameters, SimpleRequest, StreamingInputCallRequest, StreamingOutputCallRequest,
};

use crate::Test;
use crate::check::{Checked, expect, expect_status, expect_zeros};
use crate::unary::{LARGE_RESPONSE, large_request};

/// Sizes of the two requests, and of the two responses.
const REQUESTS: [i32; 2] = [27_182, 45_904];
const RESPONSES: [i32; 2] = [31_415, 92_653];

const YES: Option<BoolValue> = Some(BoolValue { value: true });
const NO: Option<BoolValue> = Some(BoolValue { value: false });

pub(crate) fn client_compressed_unary(test: &Test) -> Checked {
    let request =
        |expect_compressed, algorithm: &'static str| -> Result<Request<_>, Box<dyn std::error::Error>> {
            let request = SimpleRequest { expect_compressed, ..large_request()? };
            Ok(test.request(request)?.with_compression(algorithm))
        };
    // Whether the server looks at all.
    expect_status(test.client.unary_call(request(YES, "identity")?).wait(), Code::InvalidArgument, None)?;
    for (expect_compressed, algorithm) in [(YES, "gzip"), (NO, "identity")] {
        let response = test.client.unary_call(request(expect_compressed, algorithm)?).wait()?;
        expect_zeros(response.message().payload.as_ref(), LARGE_RESPONSE as usize)?;
    }
    Ok(())
}

pub(crate) fn server_compressed_unary(test: &Test) -> Checked {
    for response_compressed in [YES, NO] {
        let request = SimpleRequest { response_compressed, ..large_request()? };
        let response = test.client.unary_call(test.request(request)?).wait()?;
        expect("whether it was compressed", response.was_compressed(), response_compressed == YES)?;
        expect_zeros(response.message().payload.as_ref(), LARGE_RESPONSE as usize)?;
    }
    Ok(())
}

pub(crate) fn client_compressed_streaming(test: &Test) -> Checked {
    let message = |size, expect_compressed| -> Result<_, lariat::Status> {
        Ok(StreamingInputCallRequest { payload: Some(payload::of_size(size)?), expect_compressed })
    };
    let (outbound, response) = test.client.streaming_input_call(test.request(())?);
    outbound.send(message(REQUESTS[0], YES)?).wait()?;
    outbound.finish();
    expect_status(response.wait(), Code::InvalidArgument, None)?;

    let (outbound, response) = test.client.streaming_input_call(test.request(())?.with_compression("gzip"));
    outbound.send(message(REQUESTS[0], YES)?).wait()?;
    outbound.send_uncompressed(message(REQUESTS[1], NO)?).wait()?;
    outbound.finish();
    expect("sizes together", response.wait()?.message().aggregated_payload_size, REQUESTS.iter().sum())
}

pub(crate) fn server_compressed_streaming(test: &Test) -> Checked {
    let response_parameters = vec![
        ResponseParameters { compressed: YES, size: RESPONSES[0], ..Default::default() },
        ResponseParameters { compressed: NO, size: RESPONSES[1], ..Default::default() },
    ];
    let request = StreamingOutputCallRequest { response_parameters, ..Default::default() };
    let mut inbound = test.client.streaming_output_call(test.request(request)?);
    for (size, compressed) in RESPONSES.into_iter().zip([true, false]) {
        let response = inbound.message().wait()?.ok_or("the stream ended early")?;
        expect("whether it was compressed", inbound.was_compressed(), compressed)?;
        expect_zeros(response.payload.as_ref(), size as usize)?;
    }
    expect("whether more came", inbound.message().wait()?.is_some(), false)
}
