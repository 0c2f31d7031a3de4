//! npm's packages in a folder of their own.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{cache, command};
use crate::report::Step;

/// A folder whose `node_modules` holds exactly these pinned packages and what they need, made when it is missing.
pub(super) async fn packages(tools: &Path, tool: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let versions: Vec<_> = packages
        .iter()
        .filter_map(|package| package.rsplit_once('@'))
        .map(|(_, version)| version)
        .collect();
    let name = format!("{tool}-node-{}", versions.join("-"));
    let pinned = packages.join(" ");
    cache::folder(tools, &name, &pinned, async |folder| {
        let step = Step::begin(format!("{tool}: install {pinned}"));
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--silent",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--prefix",
        ])
        .arg(folder)
        .args(packages);
        command::output(&mut npm, "install Node.js (it brings npm)").await?;
        step.done();
        Ok(())
    })
    .await
}
