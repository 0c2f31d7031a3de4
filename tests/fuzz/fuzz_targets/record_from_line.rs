//! A line of the stream: never a panic, and what is read can be written and read again.

#![no_main]

use std::ops::RangeInclusive;

use event_model::Row;
use libfuzzer_sys::fuzz_target;

/// From 0000-01-01T00:00:00Z to 9999-12-31T23:59:59Z, in seconds since 1970.
const YEARS_OF_FOUR_DIGITS: RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

fuzz_target!(|line: &[u8]| {
    match Row::from_line(line) {
        Ok(row) => {
            // Times are written with a year of four digits; the clock gives no other.
            if YEARS_OF_FOUR_DIGITS.contains(&row.received_at.div_euclid(1000)) {
                let written = row.to_line();
                assert_eq!(Row::from_line(&written).as_ref(), Ok(&row));
                // Behind white space it goes through the reader of any form.
                assert_eq!(Row::from_line(&[b" ", &written[..]].concat()).as_ref(), Ok(&row));
            }
        }
        Err(error) => {
            assert!(["decode", "json", "record"].contains(&error.stage()));
            assert_eq!(error.field().is_some(), error.stage() == "record");
            assert!(!error.code().is_empty() && !error.to_string().is_empty());
        }
    }
});
