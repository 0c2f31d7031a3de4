#![allow(clippy::string_slice, reason = "test texts are cut where the parser says")]

use super::*;
use proptest::prelude::*;

fn insert_parts(text: &str) -> (String, String, String) {
    match parse(text.as_bytes()) {
        Statement::Insert(insert) => (
            text[insert.head.clone()].trim().to_owned(),
            insert.format.clone(),
            text[insert.data_at..].to_owned(),
        ),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn inserts_are_cut_where_the_data_begins() {
    let check = |text: &str, head: &str, format: &str, data: &str| {
        let parts = insert_parts(text);
        assert_eq!(
            (parts.0.as_str(), parts.1.as_str(), parts.2.as_str()),
            (head, format, data),
            "{text}"
        );
    };
    check("INSERT INTO t VALUES (1),(2)", "INSERT INTO t", "Values", " (1),(2)");
    check("insert into t format TSV\n1\t2\n", "insert into t", "TSV", "1\t2\n");
    check("INSERT INTO t FORMAT CSV   \r\n1,2", "INSERT INTO t", "CSV", "1,2");
    check("INSERT INTO t FORMAT CSV 1,2", "INSERT INTO t", "CSV", "1,2");
    check(
        "INSERT INTO t (a, `values`, \"format\") FORMAT RowBinary\n\0\u{1}",
        "INSERT INTO t (a, `values`, \"format\")",
        "RowBinary",
        "\0\u{1}",
    );
    check("INSERT INTO format FORMAT TSV\nx", "INSERT INTO format", "TSV", "x");
    check(
        "INSERT INTO db.values VALUES (1)",
        "INSERT INTO db.values",
        "Values",
        " (1)",
    );
    check(
        "/* INSERT */ -- FORMAT x\nINSERT INTO t SETTINGS a = 'FORMAT', b=1 FORMAT Native\n\n",
        "/* INSERT */ -- FORMAT x\nINSERT INTO t SETTINGS a = 'FORMAT', b=1",
        "Native",
        "\n",
    );
    check(
        "INSERT INTO FUNCTION file('x', 'CSV') VALUES (1)",
        "INSERT INTO FUNCTION file('x', 'CSV')",
        "Values",
        " (1)",
    );
    check(
        "INSERT INTO TABLE FUNCTION null('a Int') FORMAT CSV\n1",
        "INSERT INTO TABLE FUNCTION null('a Int')",
        "CSV",
        "1",
    );
    check(
        "INSERT INTO {t:Identifier} FORMAT CSV\n1",
        "INSERT INTO {t:Identifier}",
        "CSV",
        "1",
    );
    check(
        "INSERT INTO t(* EXCEPT(b)) Values (1)",
        "INSERT INTO t(* EXCEPT(b))",
        "Values",
        " (1)",
    );
}

#[test]
fn settings_behind_a_format_belong_to_the_head() {
    let text = b"INSERT INTO t FORMAT JSONEachRow SETTINGS async_insert=1, x = 'a' \n{}";
    let Statement::Insert(insert) = parse(text) else {
        panic!()
    };
    assert_eq!(
        &text[insert.settings.clone().unwrap()],
        b"SETTINGS async_insert=1, x = 'a'"
    );
    assert_eq!(&text[insert.data_at..], b"{}");
    // A row that begins with the word is a row.
    let Statement::Insert(insert) = parse(b"INSERT INTO t FORMAT TSV\nSETTINGS\t1\n") else {
        panic!()
    };
    assert_eq!(insert.settings, None);
    assert_eq!(insert.data_at, 25);
}

#[test]
fn other_inserts() {
    let check = |text: &str, expected: fn(&Statement) -> bool| {
        let statement = parse(text.as_bytes());
        assert!(expected(&statement), "{text}: {statement:?}");
    };
    check("INSERT INTO t SELECT 1 FORMAT Null", |s| {
        matches!(s, Statement::Other(_))
    });
    check("INSERT INTO t (a) (SELECT 1)", |s| matches!(s, Statement::Other(_)));
    check("INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x", |s| {
        matches!(s, Statement::Other(_))
    });
    check("INSERT INTO t", |s| matches!(s, Statement::InsertUnfinished));
    check("INSERT INTO t (a) FORMAT", |s| matches!(s, Statement::InsertUnfinished));
    check("INSERT INTO t FROM INFILE 'x' FORMAT CSV", |s| {
        matches!(s, Statement::Infile)
    });
    check("", |s| matches!(s, Statement::Empty));
    check(" -- nothing\n ; ", |s| matches!(s, Statement::Empty));
}

#[test]
fn input_is_found() {
    let text = "INSERT INTO t SELECT a FROM input('a String, b Enum(\\'x\\')') FORMAT CSV\n1,2";
    let Statement::Insert(insert) = parse(text.as_bytes()) else {
        panic!()
    };
    let (range, structure) = insert.input.unwrap();
    assert_eq!(&text[range], "input('a String, b Enum(\\'x\\')')");
    assert_eq!(structure, "a String, b Enum('x')");
    assert_eq!(&text[insert.data_at..], "1,2");
}

#[test]
fn selects_take_an_outfile_before_their_format() {
    let check = |text: &str, expected: &str, format: Option<&str>| match parse(text.as_bytes()) {
        Statement::Select(output) => {
            let (left, right) = text.split_at(output.outfile_at);
            assert_eq!(format!("{left}@{right}"), expected);
            assert_eq!(output.format.as_deref(), format, "{text}");
        }
        other => panic!("{text}: {other:?}"),
    };
    check("SELECT 1", "SELECT 1@", None);
    check("SELECT 1 -- end", "SELECT 1@ -- end", None);
    check("SELECT 1;", "SELECT 1@;", None);
    check("SELECT 1 FORMAT JSON", "SELECT 1 @FORMAT JSON", Some("JSON"));
    check(
        "SELECT 1 FORMAT JSON SETTINGS max_threads = 1;",
        "SELECT 1 @FORMAT JSON SETTINGS max_threads = 1;",
        Some("JSON"),
    );
    check("SELECT ' FORMAT JSON'", "SELECT ' FORMAT JSON'@", None);
    check("SELECT format FROM t", "SELECT format FROM t@", None);
    check("SELECT 1 AS format", "SELECT 1 AS format@", None);
    check("SELECT $a$ FORMAT JSON $a$", "SELECT $a$ FORMAT JSON $a$@", None);
    check("(SELECT 1 FORMAT JSON)", "(SELECT 1 FORMAT JSON)@", None);
    check(
        "WITH 1 AS x SELECT x format `CSV`",
        "WITH 1 AS x SELECT x @format `CSV`",
        Some("CSV"),
    );
    check(
        "WITH insert AS (SELECT 13 AS n) SELECT * FROM insert",
        "WITH insert AS (SELECT 13 AS n) SELECT * FROM insert@",
        None,
    );
    check(
        "WITH ' INSERT INTO ' AS v SELECT v",
        "WITH ' INSERT INTO ' AS v SELECT v@",
        None,
    );
    check("SELECT 1 // FORMAT CSV", "SELECT 1@ // FORMAT CSV", None);
    check("SELECT 1;\u{a0}", "SELECT 1@;\u{a0}", None);
    check("SELECT 'it''s' \\'", "SELECT 'it''s' \\'@", None);
}

#[test]
fn outputs_know_what_else_is_in_them() {
    let output = |text: &str| match parse(text.as_bytes()) {
        Statement::Select(output) | Statement::Other(output) | Statement::Kill(output) => output,
        other => panic!("{text}: {other:?}"),
    };
    assert!(output("SELECT 1; SELECT 2").several);
    assert!(!output("SELECT 1; -- x").several);
    assert!(!output("SELECT 1;\u{a0}; /* x; */ ;").several);
    assert!(output("SHOW TABLES").answers && !output("DROP TABLE t").answers);
    assert!(output("SELECT 1 INTO OUTFILE 'x'").into_outfile);
    assert_eq!(output("SELECT * FROM system.processes").processes, vec![14..30]);
    assert_eq!(output("SHOW TABLES FORMAT TSVRaw").format.as_deref(), Some("TSVRaw"));
    assert!(matches!(parse(b"KILL QUERY WHERE query_id = 'x'"), Statement::Kill(_)));
    assert_eq!(query_id_names(b"KILL QUERY WHERE query_id = 'query_id'"), vec![17..25]);
}

proptest! {
    #[test]
    fn never_panics_and_stays_inside(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        match parse(&text) {
            Statement::Insert(insert) => prop_assert!(insert.data_at <= text.len() && insert.head.end <= text.len()),
            Statement::Select(output) | Statement::Other(output) | Statement::Kill(output) => {
                prop_assert!(output.outfile_at <= text.len());
            }
            _ => {}
        }
    }

    #[test]
    fn never_panics_on_sql_like_text(text in "(INSERT INTO|SELECT|FORMAT|VALUES|SETTINGS|input|[(]|[)]|'|`|\"|;|,|=|--|/[*]|[$]|[a-z]{1,3}|\n| ){0,30}") {
        parse(text.as_bytes());
        query_id_names(text.as_bytes());
    }

    #[test]
    fn data_is_never_read(table in "[a-z]{1,8}", data in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut text = format!("INSERT INTO {table} FORMAT Native\n").into_bytes();
        let at = text.len();
        text.extend(&data);
        let Statement::Insert(insert) = parse(&text) else { panic!() };
        prop_assert_eq!(insert.data_at, at);
    }
}
