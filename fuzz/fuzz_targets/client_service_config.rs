//! Service configs are read, or refused with an error that says what must be.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat::client::fuzz::service_config(data));
