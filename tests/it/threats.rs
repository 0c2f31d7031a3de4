//! THREATS.md against the code: its limits, its grants, the tests that it names. And which function links whose client.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::process::checkout;

fn threats() -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(checkout().join("THREATS.md"))?)
}

/// The cells of the rows of the table with that header.
fn table(text: &str, header: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let (_, table) = text
        .split_once(&format!("{header}\n"))
        .with_context(|| format!("no table {header}"))?;
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        row.trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    Ok(rows.map(cells).collect())
}

#[test]
fn the_limits_are_those_of_the_code() -> anyhow::Result<()> {
    use event_model::limits;
    let expected: BTreeMap<&str, usize> = [
        ("bytes of a request's line and headers", edge::server::MAX_HEADER_BYTES),
        ("headers of a request", edge::server::MAX_HEADERS),
        ("connections at a time", edge::server::MAX_CONNECTIONS),
        ("bytes of a request's body", edge::server::MAX_BODY_BYTES),
        ("bytes of a request, inflated", events::intake::MAX_INFLATED_BYTES),
        ("bytes of a delivery, inflated", loader::MAX_INFLATED_BYTES),
        ("records of a delivery", loader::MAX_RECORDS),
        ("bytes of an event's line", limits::MAX_LINE_BYTES),
        ("nesting of an event", limits::MAX_JSON_DEPTH),
        ("digits of an integer", limits::MAX_INT_DIGITS),
        ("invalid events of a request", limits::MAX_REJECTED_EVENTS),
        ("bytes of an `Idempotency-Key`", events::idempotency::MAX_KEY_BYTES),
        (
            "rows of a delivery that ClickHouse refuses",
            loader::insert::MAX_REFUSED,
        ),
        (
            "bytes of a backup's object, also inflated",
            replay::object::MAX_OBJECT_BYTES,
        ),
        ("bytes of rows in an answer", marts::MAX_ANSWER_BYTES),
        ("bytes of rows in a panel", dashboard::MAX_PANEL_BYTES),
        ("sessions of a page", usize::try_from(sessions::MAX_LIMIT)?),
        (
            "characters of the access key, at least",
            edge::auth::MIN_ACCESS_KEY_CHARS,
        ),
    ]
    .into();
    let text = threats()?;
    let rows = table(&text, "| limit | where | value | what happens beyond |")?;
    let told: BTreeMap<&str, usize> = rows
        .iter()
        .map(|row| Ok((row[0].as_str(), row[2].parse()?)))
        .collect::<anyhow::Result<_>>()?;
    ensure!(told == expected, "THREATS.md: {told:#?}\nthe code: {expected:#?}");
    Ok(())
}

#[test]
fn the_tests_are_there() -> anyhow::Result<()> {
    let mut sources = String::new();
    for file in rust_files(&checkout())? {
        sources.push_str(&std::fs::read_to_string(file)?);
    }
    let mut named = 0;
    for row in table(&threats()?, "| threat | how | test |")? {
        let tests = row[2].split(", ").map(|name| name.trim_matches('`'));
        for test in tests {
            let there = match test.strip_prefix(".ci/") {
                Some(_) => checkout().join(test).is_file(),
                None => sources.contains(&format!("fn {test}(")),
            };
            ensure!(there, "THREATS.md names {test}, and there is no such test");
            named += 1;
        }
    }
    ensure!(named > 20, "only {named} tests are named");
    Ok(())
}

/// `SELECT` or `INSERT`, and a table.
type Use = (&'static str, String);

/// Each user of ClickHouse may read and fill the tables that the SQL of its code reads and fills, and no others.
#[test]
fn grants_name_what_the_code_uses() -> anyhow::Result<()> {
    let granted = granted(&threats()?)?;
    let mut expected = BTreeMap::new();
    for (user, folder) in [
        ("weir_loader", "functions/loader/src"),
        ("weir_activity", "functions/activity/src"),
        ("weir_activity", "functions/sessions/src"),
        ("weir_activity", "functions/experiments/src"),
        ("weir_activity", "functions/retention/src"),
        ("weir_activity", "functions/funnel/src"),
        ("weir_activity", "functions/dashboard/src"),
        ("weir_migrate", "functions/migrate/src"),
        ("weir_operator", "infra/local/src/quarantine"),
        ("weir_operator", "infra/local/src/status"),
        ("weir_operator", "infra/local/src/trace"),
        ("weir_operator", "infra/local/src/tail"),
        // weir status shows what they read.
        ("weir_operator", "functions/activity/src"),
        ("weir_operator", "functions/dashboard/src/live.rs"),
    ] {
        let mut tables = BTreeSet::new();
        // Not the tests: they make tables up.
        let folder = checkout().join(folder);
        let files = if folder.is_file() {
            vec![folder.clone()]
        } else {
            rust_files(&folder)?
        };
        for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
            let source = std::fs::read_to_string(file)?;
            let code = source.split("#[cfg(test)]").next().unwrap_or_default();
            tables.extend(uses(code));
        }
        ensure!(!tables.is_empty(), "no SQL in {}", folder.display());
        let of_user: &mut BTreeSet<_> = expected.entry(user.to_owned()).or_default();
        of_user.extend(tables);
    }
    // Who makes a view must be able to read what it reads, and a materialized view goes on working with these rights.
    let made = expected.entry("weir_migrate".to_owned()).or_default();
    for file in files_of(&checkout().join("migrations"), "sql")? {
        let text = std::fs::read_to_string(file)?;
        let statements: Vec<_> = text.lines().filter(|line| !line.starts_with("--")).collect();
        let statements = statements.join("\n");
        made.extend(uses(&statements));
        let targets = statements.split("\nTO {database}.").skip(1);
        made.extend(targets.filter_map(|rest| Some(("INSERT", rest.split_whitespace().next()?.to_owned()))));
    }
    // A view reads with its reader's rights.
    for user in ["weir_activity", "weir_operator"] {
        let readers: &mut BTreeSet<_> = expected.entry(user.to_owned()).or_default();
        for (_, mart) in readers.clone() {
            readers.extend(behind(&mart)?.into_iter().map(|table| ("SELECT", table)));
        }
    }
    // It stores through the loader's library.
    expected.insert("weir_replay".to_owned(), expected["weir_loader"].clone());
    let mut told = granted;
    ensure!(told.remove("weir_dbt").is_some(), "dbt has no grants");
    ensure!(told == expected, "THREATS.md: {told:#?}\nthe code: {expected:#?}");
    Ok(())
}

/// The tables that a view reads: dbt's, or the migrations'. A table has none behind it.
fn behind(name: &str) -> anyhow::Result<Vec<String>> {
    let mart = checkout().join(format!("dbt/models/marts/{name}.sql"));
    if !mart.exists() {
        let mut tables = Vec::new();
        for file in files_of(&checkout().join("migrations"), "sql")? {
            let text = std::fs::read_to_string(file)?;
            let start = format!("CREATE VIEW IF NOT EXISTS {{database}}.{name} ");
            let views = text.split(&start).skip(1);
            let read = views.flat_map(|view| uses(view.split(';').next().unwrap_or_default()));
            tables.extend(read.map(|(_, table)| table));
        }
        return Ok(tables);
    }
    let view = std::fs::read_to_string(mart)?;
    let tables = view.split("ref('").skip(1).filter_map(|rest| rest.split('\'').next());
    Ok(tables.map(str::to_owned).collect())
}

/// The tables of the GRANT statements, by user; those of `analytics` without their database.
fn granted(text: &str) -> anyhow::Result<BTreeMap<String, BTreeSet<Use>>> {
    let mut granted: BTreeMap<String, BTreeSet<Use>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("GRANT ")) {
        let statement = line.strip_suffix(';').with_context(|| format!("no end: {line}"))?;
        let (privileges, rest) = statement.split_once(" ON ").context("no ON")?;
        let (table, user) = rest.split_once(" TO ").context("no TO")?;
        let tables = granted.entry(user.to_owned()).or_default();
        // What is made may have any name.
        if table != "analytics.*" {
            let table = table.strip_prefix("analytics.").unwrap_or(table);
            let verbs = ["SELECT", "INSERT"]
                .into_iter()
                .filter(|verb| privileges.contains(verb));
            tables.extend(verbs.map(|verb| (verb, table.to_owned())));
        }
    }
    Ok(granted)
}

/// What stands behind FROM and JOIN, and behind INTO, as far as it is a name.
fn uses(code: &str) -> BTreeSet<Use> {
    let code: Vec<_> = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let words: Vec<_> = code.split_whitespace().map(|word| word.trim_matches('"')).collect();
    let mut uses = BTreeSet::new();
    for pair in words.windows(2) {
        let verb = match pair[0] {
            "FROM" | "JOIN" => "SELECT",
            "INTO" => "INSERT",
            _ => continue,
        };
        let name = pair[1].trim_start_matches("{database}.");
        let part_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let table = name.split(|c| !part_of_a_name(c)).next().unwrap_or_default();
        // A subquery has none.
        if !table.is_empty() {
            uses.insert((verb, table.to_owned()));
        }
    }
    uses
}

fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    files_of(folder, "rs")
}

/// The files under a folder whose names end so.
fn files_of(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            files.extend(files_of(&path, extension)?);
        } else if path.extension().is_some_and(|it| it == extension) {
            files.push(path);
        }
    }
    Ok(files)
}

/// By the packages that each function is built of, with the features that it asks for itself.
#[tokio::test]
async fn functions_link_no_client_that_they_do_not_use() -> anyhow::Result<()> {
    for (function, clients) in [
        ("events", &["aws-sdk-firehose"][..]),
        ("loader", &["clickhouse"]),
        ("activity", &["clickhouse"]),
        ("sessions", &["clickhouse"]),
        ("experiments", &["clickhouse"]),
        ("retention", &["clickhouse"]),
        ("funnel", &["clickhouse"]),
        ("dashboard", &["clickhouse"]),
        ("migrate", &["clickhouse"]),
        ("replay", &["aws-sdk-s3", "clickhouse"]),
        // By the library of events, whose errors it describes.
        ("docs", &["aws-sdk-firehose"]),
    ] {
        let mut tree = Command::new("cargo");
        tree.args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none"])
            .args(["--package", function, "--format", "{p}"])
            .current_dir(checkout());
        let output = tree.output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let packages = String::from_utf8(output.stdout)?;
        let found: BTreeSet<_> = packages
            .lines()
            .filter_map(|line| line.split(' ').next())
            .filter(|name| ["aws-sdk-firehose", "aws-sdk-s3", "clickhouse"].contains(name))
            .collect();
        ensure!(found == clients.iter().copied().collect(), "{function} links {found:?}");
    }
    Ok(())
}
