//! Splitting and rendering, as tables.

use proptest::prelude::*;

use super::*;

fn plain() -> Target {
    Target::new("analytics", None).unwrap()
}

fn clustered() -> Target {
    Target::new("analytics", Some("main")).unwrap()
}

#[test]
fn a_text_is_cut_at_semicolons_outside_strings_and_comments() {
    for (text, expected) in [
        ("", &[][..]),
        (" ;; \n;", &[]),
        ("-- only a comment", &[]),
        ("SELECT 1", &["SELECT 1"]),
        ("SELECT 1;", &["SELECT 1"]),
        ("SELECT 1; SELECT 2\n", &["SELECT 1", "SELECT 2"]),
        (
            "-- a; b\nSELECT 1; -- tail; of it\n/* x; */ SELECT 2;",
            &["SELECT 1", "SELECT 2"],
        ),
        (
            "SELECT /* ; /* nested; */ ; */ 1; SELECT 2",
            &["SELECT /* ; /* nested; */ ; */ 1", "SELECT 2"],
        ),
        (
            "SELECT ';'; SELECT 'it''s; '; SELECT 'a\\';b'",
            &["SELECT ';'", "SELECT 'it''s; '", "SELECT 'a\\';b'"],
        ),
        (
            "SELECT \"a;b\", `c;d`; SELECT 2",
            &["SELECT \"a;b\", `c;d`", "SELECT 2"],
        ),
        (
            "SELECT $$a;b$$, $x$;$$;$x$; SELECT 2",
            &["SELECT $$a;b$$, $x$;$$;$x$", "SELECT 2"],
        ),
        ("SELECT '-- no comment;', 1", &["SELECT '-- no comment;', 1"]),
        ("SELECT 1 -- it's open\n; SELECT 2", &["SELECT 1", "SELECT 2"]),
        ("# a; shell comment\n#! and; this\nSELECT 1", &["SELECT 1"]),
        ("SELECT 'é;ü'; SELECT 'ß'", &["SELECT 'é;ü'", "SELECT 'ß'"]),
        ("SELECT 5-- no;\n-2", &["SELECT 5-- no;\n-2"]),
    ] {
        assert_eq!(split(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn what_stays_open_is_named_with_its_line() {
    for (text, line, what) in [
        ("SELECT 'a", 1, "string"),
        ("SELECT 1;\n\nSELECT 'a\\'", 3, "string"),
        ("SELECT 'a\\", 1, "string"),
        ("SELECT\n`a", 2, "quoted name"),
        ("SELECT \"a", 1, "quoted name"),
        ("SELECT 1 /* a /* b */", 1, "comment"),
        ("SELECT $x$ a", 1, "heredoc"),
    ] {
        assert_eq!(split(text).unwrap_err(), SqlError::Unclosed { line, what }, "{text}");
    }
}

#[test]
fn placeholders_are_filled_for_a_server_and_for_a_cluster() {
    for (text, server, cluster) in [
        (
            "CREATE TABLE {database}.t {on_cluster} (a Int8) ENGINE = {replicated}MergeTree",
            "CREATE TABLE `analytics`.t (a Int8) ENGINE = MergeTree",
            "CREATE TABLE `analytics`.t ON CLUSTER 'main' (a Int8) ENGINE = ReplicatedMergeTree",
        ),
        (
            "ALTER TABLE {database}.t {on_cluster}\n    ADD COLUMN b Int8",
            "ALTER TABLE `analytics`.t\n    ADD COLUMN b Int8",
            "ALTER TABLE `analytics`.t ON CLUSTER 'main'\n    ADD COLUMN b Int8",
        ),
        (
            "DROP TABLE {database}.t {on_cluster}",
            "DROP TABLE `analytics`.t",
            "DROP TABLE `analytics`.t ON CLUSTER 'main'",
        ),
        (
            "Buffer({database}, t)",
            "Buffer(`analytics`, t)",
            "Buffer(`analytics`, t)",
        ),
        // Not placeholders: strings (a server's own macros), comments, quoted names, maps, query parameters.
        (
            "SELECT '{replica}' -- {note}",
            "SELECT '{replica}' -- {note}",
            "SELECT '{replica}' -- {note}",
        ),
        (
            "SELECT {'a': 1}, {x:UInt8}, `{y}`",
            "SELECT {'a': 1}, {x:UInt8}, `{y}`",
            "SELECT {'a': 1}, {x:UInt8}, `{y}`",
        ),
    ] {
        assert_eq!(render(text, &plain()).unwrap(), server);
        assert_eq!(render(text, &clustered()).unwrap(), cluster);
    }
}

#[test]
fn an_unknown_placeholder_is_an_error() {
    let expected = SqlError::Placeholder {
        line: 2,
        word: "cluster".to_owned(),
    };
    assert_eq!(render("CREATE TABLE t\n{cluster}", &plain()).unwrap_err(), expected);
    assert_eq!(
        expected.to_string(),
        "line 2: {cluster} is no placeholder; there are {database}, {on_cluster} and {replicated}"
    );
}

#[test]
fn names_that_cannot_be_written_into_a_statement_are_refused() {
    for database in ["", "a b", "a`b", "a-b", "ä"] {
        assert!(Target::new(database, None).is_err(), "{database}");
    }
    for cluster in ["", "a'b", "a\\b", "a\nb"] {
        assert!(Target::new("analytics", Some(cluster)).is_err(), "{cluster}");
    }
    assert_eq!(
        render("{on_cluster}", &Target::new("analytics", Some("{cluster}")).unwrap()).unwrap(),
        "ON CLUSTER '{cluster}'"
    );
}

proptest! {
    /// No text makes the lexer panic, loop or lose a byte.
    #[test]
    fn tokens_cover_any_text(text in "[a-z'\"`$;{}/*#!\\\\ \n é-]{0,60}") {
        if let Ok(tokens) = tokens(&text) {
            let joined: String = tokens.iter().map(|token| text.get(token.start..token.end).unwrap()).collect();
            prop_assert_eq!(joined, text);
        }
    }
}
