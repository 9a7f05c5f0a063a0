//! Targets are read, or refused with an error that names them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat::client::fuzz::target(data));
