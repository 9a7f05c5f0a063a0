//! Length-prefixed messages come out alike, however the stream is cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat::fuzz::deframe(data));
