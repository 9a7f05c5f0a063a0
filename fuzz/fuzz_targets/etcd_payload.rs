//! Values of etcd are entries, or refused; whatever they are, the backends they make can be used.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lariat::etcd::fuzz::payload(data));
