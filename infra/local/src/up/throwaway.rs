//! A ClickHouse of a test's or a bench's own: a free port, an empty folder, gone when that is over.

use std::{ffi::OsString, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::sync::mpsc;

use super::{
    child::{Kept, Spec},
    health::Probe,
    logs,
    ports::{self, Wanted},
    processes,
    settings::{Urls, Warehouse},
};

/// Who the throwaway engine lets in.
pub(crate) const CREDENTIALS: [(&str, &str); 3] = [
    ("CLICKHOUSE_USER", "default"),
    ("CLICKHOUSE_PASSWORD", ""),
    ("CLICKHOUSE_DATABASE", "analytics"),
];

/// A running engine.
pub(crate) struct Throwaway {
    /// Its HTTP interface.
    pub(crate) url: String,
    pid: Option<u32>,
    child: Kept,
}

/// Starts one. What it stores and logs goes to `folder`.
pub(crate) async fn clickhouse(weir: &Path, library: &Path, folder: &Path) -> anyhow::Result<Throwaway> {
    let ports = ports::settle(Wanted {
        functions: 0,
        clickhouse: Some(0),
        firehose: 0,
        metrics: None,
        plain: false,
    })?;
    let port = ports.clickhouse.unwrap_or_default();
    let mut args: Vec<OsString> = vec!["clickhouse".into(), "--port".into(), port.to_string().into()];
    args.extend([
        "--data-dir".into(),
        folder.join("data").into(),
        "--library".into(),
        library.into(),
    ]);
    let log = folder.join("clickhouse.log");
    let spec = Spec {
        name: "clickhouse",
        program: weir.to_owned(),
        args,
        environment: CREDENTIALS
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        withheld: Vec::new(),
        folder: folder.to_owned(),
        log: log.clone(),
        stdout: None,
        grace: Duration::from_secs(15),
    };
    let (news, mut deaths) = mpsc::unbounded_channel();
    let child = Kept::start(spec, news)?;
    let urls = Urls::new(&ports, false, None);
    let warehouse = Warehouse {
        user: "default".into(),
        password: String::new(),
        database: "analytics".into(),
    };
    let probe = Probe::new()?;
    let healthy = probe.clickhouse(&urls, &warehouse, Duration::from_secs(60));
    let died = async {
        while let Some(news) = deaths.recv().await {
            if let super::child::News::Died { how, .. } = news {
                return how;
            }
        }
        "the engine was lost".to_owned()
    };
    tokio::select! {
        healthy = healthy => healthy?,
        how = died => anyhow::bail!("{how} before it was healthy{}", logs::last_lines(&log, 12)),
    }
    Ok(Throwaway {
        url: urls.clickhouse,
        pid: processes::listener(port),
        child,
    })
}

impl Throwaway {
    /// Its process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        self.child.stop(std::future::pending()).await;
    }
}

/// Runs one statement in the database `analytics`.
pub(crate) async fn execute(url: &str, statement: &str) -> anyhow::Result<()> {
    let client = crate::client::builder().build().context("no HTTP client can be made")?;
    let response = client
        .post(format!("{url}/?database=analytics"))
        .body(statement.to_owned())
        .send()
        .await?;
    let (status, text) = (response.status(), response.text().await?);
    ensure!(
        status.is_success(),
        "ClickHouse refuses a statement: {status} {}",
        text.trim()
    );
    Ok(())
}
