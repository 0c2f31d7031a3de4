//! Building what the stack runs. Cargo shows its own progress; the programs' paths come from its messages.
//!
//! cargo-lambda starts each function with `cargo run` on its first request. Built before, that takes a fraction of a
//! second; not built, the first requests would wait for the compiler, several times over.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::settings::{FUNCTIONS, Programs, WITHHELD};
use crate::report::Step;

/// The profile of `weir up --release`: see the root Cargo.toml.
pub(super) const OPTIMISED: &str = "local";

/// Builds the functions and `more`, and with `release` also `weir` itself, which serves ClickHouse and Firehose.
pub(super) async fn programs(root: &Path, release: bool, more: &[&str]) -> anyhow::Result<Programs> {
    let mut bins: Vec<&str> = [&FUNCTIONS[..], more].concat();
    if release {
        bins.push("weir");
    }
    let mut built = binaries(root, &bins, release.then_some(OPTIMISED)).await?;
    Ok(Programs {
        weir: match release {
            true => built.pop().context("cargo built no program weir")?,
            false => std::env::current_exe().context("the path of weir itself is unknown")?,
        },
        functions: built.into_iter().take(FUNCTIONS.len()).collect(),
    })
}

/// Builds this program as `weir up --release` runs it. Gives its path.
pub(crate) async fn optimised(root: &Path) -> anyhow::Result<PathBuf> {
    let mut built = binaries(root, &["weir"], Some(OPTIMISED)).await?;
    built.pop().context("cargo built no program weir")
}

/// Builds functions as they are deployed, but for this machine's processor. Gives their programs, in the same order.
pub(crate) async fn programs_as_shipped(root: &Path, functions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    binaries(root, functions, Some("release")).await
}

/// Builds these programs, in cargo's own profile or that one. Gives their paths, in the same order.
async fn binaries(root: &Path, bins: &[&str], profile: Option<&str>) -> anyhow::Result<Vec<PathBuf>> {
    let step = Step::begin(format!("build {}", bins.join(", ")));
    let mut cargo = Command::new("cargo");
    // Without --package, exactly as cargo-lambda calls `cargo run`: the same features, so nothing is built twice.
    cargo
        .arg("build")
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root);
    for bin in bins {
        cargo.args(["--bin", bin]);
    }
    if let Some(profile) = profile {
        cargo.args(["--profile", profile]);
    }
    for name in WITHHELD {
        cargo.env_remove(name);
    }
    cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let messages = ended_well(&mut cargo, "the build").await?;
    step.done();
    let built = |bin: &&str| executable(&messages, bin).with_context(|| format!("cargo built no program {bin}"));
    bins.iter().map(built).collect()
}

/// Runs cargo to its end, and gives what it wrote to a pipe. `what` it does, for the error.
pub(crate) async fn ended_well(cargo: &mut Command, what: &str) -> anyhow::Result<String> {
    let output = match cargo.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("cargo is not on PATH: install Rust"),
        other => other
            .context("cargo could not be started")?
            .wait_with_output()
            .await
            .context("cargo was lost")?,
    };
    if !output.status.success() {
        bail!("{what} failed: see above");
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The path of a binary in cargo's messages (cargo's reference, "External tools": `compiler-artifact`).
pub(crate) fn executable(messages: &str, bin: &str) -> Option<PathBuf> {
    #[derive(serde::Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(serde::Deserialize)]
    struct Target {
        name: String,
    }
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let of_bin = |message: &Message| message.target.as_ref().is_some_and(|target| target.name == bin);
    messages.filter(of_bin).find_map(|message| message.executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_cargo_s_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"events","kind":["lib"]},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"events","kind":["bin"]},"executable":"/t/debug/events"}"#,
            "\nnot json\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(executable(messages, "events"), Some("/t/debug/events".into()));
        assert_eq!(executable(messages, "loader"), None);
    }
}
