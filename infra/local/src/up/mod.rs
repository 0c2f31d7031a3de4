//! `weir up`: the whole stack, supervised.
//!
//! - `settings`: what a stack is, as data; `ports`: free ones; `build`: the programs.
//! - `stack`: starts the children in order, waits for each to be healthy, keeps them running, stops them in reverse.
//! - `apart`: a stack of its own for `weir chaos` and `weir bench`; `throwaway`: only an engine.
//! - `function_urls`: the functions' addresses, in front of cargo-lambda.
//! - `child`: one process that is started again when it dies, within `budget`; `instances`: those of cargo-lambda.
//! - `records`: what the functions write of their requests; `metrics`: that and what the parts say, for Prometheus.
//! - `environment`: which variables each process may see.
//! - `state`: what `weir down` and tests read; `processes`: pids; `leftovers`: of a stack whose supervisor was killed.

pub(crate) mod apart;
mod budget;
pub(crate) mod build;
mod child;
mod detach;
pub(crate) mod down;
mod environment;
mod function_urls;
mod health;
mod instances;
mod leftovers;
mod logs;
mod metrics;
mod ports;
mod processes;
mod records;
mod settings;
mod stack;
mod state;
pub(crate) mod throwaway;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};

pub(crate) use self::leftovers::sweep;
pub(crate) use self::settings::{FUNCTIONS, STREAM, Urls, WITHHELD};
use self::{
    settings::{Programs, Warehouse},
    stack::Plan,
    state::{Lock, Stack},
};
use crate::{
    project::Project,
    report,
    signals::{Asked, Signals},
    tools,
    warehouse::parse_url,
};

/// Arguments of the command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Port of the functions; with --plain of `events`, the next ones of the others; 0 takes free ones
    #[arg(long, value_name = "PORT", env = "WEIR_FUNCTIONS_PORT", default_value_t = 9000)]
    functions_port: u16,
    /// Port of ClickHouse's HTTP interface; 0 takes a free one
    #[arg(long, value_name = "PORT", env = "WEIR_CLICKHOUSE_PORT", default_value_t = crate::warehouse::DEFAULT_PORT)]
    clickhouse_port: u16,
    /// Port of the Firehose API; 0 takes a free one
    #[arg(long, value_name = "PORT", env = "WEIR_FIREHOSE_PORT", default_value_t = 4573)]
    firehose_port: u16,
    /// Port of `GET /metrics`, for Prometheus; 0 takes a free one
    #[arg(long, value_name = "PORT", env = "WEIR_METRICS_PORT", default_value_t = crate::metrics::DEFAULT_PORT)]
    metrics_port: u16,
    /// Seconds that Firehose buffers at most, 0 to 900
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=900))]
    interval: u64,
    /// MiB that Firehose buffers at most; more than 4 does not fit through a Lambda function URL
    #[arg(long, value_name = "MIB", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=4))]
    buffer_mb: u64,
    /// Instances that cargo-lambda runs of each function at most
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// Build and run everything optimised
    #[arg(long)]
    release: bool,
    /// Run the functions as plain HTTP servers, without cargo-lambda
    #[arg(long)]
    plain: bool,
    /// Do not rebuild the functions when their code changes
    #[arg(long, conflicts_with = "plain")]
    no_reload: bool,
    /// Return when everything is healthy and leave it running; stop it with `weir down`
    #[arg(long, short)]
    detach: bool,
    /// Show what every process logs, not only in .weir/logs
    #[arg(long, visible_alias = "verbose", short = 'v', conflicts_with = "detach")]
    logs: bool,
    /// An existing ClickHouse server: none is started then
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
    /// The database of the tables
    #[arg(long, value_name = "NAME", env = "CLICKHOUSE_DATABASE", default_value = "analytics")]
    clickhouse_database: String,
    /// Run migrations on this cluster of that server
    #[arg(long, value_name = "NAME", env = "WEIR_CLUSTER", requires = "clickhouse_url")]
    cluster: Option<String>,
    /// The engine's library, instead of the fetched one
    #[arg(long, value_name = "PATH", env = "WEIR_LIBCHDB")]
    library: Option<PathBuf>,
    /// Set by --detach for the process that stays
    #[arg(long, hide = true)]
    supervise: bool,
}

/// Runs the command.
pub(crate) async fn run(mut args: Args) -> anyhow::Result<ExitCode> {
    // In an env file `NAME=` means "not set".
    args.clickhouse_url = args.clickhouse_url.filter(|url| !url.is_empty());
    args.cluster = args.cluster.filter(|name| !name.is_empty());
    let project = Project::find()?;
    if let Some(url) = &args.clickhouse_url {
        parse_url(url)?;
    }
    let mut signals = Signals::listen_to_hangup()?;
    if args.detach && !args.supervise {
        // All that takes long happens here, where its progress is seen; the process that stays finds it done. It takes the
        // lock anew: a lock cannot be handed on to a process that outlives this one.
        let lock = begin(&project.run()).await?;
        settle_ports(&args)?;
        if let Err(asked) = prepare(&args, &project, &mut signals).await? {
            return Ok(asked.into());
        }
        drop(lock);
        return detach::start(&project, &mut signals).await;
    }
    supervise(args, &project, &mut signals).await
}

async fn supervise(args: Args, project: &Project, signals: &mut Signals) -> anyhow::Result<ExitCode> {
    let folder = project.run();
    let _lock = begin(&folder).await?;
    settle_ports(&args)?;
    let prepared = match prepare(&args, project, signals).await? {
        Ok(prepared) => prepared,
        Err(asked) => return Ok(asked.into()),
    };
    // Settled again: the build may have taken minutes.
    let ports = settle_ports(&args)?;
    let urls = Urls::new(&ports, args.plain, args.clickhouse_url.as_deref());
    let warehouse = Warehouse {
        user: args.clickhouse_user.clone(),
        password: args.clickhouse_password.clone(),
        database: args.clickhouse_database.clone(),
    };
    let access_key = access_key(&folder)?;
    let plan = Plan {
        project: project.clone(),
        args,
        prepared,
        ports,
        urls,
        warehouse,
        access_key,
    };
    stack::run(plan, signals).await
}

/// What other commands want to know of the stack that runs.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where to POST events.
    pub(crate) events: String,
    /// ClickHouse's HTTP interface.
    pub(crate) clickhouse: String,
    /// The database of the tables.
    pub(crate) database: String,
    /// The Firehose API.
    pub(crate) firehose: String,
    /// Every part with its address, in the order of the flow.
    pub(crate) parts: Vec<Part>,
}

/// One part of a running stack.
#[derive(Debug)]
pub(crate) struct Part {
    /// Such as `events`.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) url: String,
    /// How often its process was started again; under cargo-lambda that is no process of the stack's.
    pub(crate) restarts: u32,
}

/// The stack that runs with this project's state, if one does.
pub(crate) fn running(project: &Project) -> anyhow::Result<Option<Running>> {
    let folder = project.run();
    // The file of a stack whose supervisor was killed says nothing of what runs now.
    if !folder.exists() || Lock::try_take(&folder)?.is_some() {
        return Ok(None);
    }
    Ok(Stack::read(&folder)?.map(|stack| Running {
        parts: parts(&stack),
        events: stack.urls.events,
        clickhouse: stack.urls.clickhouse,
        database: stack.database,
        firehose: stack.urls.firehose,
    }))
}

fn parts(stack: &Stack) -> Vec<Part> {
    let urls = &stack.urls;
    let named = [
        ("events", &urls.events),
        ("firehose", &urls.firehose),
        ("loader", &urls.loader),
        ("clickhouse", &urls.clickhouse),
        ("activity", &urls.activity),
        ("sessions", &urls.sessions),
        ("experiments", &urls.experiments),
        ("retention", &urls.retention),
        ("funnel", &urls.funnel),
        ("dashboard", &urls.dashboard),
        ("docs", &urls.docs),
    ];
    let part = |(name, url): (&str, &String)| Part {
        name: name.to_owned(),
        url: url.clone(),
        restarts: stack
            .processes
            .iter()
            .find(|process| process.name == name)
            .map_or(0, |process| process.restarts),
    };
    named.map(part).into()
}

/// Builds the functions as a stack would, and those that no stack runs: for `weir test`.
pub(crate) async fn build_functions(root: &Path) -> anyhow::Result<()> {
    build::programs(root, false, &["migrate", "replay"]).await.map(drop)
}

/// Asks a process to end.
pub(crate) fn terminate(pid: u32) {
    processes::signal(pid, rustix::process::Signal::TERM);
}

/// What must be there before anything can start.
#[derive(Debug)]
struct Prepared {
    programs: Programs,
    /// `None` when the ClickHouse server is not ours.
    library: Option<PathBuf>,
    /// `None` with `--plain`.
    cargo_lambda: Option<PathBuf>,
}

/// Fetches and builds, unless a signal asks: that is abandoned, with the programs that do it.
async fn prepare(args: &Args, project: &Project, signals: &mut Signals) -> anyhow::Result<Result<Prepared, Asked>> {
    match signals.or(fetch_and_build(args, project)).await {
        Ok(prepared) => prepared.map(Ok),
        Err(asked) => {
            report::say(format!(
                "{asked} before anything was started: the next time goes on with what is missing"
            ));
            Ok(Err(asked))
        }
    }
}

async fn fetch_and_build(args: &Args, project: &Project) -> anyhow::Result<Prepared> {
    let library = match (&args.clickhouse_url, &args.library) {
        (Some(_), _) => None,
        (None, Some(path)) if path.is_file() => Some(path.clone()),
        (None, Some(path)) => bail!(
            "the engine's library {} is not there (--library, WEIR_LIBCHDB)",
            path.display()
        ),
        (None, None) => Some(tools::engine_library(project).await?),
    };
    let cargo_lambda = match args.plain {
        true => None,
        false => Some(tools::cargo_lambda_environment(project).await?.join("bin/cargo-lambda")),
    };
    let programs = build::programs(project.root(), args.release, &[]).await?;
    Ok(Prepared {
        programs,
        library,
        cargo_lambda,
    })
}

fn settle_ports(args: &Args) -> anyhow::Result<settings::Ports> {
    ports::settle(ports::Wanted {
        functions: args.functions_port,
        clickhouse: args.clickhouse_url.is_none().then_some(args.clickhouse_port),
        firehose: args.firehose_port,
        metrics: Some(args.metrics_port),
        plain: args.plain,
    })
}

/// Takes the lock and ends what a killed stack has left; an error when a stack runs already.
async fn begin(folder: &Path) -> anyhow::Result<Lock> {
    let Some(lock) = Lock::try_take(folder)? else {
        let pid = Stack::read(folder)
            .ok()
            .flatten()
            .map_or_else(String::new, |stack| format!(" (pid {})", stack.pid));
        bail!(
            "a stack is running already{pid}: stop it with `weir down`, or give this one another WEIR_DIR and other ports"
        );
    };
    let ended = leftovers::end(folder).await?;
    if !ended.is_empty() {
        report::say(format!("ended what a killed stack had left: {}", ended.join(", ")));
    }
    Ok(lock)
}

/// The key that Firehose shows to the loader: random, made once, readable by this user alone.
fn access_key(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("access-key");
    match std::fs::read_to_string(&path) {
        Ok(key) if key.len() >= 32 => return Ok(key),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
        _ => {}
    }
    let key = uuid::Uuid::new_v4().simple().to_string();
    write_private(&path, &key)?;
    Ok(key)
}

/// Writes a file that only this user may read.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let draft = path.with_extension("new");
    let written = std::fs::remove_file(&draft).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    });
    written
        .and_then(|()| {
            std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&draft)
        })
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&draft, path))
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// Words of a command line.
fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_access_key_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let key = access_key(folder.path()).unwrap();
        assert_eq!(key.len(), 32);
        assert_eq!(access_key(folder.path()).unwrap(), key);
        let mode = std::fs::metadata(folder.path().join("access-key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_second_stack_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _lock = begin(folder.path()).await.unwrap();
        let error = begin(folder.path()).await.unwrap_err().to_string();
        assert!(
            error.starts_with("a stack is running already: stop it with `weir down`"),
            "{error}"
        );
    }
}
