//! A call has one outcome, whatever the server sends and in whatever order.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat::fuzz::client_call(data));
