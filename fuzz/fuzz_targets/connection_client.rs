//! A client's connection stays sound whatever a server and its own application do.
#![no_main]

use lariat_http2::Role;

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat_http2::fuzz::connection(Role::Client, data));
