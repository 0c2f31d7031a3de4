//! `weir dbt`: dbt in its managed environment, on the warehouse that the rest of Weir uses.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use tokio::process::Command;

use crate::project::Project;
use crate::report;
use crate::signals::{Asked, Signals};
use crate::tools;
use crate::warehouse::{WarehouseArgs, parse_url};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What dbt is to do: `build`, `run --full-refresh`, `test -s users_activity`, `docs generate` …
    #[arg(
        value_name = "ARGS",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        default_value = "build"
    )]
    args: Vec<String>,
    #[command(flatten)]
    warehouse: WarehouseArgs,
    /// Create tables on this cluster, with Replicated engines
    #[arg(long, env = "WEIR_CLUSTER", default_value = "")]
    cluster: String,
}

/// Runs the command; its exit code is dbt's, unless a signal asked it to end.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let project = Project::find()?;
    let clickhouse = args.warehouse.config(&project)?;
    let address = Address::parse(&clickhouse.url)?;
    let mut signals = Signals::listen()?;
    let environment = match signals.or(tools::dbt_environment(&project)).await {
        Ok(environment) => environment?,
        Err(asked) => {
            report::say(format!(
                "{asked} before dbt was there: the next time installs what is missing"
            ));
            return Ok(asked.into());
        }
    };
    let mut command = command(&project, &environment);
    command
        .args(&args.args)
        .env("CLICKHOUSE_HOST", &address.host)
        .env("CLICKHOUSE_PORT", address.port.to_string())
        .env("CLICKHOUSE_SECURE", address.secure.to_string())
        .env("CLICKHOUSE_USER", &clickhouse.user)
        .env("CLICKHOUSE_PASSWORD", clickhouse.password.expose_secret())
        .env("CLICKHOUSE_DATABASE", &clickhouse.database)
        .env("WEIR_CLUSTER", &args.cluster);
    match wait(command, &mut signals).await? {
        Ok(status) => Ok(exit_code(status)),
        Err(asked) => {
            report::say(format!(
                "{asked}: dbt has ended; run the same again, it brings every model up to date"
            ));
            Ok(asked.into())
        }
    }
}

/// dbt on the project's `dbt/`, with all that it writes kept out of the checkout.
fn command(project: &Project, environment: &Path) -> Command {
    let folder = project.root().join("dbt");
    let mut command = Command::new(environment.join("bin/dbt"));
    command
        .env("DBT_PROJECT_DIR", &folder)
        .env("DBT_PROFILES_DIR", &folder)
        .env("DBT_TARGET_PATH", project.root().join(".weir/dbt/target"))
        .env("DBT_LOG_PATH", project.root().join(".weir/dbt/logs"))
        .env("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
        .env("DBT_VERSION_CHECK", "false")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs dbt to its end. A signal goes on to dbt as the SIGINT that it ends cleanly on, with its queries cancelled; then it is
/// waited for, too.
async fn wait(mut command: Command, signals: &mut Signals) -> anyhow::Result<Result<ExitStatus, Asked>> {
    // In a terminal Ctrl-C reaches dbt by itself. Elsewhere it is in a group of its own, so that it hears of it once.
    let told_by_terminal = std::io::stdin().is_terminal();
    if !told_by_terminal {
        command.process_group(0);
    }
    let program = command.as_std().get_program().to_owned();
    let mut child = command
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let asked = tokio::select! {
        status = child.wait() => return Ok(Ok(status.context("dbt's end cannot be awaited")?)),
        asked = signals.asked() => asked,
    };
    if !(told_by_terminal && asked == Asked::Interrupt) {
        interrupt(&child)?;
    }
    tokio::select! {
        status = child.wait() => drop(status.context("dbt's end cannot be awaited")?),
        // A second one is a hurry.
        _ = signals.asked() => child.kill().await.context("dbt cannot be killed")?,
    }
    Ok(Err(asked))
}

/// Sends SIGINT to dbt.
fn interrupt(child: &tokio::process::Child) -> anyhow::Result<()> {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        rustix::process::kill_process(pid, rustix::process::Signal::INT).context("dbt cannot be interrupted")?;
    }
    Ok(())
}

/// The child's own code; 128 + n when signal n ended it, as a shell says it.
fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// A ClickHouse URL in the parts that dbt's profile wants.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
    secure: bool,
}

impl Address {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let url = parse_url(text)?;
        let secure = url.scheme() == "https";
        anyhow::ensure!(
            url.path() == "/" && url.query().is_none(),
            "CLICKHOUSE_URL must be a host and a port: dbt-clickhouse takes no path and no query"
        );
        let host = url
            .host_str()
            .context("CLICKHOUSE_URL has no host")?
            .trim_matches(['[', ']'])
            .to_owned();
        // ClickHouse's own default for HTTPS is not HTTPS's: with no port in the URL, the URL's scheme decides, as for
        // every other client of this variable.
        let port = url.port_or_known_default().context("CLICKHOUSE_URL has no port")?;
        Ok(Self { host, port, secure })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (text, host, port, secure) in [
            ("http://127.0.0.1:8123", "127.0.0.1", 8123, false),
            ("http://localhost:8123/", "localhost", 8123, false),
            ("https://x.clickhouse.cloud:8443", "x.clickhouse.cloud", 8443, true),
            ("https://ch.example", "ch.example", 443, true),
            ("http://[::1]:9", "::1", 9, false),
        ] {
            assert_eq!(
                Address::parse(text).unwrap(),
                Address {
                    host: host.to_owned(),
                    port,
                    secure
                },
                "{text}"
            );
        }
    }

    #[test]
    fn a_url_that_dbt_cannot_use_says_why() {
        for (text, word) in [
            ("127.0.0.1:8123", "is not a URL"),
            ("localhost:8123", "http://"),
            ("tcp://localhost:9000", "http://"),
            ("http://localhost:8123/proxy", "no path"),
            ("http://localhost:8123/?database=x", "no query"),
            ("http://me:secret@localhost:8123", "CLICKHOUSE_PASSWORD"),
        ] {
            let error = format!("{:#}", Address::parse(text).unwrap_err());
            assert!(error.contains(word), "{text}: {error}");
            assert!(word == "is not a URL" || !error.contains("secret"), "{error}");
        }
    }

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn what_follows_is_dbt_s() {
        for (line, expected) in [
            (&["dbt"][..], &["build"][..]),
            (&["dbt", "run", "--full-refresh"], &["run", "--full-refresh"]),
            (
                &["dbt", "--clickhouse-url", "http://h:1", "test", "-s", "stg_site_events"],
                &["test", "-s", "stg_site_events"],
            ),
            (&["dbt", "--", "--version"], &["--version"]),
            (
                &["dbt", "run", "--vars", "{a: 1}", "--help"],
                &["run", "--vars", "{a: 1}", "--help"],
            ),
        ] {
            assert_eq!(Cli::try_parse_from(line).unwrap().args.args, expected, "{line:?}");
        }
    }
}
