//! `weir generate`: the demo shop's traffic, posted to the events endpoint or put straight into ClickHouse.
//!
//! `shop` says what happens, purely; `disorder` brings some of it late or twice; `send` posts it, `backfill` inserts it;
//! `report` counts what was acknowledged.

mod backfill;
mod disorder;
mod latency;
mod progress;
mod report;
mod send;
mod shop;
#[cfg(test)]
mod tests;
mod totals;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::value_parser;
use edge::clickhouse::ClickHouseConfig;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::report::{LatencyReport, Report};
use backfill::Backfill;
use disorder::{Disorder, Numbered};
pub(crate) use send::causes;
use send::{Parcel, Patience, Sender};
use shop::{Plan, Shop};
use totals::Totals;

use crate::project::Project;
use crate::signals::{Asked, Signals};
use crate::up;
use crate::warehouse::WarehouseArgs;

/// Events when neither `--events` nor `--users` says how many.
const DEFAULT_EVENTS: u64 = 1_000_000;

/// No shop is larger.
const MAX_USERS: u64 = 100_000_000;

/// How the sizes go together, for `--help`.
const SIZES: &str = "\
Size: --days is the period. --events N takes as many users as cause at least N events in it; --users N takes N users, \
however many events they cause (about 46 each in 60 days). With neither it is a million events: about 22,000 users.

The same seed, days and last day give the same events with the same event ids: sending them again adds nothing.

Exit code: 0 when everything was acknowledged, 1 when anything was refused or failed, 130 after Ctrl-C, 143 after SIGTERM.";

/// Arguments of the command.
#[derive(clap::Args)]
#[command(after_help = SIZES)]
pub(crate) struct Args {
    /// Users of the shop, instead of a number of events
    #[arg(long, value_name = "N", conflicts_with = "events", value_parser = value_parser!(u64).range(1..=MAX_USERS))]
    users: Option<u64>,
    /// Days, the last included
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = value_parser!(u32).range(1..))]
    days: u32,
    /// Events, at least: as many users are taken as cause them [default: 1000000]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    events: Option<u64>,
    /// Last day, UTC, whole [default: today up to now]
    #[arg(long, value_name = "DATE")]
    to: Option<Date>,
    /// Another seed is another shop
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Percent of the events that come hours to days late
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = percent)]
    late_percent: f64,
    /// Percent of the events that come twice, with the same event id
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = percent)]
    duplicate_percent: f64,
    /// Where to post [default: the running stack's, else http://127.0.0.1:9000/events]
    #[arg(long, env = "WEIR_EVENTS_URL", hide_env_values = true, value_parser = http_url)]
    url: Option<Url>,
    /// Port of the functions on this machine, for the default of --url
    #[arg(long, env = "WEIR_FUNCTIONS_PORT", default_value_t = 9000, hide = true)]
    functions_port: u16,
    /// Insert straight into ClickHouse instead of posting
    #[arg(long, conflicts_with_all = ["rate", "connections", "batch", "write_key"])]
    backfill: bool,
    #[command(flatten)]
    warehouse: WarehouseArgs,
    /// Events a second, at most [default: as fast as it goes]
    #[arg(long, value_name = "EVENTS_PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// Connections, each with one request in flight
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Events in one request, as a JSON array when it is more than one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// A write key, where the endpoint asks for one
    #[arg(long, value_name = "KEY", env = "WEIR_WRITE_KEY", hide_env_values = true)]
    write_key: Option<SecretString>,
    /// Attempts for each request when the endpoint is busy, broken or away
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u32).range(1..=1000))]
    attempts: u32,
    /// Write the counts of what was acknowledged, per day with DAU, WAU, MAU, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn percent(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|value| (0.0..=100.0).contains(value))
        .ok_or_else(|| "not a number from 0 to 100".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite() && *value >= 0.001)
        .ok_or_else(|| "not a number of at least 0.001".to_owned())
}

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err("not an http or https URL".to_owned())
    }
}

impl Args {
    /// The plan and the number of its events. `now` bounds it when no last day was given.
    fn plan(&self, now: Timestamp) -> anyhow::Result<(Plan, u64)> {
        let last_day = self.to.unwrap_or_else(|| Offset::UTC.to_datetime(now).date());
        let whole = Plan::whole_days(self.seed, self.users.unwrap_or(MAX_USERS), self.days, last_day)?;
        let plan = if self.to.is_some() { whole } else { whole.until(now) };
        match self.users {
            Some(_) => Ok((plan, plan.count())),
            None => {
                let wanted = self.events.unwrap_or(DEFAULT_EVENTS);
                let (plan, events) = plan.sized(wanted);
                anyhow::ensure!(
                    events >= wanted,
                    "{wanted} events are more than {MAX_USERS} users cause"
                );
                Ok((plan, events))
            }
        }
    }
}

/// Where the events go.
enum Target {
    /// An endpoint that they are posted to.
    Endpoint(Url),
    /// A ClickHouse that they are inserted into.
    Warehouse(ClickHouseConfig),
}

impl Target {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let project = Project::find()?;
        if args.backfill {
            return Ok(Self::Warehouse(args.warehouse.config(&project)?));
        }
        if let Some(url) = &args.url {
            return Ok(Self::Endpoint(url.clone()));
        }
        let url = match up::running(&project)? {
            Some(stack) => stack.events,
            None => format!("http://127.0.0.1:{}/events", args.functions_port),
        };
        Ok(Self::Endpoint(Url::parse(&url)?))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Endpoint(url) => write!(out, "{url}"),
            Self::Warehouse(config) => write!(out, "{}, database {}", config.url, config.database),
        }
    }
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // Opened first: a path that cannot be written is better known before the work than after it.
    let report_file = match &args.report {
        Some(path) => Some(File::create(path).with_context(|| format!("{} cannot be written", path.display()))?),
        None => None,
    };
    let target = Target::of(&args)?;
    let now = edge::clock::now();
    let (args, plan, events) = tokio::task::spawn_blocking(move || {
        let (plan, events) = args.plan(now)?;
        anyhow::Ok((args, plan, events))
    })
    .await??;
    let disorder = Disorder {
        seed: args.seed,
        late_percent: args.late_percent,
        duplicate_percent: args.duplicate_percent,
    };
    let total = events + disorder.duplicates(events);
    crate::report::print(format!(
        "{events} events of {} users over {} days up to {} → {target}",
        plan.users, plan.days, plan.last_day
    ));

    let stop = CancellationToken::new();
    let asked = stop_when_asked(stop.clone())?;
    let patience = Patience {
        attempts: args.attempts,
        first_wait: Duration::from_millis(200),
        longest_wait: Duration::from_secs(5),
    };
    let began = Instant::now();
    let events_to_send = disorder.apply(Shop::new(plan));
    let name = target.to_string();
    let totals = match target {
        Target::Endpoint(url) => {
            let sender = Arc::new(Sender::new(url, args.write_key, args.rate, patience, stop)?);
            let (parcels, queue) = mpsc::channel(1_024);
            let producer = tokio::task::spawn_blocking(move || produce(events_to_send, args.batch, &parcels));
            tokio::select! {
                () = sender.run(queue, usize::from(args.connections)) => {}
                never = progress::show(total, || sender.totals().counts()) => match never {},
            }
            producer.await??;
            sender.take_totals()
        }
        Target::Warehouse(config) => {
            let backfill = Arc::new(Backfill::new(config.client(), patience, stop));
            let (blocks, queue) = mpsc::channel(1);
            let producer = tokio::task::spawn_blocking(move || backfill::produce(events_to_send, &blocks));
            tokio::select! {
                () = backfill.run(queue) => {}
                never = progress::show(total, || backfill.totals().counts()) => match never {},
            }
            producer.await?;
            backfill.take_totals()
        }
    };
    let report = summary(&totals, name, &plan, events, began.elapsed(), asked.get().is_some());
    if let Some(file) = report_file {
        serde_json::to_writer_pretty(file, &report).context("the report cannot be written")?;
    }
    crate::report::print(describe(&report, &totals));
    let good = !totals.hopeless && report.failed == 0 && report.refused.is_empty();
    Ok(match asked.get() {
        _ if !good => ExitCode::FAILURE,
        Some(asked) => (*asked).into(),
        None => ExitCode::SUCCESS,
    })
}

/// Packs events until they end or nobody takes them any more.
fn produce(
    mut events: impl Iterator<Item = Numbered>,
    batch: u16,
    parcels: &mpsc::Sender<Parcel>,
) -> anyhow::Result<()> {
    let mut next = Vec::with_capacity(usize::from(batch));
    loop {
        next.clear();
        next.extend(events.by_ref().take(usize::from(batch)));
        if next.is_empty() || parcels.blocking_send(Parcel::pack(&next)?).is_err() {
            return Ok(());
        }
    }
}

/// Cancels `stop` at the first signal that asks, and ends the program at the second. What is returned then holds the first.
fn stop_when_asked(stop: CancellationToken) -> anyhow::Result<Arc<OnceLock<Asked>>> {
    let mut signals = Signals::listen()?;
    let first = Arc::new(OnceLock::new());
    let told = Arc::clone(&first);
    tokio::spawn(async move {
        let _ = told.set(signals.asked().await);
        stop.cancel();
        std::process::exit(i32::from(signals.asked().await.code()));
    });
    Ok(first)
}

fn summary(totals: &Totals, target: String, plan: &Plan, events: u64, took: Duration, interrupted: bool) -> Report {
    let seconds = took.as_secs_f64();
    let millis = |share| totals.latency.quantile(share).as_secs_f64() * 1e3;
    Report {
        target,
        seed: plan.seed,
        users: plan.users,
        events,
        sent: totals.sent,
        acknowledged: totals.acknowledged,
        acknowledged_events: totals.ledger.events(),
        refused: totals.refused.clone(),
        failed: totals.failed,
        retried: totals.retried.clone(),
        interrupted,
        seconds,
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        events_per_second: totals.acknowledged as f64 / seconds.max(1e-9),
        latency_ms: LatencyReport {
            p50: millis(0.5),
            p99: millis(0.99),
        },
        days: totals.ledger.days(),
    }
}

/// The report for people.
fn describe(report: &Report, totals: &Totals) -> String {
    let mut lines = Vec::new();
    if report.interrupted {
        lines.push("stopped early: the same again sends all of it, and what was acknowledged counts once".to_owned());
    }
    if let Some(refusal) = &totals.first_refusal {
        lines.push(format!("first refusal: {refusal}"));
    }
    if let Some(failure) = &totals.last_failure {
        lines.push(format!("last failure: {failure}"));
    }
    if totals.hopeless {
        lines.push("gave up: nothing was acknowledged any more".to_owned());
    }
    let by_kind = |counts: Vec<String>| {
        if counts.is_empty() {
            "0".to_owned()
        } else {
            counts.join(", ")
        }
    };
    lines.push(format!(
        "sent {}, acknowledged {} ({} different events), refused {}, failed {}, retries {}",
        report.sent,
        report.acknowledged,
        report.acknowledged_events,
        by_kind(
            report
                .refused
                .iter()
                .map(|(status, count)| format!("{count} with {status}"))
                .collect()
        ),
        report.failed,
        by_kind(
            report
                .retried
                .iter()
                .map(|(kind, count)| format!("{count} after {kind}"))
                .collect()
        ),
    ));
    lines.push(format!(
        "{:.1} s, {:.0} events/s, p50 {:.2} ms, p99 {:.2} ms",
        report.seconds, report.events_per_second, report.latency_ms.p50, report.latency_ms.p99
    ));
    lines.join("\n")
}
