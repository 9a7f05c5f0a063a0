//! A request has one outcome, however it is cut into DATA frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat::fuzz::server_call(data));
