//! The program around the API: folder lock, port, the stream at start, signals, the way out.

use std::fs::{File, OpenOptions};
use std::future::IntoFuture as _;
use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Args;
use super::api::error::ApiError;
use super::api::{App, ROOM, model, router, streams, validate};
use super::deliver::{Tuning, attempt};
use super::faults::Faults;
use super::stream::Registry;
use crate::project::Project;
use crate::signals::Signals;

/// How long calls that are under way may take to be answered when the program ends.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A file has grown past the limit of the process (signal(7)): the same number on Linux and macOS.
const SIGXFSZ: i32 = 25;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    app: Arc<App>,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    _lock: File,
}

/// What a server is made of.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) host: IpAddr,
    pub(crate) port: u16,
    pub(crate) data: PathBuf,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) tuning: Tuning,
    pub(crate) faults: Faults,
    /// Bytes of bodies that may be held at once.
    pub(crate) room: usize,
}

impl Server {
    /// Opens the data folder, resumes its streams and listens.
    pub(crate) async fn start(options: Options) -> anyhow::Result<Self> {
        let (host, port) = (options.host, options.port);
        let listener = TcpListener::bind((host, port)).await.map_err(|error| {
            if error.kind() == std::io::ErrorKind::AddrInUse {
                anyhow::anyhow!("port {port} on {host} is taken: free it, or choose another with --port")
            } else {
                anyhow::anyhow!("cannot listen on {host}:{port}: {error}")
            }
        })?;
        let address = listener.local_addr().context("the server has no address")?;
        let (data, tuning) = (options.data, options.tuning);
        let client = attempt::client().context("the HTTP client cannot be built")?;
        let opened = tokio::task::spawn_blocking(move || {
            let lock = lock(&data)?;
            anyhow::Ok((Registry::open(&data, client, tuning)?, lock))
        });
        let (registry, lock) = opened.await??;
        let app = Arc::new(App {
            registry,
            faults: options.faults,
            account: options.account,
            region: options.region,
            room: Arc::new(Semaphore::new(options.room)),
        });
        let stop = CancellationToken::new();
        let served = axum::serve(listener, router(Arc::clone(&app)));
        let served = served
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future();
        Ok(Self {
            address,
            app,
            stop,
            serving: tokio::spawn(served),
            _lock: lock,
        })
    }

    /// Creates the stream, or points it at the endpoint when it exists with other values.
    pub(crate) async fn ensure_stream(&self, name: &str, configuration: Value) -> anyhow::Result<()> {
        if let Some(stream) = self.app.registry.get(name) {
            let checked = json!({
                "DeliveryStreamName": name,
                "CurrentDeliveryStreamVersionId": "1",
                "DestinationId": "1",
                "HttpEndpointDestinationUpdate": configuration,
            });
            validate::validate(&checked, model::UPDATE)?;
            let before = stream.config().destination.clone();
            let after = before
                .update("HttpEndpoint", &configuration)
                .map_err(|problem| anyhow::anyhow!("the stream {name} cannot deliver to that endpoint: {problem}"))?;
            if after != before {
                streams::redirect(&stream, after).await?;
            }
            return Ok(());
        }
        let mut configuration = configuration;
        configuration["S3Configuration"] = json!({
            "RoleARN": format!("arn:aws:iam::{}:role/weir-firehose", self.app.account),
            "BucketARN": format!("arn:aws:s3:::{}-backup", name.to_lowercase()),
        });
        let input = json!({ "DeliveryStreamName": name, "HttpEndpointDestinationConfiguration": configuration });
        match streams::create(&self.app, &input, &self.app.region).await {
            Ok(_) => Ok(()),
            Err(error @ (ApiError::Validation(_) | ApiError::InvalidArgument(_))) => {
                bail!("the stream {name} cannot be created: {error}")
            }
            Err(error) => Err(error).context(format!("the stream {name} cannot be created")),
        }
    }

    /// Answers the calls that are under way, lets attempts end, and leaves the rest to the next start.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        // Connections that stay busy for longer are cut: nothing of theirs was acknowledged.
        let (served, ()) = tokio::join!(
            tokio::time::timeout(ANSWER_WITHIN, self.serving),
            self.app.registry.stop_deliveries(),
        );
        self.app.registry.close().await;
        if let Ok(served) = served {
            served??;
        }
        Ok(())
    }
}

/// Runs the command.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // The log may be on the disk that is full: a line that cannot be written is no reason to panic.
        .log_internal_errors(false)
        .finish();
    // Not `init`: it may take in what libraries say through the crate `log` as well.
    tracing::subscriber::set_global_default(subscriber)?;
    let data = match &args.data_dir {
        Some(data) => data.clone(),
        None => Project::find()?.data("firehose"),
    };
    // Before the ready line, so that whoever has read it can stop the program cleanly.
    let mut signals = Signals::listen()?;
    // Its default is to end the program. Heard, a write beyond the limit of file sizes fails like one to a full disk.
    let _too_large = signal(SignalKind::from_raw(SIGXFSZ))?;
    let server = Server::start(Options {
        host: args.host,
        port: args.port,
        data: data.clone(),
        account: args.account_id.clone(),
        region: args.region.clone(),
        tuning: Tuning {
            concurrency: usize::from(args.concurrency),
            ..Tuning::default()
        },
        faults: Faults::new(args.fail_put_percent, args.throttle_percent, args.seed),
        room: ROOM,
    })
    .await?;
    if let (Some(stream), Some(url)) = (&args.stream, &args.endpoint_url) {
        server.ensure_stream(stream, endpoint(&args, url)).await?;
    }
    // The ready line is for people and scripts alike; a closed pipe is no reason to stop.
    let _ = writeln!(
        std::io::stdout(),
        "firehose: ready on http://{} (data in {})",
        server.address,
        data.display()
    );
    let asked = signals.asked().await;
    tracing::info!("stopping");
    server.stop().await?;
    Ok(asked.into())
}

/// The endpoint's configuration from the flags; what is not given is AWS's default, or stays as it is.
fn endpoint(args: &Args, url: &str) -> Value {
    let mut configuration = json!({ "EndpointConfiguration": { "Url": url } });
    if let Some(key) = &args.access_key {
        configuration["EndpointConfiguration"]["AccessKey"] = key.expose_secret().into();
    }
    if let Some(interval) = args.interval {
        configuration["BufferingHints"]["IntervalInSeconds"] = interval.into();
    }
    if let Some(size) = args.size_mb {
        configuration["BufferingHints"]["SizeInMBs"] = size.into();
    }
    if let Some(seconds) = args.retry_seconds {
        configuration["RetryOptions"] = json!({ "DurationInSeconds": seconds });
    }
    configuration
}

/// Makes sure that nobody else uses the folder, for as long as the file is open.
fn lock(data: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(data).with_context(|| format!("{} cannot be created", data.display()))?;
    let path = data.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("{} cannot be opened", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            bail!(
                "another weir firehose uses {}: stop it, or choose another --data-dir",
                data.display()
            )
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be locked", path.display())),
    }
}
