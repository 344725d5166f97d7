//! Fuzzes configuration files: a file is understood, or every mistake in it is named.
#![no_main]

use causeway::config::{settings_from_toml, understand, warnings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (settings, _) = settings_from_toml(text);
    match understand(&settings, &|_| false) {
        Ok(config) => drop(warnings(&config, &|_| true)),
        Err(mistakes) => assert!(!mistakes.is_empty()),
    }
});
