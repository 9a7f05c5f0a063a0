//! Frames of any octets decode or are refused, and what decodes encodes to the same again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat_frame::fuzz::frames(data));
