//! Whether the parts of a stack answer, asked in the way their users ask.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Client, StatusCode};

use super::settings::{FUNCTIONS, Urls, Warehouse};

/// How long one question may take. A function under cargo-lambda may still be compiling.
const ONE_ANSWER: Duration = Duration::from_secs(30);
/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks the parts of one stack.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    client: Client,
}

impl Probe {
    pub(super) fn new() -> anyhow::Result<Self> {
        let client = crate::client::builder()
            .timeout(ONE_ANSWER)
            .build()
            .context("no HTTP client can be made")?;
        Ok(Self { client })
    }

    /// Waits until ClickHouse answers a query; a refused password or user is an error at once.
    pub(super) async fn clickhouse(
        &self,
        urls: &Urls,
        warehouse: &Warehouse,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let ask = || async {
            let request = self.client.post(&urls.clickhouse).body("SELECT 1");
            let request = request.header("X-ClickHouse-User", &warehouse.user);
            let response = request.header("X-ClickHouse-Key", &warehouse.password).send().await?;
            let (status, text) = (response.status(), response.text().await?);
            if status.is_success() && text.trim() == "1" {
                return Ok(Answer::Healthy);
            }
            let line = text.lines().next().unwrap_or_default().to_owned();
            Ok(match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Answer::Refused(format!("{status}: {line}")),
                _ => Answer::NotYet(format!("{status}: {line}")),
            })
        };
        until("ClickHouse", &urls.clickhouse, patience, ask).await
    }

    /// Waits until Firehose serves; it makes its stream before it does.
    pub(super) async fn firehose(&self, urls: &Urls) -> anyhow::Result<()> {
        let ask = || async {
            let response = self.client.get(format!("{}/health", urls.firehose)).send().await?;
            let status = response.status();
            Ok(if status.is_success() {
                Answer::Healthy
            } else {
                Answer::NotYet(status.to_string())
            })
        };
        until("Firehose", &urls.firehose, Duration::from_secs(60), ask).await
    }

    /// Waits until every function has answered a request of its own kind. One after the other: cargo-lambda starts another
    /// `cargo run` every 100 ms until the first answer, and those of several functions wait for each other's locks.
    pub(super) async fn functions(&self, urls: &Urls) -> anyhow::Result<()> {
        for name in FUNCTIONS {
            self.function(urls, name).await?;
        }
        Ok(())
    }

    /// Waits until that function has answered: the events function refuses an empty event or a missing write key, the
    /// loader a missing access key, docs has its page, and those that read take no POST. Only the functions themselves answer so;
    /// cargo-lambda's own errors are others.
    pub(super) async fn function(&self, urls: &Urls, name: &'static str) -> anyhow::Result<()> {
        let (url, expected) = match name {
            "events" => (urls.events.clone(), vec![401, 422]),
            "loader" => (urls.loader.clone(), vec![401, 403]),
            "docs" => (urls.docs.clone(), vec![200]),
            "activity" => (urls.activity.clone(), vec![405]),
            "sessions" => (urls.sessions.clone(), vec![405]),
            "experiments" => (urls.experiments.clone(), vec![405]),
            "retention" => (urls.retention.clone(), vec![405]),
            "funnel" => (urls.funnel.clone(), vec![405]),
            _ => (urls.dashboard.clone(), vec![405]),
        };
        let ask = || async {
            let request = match name {
                "docs" => self.client.get(&url),
                _ => self
                    .client
                    .post(&url)
                    .header("content-type", "application/json")
                    .body("{}"),
            };
            let response = request.send().await?;
            let status = response.status();
            if expected.contains(&status.as_u16()) {
                return Ok(Answer::Healthy);
            }
            let text = response.text().await.unwrap_or_default();
            Ok(Answer::NotYet(format!(
                "{status}: {}",
                text.lines().next().unwrap_or_default()
            )))
        };
        until(name, &url, Duration::from_secs(180), ask).await
    }
}

/// What one question showed.
enum Answer {
    Healthy,
    NotYet(String),
    /// It will not get better by waiting.
    Refused(String),
}

async fn until<F>(what: &str, url: &str, patience: Duration, ask: impl Fn() -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<Answer>>,
{
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let last = match ask().await {
            Ok(Answer::Healthy) => return Ok(()),
            Ok(Answer::Refused(why)) => bail!("{what} at {url} refuses: {why}"),
            Ok(Answer::NotYet(why)) => why,
            Err(error) => cause(&error),
        };
        if tokio::time::Instant::now() + PAUSE > deadline {
            bail!("{what} at {url} is not healthy after {} s: {last}", patience.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The innermost cause: "Connection refused" says more than the request it failed.
fn cause(error: &anyhow::Error) -> String {
    error.root_cause().to_string()
}
