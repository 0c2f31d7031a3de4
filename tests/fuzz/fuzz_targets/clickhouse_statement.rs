//! Where a statement's data begins and its output clause goes.

#![no_main]

#[path = "../../../infra/local/src/clickhouse"]
mod clickhouse {
    #[allow(dead_code, reason = "the server uses the rest")]
    pub(crate) mod statement;
}

use std::ops::Range;

use clickhouse::statement::{Insert, Output, Statement, first_words, parse, query_id_names};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    for word in first_words(text) {
        assert!(
            !word.is_empty() && !word.bytes().any(|byte| byte.is_ascii_lowercase()),
            "{word}"
        );
    }
    let names = query_id_names(text);
    in_order(text, &names);
    assert!(names.iter().all(|name| text[name.clone()].ends_with(b"query_id")));

    match parse(text) {
        Statement::Insert(insert) => data_begins(text, &insert),
        Statement::Select(output) => {
            ranges(text, &output);
            output_goes(text, &output);
        }
        Statement::Kill(output) | Statement::Other(output) => ranges(text, &output),
        Statement::Empty => {
            assert!(!matches!(
                parse(&[b"SELECT 1 ", text].concat()),
                Statement::Insert(_) | Statement::Empty
            ));
        }
        Statement::InsertUnfinished | Statement::Infile => {
            assert!(text.windows(6).any(|word| word.eq_ignore_ascii_case(b"insert")));
        }
    }
});

fn in_order(text: &[u8], ranges: &[Range<usize>]) {
    assert!(
        ranges
            .iter()
            .all(|range| range.start < range.end && range.end <= text.len()),
        "{ranges:?}"
    );
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "{ranges:?}");
}

fn data_begins(text: &[u8], insert: &Insert) {
    assert_eq!(insert.head.start, 0);
    assert!(
        insert.head.end < insert.data_at && insert.data_at <= text.len(),
        "{insert:?}"
    );
    if let Some(settings) = &insert.settings {
        assert!(
            insert.head.end < settings.start && settings.end <= insert.data_at,
            "{insert:?}"
        );
        assert!(text[settings.clone()][..8].eq_ignore_ascii_case(b"settings"));
    }
    if let Some((call, _)) = &insert.input {
        assert!(call.end <= insert.head.end, "{insert:?}");
        assert!(text[call.clone()][..5].eq_ignore_ascii_case(b"input") && text[call.end - 1] == b')');
    }
    // What comes before the data says it all: the data has no part in it. A comma or a point would go on with the settings.
    let kept = insert.data_at + usize::from(insert.semicolon);
    if insert.settings.is_none() {
        assert_eq!(parse(&text[..kept]), Statement::Insert(insert.clone()));
    }
    // The head is what goes to the engine, and wants data yet.
    let head = [&text[insert.head.clone()], b"\nFORMAT Null"].concat();
    let Statement::Insert(again) = parse(&head) else {
        panic!("{:?} is no INSERT", String::from_utf8_lossy(&head))
    };
    assert_eq!(again.format, "Null");
    assert_eq!(again.input, insert.input);
}

fn ranges(text: &[u8], output: &Output) {
    assert!(output.outfile_at <= text.len());
    in_order(text, &output.processes);
    for name in &output.processes {
        assert!(text[name.start..][..6].eq_ignore_ascii_case(b"system"));
        assert!(text[..name.end].to_ascii_lowercase().ends_with(b"processes"));
    }
}

/// As the server puts the clause in, it is one; the server asks for a single statement first.
fn output_goes(text: &[u8], output: &Output) {
    let (head, tail) = text.split_at(output.outfile_at);
    // What is no SQL may become some: `#` begins a comment when a blank follows, INSERT wants an INTO, FORMAT a name.
    let lower = head.trim_ascii_end().to_ascii_lowercase();
    let half = lower.ends_with(b"#") || lower.ends_with(b"format") || lower.windows(6).any(|word| word == b"insert");
    if output.several || output.into_outfile || half {
        return;
    }
    let with = [head, b" INTO OUTFILE '/dev/fd/9' APPEND ", tail].concat();
    match parse(&with) {
        Statement::Select(again) => {
            // Then the engine refuses the text, and the server asks it without the clause.
            assert!(
                again.into_outfile || no_place(head),
                "{:?}",
                String::from_utf8_lossy(&with)
            );
            assert_eq!(again.format, output.format, "{:?}", String::from_utf8_lossy(&with));
        }
        other => panic!("{other:?} of {:?}", String::from_utf8_lossy(&with)),
    }
}

/// Whether a text may be such that no clause can follow: in an open quote, bracket or comment.
fn no_place(head: &[u8]) -> bool {
    let count = |bytes: &[u8]| head.iter().filter(|byte| bytes.contains(byte)).count();
    let comments = [&b"--"[..], b"//", b"/*", b"#"];
    let comments = comments
        .iter()
        .any(|mark| head.windows(mark.len()).any(|window| window == *mark));
    let brackets = count(b"([{") != count(b")]}") || comments && count(b"([{") > 0;
    count(b"'\"`$") > 0 || brackets
}
