//! The service that Weir is compared with: one that runs already, or the one in `tests/clients/fastapi_service`.

use std::path::Path;
use std::process::Stdio;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::process::{Child, Command};

use super::procs::Watched;
use crate::project::Project;
use crate::report::Step;
use crate::tools;
use crate::up::throwaway::{self, Throwaway};

/// What `--against` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bench) enum Against {
    /// An address that takes events.
    Url(String),
    /// The service in this repository.
    FastApi,
}

impl FromStr for Against {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "fastapi" => Ok(Against::FastApi),
            url if url.starts_with("http://") => Ok(Against::Url(url.to_owned())),
            _ => Err("neither fastapi nor an address that begins with http://".to_owned()),
        }
    }
}

/// The other service. Stop it.
pub(super) struct Other {
    /// Where it takes events.
    pub(super) url: String,
    own: Option<Own>,
}

/// What was started for it.
struct Own {
    service: Child,
    clickhouse: Throwaway,
}

impl Other {
    /// Starts it if it is to be started. `engine` is the program of ClickHouse and its library.
    pub(super) async fn start(
        against: &Against,
        project: &Project,
        (weir, library): (&Path, &Path),
        folder: &Path,
    ) -> anyhow::Result<Self> {
        if let Against::Url(url) = against {
            return Ok(Self {
                url: url.clone(),
                own: None,
            });
        }
        let python = tools::fastapi_environment(project).await?;
        let step = Step::begin("start the service that Weir is compared with");
        let folder = folder.join("other");
        std::fs::create_dir_all(&folder)?;
        let clickhouse = throwaway::clickhouse(weir, library, &folder).await?;
        let port = free_port()?;
        let log = std::fs::File::create(folder.join("service.log"))?;
        let service = Command::new(python.join("bin/python"))
            .arg(project.root().join("tests/clients/fastapi_service/main.py"))
            .env("PORT", port.to_string())
            .env("CLICKHOUSE_PORT", clickhouse.url.rsplit(':').next().unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("the service cannot be started")?;
        let mut own = Own { service, clickhouse };
        if let Err(error) = listens(port, &mut own.service).await {
            own.stop().await;
            return Err(error.context(format!("see {}", folder.join("service.log").display())));
        }
        step.done();
        Ok(Self {
            url: format!("http://127.0.0.1:{port}/events"),
            own: Some(own),
        })
    }

    /// Watches its processes, as far as they are ours.
    pub(super) fn watch(&self) -> Vec<Watched> {
        let Some(own) = &self.own else { return Vec::new() };
        let service = own.service.id().map(|pid| Watched::begin("service", pid));
        let clickhouse = own.clickhouse.pid().map(|pid| Watched::begin("its clickhouse", pid));
        service.into_iter().chain(clickhouse).collect()
    }

    /// Rows that it has stored; of one elsewhere nothing is known.
    pub(super) async fn rows(&self) -> anyhow::Result<u64> {
        match &self.own {
            Some(own) => own.number("SELECT count() FROM events").await,
            None => Ok(0),
        }
    }

    /// Waits until so many more are stored, what is in memory and in the Buffer table included.
    pub(super) async fn reaches(&self, before: u64, acknowledged: u64) -> anyhow::Result<()> {
        let Some(own) = &self.own else { return Ok(()) };
        let patience = Instant::now() + Duration::from_secs(120);
        loop {
            own.number("OPTIMIZE TABLE events_buffer").await?;
            let rows = self.rows().await?.saturating_sub(before);
            if rows >= acknowledged {
                return Ok(());
            }
            ensure!(
                Instant::now() < patience,
                "the other service acknowledged {acknowledged} events and stored {rows}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Ends what was started.
    pub(super) async fn stop(self) {
        if let Some(own) = self.own {
            own.stop().await;
        }
    }
}

impl Own {
    /// What a query says; 0 for one that says nothing.
    async fn number(&self, query: &str) -> anyhow::Result<u64> {
        let client = crate::client::builder().build().context("no HTTP client can be made")?;
        let response = client.post(&self.clickhouse.url).body(query.to_owned()).send().await?;
        let text = response.error_for_status()?.text().await?;
        Ok(text.trim().parse().unwrap_or(0))
    }

    async fn stop(mut self) {
        let _ = self.service.kill().await;
        self.clickhouse.stop().await;
    }
}

/// A port that is free now.
fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

async fn listens(port: u16, service: &mut Child) -> anyhow::Result<()> {
    let patience = Instant::now() + Duration::from_secs(30);
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if let Some(status) = service.try_wait()? {
            bail!("the service ended with {status}");
        }
        if Instant::now() > patience {
            bail!("the service does not listen");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_compared_with_is_read() {
        assert_eq!("fastapi".parse(), Ok(Against::FastApi));
        let url = "http://127.0.0.1:8000/events";
        assert_eq!(url.parse(), Ok(Against::Url(url.to_owned())));
        assert!("https://x.example/".parse::<Against>().is_err() && "flask".parse::<Against>().is_err());
    }
}
