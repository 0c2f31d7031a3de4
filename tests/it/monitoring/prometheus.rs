//! Prometheus itself on what is written for it, and on a stack under traffic: what the dashboard asks has answers.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::dashboard::panels;
use super::{dashboard, ran, read, texts};
use crate::process::{PATIENCE, Service, checkout, eventually, http, scratch, setting};
use crate::sql::Sql;
use crate::stack::{Stack, event};

#[tokio::test]
async fn promtool_takes_the_configurations_and_the_rules() -> anyhow::Result<()> {
    for (command, file) in [
        ("check", "infra/monitoring/prometheus.yml"),
        ("check", "infra/monitoring/prometheus.local.yml"),
    ] {
        let mut promtool = Command::new(setting("WEIR_PROMTOOL"));
        promtool.args([command, "config", file]);
        ran(promtool).await?;
    }
    // Each alert is seen to fire, and not to fire.
    let mut promtool = Command::new(setting("WEIR_PROMTOOL"));
    promtool.args(["test", "rules", "tests/fixtures/alerts.test.yml"]);
    ran(promtool).await?;
    Ok(())
}

/// What ClickHouse's configuration has for Prometheus is a query like another.
#[tokio::test]
async fn clickhouse_answers_with_the_lines_in_quarantine() -> anyhow::Result<()> {
    let configuration = read("infra/monitoring/clickhouse/weir.xml")?;
    let (_, rest) = configuration.split_once("<query>").context("no query")?;
    let (query, _) = rest.split_once("</query>").context("no end of the query")?;
    let dir = scratch();
    let engine = Service::clickhouse(dir.path()).await?;
    crate::process::weir_ok_set(dir.path(), &["migrate"], &[("CLICKHOUSE_URL", &engine.url)]).await?;
    let sql = Sql::new(&engine.url);
    let lines = async || -> anyhow::Result<String> {
        let text = sql.run(query).await?;
        ensure!(text.contains("# TYPE weir_quarantine_open_lines gauge\n"), "{text}");
        let sample = text.lines().find(|line| line.starts_with("weir_"));
        Ok(sample.with_context(|| text.clone())?.to_owned())
    };
    ensure!(lines().await? == "weir_quarantine_open_lines 0");
    let (open, replayed) = (Uuid::new_v4(), Uuid::new_v4());
    // A line that came with two deliveries is one.
    sql.run(&format!(
        "INSERT INTO analytics.events_quarantine (id, raw) VALUES ('{open}', 'a'), ('{open}', 'a'), ('{replayed}', 'b')"
    ))
    .await?;
    sql.run(&format!(
        "INSERT INTO analytics.events_quarantine_actions (id, action) VALUES ('{replayed}', 'replay'), ('{open}', 'fix')"
    ))
    .await?;
    ensure!(lines().await? == "weir_quarantine_open_lines 1");
    engine.stop().await
}

/// A Prometheus of its own, with the configuration for this machine.
struct Prometheus {
    http: reqwest::Client,
    url: String,
    _child: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes that address once a second.
    async fn scraping(target: &str) -> anyhow::Result<Self> {
        let folder = scratch();
        let config = read("infra/monitoring/prometheus.local.yml")?;
        ensure!(config.contains("127.0.0.1:9464") && config.contains("scrape_interval: 5s"));
        let config = config
            .replace("127.0.0.1:9464", target)
            .replace("scrape_interval: 5s", "scrape_interval: 1s");
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config)?;
        std::fs::copy(
            checkout().join("infra/monitoring/alerts.yml"),
            folder.path().join("alerts.yml"),
        )?;
        let mut child = Command::new(setting("WEIR_PROMETHEUS"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut said = BufReader::new(child.stderr.take().context("no stderr")?).lines();
        let listening = async {
            let mut all = String::new();
            while let Some(line) = said.next_line().await? {
                if let Some((_, rest)) = line.split_once("msg=\"Listening on\"")
                    && let Some((_, address)) = rest.split_once("address=")
                {
                    return Ok(address.split_whitespace().next().unwrap_or(address).to_owned());
                }
                all += &line;
                all.push('\n');
            }
            bail!("Prometheus ended:\n{all}")
        };
        let address = tokio::time::timeout(PATIENCE, listening)
            .await
            .context("not listening")??;
        // Nobody reads the rest, and a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        Ok(Self {
            http: http(),
            url: format!("http://{address}"),
            _child: child,
            _folder: folder,
        })
    }

    /// What an address of its API answers, as `data`.
    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/{path}", self.url))?;
        url.query_pairs_mut().extend_pairs(parameters);
        let mut answer: Value = self.http.get(url).send().await?.json().await?;
        ensure!(answer["status"] == "success", "{parameters:?}: {answer}");
        Ok(answer["data"].take())
    }

    /// The values of an expression right now; of a time without requests some are not numbers.
    async fn values(&self, expression: &str) -> anyhow::Result<Vec<f64>> {
        let data = self.ask("query", &[("query", expression)]).await?;
        let samples = data["result"].as_array().context("no result")?.iter();
        samples
            .map(|sample| Ok(sample["value"][1].as_str().context("no value")?.parse()?))
            .collect()
    }
}

/// The expressions of a panel, as Prometheus gets them of Grafana.
fn expressions(panel: &Value) -> Vec<String> {
    let targets = panel["targets"].as_array().into_iter().flatten();
    let asked = targets.filter_map(|target| target["expr"].as_str());
    asked.map(|it| it.replace("$__rate_interval", "15s")).collect()
}

/// The metrics that an expression names.
fn metrics(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("weir_") || word.starts_with("ClickHouse"))
        .map(str::to_owned)
        .collect()
}

/// Something of everything that a stack sees: events that are good, events that are wrong, requests that are.
async fn traffic(stack: &Stack) -> anyhow::Result<()> {
    for user in 0..5 {
        stack
            .accept(&event(Uuid::new_v4(), user, "2026-11-23T10:20:30Z"))
            .await?;
    }
    let good = event(Uuid::new_v4(), 9, "2026-11-23T10:20:30Z");
    let in_part = stack.post(json!([good, {"name": "view"}]).to_string()).await?;
    ensure!(in_part.status() == 200);
    let wrong = stack.post("{}").await?;
    ensure!(wrong.status() == 422);
    // No mart is there before dbt has run.
    let missing = stack.get("activity", "", "application/json").await?;
    ensure!(missing.status() == 404);
    Ok(())
}

#[tokio::test]
async fn every_panel_has_an_answer() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let target = stack
        .url("metrics")
        .trim_start_matches("http://")
        .trim_end_matches("/metrics")
        .to_owned();
    let prometheus = Prometheus::scraping(&target).await?;
    let dashboard = dashboard()?;
    let panels: Vec<_> = panels(&dashboard).collect();
    let all = || panels.iter().flat_map(|panel| expressions(panel));

    // What has no sample yet is asked again, under traffic.
    let mut silent: Vec<_> = all().collect();
    let asked = tokio::time::timeout(PATIENCE, async {
        while !silent.is_empty() {
            traffic(&stack).await?;
            let mut still = Vec::new();
            for expression in &silent {
                if prometheus.values(expression).await?.is_empty() {
                    still.push(expression.clone());
                }
            }
            silent = still;
        }
        anyhow::Ok(())
    });
    match asked.await {
        Ok(asked) => asked?,
        Err(_) => bail!("no sample of {silent:#?}"),
    }

    // Behind `or vector(0)` a name that nobody writes would not be seen.
    eventually("every metric that a panel names is there", async || {
        traffic(&stack).await?;
        let known = prometheus.ask("label/__name__/values", &[]).await?;
        let known: BTreeSet<_> = texts(&known).map(str::to_owned).collect();
        let asked: BTreeSet<_> = all().flat_map(|expression| metrics(&expression)).collect();
        let unknown: Vec<_> = asked.difference(&known).collect();
        ensure!(unknown.is_empty(), "nobody writes {unknown:?}");
        Ok(Some(()))
    })
    .await?;

    // The buffer at work: requests, INSERTs, rows; and of what went wrong, the parts that did.
    let rises = panels.iter().take(3).flat_map(|panel| expressions(panel));
    let wrong = all().filter(|it| it.contains("4..") || it.contains("rejected"));
    for expression in rises.chain(wrong) {
        eventually(&format!("{expression} is more than nothing"), async || {
            traffic(&stack).await?;
            let values = prometheus.values(&expression).await?;
            Ok(values.iter().any(|value| *value > 0.0).then_some(()))
        })
        .await?;
    }
    let up = prometheus.values("min(weir_part_up)").await?;
    ensure!(up == [1.0], "a part is not up: {up:?}");
    drop(prometheus);
    stack.down().await
}
