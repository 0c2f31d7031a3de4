//! What Firehose gave up on, from its backup to the table: by `weir replay` and by the function `replay`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use lambda_runtime::LambdaEvent;
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::firehose::{put, sdk};
use crate::loader::{deliver, line};
use crate::process::{Service, eventually, http, scratch, setting};
use crate::stack::Stack;

/// A Firehose that delivers to the stack's loader and gives up after a second.
async fn hasty(stack: &Stack) -> anyhow::Result<(TempDir, Service)> {
    let dir = scratch();
    let key = stack.variable("FIREHOSE_ACCESS_KEY")?;
    let args = [
        "firehose",
        "--port",
        "0",
        "--access-key",
        &key,
        "--interval",
        "0",
        "--retry-seconds",
        "1",
        "--stream",
        "hasty",
        "--endpoint-url",
        stack.url("loader"),
    ];
    let service = Service::start(dir.path(), &args).await?;
    Ok((dir, service))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found
}

/// Two objects in a backup: lines of two months, and a line that is none beside one that is. Gives the folder and the
/// records.
async fn given_up(stack: &Stack, firehose: &Service, dir: &Path) -> anyhow::Result<(PathBuf, Vec<String>)> {
    let backup = dir.join("data/firehose/backup");
    let record = |dates: &[&str]| -> String { dates.iter().map(|date| line(Uuid::new_v4(), date)).collect() };
    let good = record(&["2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z"]);
    let mixed = format!("not json\n{}", record(&["2024-05-01T00:00:00Z"]));
    let sql = stack.sql();
    sql.run("RENAME TABLE analytics.events TO analytics.events_away")
        .await?;
    for (count, record) in [&good, &mixed].into_iter().enumerate() {
        put(&sdk(&firehose.url), "hasty", std::slice::from_ref(record)).await?;
        eventually("Firehose gives up", async || {
            Ok((files(&backup).len() == count + 1).then_some(()))
        })
        .await?;
    }
    sql.run("RENAME TABLE analytics.events_away TO analytics.events")
        .await?;
    ensure!(sql.number("SELECT count() FROM analytics.events").await? == 0);
    Ok((backup, vec![good, mixed]))
}

#[tokio::test]
async fn what_firehose_gave_up_on_is_replayed_once() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (dir, firehose) = hasty(&stack).await?;
    let (backup, records) = given_up(&stack, &firehose, dir.path()).await?;
    let (sql, folder) = (stack.sql(), backup.to_string_lossy().into_owned());

    // Interrupted half-way: the second object has a line for a table that is not there.
    sql.run("RENAME TABLE analytics.events_quarantine TO analytics.away")
        .await?;
    let (code, _, err) = stack.try_weir(&["replay", &folder]).await?;
    ensure!(code == 1 && err.contains("run the same again"), "{err}");
    sql.run("RENAME TABLE analytics.away TO analytics.events_quarantine")
        .await?;
    let out = stack.weir(&["replay", &folder]).await?;
    ensure!(
        out.starts_with("1 objects replayed, 1 before, 0 unreadable; 1 records: 1 rows, 1 lines in"),
        "{out}"
    );

    let once = async || -> anyhow::Result<()> {
        ensure!(
            sql.number("SELECT count() FROM analytics.events").await? == 3,
            "not three rows"
        );
        let held = sql.run("SELECT raw FROM analytics.events_quarantine").await?;
        ensure!(held == "not json\n", "{held}");
        Ok(())
    };
    once().await?;
    // Nor does anything double by replaying again, or by a delivery that comes after all.
    let out = stack.weir(&["replay", &folder]).await?;
    ensure!(out.starts_with("0 objects replayed, 2 before"), "{out}");
    let out = stack.weir(&["replay", "--again", &folder]).await?;
    ensure!(
        out.starts_with("2 objects replayed, 0 before, 0 unreadable; 2 records: 3 rows, 1 lines in"),
        "{out}"
    );
    let key = stack.variable("FIREHOSE_ACCESS_KEY")?;
    for record in &records {
        let (status, answer) = deliver(&stack, &key, "late", std::slice::from_ref(record)).await?;
        ensure!(status == 200, "{answer}");
    }
    once().await?;

    firehose.stop().await?;
    stack.down().await
}

#[tokio::test]
async fn what_is_no_error_record_is_named_and_costs_its_neighbours_nothing() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (dir, firehose) = hasty(&stack).await?;
    let (backup, _) = given_up(&stack, &firehose, dir.path()).await?;
    for path in files(&backup) {
        let text = std::fs::read_to_string(&path)?;
        std::fs::write(&path, format!("{{\"rawData\":\"%\"}}\n{text}"))?;
    }
    std::fs::write(backup.join("broken.gz"), b"\x1f\x8bbroken")?;
    for _ in 0..2 {
        let (code, out, err) = stack.try_weir(&["replay", &backup.to_string_lossy()]).await?;
        ensure!(
            code == 1 && out.contains("1 unreadable; 2 records: 3 rows") && out.contains("2 lines that are"),
            "{out}"
        );
        ensure!(
            err.contains("line 1 is no error record: rawData is not base64"),
            "{err}"
        );
        ensure!(stack.sql().number("SELECT count() FROM analytics.events").await? == 3);
    }
    firehose.stop().await?;
    stack.down().await
}

/// An S3 of another maker (moto), in memory.
struct Bucket {
    url: String,
    _server: tokio::process::Child,
}

impl Bucket {
    /// A server with one bucket, `backup`.
    async fn start() -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = tokio::process::Command::new(setting("WEIR_CLIENTS_PYTHON").join("bin/python"))
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("moto")?;
        let bucket = Self {
            url: format!("http://127.0.0.1:{port}"),
            _server: server,
        };
        eventually("moto serves", async || {
            let made = http().put(format!("{}/backup", bucket.url)).send().await?;
            Ok(made.status().is_success().then_some(()))
        })
        .await?;
        Ok(bucket)
    }

    async fn put(&self, key: &str, content: Vec<u8>) -> anyhow::Result<()> {
        let url = format!("{}/backup/{key}", self.url);
        let answer = http().put(url).body(content).send().await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        Ok(())
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_ENDPOINT_URL_S3", self.url.clone()),
        ]
    }
}

#[tokio::test]
async fn a_backup_in_s3_is_replayed_by_the_command_and_by_the_function() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (dir, firehose) = hasty(&stack).await?;
    let (backup, _) = given_up(&stack, &firehose, dir.path()).await?;
    let bucket = Bucket::start().await?;
    let mut keys = Vec::new();
    for path in files(&backup) {
        let name = path.file_name().context("a name")?.to_string_lossy();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &std::fs::read(&path)?)?;
        let key = format!("http-endpoint-failed/2024/05/01/00/{name}.gz");
        bucket.put(&key, gzip.finish()?).await?;
        keys.push(key);
    }
    bucket.put("other/object", b"not of Firehose".to_vec()).await?;

    let replay = async || -> anyhow::Result<String> {
        let output = crate::process::weir(stack.dir(), &["replay", "s3://backup/http-endpoint-failed/"])
            .envs(bucket.variables())
            .output()
            .await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let out = replay().await?;
    ensure!(
        out.starts_with("2 objects replayed, 0 before, 0 unreadable; 2 records: 3 rows, 1 lines in"),
        "{out}"
    );
    let out = replay().await?;
    ensure!(out.starts_with("0 objects replayed, 2 before"), "{out}");

    let mut variables = bucket.variables();
    variables.push(("CLICKHOUSE_URL", stack.url("clickhouse").to_owned()));
    let context = replay::handler::Context::from_lookup(&|key| {
        let found = variables.iter().find(|(name, _)| *name == key);
        found.map(|(_, value)| value.clone())
    })?;
    let sql = stack.sql();
    for _ in 0..2 {
        let mut rows = 0;
        for key in &keys {
            let event = json!({"Records": [{"s3": {"bucket": {"name": "backup"}, "object": {"key": key}}}]});
            let event = LambdaEvent::new(serde_json::from_value(event)?, lambda_runtime::Context::default());
            rows += replay::handler::handle(&context, event, &mut edge::Record::default())
                .await?
                .rows;
        }
        ensure!(rows == 3 && sql.number("SELECT count() FROM analytics.events").await? == 3);
    }
    ensure!(sql.number("SELECT count() FROM analytics.events_quarantine").await? == 1);
    let gone = json!({"Records": [{"s3": {"bucket": {"name": "backup"}, "object": {"key": "gone"}}}]});
    let event = LambdaEvent::new(serde_json::from_value(gone)?, lambda_runtime::Context::default());
    let error = replay::handler::handle(&context, event, &mut edge::Record::default())
        .await
        .err()
        .context("no error")?;
    ensure!(error.to_string() == "S3 refused s3://backup/gone: NoSuchKey", "{error}");
    firehose.stop().await?;
    stack.down().await
}
