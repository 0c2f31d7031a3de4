//! `weir cost`: what a million events cost on AWS, one a request and in batches.
//!
//! - `prices`: what AWS asks for, with sources.
//! - `model`: the arithmetic.

mod model;
mod prices;

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

pub(crate) use self::model::Cost;
use self::model::Load;
use crate::report;

const AFTER_HELP: &str = "\
Not counted: ClickHouse, data transfer, cold starts, retries, the free tier, reading, and what runs without events: a \
dashboard, alarms, the scheduled dbt.";

/// The metrics that the functions of the pipeline send, by name: CloudWatch bills each while it is sent.
const METRICS: [(&str, u64); 11] = [
    ("events", 6),
    ("loader", 6),
    ("activity", 1),
    ("sessions", 1),
    ("experiments", 1),
    ("retention", 1),
    ("funnel", 1),
    ("dashboard", 1),
    ("docs", 1),
    ("migrate", 1),
    ("replay", 3),
];

/// Arguments of the command.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Events a request, to compare with one
    #[arg(long, value_name = "EVENTS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    batch: u64,
    /// Bytes of an event as a line in the stream
    #[arg(long, value_name = "BYTES", default_value_t = 350, value_parser = clap::value_parser!(u64).range(1..=1_024_000))]
    event_bytes: u64,
    /// Events a second, on average
    #[arg(long, value_name = "EVENTS", default_value_t = 10.0, value_parser = positive)]
    events_per_second: f64,
    /// Memory of events, in MB
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(128..=10_240))]
    events_memory: u64,
    /// CPU time of a request to events, without its events, in milliseconds on a whole core
    #[arg(long, value_name = "MS", default_value_t = 0.17, value_parser = positive)]
    request_cpu_ms: f64,
    /// CPU time of each event of a request, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0.0017, value_parser = positive)]
    event_cpu_ms: f64,
    /// How long a request waits for Firehose, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 15.0, value_parser = positive)]
    firehose_ms: f64,
    /// Memory of loader, in MB
    #[arg(long, value_name = "MB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(128..=10_240))]
    loader_memory: u64,
    /// CPU time of a delivery to loader, without its rows, in milliseconds on a whole core
    #[arg(long, value_name = "MS", default_value_t = 0.23, value_parser = positive)]
    delivery_cpu_ms: f64,
    /// CPU time of each row of a delivery, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0.0011, value_parser = positive)]
    row_cpu_ms: f64,
    /// How long a delivery waits for ClickHouse, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 150.0, value_parser = positive)]
    clickhouse_ms: f64,
    /// After how many seconds Firehose delivers
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=900))]
    buffer_seconds: u64,
    /// After how many MB Firehose delivers
    #[arg(long, value_name = "MB", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    buffer_mb: u64,
    /// Bytes of log of an invocation: its record, and Lambda's own lines
    #[arg(long, value_name = "BYTES", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    log_bytes: u64,
    /// Deliveries of a hundred that end in the backup
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = percent)]
    failed_percent: f64,
    /// Show the prices and where they are from
    #[arg(long)]
    prices: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// The answer as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    events: u64,
    load: &'a Load,
    /// One event a request, and the batches.
    costs: [&'a Cost; 2],
    /// What all metrics cost a month, while they are sent.
    metrics_a_month: f64,
}

/// What the functions take of a processor, in milliseconds on a whole core.
pub(crate) struct Measured {
    /// A request to `events`, without its events.
    pub(crate) request_cpu_ms: f64,
    /// Each of its events.
    pub(crate) event_cpu_ms: f64,
    /// A delivery to `loader`, without its rows.
    pub(crate) delivery_cpu_ms: f64,
    /// Each of its rows.
    pub(crate) row_cpu_ms: f64,
}

/// What a million events cost with these, and everything else as by default: one a request, and in the default's batches.
pub(crate) fn of(measured: &Measured) -> anyhow::Result<[Cost; 2]> {
    #[derive(clap::Parser)]
    struct Defaults {
        #[command(flatten)]
        args: Args,
    }
    let args = <Defaults as clap::Parser>::try_parse_from(["cost"])?.args;
    let load = Load {
        request_cpu_ms: measured.request_cpu_ms,
        event_cpu_ms: measured.event_cpu_ms,
        delivery_cpu_ms: measured.delivery_cpu_ms,
        row_cpu_ms: measured.row_cpu_ms,
        ..args.load()
    };
    Ok([load.cost(1), load.cost(args.batch)])
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    report::print(text(&args)?.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn text(args: &Args) -> anyhow::Result<String> {
    if args.prices {
        return match args.json {
            true => Ok(serde_json::to_string(&prices::ALL)?),
            false => Ok(price_table()),
        };
    }
    let load = args.load();
    let (single, batch) = (load.cost(1), load.cost(args.batch));
    if args.json {
        return Ok(serde_json::to_string(&Answer {
            events: model::EVENTS,
            load: &load,
            costs: [&single, &batch],
            metrics_a_month: metrics_a_month(),
        })?);
    }
    Ok(table(&single, &batch))
}

impl Args {
    fn load(&self) -> Load {
        Load {
            event_bytes: self.event_bytes,
            events_per_second: self.events_per_second,
            events_memory_mb: self.events_memory,
            request_cpu_ms: self.request_cpu_ms,
            event_cpu_ms: self.event_cpu_ms,
            firehose_ms: self.firehose_ms,
            loader_memory_mb: self.loader_memory,
            delivery_cpu_ms: self.delivery_cpu_ms,
            row_cpu_ms: self.row_cpu_ms,
            clickhouse_ms: self.clickhouse_ms,
            buffer_seconds: self.buffer_seconds,
            buffer_mb: self.buffer_mb,
            log_bytes: self.log_bytes,
            failed_percent: self.failed_percent,
        }
    }
}

/// The costs side by side, by component.
fn table(single: &Cost, batch: &Cost) -> String {
    let mut out = format!(
        "{:<24}{:>16}{:>16}\n",
        "a million events, in $",
        "1 a request",
        format!("{} a request", batch.batch)
    );
    let mut row = |name: &str, cost: fn(&Cost) -> f64| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<24}{:>16.4}{:>16.4}", cost(single), cost(batch));
    };
    row("events, invocations", |cost| cost.events_requests);
    row("events, memory", |cost| cost.events_compute);
    row("Firehose", |cost| cost.firehose);
    row("loader, invocations", |cost| cost.loader_requests);
    row("loader, memory", |cost| cost.loader_compute);
    row("logs", |cost| cost.logs);
    row("backup of what failed", |cost| cost.backup);
    row("total", |cost| cost.total);
    let metrics: u64 = METRICS.iter().map(|(_, metrics)| metrics).sum();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "\n{} requests of {} ms or {} of {} ms, as billed; {} deliveries of {} ms.",
        single.requests, single.request_ms, batch.requests, batch.request_ms, batch.deliveries, batch.delivery_ms,
    );
    let _ = writeln!(
        out,
        "Firehose bills each record as a multiple of 5 KB: {} or {} MB, so packing {} events into a request\nsaves ${:.4} \
         there, {:.0} %, and ${:.4} in all, {:.0} %.",
        single.firehose_bytes / 1_000_000,
        batch.firehose_bytes / 1_000_000,
        batch.batch,
        single.firehose - batch.firehose,
        (1.0 - batch.firehose / single.firehose) * 100.0,
        single.total - batch.total,
        (1.0 - batch.total / single.total) * 100.0,
    );
    let _ = writeln!(
        out,
        "Beside this, and whatever the number of events, {metrics} metrics cost ${:.2} a month while they are sent.",
        metrics_a_month(),
    );
    out
}

fn metrics_a_month() -> f64 {
    METRICS
        .iter()
        .map(|(_, metrics)| *metrics as f64 * prices::METRICS.usd)
        .sum()
}

fn price_table() -> String {
    let mut out = format!(
        "{:<32}{:>14}  {:<11}{}\n",
        "us-east-1, 2026-11-26", "$", "for a", "according to"
    );
    for price in prices::ALL {
        let usd = format!("{}", price.usd);
        let _ = writeln!(out, "{:<32}{usd:>14}  {:<11}{}", price.what, price.unit, price.source);
    }
    out
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("not a number above 0".to_owned()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        _ => Err("not a number from 0 to 100".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(flags: &str) -> Result<Args, clap::Error> {
        Cli::try_parse_from(std::iter::once("cost").chain(flags.split_whitespace())).map(|cli| cli.args)
    }

    /// docs/cost.md shows what the command prints.
    #[test]
    fn the_page_shows_the_commands_output() {
        let page = include_str!("../../../../docs/cost.md");
        for flags in ["", "--prices", "--batch 1000 --events-per-second 1000"] {
            let command = format!("    cargo weir cost {flags}").trim_end().to_owned();
            let mut expected = format!("{command}\n\n");
            for line in text(&parse(flags).unwrap()).unwrap().trim_end().lines() {
                expected.push_str(format!("      {line}").trim_end());
                expected.push('\n');
            }
            assert!(page.contains(&expected), "docs/cost.md has not:\n{expected}");
        }
    }

    #[test]
    fn flags_are_checked() {
        for (flags, wrong) in [
            ("--batch 0", "0 is not in 1..=1000000"),
            ("--event-bytes 1024001", "1024001 is not in 1..=1024000"),
            ("--events-per-second 0", "not a number above 0"),
            ("--events-per-second inf", "not a number above 0"),
            ("--events-memory 64", "64 is not in 128..=10240"),
            ("--clickhouse-ms 0", "not a number above 0"),
            ("--event-cpu-ms=-1", "not a number above 0"),
            ("--buffer-seconds 901", "901 is not in 1..=900"),
            ("--buffer-mb 65", "65 is not in 1..=64"),
            ("--failed-percent NaN", "not a number from 0 to 100"),
        ] {
            let error = parse(flags).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(wrong), "{flags}: {error}");
        }
    }

    #[test]
    fn json_says_the_same() {
        let json: serde_json::Value =
            serde_json::from_str(&text(&parse("--json --batch 10").unwrap()).unwrap()).unwrap();
        assert_eq!(
            (json["events"].as_u64(), json["costs"][1]["batch"].as_u64()),
            (Some(1_000_000), Some(10))
        );
        for cost in json["costs"].as_array().unwrap() {
            let parts = [
                "events_requests",
                "events_compute",
                "firehose",
                "loader_requests",
                "loader_compute",
                "logs",
                "backup",
            ];
            let sum: f64 = parts.iter().map(|part| cost[part].as_f64().unwrap()).sum();
            assert!((sum - cost["total"].as_f64().unwrap()).abs() < 1e-9, "{cost}");
        }
    }
}
