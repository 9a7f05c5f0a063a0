//! Metadata in both directions.

use lariat::{Metadata, Wait};

use crate::Test;
use crate::check::{Checked, expect, expect_zeros};
use crate::streaming::ask;
use crate::unary::{LARGE_RESPONSE, large_request};

const INITIAL: &str = "x-grpc-test-echo-initial";
const INITIAL_VALUE: &str = "test_initial_metadata_value";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";
const TRAILING_VALUE: &[u8] = b"\xab\xab\xab";

pub(crate) fn custom_metadata(test: &Test) -> Checked {
    let mut request = test.request(large_request()?)?;
    add(request.metadata_mut())?;
    let response = test.client.unary_call(request).wait()?;
    expect_zeros(response.message().payload.as_ref(), LARGE_RESPONSE as usize)?;
    check("unary", response.metadata(), response.trailers())?;

    let mut request = test.request(())?;
    add(request.metadata_mut())?;
    let (outbound, mut inbound) = test.client.full_duplex_call(request);
    outbound.send(ask(1, 1)?).wait()?;
    expect("whether a message came", inbound.message().wait()?.is_some(), true)?;
    outbound.finish();
    expect("whether more came", inbound.message().wait()?.is_some(), false)?;
    let header = inbound.headers().wait()?.clone();
    check("full duplex", &header, inbound.trailers())
}

fn add(metadata: &mut Metadata) -> Checked {
    metadata.insert(INITIAL, INITIAL_VALUE)?;
    metadata.insert_bin(TRAILING, TRAILING_VALUE)?;
    Ok(())
}

fn check(call: &str, header: &Metadata, trailer: &Metadata) -> Checked {
    expect(&format!("{call}: {INITIAL}"), header.get(INITIAL), Some(INITIAL_VALUE))?;
    expect(&format!("{call}: {TRAILING}"), trailer.get_bin(TRAILING).as_deref(), Some(TRAILING_VALUE))
}
