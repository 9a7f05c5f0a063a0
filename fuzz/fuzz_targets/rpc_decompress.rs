//! Compressed messages are inflated within the limit or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat::fuzz::decompress(data));
