//! Header lists of any content come back through encoder and decoder, and both tables stay in step.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat_frame::fuzz::hpack_round_trip(data));
