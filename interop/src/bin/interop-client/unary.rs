//! Calls with one request and one response.

use std::time::Duration;

use lariat::{Request, UnaryCall, Wait};
use lariat_interop::payload;
use lariat_interop::testing::{Empty, SimpleRequest, SimpleResponse};

use crate::Test;
use crate::check::{Checked, expect, expect_zeros};

pub(crate) const LARGE_REQUEST: i32 = 271_828;
pub(crate) const LARGE_RESPONSE: i32 = 314_159;

/// Calls at once in `concurrent_large_unary`.
const CONCURRENT: usize = 1_000;
/// Calls in a row in `pick_first_unary`.
const IN_A_ROW: usize = 100;

pub(crate) fn large_request() -> Result<SimpleRequest, lariat::Status> {
    let payload = Some(payload::of_size(LARGE_REQUEST)?);
    Ok(SimpleRequest { response_size: LARGE_RESPONSE, payload, ..Default::default() })
}

impl Test {
    pub(crate) fn start_large_unary(&self) -> Result<UnaryCall<SimpleResponse>, Box<dyn std::error::Error>> {
        Ok(self.client.unary_call(self.request(large_request()?)?))
    }
}

pub(crate) fn empty_unary(test: &Test) -> Checked {
    let response = test.client.empty_call(test.request(Empty {})?).wait()?;
    expect("response", *response.message(), Empty {})
}

pub(crate) fn large_unary(test: &Test) -> Checked {
    let response = test.start_large_unary()?.wait()?;
    expect_zeros(response.message().payload.as_ref(), LARGE_RESPONSE as usize)
}

pub(crate) fn concurrent_large_unary(test: &Test) -> Checked {
    let calls: Result<Vec<_>, _> = (0..CONCURRENT).map(|_| test.start_large_unary()).collect();
    for call in calls? {
        expect_zeros(call.wait()?.message().payload.as_ref(), LARGE_RESPONSE as usize)?;
    }
    Ok(())
}

/// All calls reach the same server.
pub(crate) fn pick_first_unary(test: &Test) -> Checked {
    let server = || -> Result<String, Box<dyn std::error::Error>> {
        let request = SimpleRequest { fill_server_id: true, ..Default::default() };
        Ok(test.client.unary_call(test.request(request)?).wait()?.into_message().server_id)
    };
    let first = server()?;
    for _ in 1..IN_A_ROW {
        expect("server", server()?, first.clone())?;
    }
    Ok(())
}

/// A channel goes on working however long it has been quiet; the test's hours are seconds here.
pub(crate) fn long_lived_channel(test: &Test) -> Checked {
    for _ in 0..3 {
        large_unary(test)?;
        std::thread::sleep(Duration::from_secs(1));
    }
    large_unary(test)?;
    // A call that nobody waits for any more does the others no harm.
    drop(test.client.empty_call(Request::new(Empty {})));
    empty_unary(test)
}
