//! `weir test`: installs what the tests need and runs all of them.
//!
//! Three parts, each a step with its time: the Rust tests of every crate, the dbt project on a throwaway engine, and the
//! end-to-end tests (crate `e2e`), which start real stacks of their own. What a test finds in its environment:
//!
//! - `WEIR_BIN`: the `weir` program to start stacks with. Unset means that the test was not started by `weir test`.
//! - `WEIR_LIBCHDB`: the engine's library.
//! - `WEIR_CLIENTS_PYTHON`, `WEIR_CLIENTS_NODE`: third parties' clients, for the end-to-end tests.
//! - `WEIR_CHROMIUM`: a browser, for the same.
//! - `WEIR_SCHEMATHESIS`, `WEIR_SAM`: the folders of environments with schemathesis, and with what DEPLOY.md installs, for the same.
//! - `WEIR_MARTS`: the folder of the environment that computes the marts again, for the same.
//! - `WEIR_PROMETHEUS`, `WEIR_PROMTOOL`, `WEIR_DOCKER_COMPOSE`: these programs, for the same.
//! - `WEIR_GRAFANA`: a folder whose `node_modules` holds Grafana's types and a compiler for them, for the same.
//! - `WEIR_DBT`: the folder of the environment with dbt, for the same.

mod count;
mod dbt;

use std::{
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;

use self::count::Count;
use crate::{project::Project, report, signals::Signals, tools, up};

/// The variable that marks whatever the tests start, whoever its parent is by now.
const MARK: &str = "WEIR_TEST_RUN";

/// How long the tests' runner may take to end its tests when a signal asks.
const GRACE: Duration = Duration::from_secs(20);

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name contains this (of dbt: only models and tests that this selects)
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Only this part
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// The engine's library, instead of the fetched one
    #[arg(long, value_name = "PATH", env = "WEIR_LIBCHDB")]
    library: Option<PathBuf>,
}

/// A part of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Unit and property tests of every crate
    Rust,
    /// The dbt project on a throwaway engine
    Dbt,
    /// Whole stacks, end to end
    E2e,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Dbt => "dbt",
            Self::E2e => "e2e",
        }
    }
}

/// What every part needs.
struct Bench {
    project: Project,
    weir: PathBuf,
    library: PathBuf,
    clients: Option<tools::Clients>,
    dbt: Option<PathBuf>,
    nextest: bool,
    filter: Option<String>,
    /// A signal has asked for the end.
    stop: CancellationToken,
}

/// Runs the command. When a signal asks, the tests are told to end; what they leave behind is ended here.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (mut signals, stop) = (Signals::listen_to_hangup()?, CancellationToken::new());
    let mut tests = std::pin::pin!(all(args, stop.clone()));
    let asked = tokio::select! {
        done = &mut tests => return done,
        asked = signals.asked() => asked,
    };
    stop.cancel();
    // Not dropped: it has programs to end and to wait for. Whether the tests were good is not known.
    let _ = tests.await;
    up::sweep(MARK, &std::process::id().to_string()).await;
    report::say(format!(
        "{asked}: not all tests were run, and nothing that they started is left"
    ));
    Ok(asked.into())
}

async fn all(args: Args, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let prepared = stop.run_until_cancelled(prepare(args, stop.clone())).await;
    let (bench, parts) = prepared.context("stopped before the tests")??;
    let mut counts = Vec::new();
    for part in parts {
        let since = Instant::now();
        report::say(format!("== {} tests", part.name()));
        let count = match part {
            Part::Rust | Part::E2e => bench.cargo(part).await?,
            Part::Dbt => dbt::run(&bench).await?,
        };
        report::say(format!(
            "== {} tests: {count} in {}",
            part.name(),
            report::seconds(since.elapsed())
        ));
        counts.push((part.name(), count));
    }
    report::print(count::summary(&counts, began.elapsed()));
    Ok(if counts.iter().all(|(_, count)| count.is_good()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Fetches and builds what the wanted parts need.
async fn prepare(args: Args, stop: CancellationToken) -> anyhow::Result<(Bench, Vec<Part>)> {
    let project = Project::find()?;
    let wanted = |part| args.only.is_none_or(|only| only == part);
    let library = match args.library {
        Some(path) => path,
        None => tools::engine_library(&project).await?,
    };
    // The end-to-end tests call dbt too, several at once.
    let dbt = match wanted(Part::Dbt) || wanted(Part::E2e) {
        true => Some(tools::dbt_environment(&project).await?),
        false => None,
    };
    let mut clients = None;
    if wanted(Part::E2e) {
        clients = Some(tools::clients(&project).await?);
        tools::cargo_lambda_environment(&project).await?;
        // Every stack of the tests would build them else, all at once.
        up::build_functions(project.root()).await?;
    }
    let bench = Bench {
        weir: std::env::current_exe().context("the path of weir itself is unknown")?,
        nextest: has_nextest().await,
        project,
        library,
        clients,
        dbt,
        filter: args.filter,
        stop,
    };
    let parts = [Part::Rust, Part::Dbt, Part::E2e];
    Ok((bench, parts.into_iter().filter(|part| wanted(*part)).collect()))
}

impl Bench {
    /// cargo-nextest when it is there, else cargo's own runner. Always with `--workspace`: another choice of packages is
    /// another choice of features, and everything would be compiled again.
    async fn cargo(&self, part: Part) -> anyhow::Result<Count> {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(self.project.root());
        // What `cargo run` has set would make cargo build again what it has built.
        for name in up::WITHHELD {
            cargo.env_remove(name);
        }
        match (self.nextest, part) {
            (true, part) => {
                let packages = if part == Part::E2e {
                    "package(e2e)"
                } else {
                    "not package(e2e)"
                };
                cargo.args([
                    "nextest",
                    "run",
                    "--workspace",
                    "--no-fail-fast",
                    "--no-tests=warn",
                    "-E",
                    packages,
                ]);
            }
            // `it` is the one integration binary of e2e.
            (false, Part::E2e) => drop(cargo.args(["test", "--workspace", "--no-fail-fast", "--test", "it"])),
            (false, _) => drop(cargo.args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins"])),
        }
        // nextest takes the name as its own argument; cargo passes it to each test program.
        cargo.args(&self.filter);
        cargo
            .env("WEIR_BIN", &self.weir)
            .env("WEIR_LIBCHDB", &self.library)
            .env(MARK, std::process::id().to_string());
        if let Some(dbt) = &self.dbt {
            cargo.env("WEIR_DBT", dbt);
        }
        if let Some(clients) = &self.clients {
            cargo
                .env("WEIR_CLIENTS_PYTHON", &clients.python)
                .env("WEIR_CLIENTS_NODE", &clients.node)
                .env("WEIR_CHROMIUM", &clients.chromium)
                .env("WEIR_SCHEMATHESIS", &clients.schemathesis)
                .env("WEIR_SAM", &clients.sam)
                .env("WEIR_MARTS", &clients.marts)
                .env("WEIR_PROMETHEUS", &clients.monitoring.prometheus)
                .env("WEIR_PROMTOOL", &clients.monitoring.promtool)
                .env("WEIR_DOCKER_COMPOSE", &clients.monitoring.docker_compose)
                .env("WEIR_GRAFANA", &clients.grafana);
        }
        let (success, output) = shown(&mut cargo, &self.stop).await?;
        Ok(Count::of_cargo(&output).with_end(success))
    }
}

async fn has_nextest() -> bool {
    let mut probe = Command::new("cargo");
    probe
        .args(["nextest", "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    probe.status().await.is_ok_and(|status| status.success())
}

/// Runs a command to its end. All that it prints is shown and given back. When `stop` says so, it is told to end, waited for,
/// and it is an error.
async fn shown(command: &mut Command, stop: &CancellationToken) -> anyhow::Result<(bool, String)> {
    use std::io::IsTerminal as _;
    // A pipe is all that the runners see: say for them whether there is a terminal behind it.
    match std::io::stderr().is_terminal() {
        true => command.env("CARGO_TERM_COLOR", "always"),
        false => command.env("NO_COLOR", "1").env("DBT_USE_COLORS", "false"),
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Of its own: what a terminal's Ctrl-C tells is told here, once.
        .process_group(0)
        .kill_on_drop(true);
    let program = Path::new(command.as_std().get_program()).display().to_string();
    let mut child = command
        .spawn()
        .with_context(|| format!("{program} cannot be started"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (status, out, err) = tokio::join!(
        end(&mut child, stop),
        tee(out, std::io::stdout(), stop),
        tee(err, std::io::stderr(), stop)
    );
    anyhow::ensure!(!stop.is_cancelled(), "{program} was told to end");
    let status = status.with_context(|| format!("{program} was lost"))?;
    Ok((status.success(), out + "\n" + &err))
}

/// Waits for a command's end, which comes by SIGTERM when `stop` says so, and if that is not enough by SIGKILL.
async fn end(child: &mut Child, stop: &CancellationToken) -> std::io::Result<ExitStatus> {
    if let Some(ended) = stop.run_until_cancelled(child.wait()).await {
        return ended;
    }
    if let Some(pid) = child.id() {
        up::terminate(pid);
    }
    match tokio::time::timeout(GRACE, child.wait()).await {
        Ok(ended) => ended,
        Err(_) => child.kill().await.and(child.wait().await),
    }
}

/// Copies as it comes, and keeps the copy. Whoever is told to end may leave others behind that hold its output open.
async fn tee(from: Option<impl AsyncRead + Unpin>, mut to: impl std::io::Write, stop: &CancellationToken) -> String {
    let mut copy = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    if let Some(mut from) = from {
        while let Some(Ok(length @ 1..)) = stop.run_until_cancelled(from.read(&mut buffer)).await {
            let read = buffer.get(..length).unwrap_or_default();
            copy.extend_from_slice(read);
            // A terminal that is gone is no reason to stop testing.
            let _ = to.write_all(read);
            let _ = to.flush();
        }
    }
    String::from_utf8_lossy(&copy).into_owned()
}
