//! Answers of DNS servers are read within their bounds, or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat::client::fuzz::dns_answer(data));
