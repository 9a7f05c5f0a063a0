//! Header blocks of any octets keep within the table's size and the list's limit, or are refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat_frame::fuzz::hpack_decode(data));
