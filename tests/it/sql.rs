//! ClickHouse as the tests ask it: over plain HTTP, with no client library between.

use anyhow::{Context as _, ensure};

use crate::process::http;

/// One ClickHouse server.
pub struct Sql {
    url: String,
    http: reqwest::Client,
}

impl Sql {
    /// The server at that address, as user `default` with no password.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            http: http(),
        }
    }

    /// Runs a statement; gives what it prints as tab-separated text.
    pub async fn run(&self, statement: &str) -> anyhow::Result<String> {
        let answer = self.http.post(&self.url).body(statement.to_owned()).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{status} to {statement}: {text}");
        Ok(text)
    }

    /// Runs a query of one number.
    pub async fn number(&self, query: &str) -> anyhow::Result<u64> {
        let text = self.run(query).await?;
        text.trim().parse().with_context(|| format!("{query} gave {text:?}"))
    }
}
