//! Starting `weir` and ending it: one service at a time, or a whole stack.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long anything here may take before the test fails: generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A variable that `cargo weir test` sets for these tests.
#[track_caller]
pub fn setting(name: &str) -> PathBuf {
    match std::env::var_os(name) {
        Some(value) => value.into(),
        None => panic!("{name} is not set: run these tests with `cargo weir test`"),
    }
}

/// The checkout under test.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the tests' parent folder is there")
}

/// `weir` with that command line, in the checkout, with its state in `state` and nothing from the caller's own setup.
pub fn weir(state: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(setting("WEIR_BIN"));
    command
        .args(args)
        .current_dir(checkout())
        .env("WEIR_DIR", state)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for name in [
        "CLICKHOUSE_URL",
        "CLICKHOUSE_USER",
        "CLICKHOUSE_PASSWORD",
        "CLICKHOUSE_DATABASE",
        "WEIR_CLICKHOUSE_PORT",
        "WEIR_FIREHOSE_PORT",
        "WEIR_FUNCTIONS_PORT",
        "WEIR_METRICS",
        "WEIR_METRICS_PORT",
        "WEIR_CLUSTER",
        "WEIR_WRITE_KEY",
        "WRITE_KEYS",
        "READ_KEYS",
        "ALLOWED_ORIGINS",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs `weir` to its end.
pub async fn run_weir(state: &Path, args: &[&str]) -> anyhow::Result<Output> {
    run_weir_set(state, args, &[]).await
}

async fn run_weir_set(state: &Path, args: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Output> {
    let run = weir(state, args).envs(variables.iter().copied()).output();
    tokio::time::timeout(PATIENCE * 5, run)
        .await
        .with_context(|| format!("weir {args:?} did not end"))?
        .context("weir")
}

/// Runs `weir` to its end, which must be a good one; gives its standard output.
pub async fn weir_ok(state: &Path, args: &[&str]) -> anyhow::Result<String> {
    weir_ok_set(state, args, &[]).await
}

/// As [`weir_ok`], with these variables set.
pub async fn weir_ok_set(state: &Path, args: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<String> {
    let output = run_weir_set(state, args, variables).await?;
    ensure!(
        output.status.success(),
        "weir {args:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// One long-running `weir` process that has said that it is ready.
pub struct Service {
    child: Child,
    /// `http://127.0.0.1:<port>`, as the ready line says.
    pub url: String,
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Service {
    /// Starts `weir <args>` and waits for its ready line.
    pub async fn start(state: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(state.join("service.log"))?;
        let mut child = weir(state, args).stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let ready = async {
            while let Some(line) = stdout.next_line().await? {
                if let Some((_, rest)) = line.split_once("ready on ") {
                    return Ok(rest.split_whitespace().next().unwrap_or(rest).to_owned());
                }
            }
            bail!(
                "weir {args:?} ended before it was ready:\n{}",
                std::fs::read_to_string(state.join("service.log"))?
            )
        };
        let url = tokio::time::timeout(PATIENCE, ready)
            .await
            .context("not ready in time")??;
        Ok(Self {
            child,
            url,
            _stdout: stdout,
        })
    }

    /// The embedded engine on a free port, data under `state`.
    pub async fn clickhouse(state: &Path) -> anyhow::Result<Self> {
        Self::start(state, &["clickhouse", "--port", "0"]).await
    }

    /// The port of [`Self::url`].
    pub fn port(&self) -> &str {
        self.url.rsplit(':').next().unwrap_or_default()
    }

    /// The process.
    pub fn pid(&self) -> anyhow::Result<Pid> {
        let id = self.child.id().context("already gone")?;
        Pid::from_raw(id.cast_signed()).context("a pid")
    }

    /// SIGKILL: no chance to tidy up.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// SIGTERM: must end by itself, with the exit code that says so.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        kill_process(self.pid()?, Signal::TERM)?;
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .context("did not stop on SIGTERM")??;
        ensure!(status.code() == Some(143), "ended with {status} on SIGTERM");
        Ok(())
    }
}

/// A folder that is gone with the test, for one stack's or service's state.
pub fn scratch() -> TempDir {
    tempfile::Builder::new()
        .prefix("weir-it-")
        .tempdir()
        .expect("a temporary folder")
}

/// Awaits a condition: `probe` until it gives `Some`, or fails with its name after [`PATIENCE`].
pub async fn eventually<T, F, Fut>(what: &str, mut probe: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut last = None;
    loop {
        match probe().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        if tokio::time::Instant::now() > deadline {
            match last {
                Some(error) => return Err(error.context(format!("never happened: {what}"))),
                None => bail!("never happened: {what}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An HTTP client. TLS comes without a provider of its own here, and reqwest wants one even for `http://`.
pub fn http() -> reqwest::Client {
    // The second call of a process finds it installed.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
