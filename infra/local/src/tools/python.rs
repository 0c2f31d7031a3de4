//! Python packages in an environment of their own, by uv when there is one, else by Python's own venv and pip.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;

use super::{cache, command};
use crate::report::Step;

/// What to do when Python is not there.
const NEEDS_PYTHON: &str = "install Python 3.10 or newer, or uv";

/// Whether a package's dependencies are wanted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dependencies {
    Installed,
    LeftOut,
}

/// The folder of an environment with exactly these pinned packages, made when it is missing.
pub(super) async fn environment(
    tools: &Path,
    tool: &str,
    packages: &[&str],
    dependencies: Dependencies,
) -> anyhow::Result<PathBuf> {
    let holds = packages.join(" ");
    let versions: Vec<_> = packages
        .iter()
        .filter_map(|package| package.split_once("=="))
        .map(|(_, it)| it)
        .collect();
    let name = format!("{tool}-{}", versions.join("-"));
    let folder = tools.join(&name);
    // The environment's Python is a link to the system's: an upgrade of that one leaves a dead link behind.
    if folder.exists() && std::fs::metadata(folder.join("bin/python")).is_err() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    let made = cache::folder(tools, &name, &holds, async |folder| {
        let step = Step::begin(format!("{tool}: install {holds}"));
        if !with_uv(folder, packages, dependencies).await {
            with_pip(folder, packages, dependencies).await?;
        }
        step.done();
        Ok(())
    });
    made.await.with_context(|| format!("{tool} cannot be installed"))
}

/// Whether uv did it. It does not read pip's configuration, so where a mirror is set up for pip only, uv fails and
/// pip gets its turn.
async fn with_uv(folder: &Path, packages: &[&str], dependencies: Dependencies) -> bool {
    let mut create = Command::new("uv");
    create
        .args(["venv", "--quiet", "--clear", "--no-python-downloads"])
        .arg(folder);
    if command::output(&mut create, "").await.is_err() {
        return false;
    }
    let mut install = Command::new("uv");
    install
        .args(["pip", "install", "--quiet", "--python"])
        .arg(folder.join("bin/python"));
    if dependencies == Dependencies::LeftOut {
        install.arg("--no-deps");
    }
    command::output(install.args(packages), "").await.is_ok()
}

async fn with_pip(folder: &Path, packages: &[&str], dependencies: Dependencies) -> anyhow::Result<()> {
    command::output(Command::new("python3").arg("--version"), NEEDS_PYTHON).await?;
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(folder);
    let mut install = match command::output(&mut create, NEEDS_PYTHON).await {
        Ok(_) => {
            let mut pip = Command::new(folder.join("bin/python"));
            pip.args(["-m", "pip"]);
            pip
        }
        Err(error) => {
            // Debian ships venv without the bundled pip; the system's own pip can install into an environment too.
            let mut bare = Command::new("python3");
            bare.args(["-m", "venv", "--clear", "--without-pip"]).arg(folder);
            let mut probe = Command::new("python3");
            let usable = command::output(&mut bare, NEEDS_PYTHON).await.is_ok()
                && command::output(probe.args(["-m", "pip", "--version"]), NEEDS_PYTHON)
                    .await
                    .is_ok();
            if !usable {
                return Err(error.context("Python cannot make an environment: install python3-venv, or uv"));
            }
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "--python"]).arg(folder.join("bin/python"));
            pip
        }
    };
    install.args(["install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    if dependencies == Dependencies::LeftOut {
        install.arg("--no-deps");
    }
    command::output(install.args(packages), NEEDS_PYTHON).await?;
    Ok(())
}
