//! Which ClickHouse a command works on.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clickhouse::query::Query;
use edge::clickhouse::{ClickHouseConfig, WarehouseError, within};
use serde::de::DeserializeOwned;
use url::Url;

use crate::project::Project;
use crate::up;

/// Where the local engine listens when nobody says otherwise.
pub(crate) const DEFAULT_PORT: u16 = 8123;

/// The flags and variables that name a ClickHouse.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WarehouseArgs {
    /// ClickHouse's HTTP address [default: the running stack's, else the local engine's]
    #[arg(long, value_name = "URL", env = "CLICKHOUSE_URL")]
    clickhouse_url: Option<String>,
    /// ClickHouse's user
    #[arg(long, value_name = "NAME", env = "CLICKHOUSE_USER", default_value = "default")]
    clickhouse_user: String,
    /// That user's password
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "CLICKHOUSE_PASSWORD",
        default_value = "",
        hide_env_values = true,
        hide_default_value = true
    )]
    clickhouse_password: String,
    /// The database of the tables [default: the running stack's, else analytics]
    #[arg(long, value_name = "NAME", env = "CLICKHOUSE_DATABASE")]
    clickhouse_database: Option<String>,
    /// Port of the local engine, for the default of the address
    #[arg(long, env = "WEIR_CLICKHOUSE_PORT", default_value_t = DEFAULT_PORT, hide = true)]
    clickhouse_port: u16,
}

impl WarehouseArgs {
    /// The server that was named, else the running stack's, else the local engine's.
    pub(crate) fn config(&self, project: &Project) -> anyhow::Result<ClickHouseConfig> {
        if let Some(named) = self.named()? {
            return Ok(named);
        }
        let running = up::running(project)?;
        let url = match &running {
            Some(stack) => stack.clickhouse.clone(),
            None => format!("http://127.0.0.1:{}", self.clickhouse_port),
        };
        Ok(self.at(url, running.map(|stack| stack.database)))
    }

    /// The server that was named, if one was: it takes no checkout to reach it.
    pub(crate) fn named(&self) -> anyhow::Result<Option<ClickHouseConfig>> {
        // In an env file `NAME=` means "not set".
        let named = self.clickhouse_url.as_deref().filter(|url| !url.is_empty());
        let url = named.map(parse_url).transpose()?;
        Ok(url.map(|url| self.at(url.into(), None)))
    }

    fn at(&self, url: String, database: Option<String>) -> ClickHouseConfig {
        let named = self.clickhouse_database.clone().filter(|name| !name.is_empty());
        ClickHouseConfig {
            url,
            user: self.clickhouse_user.clone(),
            password: self.clickhouse_password.clone().into(),
            database: named.or(database).unwrap_or_else(|| "analytics".to_owned()),
        }
    }
}

/// ClickHouse's failure for a terminal, with what it said.
pub(crate) fn in_full(error: &WarehouseError) -> anyhow::Error {
    anyhow::anyhow!(error.in_full())
}

/// A failure in words, with what to do where that is known.
pub(crate) fn explained(error: WarehouseError) -> anyhow::Error {
    // Unknown column, table, database.
    let unmigrated = matches!(error.exception(), Some(47 | 60 | 81));
    let error = in_full(&error);
    if unmigrated {
        error.context("the tables are not there or are old: run `cargo weir migrate` first")
    } else {
        error
    }
}

/// The rows of a query, which ClickHouse ends after so many seconds, as JSON gives them.
pub(crate) async fn json_rows<T: DeserializeOwned>(
    query: Query,
    seconds: u32,
) -> Result<serde_json::Result<Vec<T>>, WarehouseError> {
    let query = query
        .with_setting("max_execution_time", seconds.to_string())
        .with_setting("output_format_json_quote_64bit_integers", "0");
    // A little more, for its answer.
    let limit = Duration::from_secs(u64::from(seconds) + 5);
    let answer = within(limit, async { query.fetch_bytes("JSONEachRow")?.collect().await }).await?;
    let rows = answer.split(|byte| *byte == b'\n').filter(|row| !row.is_empty());
    Ok(rows.map(serde_json::from_slice).collect())
}

/// `CLICKHOUSE_URL` as every part of Weir takes it: an http or https address without credentials in it.
pub(crate) fn parse_url(text: &str) -> anyhow::Result<Url> {
    // The value is not repeated: people put passwords in addresses.
    let url = Url::parse(text).context("CLICKHOUSE_URL is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        bail!("CLICKHOUSE_URL must start with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        bail!("CLICKHOUSE_URL must not carry a user or password: use CLICKHOUSE_USER and CLICKHOUSE_PASSWORD");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_used_says_why() {
        let check = |text: &str, expected: Option<&str>| {
            let error = parse_url(text).err().map(|error| format!("{error:#}"));
            assert_eq!(error.is_some(), expected.is_some(), "{text}: {error:?}");
            let error = error.unwrap_or_default();
            assert!(error.contains(expected.unwrap_or_default()), "{text}: {error}");
        };
        check("http://127.0.0.1:8123", None);
        check("https://x.example:8443/", None);
        check("127.0.0.1:8123", Some("not a URL"));
        check("tcp://127.0.0.1:9000", Some("http://"));
        check("http://u:p@host", Some("CLICKHOUSE_PASSWORD"));
    }
}
