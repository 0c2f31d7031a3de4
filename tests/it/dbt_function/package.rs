//! What Lambda gets, and calls to it.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{PATIENCE, checkout, scratch, setting};

/// A package as functions/dbt/Makefile builds it, but for the libraries, which are those of the managed Python.
pub struct Package {
    folder: TempDir,
}

impl Package {
    /// Makes one, of what the checkout has now.
    pub fn new() -> anyhow::Result<Self> {
        let folder = scratch();
        std::fs::create_dir(folder.path().join("tmp"))?;
        let package = folder.path().join("package");
        copy(&checkout().join("dbt"), &package.join("project"))?;
        std::fs::copy(checkout().join("functions/dbt/handler.py"), package.join("handler.py"))?;
        Ok(Self { folder })
    }

    /// The folder with handler.py.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("package")
    }

    /// Adds a model.
    pub fn model(&self, name: &str, sql: &str) -> anyhow::Result<()> {
        let file = self.path().join(format!("project/models/marts/{name}.sql"));
        Ok(std::fs::write(file, sql)?)
    }

    /// Every file, with its size and time.
    pub fn files(&self) -> anyhow::Result<Vec<String>> {
        let mut files = Vec::new();
        list(&self.path(), &mut files)?;
        files.sort();
        Ok(files)
    }

    /// The invoker, with the managed Python and nothing of the caller's environment.
    pub fn invoke(&self, clickhouse: &str, args: &[&str]) -> anyhow::Result<Command> {
        let mut python = Command::new(setting("WEIR_DBT").join("bin/python"));
        python
            .arg(checkout().join("tests/lambda/invoke_dbt.py"))
            .arg(self.path())
            .args(args);
        self.environment(&mut python, clickhouse);
        Ok(python)
    }

    /// What a process sees that calls the handler: nothing of the caller's environment.
    pub fn environment(&self, command: &mut Command, clickhouse: &str) {
        command
            .env_clear()
            .env("CLICKHOUSE_URL", clickhouse)
            .env("TMPDIR", self.folder.path().join("tmp"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .kill_on_drop(true);
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &target)?,
            false => drop(std::fs::copy(&path, &target)?),
        }
    }
    Ok(())
}

/// Appends every file and folder under a folder, with its size and time.
pub fn list(folder: &Path, files: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        files.push(format!(
            "{} {} {:?}",
            entry.path().display(),
            about.len(),
            about.modified()?
        ));
        if about.is_dir() {
            list(&entry.path(), files)?;
        }
    }
    Ok(())
}

/// Runs it to its end; gives the lines that it logged, each of which must be JSON.
pub async fn logged(mut command: Command) -> anyhow::Result<(Output, Vec<Value>)> {
    let output = tokio::time::timeout(PATIENCE * 5, command.output())
        .await
        .context("dbt did not end")??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = lines.with_context(|| format!("a line that is no JSON: {text}\n{errors}"))?;
    Ok((output, lines))
}
