#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tocsin_tests::fuzzed::target("http")(bytes));
