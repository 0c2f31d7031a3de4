//! `weir`: the local stack and the operator's command line.
//!
//! This file is the map of the commands; each lives in the module of its name.

mod bench;
mod chaos;
mod clickhouse;
mod client;
mod cost;
mod dbt;
mod firehose;
mod generate;
mod metrics;
mod migrate;
mod moment;
mod project;
mod quarantine;
mod replay;
mod report;
mod signals;
mod status;
mod tail;
mod test;
mod tools;
mod trace;
mod up;
mod warehouse;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Weir on one machine: the same functions, buffer and warehouse as on AWS.
#[derive(Parser)]
#[command(name = "weir", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the whole stack: ClickHouse, Firehose, the functions
    Up(up::Args),
    /// Stop a stack started with `weir up --detach`
    Down(up::down::Args),
    /// Run every test: Rust, dbt, the stack end to end
    Test(test::Args),
    /// Apply migrations/ to ClickHouse
    Migrate(migrate::Args),
    /// Run dbt in its managed environment
    Dbt(dbt::Args),
    /// Send the demo shop's traffic
    Generate(Box<generate::Args>),
    /// Show how the stack does; with --reconcile, whether every event is accounted for
    Status(status::Args),
    /// Show where one event is, and how it came there
    Trace(trace::Args),
    /// Show events as they arrive
    Tail(tail::Args),
    /// Look at, correct and replay what could not become a row
    Quarantine(quarantine::Args),
    /// Replay what Firehose gave up on, from its backup
    Replay(replay::Args),
    /// Break a stack of its own under known traffic, and prove that nothing is lost and nothing counted twice
    Chaos(chaos::Args),
    /// Compute what a million events cost on AWS
    Cost(cost::Args),
    /// Measure how fast everything is, beside how fast it is to be
    Bench(bench::Args),
    /// Serve ClickHouse's HTTP interface over the embedded engine
    Clickhouse(clickhouse::Args),
    /// Serve the Firehose API and deliver to an HTTP endpoint
    Firehose(Box<firehose::Args>),
    /// Run a function and serve the metrics of its records
    Metrics(metrics::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Up(args) => up::run(args).await,
        Command::Down(args) => up::down::run(args).await,
        Command::Test(args) => test::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Dbt(args) => dbt::run(args).await,
        Command::Generate(args) => generate::run(*args).await,
        Command::Status(args) => status::run(args).await,
        Command::Trace(args) => trace::run(args).await,
        Command::Tail(args) => tail::run(args).await,
        Command::Quarantine(args) => quarantine::run(args).await,
        Command::Replay(args) => replay::run(args).await,
        Command::Chaos(args) => chaos::run(args).await,
        Command::Cost(args) => cost::run(args).await,
        Command::Bench(args) => bench::run(args).await,
        Command::Clickhouse(args) => clickhouse::run(args).await,
        Command::Firehose(args) => firehose::run(*args).await,
        Command::Metrics(args) => metrics::run(args).await,
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            #[allow(
                clippy::print_stderr,
                reason = "the one place where a command's error reaches the terminal"
            )]
            {
                eprintln!("weir: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
