//! `weir firehose`: the Firehose API, a spool on disk, and HTTP endpoint delivery.
//!
//! What a client is told is stored is on disk first. Delivery follows the HTTP endpoint delivery specification 1.0; what an
//! endpoint does not take in time goes to `<data-dir>/backup/<bucket>/` as Firehose's own error records.

mod api;
mod backup;
mod clock;
mod config;
mod deliver;
mod faults;
mod files;
pub(crate) mod ledger;
mod server;
mod spool;
mod stream;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use secrecy::SecretString;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 4573, env = "WEIR_FIREHOSE_PORT")]
    port: u16,
    /// Where streams, the spool and backups are kept [default: data/firehose in the project's state folder]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The account in ARNs and messages: twelve digits
    #[arg(long, default_value = "000000000000", value_parser = account)]
    account_id: String,
    /// The region in ARNs, when a call's signature names none
    #[arg(long, default_value = "us-east-1", env = "AWS_REGION")]
    region: String,
    /// Deliveries of one stream at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// A stream to create, or to point at the endpoint given here when it exists
    #[arg(long, requires = "endpoint_url", help_heading = "A stream at start")]
    stream: Option<String>,
    /// Where that stream delivers to
    #[arg(long, requires = "stream", help_heading = "A stream at start")]
    endpoint_url: Option<String>,
    /// What is sent as X-Amz-Firehose-Access-Key
    #[arg(long, env = "FIREHOSE_ACCESS_KEY", hide_env_values = true, value_parser = secret, help_heading = "A stream at start")]
    access_key: Option<SecretString>,
    /// Seconds to buffer, 0 to 900
    #[arg(long, requires = "stream", help_heading = "A stream at start")]
    interval: Option<u64>,
    /// MiB to buffer, 1 to 64
    #[arg(long, requires = "stream", help_heading = "A stream at start")]
    size_mb: Option<u64>,
    /// Seconds to go on trying, 0 to 7200
    #[arg(long, requires = "stream", help_heading = "A stream at start")]
    retry_seconds: Option<u64>,
    /// Of a hundred records put, this many are refused one by one with ServiceUnavailableException
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100), help_heading = "Faults (for tests)")]
    fail_put_percent: u32,
    /// Of a hundred put calls, this many are answered 503 ServiceUnavailableException
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100), help_heading = "Faults (for tests)")]
    throttle_percent: u32,
    /// What draws the faults
    #[arg(long, default_value_t = 0, help_heading = "Faults (for tests)")]
    seed: u64,
}

const AFTER_HELP: &str = "\
The API is json 1.1, as the AWS SDKs speak it: give them the URL of the ready line as AWS_ENDPOINT_URL_FIREHOSE. A call must \
carry a Signature Version 4 Authorization header, from any credentials; the signature is NOT checked. Records are on disk \
before a call is answered. Endpoints may be http:// and on any port. What an endpoint does not take in time is written to \
<data-dir>/backup/<bucket>/ as Firehose's own error records. GET /health tells how each stream does, GET /metrics the same to Prometheus.";

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(text.into())
}

fn account(text: &str) -> Result<String, String> {
    let good = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if good {
        Ok(text.to_owned())
    } else {
        Err("an account id is twelve digits".to_owned())
    }
}

/// Runs the command until SIGTERM or SIGINT.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    server::run(args).await
}
