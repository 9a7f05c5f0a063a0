//! Values of grpc-message are read and written back.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat::fuzz::percent(data));
