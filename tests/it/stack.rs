//! A whole stack of its own for one test: `weir up` on free ports, its state in a temporary folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use reqwest::{Response, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::process::{eventually, http, run_weir, scratch, weir_ok, weir_ok_set};
use crate::sql::Sql;

/// Lets `weir up` take ports that are free.
pub const FREE_PORTS: [&str; 8] = [
    "--functions-port",
    "0",
    "--clickhouse-port",
    "0",
    "--firehose-port",
    "0",
    "--metrics-port",
    "0",
];

/// What `weir up` writes to `run/stack.json`.
#[derive(Deserialize)]
pub struct State {
    /// The supervisor's process.
    pub pid: i32,
    /// Addresses by name: the functions', `clickhouse`, `firehose`, `metrics`.
    pub urls: std::collections::BTreeMap<String, String>,
    /// What the functions see, the access key included.
    pub env_file: PathBuf,
    /// The processes that the supervisor started.
    pub processes: Vec<ProcessState>,
}

/// One supervised process.
#[derive(Deserialize)]
pub struct ProcessState {
    /// Such as `clickhouse`.
    pub name: String,
    /// Its process, which leads a group of its own.
    pub pid: i32,
}

/// A running stack. Dropping it without [`Stack::down`] kills it.
pub struct Stack {
    state: TempDir,
    http: reqwest::Client,
    urls: std::collections::BTreeMap<String, String>,
}

impl Stack {
    /// `weir up --detach` with the functions under `cargo lambda watch`.
    pub async fn up() -> anyhow::Result<Self> {
        Self::up_with(&[], &[]).await
    }

    /// `weir up --detach --plain`: the functions as plain servers.
    pub async fn up_plain() -> anyhow::Result<Self> {
        Self::up_with(&["--plain"], &[]).await
    }

    /// `weir up --detach` with these variables set for the functions.
    pub async fn up_set(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::up_with(&[], variables).await
    }

    /// `weir up --detach --plain` with these variables set for the functions.
    pub async fn up_plain_set(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::up_with(&["--plain"], variables).await
    }

    async fn up_with(flags: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let state = scratch();
        let args = [&["up", "--detach"], &FREE_PORTS[..], flags].concat();
        weir_ok_set(state.path(), &args, variables).await?;
        let urls = read_state(state.path())?.urls;
        Ok(Self {
            state,
            http: http(),
            urls,
        })
    }

    /// Where this stack keeps its state.
    pub fn dir(&self) -> &Path {
        self.state.path()
    }

    /// The address of a function, `clickhouse`, `firehose` or `metrics`.
    #[track_caller]
    pub fn url(&self, name: &str) -> &str {
        match self.urls.get(name) {
            Some(url) => url,
            None => panic!("stack.json names no URL {name}: {:?}", self.urls),
        }
    }

    /// The stack's ClickHouse.
    pub fn sql(&self) -> Sql {
        Sql::new(self.url("clickhouse"))
    }

    /// A variable of the functions' environment.
    pub fn variable(&self, name: &str) -> anyhow::Result<String> {
        let path = read_state(self.dir())?.env_file;
        let text = std::fs::read_to_string(&path)?;
        let value = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| *key == name);
        Ok(value
            .with_context(|| format!("no {name} in {}", path.display()))?
            .1
            .to_owned())
    }

    /// The process of that name right now.
    pub fn child(&self, name: &str) -> anyhow::Result<i32> {
        let state = read_state(self.dir())?;
        let child = state.processes.iter().find(|child| child.name == name);
        Ok(child
            .with_context(|| format!("stack.json names no process {name}"))?
            .pid)
    }

    /// SIGKILL to one process, and waits until the supervisor has put another in its place.
    pub async fn kill(&self, name: &str) -> anyhow::Result<()> {
        let before = self.child(name)?;
        kill_process(Pid::from_raw(before).context("a pid")?, Signal::KILL)?;
        eventually(&format!("{name} is started again"), async || {
            Ok(self.child(name).ok().filter(|pid| *pid != before).map(drop))
        })
        .await
    }

    /// Posts a body to `events`.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> anyhow::Result<Response> {
        let request = self
            .http
            .post(self.url("events"))
            .header("content-type", "application/json")
            .body(body);
        Ok(request.send().await?)
    }

    /// Posts one event that must be accepted.
    pub async fn accept(&self, event: &Value) -> anyhow::Result<()> {
        let answer = self.post(event.to_string()).await?;
        let (status, body) = (answer.status(), answer.text().await?);
        ensure!(status == StatusCode::OK, "{status}: {body}");
        ensure!(
            serde_json::from_str::<Value>(&body)? == json!({"accepted": 1}),
            "{body}"
        );
        Ok(())
    }

    /// `GET` of one of the stack's addresses, with that `Accept`.
    pub async fn get(&self, name: &str, query: &str, accept: &str) -> anyhow::Result<Response> {
        Ok(self
            .http
            .get(format!("{}{query}", self.url(name)))
            .header("accept", accept)
            .send()
            .await?)
    }

    /// Waits until `events` holds each of these ids, and says how many rows a reader finds for them. (Before a merge
    /// there may be more: a put whose answer is lost is put again, with the same ids.)
    pub async fn arrived(&self, ids: &[Uuid]) -> anyhow::Result<u64> {
        let sql = self.sql();
        let mut rows = 0;
        // ClickHouse parses no query of more than 256 KiB.
        for ids in ids.chunks(2000) {
            let list = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
            let distinct = format!("SELECT uniqExact(event_id) FROM analytics.events WHERE event_id IN ({list})");
            eventually("every acknowledged event is a row", async || {
                Ok((sql.number(&distinct).await? == ids.len() as u64).then_some(()))
            })
            .await?;
            rows += sql
                .number(&format!(
                    "SELECT count() FROM analytics.events FINAL WHERE event_id IN ({list})"
                ))
                .await?;
        }
        Ok(rows)
    }

    /// `weir <args>` against this stack.
    pub async fn weir(&self, args: &[&str]) -> anyhow::Result<String> {
        weir_ok(self.dir(), args).await
    }

    /// `weir <args>` against this stack: its exit code, standard output and standard error.
    pub async fn try_weir(&self, args: &[&str]) -> anyhow::Result<(i32, String, String)> {
        let output = run_weir(self.dir(), args).await?;
        Ok((
            output.status.code().context("ended by a signal")?,
            String::from_utf8(output.stdout)?,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }

    /// `weir down`, which must leave nothing behind.
    pub async fn down(self) -> anyhow::Result<()> {
        weir_ok(self.dir(), &["down"]).await?;
        ensure!(
            !self.dir().join("run/stack.json").exists(),
            "weir down left its state file"
        );
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // A test that failed half-way: its processes must not outlive it.
        let Ok(state) = read_state(self.dir()) else { return };
        for pid in std::iter::once(state.pid).chain(state.processes.iter().map(|child| child.pid)) {
            if let Some(pid) = Pid::from_raw(pid) {
                let _gone = rustix::process::kill_process_group(pid, Signal::KILL);
                let _gone = kill_process(pid, Signal::KILL);
            }
        }
    }
}

fn read_state(dir: &Path) -> anyhow::Result<State> {
    let path = dir.join("run/stack.json");
    let text = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// A valid event of that user at that time, with that id.
pub fn event(id: Uuid, user: u64, dt: &str) -> Value {
    json!({
        "dt": dt, "name": "view", "user_id": user, "url": "http://shop.example/main", "obj": "page", "obj_id": "main",
        "event_id": id,
    })
}
