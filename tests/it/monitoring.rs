//! `infra/monitoring` and `infra/compose.yaml`: what Prometheus, Grafana and Compose would say to them, as far as that can be asked
//! without Docker, and whether they still say what the code does. CloudWatch's alarms are `template/monitoring.rs`'s.

mod compose;
mod dashboard;
mod prometheus;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::process::{PATIENCE, checkout, setting};

/// The dashboard as Grafana reads it.
const DASHBOARD: &str = "infra/monitoring/grafana/dashboards/weir.json";

/// A YAML file of the checkout, with anchors and merge keys resolved.
async fn yaml(path: &str) -> anyhow::Result<Value> {
    let mut python = Command::new(setting("WEIR_CLIENTS_PYTHON").join("bin/python"));
    python.args(["tests/clients/read_yaml.py", path]);
    let printed = ran(python).await?;
    serde_json::from_str(&printed).context(printed)
}

/// The dashboard.
fn dashboard() -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&read(DASHBOARD)?)?)
}

fn read(path: impl AsRef<Path>) -> anyhow::Result<String> {
    let path = checkout().join(path);
    std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))
}

/// Runs a command in the checkout; it must end well. Gives what it printed.
async fn ran(mut command: Command) -> anyhow::Result<String> {
    command.current_dir(checkout()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .with_context(|| format!("{command:?} did not end"))??;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    ensure!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    Ok(out)
}

/// The texts of a JSON array.
fn texts(array: &Value) -> impl Iterator<Item = &str> {
    array.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The members of a JSON object.
fn members(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = object.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

/// The names of a JSON object's members.
fn names(object: &Value) -> BTreeSet<String> {
    members(object).map(|(name, _)| name.to_owned()).collect()
}
