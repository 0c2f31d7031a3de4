//! Which of ClickHouse's exceptions say that the data is wrong.
//!
//! The numbers are those of <https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>. The list is of what
//! no retry mends; any other exception (a missing table or column, too many parts, memory, time, access, and whatever is new)
//! is taken for a state of the server that passes, so that nothing is put aside for it.

/// An exception that blames the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exception {
    /// Its number.
    pub number: u32,
    /// Its name, in lower case: a stable word.
    pub name: &'static str,
}

/// Those that no retry mends.
const BAD_DATA: [(u32, &str); 23] = [
    (6, "cannot_parse_text"),
    (25, "cannot_parse_escape_sequence"),
    (26, "cannot_parse_quoted_string"),
    (27, "cannot_parse_input_assertion_failed"),
    (38, "cannot_parse_date"),
    (41, "cannot_parse_datetime"),
    (53, "type_mismatch"),
    (69, "argument_out_of_bound"),
    (70, "cannot_convert_type"),
    (72, "cannot_parse_number"),
    (117, "incorrect_data"),
    (131, "too_large_string_size"),
    (190, "sizes_of_arrays_dont_match"),
    (321, "value_is_out_of_range_of_data_type"),
    (349, "cannot_insert_null_in_ordinary_column"),
    (376, "cannot_parse_uuid"),
    (407, "decimal_overflow"),
    (441, "cannot_parse_domain_value_from_string"),
    (467, "cannot_parse_bool"),
    (469, "violated_constraint"),
    (675, "cannot_parse_ipv4"),
    (676, "cannot_parse_ipv6"),
    (691, "unknown_element_of_enum"),
];

impl Exception {
    /// The exception of that number, when it blames the data.
    pub fn bad_data(number: u32) -> Option<Self> {
        BAD_DATA
            .iter()
            .find(|(known, _)| *known == number)
            .map(|(number, name)| Exception { number: *number, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_not_blamed_on_the_data() {
        // No such column, unknown table, unknown database, too many simultaneous queries, timeout, memory, too many parts,
        // read-only, authentication, shutting down, and a number that nobody knows.
        for number in [16, 60, 81, 202, 159, 241, 252, 164, 516, 394, 99_999] {
            assert_eq!(Exception::bad_data(number), None, "{number}");
        }
    }

    #[test]
    fn what_no_retry_mends_has_a_name() {
        for (number, name) in [
            (53, "type_mismatch"),
            (469, "violated_constraint"),
            (131, "too_large_string_size"),
        ] {
            assert_eq!(Exception::bad_data(number), Some(Exception { number, name }));
        }
        assert!(BAD_DATA.is_sorted_by(|a, b| a.0 < b.0), "each number once, in order");
    }
}
