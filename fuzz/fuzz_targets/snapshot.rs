//! `cargo +nightly fuzz run snapshot -- -dict=fuzz/snapshot.dict`
#![no_main]

#[path = "../../tests/fuzz/snapshot.rs"]
mod snapshot;

libfuzzer_sys::fuzz_target!(|data: &[u8]| snapshot::run(data));
