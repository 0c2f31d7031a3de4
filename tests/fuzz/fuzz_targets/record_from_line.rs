//! A line of the stream: never a panic, and what is read can be written and read again.

#![no_main]

use event_model::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    match Record::from_line(line) {
        Ok(record) => {
            // Times are written with a year of four digits; the clock gives no other.
            if (0..=9999).contains(
                &record
                    .received_at
                    .strftime("%Y")
                    .to_string()
                    .parse::<i32>()
                    .unwrap_or(-1),
            ) {
                weir_fuzz::check_record(&record);
            }
        }
        Err(error) => {
            assert!(["decode", "json", "record"].contains(&error.stage()));
            assert_eq!(error.field().is_some(), error.stage() == "record");
            assert!(!error.code().is_empty() && !error.to_string().is_empty());
        }
    }
});
