//! `weir metrics`: runs one function and serves the metrics of its records, for where no `weir up` does.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};

use super::families::Families;
use super::{BOTH, Reader, exposition};
use crate::signals::{Asked, Signals};
use crate::up::FUNCTIONS;

/// How long the output of a command that has ended may go on: a process that it left behind may hold it open.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Bytes that are read at a time.
const PIECE: usize = 64 * 1024;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Address to serve GET /metrics on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port of it; 0 takes a free one
    #[arg(long, env = "WEIR_METRICS_PORT", default_value_t = super::DEFAULT_PORT)]
    port: u16,
    /// The function and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const AFTER_HELP: &str = "\
The command runs with WEIR_METRICS=emf,log. The records that it writes are taken out of its standard output and counted; \
everything else goes on unchanged, standard error as well. SIGTERM, SIGINT and SIGHUP go on to the command. The exit code is \
the command's, or 128 and the number of the signal that ended it.";

/// Runs the command to its end.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let address = SocketAddr::new(args.host, args.port);
    let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!("port {} is taken: choose another with --port", args.port),
        _ => anyhow::anyhow!("cannot listen on {address}: {error}"),
    })?;
    let address = listener.local_addr().context("the listening address is unknown")?;
    let Some((program, rest)) = args.command.split_first() else {
        bail!("no command is given: write it behind --");
    };
    let families = Arc::new(Families::new(&FUNCTIONS)?);
    if let Some(name) = Path::new(program).file_name().and_then(|name| name.to_str()) {
        families.begin(name);
    }
    // Before the command, so that a signal that comes at once reaches it.
    let mut signals = Signals::listen_to_hangup()?;
    let mut child = Command::new(program)
        .args(rest)
        .env("WEIR_METRICS", BOTH)
        // A group of its own: Ctrl-C in a terminal would reach it twice.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} cannot be started", program.to_string_lossy()))?;
    let stdout = child.stdout.take().context("the command has no output")?;
    crate::report::say(format!("metrics: ready on http://{address}/metrics"));
    let router = Router::new()
        .route("/metrics", get(serve))
        .with_state(Arc::clone(&families));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut reading = tokio::spawn(pass_on(stdout, families));
    let status = wait(&mut child, &mut signals).await?;
    if tokio::time::timeout(LAST_OUTPUT, &mut reading).await.is_err() {
        reading.abort();
    }
    Ok(code(status))
}

async fn serve(State(families): State<Arc<Families>>) -> http::Response<axum::body::Body> {
    exposition::response(exposition::text(&families.gather()))
}

/// Counts the records, and writes the rest to standard output.
async fn pass_on(mut stdout: ChildStdout, families: Arc<Families>) {
    let (mut reader, mut bytes) = (Reader::default(), vec![0; PIECE]);
    // Its end, or an error, which a pipe has none of that would pass.
    while let Ok(read @ 1..) = stdout.read(&mut bytes).await {
        let mut others = Vec::new();
        let piece = bytes.get(..read).unwrap_or_default();
        reader.read(piece, &families, |other| others.extend_from_slice(other));
        write(others).await;
    }
    write(reader.finish()).await;
}

/// Writes to standard output, for as long as that takes: the command waits then, as it would have by itself.
async fn write(bytes: Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let written = tokio::task::spawn_blocking(move || {
        let mut out = std::io::stdout().lock();
        // If nobody reads it any more, the command goes on, and its records are counted.
        let _ = out.write_all(&bytes).and_then(|()| out.flush());
    });
    let _ = written.await;
}

/// Waits for the command to end. What asks this program to end is for the command to do.
async fn wait(child: &mut Child, signals: &mut Signals) -> anyhow::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status.context("the command was lost"),
            asked = signals.asked() => {
                let signal = match asked {
                    Asked::Interrupt => Signal::INT,
                    Asked::Terminate => Signal::TERM,
                    Asked::Hangup => Signal::HUP,
                };
                let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
                if let Some(pid) = pid {
                    // One that has just ended hears nothing.
                    let _ = kill_process(pid, signal);
                }
            }
        }
    }
}

/// As a shell says it.
fn code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}
