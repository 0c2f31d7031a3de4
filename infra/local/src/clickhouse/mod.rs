//! `weir clickhouse`: the embedded engine behind ClickHouse's HTTP interface.
//!
//! The engine is the real one (libchdb, in this process); what is here is the interface that servers put around it:
//! `HTTPHandler` of ClickHouse 26, as its source and its clients' tests define it. A request runs on a connection of its
//! own (settings, current database and temporary tables are a connection's), a named session keeps one.
//!
//! - [`request`]: URL and headers, typed. [`statement`]: where an INSERT's data begins, where a SELECT's output clause goes.
//! - [`exec`]: a query on a blocking thread; [`guard`]: the end of one whose client has gone. [`response`]: its head and body. [`body`]: bytes between the two worlds.
//! - [`native_block`]: Native blocks for a protocol version. [`query_log`]: the table that the engine lacks.
//! - [`compression`]: native frames and HTTP encodings. [`session`], [`external`], [`error`]: what their names say.

mod body;
mod breakable;
mod compression;
mod engine;
mod error;
mod exec;
mod external;
mod guard;
mod native_block;
mod query_log;
mod request;
mod response;
mod server;
mod session;
mod statement;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use crate::project::Project;
use crate::signals::Signals;

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, env = "WEIR_CLICKHOUSE_PORT", default_value_t = 8123)]
    port: u16,
    /// Folder of the data [default: .weir/data/clickhouse]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The one user
    #[arg(long, env = "CLICKHOUSE_USER", default_value = "default")]
    user: String,
    /// The user's password; none when empty
    #[arg(
        long,
        env = "CLICKHOUSE_PASSWORD",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    password: String,
    /// Database to create
    #[arg(long, env = "CLICKHOUSE_DATABASE", default_value = "analytics")]
    database: String,
    /// The engine's library [default: fetched into .weir/tools]
    #[arg(long, env = "WEIR_LIBCHDB", value_name = "FILE")]
    library: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let address = SocketAddr::new(args.host, args.port);
    // First, because it is what most often fails.
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => anyhow::anyhow!("port {} is taken: choose another with --port", args.port),
            _ => anyhow::anyhow!("cannot listen on {address}: {error}"),
        })?;
    let address = listener.local_addr().context("the listening address is unknown")?;
    let data_dir = match args.data_dir {
        Some(folder) => folder,
        None => Project::find()?.data("clickhouse"),
    };
    let library = match args.library {
        Some(library) => library,
        None => crate::tools::engine_library(&Project::find()?).await?,
    };
    anyhow::ensure!(
        library.is_file(),
        "the engine library {} does not exist",
        library.display()
    );
    let mut signals = Signals::listen()?;

    let (folder, database) = (data_dir.clone(), args.database);
    let start = move || -> Result<engine::Engine, engine::StartError> {
        let engine = engine::Engine::start(&library, &folder, &database)?;
        match query_log::QueryLog::create(&engine) {
            Some(error) => Err(engine::StartError::Statement(error)),
            None => Ok(engine),
        }
    };
    let engine = tokio::task::spawn_blocking(start)
        .await
        .context("the engine's start was abandoned")??;
    let engine = Arc::new(engine);
    #[allow(clippy::print_stdout, reason = "the line that callers wait for")]
    {
        println!(
            "clickhouse: ready on http://{address} (ClickHouse {}, data in {})",
            engine.version(),
            data_dir.display()
        );
    }
    let server = Arc::new(server::Server::new(engine, args.user, args.password, "weir".to_owned()));
    let (tell, asked) = tokio::sync::oneshot::channel();
    server
        .serve(listener, async move {
            let _ = tell.send(signals.asked().await);
        })
        .await;
    Ok(asked.await.map_or(ExitCode::SUCCESS, ExitCode::from))
}
