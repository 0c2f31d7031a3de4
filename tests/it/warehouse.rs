//! `weir migrate` on the real engine.

use anyhow::ensure;

use crate::process::{Service, run_weir, scratch, weir_ok};
use crate::sql::Sql;

#[tokio::test]
async fn migrations_apply_once() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let migrate = ["migrate", "--clickhouse-url", &server.url];
    let sql = Sql::new(&server.url);

    let planned = weir_ok(dir.path(), &[&migrate[..], &["--dry-run"]].concat()).await?;
    ensure!(planned.contains("CREATE TABLE IF NOT EXISTS"), "{planned}");
    let tables = "SELECT count() FROM system.tables WHERE database = 'analytics' AND name = 'events'";
    ensure!(sql.number(tables).await? == 0, "a dry run changed something");

    let first = weir_ok(dir.path(), &migrate).await?;
    ensure!(first.contains("0001_create_events"), "{first}");
    ensure!(sql.number(tables).await? == 1);
    let second = weir_ok(dir.path(), &migrate).await?;
    ensure!(second.contains("nothing to apply"), "{second}");
    ensure!(sql.number("SELECT count() FROM analytics.schema_migrations").await? >= 1);
    server.stop().await
}

#[tokio::test]
async fn an_edited_migration_is_refused() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let folder = dir.path().join("migrations");
    std::fs::create_dir(&folder)?;
    let file = folder.join("0001_create_things.sql");
    std::fs::write(
        &file,
        "CREATE TABLE IF NOT EXISTS things (n UInt8) ENGINE = MergeTree ORDER BY n;\n",
    )?;
    let folder = folder.to_string_lossy().into_owned();
    let migrate = ["migrate", "--clickhouse-url", &server.url, "--dir", &folder];
    weir_ok(dir.path(), &migrate).await?;

    std::fs::write(
        &file,
        "CREATE TABLE IF NOT EXISTS things (n UInt16) ENGINE = MergeTree ORDER BY n;\n",
    )?;
    let refused = run_weir(dir.path(), &migrate).await?;
    let text = String::from_utf8(refused.stderr)?;
    ensure!(
        !refused.status.success() && text.contains("0001_create_things"),
        "{text}"
    );
    server.stop().await
}
