//! Header lists of any octets are read; received metadata can be changed and passed on.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat::fuzz::metadata(data));
