//! `cargo +nightly fuzz run dispatch -- -dict=fuzz/dispatch.dict`
#![no_main]

#[path = "../../tests/fuzz/dispatch.rs"]
mod dispatch;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dispatch::run(data));
