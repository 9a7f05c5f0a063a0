//! A server's connection stays sound whatever a client and its own application do.
#![no_main]

use lariat_http2::Role;

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat_http2::fuzz::connection(Role::Server, data));
