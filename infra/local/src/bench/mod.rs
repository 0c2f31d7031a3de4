//! `weir bench`: how fast Weir is, beside how fast it is to be.
//!
//! Each part is a module with a `run` that measures and gives [`Figure`]s; `figure` prints them. No part fails because a
//! machine is slow: a goal that is missed is a word in the table. Only counts of instructions, which do not depend on the
//! machine's load, can end the command with an error.

mod cargo;
mod cpu;
mod end_to_end;
mod figure;
mod growth;
mod instructions;
mod load;
mod server_cpu;
mod start;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::value_parser;
use serde::Serialize;
use tempfile::TempDir;

use self::end_to_end::Against;
use self::figure::Figure;
use crate::project::Project;
use crate::report;
use crate::signals::Signals;
use crate::up::{self, apart::Apart};

/// Rows stored while --growth measures, when --rows does not say it.
const ROWS: [u64; 4] = [1_000_000, 10_000_000, 50_000_000, 100_000_000];

const AFTER_HELP: &str = "\
Without a part, all but --growth are measured. The machine should have nothing else to do. Figures are of this machine: \
compare ratios, and runs of the same machine.";

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// From a request's body to records: how fast, and beside serde_json
    #[arg(long)]
    edge: bool,
    /// From a delivery to the blocks of its inserts: how fast
    #[arg(long)]
    loader: bool,
    /// Instructions of both, by callgrind, compared with the counts that are kept; more than 5 % above is an error
    #[arg(long)]
    instructions: bool,
    /// Keep the new counts instead of comparing
    #[arg(long, requires = "instructions")]
    accept: bool,
    /// How fast functions start, and what is to be loaded for it
    #[arg(long)]
    start: bool,
    /// Post events to a stack of its own, and see them land
    #[arg(long)]
    end_to_end: bool,
    /// Post the same to another service in turns: its address, or `fastapi` for the one in tests/clients
    #[arg(long, value_name = "URL|fastapi")]
    against: Option<Against>,
    /// Seconds that each run of --end-to-end is measured
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Connections of --end-to-end
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 8, 64], value_parser = value_parser!(u16).range(1..=900))]
    connections: Vec<u16>,
    /// The engine's library, instead of the fetched one
    #[arg(long, value_name = "PATH", env = "WEIR_LIBCHDB")]
    library: Option<PathBuf>,
    /// Measure the stack without optimisation, which is built already where tests run
    #[arg(long, hide = true)]
    unoptimised: bool,
    /// Take events, run dbt and read with more and more rows stored: needs some 20 GB of disk, and an hour
    #[arg(long)]
    growth: bool,
    /// Rows stored while --growth measures
    #[arg(long, value_name = "N,…", value_delimiter = ',', requires = "growth",
        default_values_t = ROWS, value_parser = value_parser!(u64).range(100_000..=1_000_000_000))]
    rows: Vec<u64>,
    /// What an invocation takes in processor time, and what a million events cost on AWS then
    #[arg(long)]
    cost: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// A part of the benches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    /// From a request's body to records of the stream.
    Edge,
    /// From a delivery to the blocks of inserts.
    Loader,
    /// Instructions of the same, by callgrind.
    Instructions,
    /// From exec to the first event, and the first record.
    Start,
    /// Through the whole stack.
    EndToEnd,
    /// With more and more rows stored.
    Growth,
    /// What a million events cost.
    Cost,
}

impl Part {
    /// Whether this program itself sends or answers while it is measured.
    fn takes_part(&self) -> bool {
        matches!(self, Part::Start | Part::EndToEnd | Part::Growth | Part::Cost)
    }

    /// As a heading.
    fn title(self) -> &'static str {
        match self {
            Part::Edge => "Edge CPU",
            Part::Loader => "Loader CPU",
            Part::Instructions => "Instructions",
            Part::Start => "Cold start",
            Part::EndToEnd => "End to end",
            Part::Growth => "Growth",
            Part::Cost => "Cost",
        }
    }
}

/// What a part has started, for the case that it is not there any more to stop it.
#[derive(Default)]
struct Started {
    stack: Option<Arc<Apart>>,
    /// Where the stack has its data and its logs.
    folder: Option<TempDir>,
}

impl Started {
    /// A folder for what is to be started.
    fn folder(&mut self, prefix: &str) -> anyhow::Result<PathBuf> {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir();
        let folder = self.folder.insert(folder.context("no temporary folder can be made")?);
        Ok(folder.path().to_owned())
    }

    /// Stops it. The folder goes, or with `keep` stays.
    async fn stop(self, keep: bool) {
        if let Some(stack) = self.stack {
            stack.stop().await;
        }
        if let Some(folder) = self.folder.filter(|_| keep) {
            let kept = folder.keep();
            report::say(format!("the data and the logs are kept in {}", kept.display()));
        }
    }
}

/// The variable that marks this program, once it is optimised, and whatever it starts.
const MARK: &str = "WEIR_BENCH_RUN";

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let project = Project::find()?;
    if cfg!(debug_assertions) && !args.unoptimised && args.parts().iter().any(Part::takes_part) {
        return instead(&project).await;
    }
    let mut signals = Signals::listen_to_hangup()?;
    let (mut started, mut figures) = (Started::default(), Vec::new());
    let ended = signals.or(measure(&args, &project, &mut started, &mut figures)).await;
    started.stop(matches!(ended, Ok(Err(_)))).await;
    if let Some(mark) = edge::config::env(MARK) {
        up::sweep(MARK, &mark).await;
    }
    // Also what was measured before it ended.
    if !figures.is_empty() {
        report::print(if args.json {
            serde_json::to_string_pretty(&figures)?
        } else {
            figure::table(&figures)
        });
    }
    match ended {
        Ok(ended) => ended.map(|()| ExitCode::SUCCESS),
        Err(asked) => {
            report::say(format!("{asked}: not everything was measured"));
            Ok(asked.into())
        }
    }
}

/// Runs the optimised program instead of this one: what sends shares the processors with what is measured.
async fn instead(project: &Project) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    let weir = up::build::optimised(project.root()).await?;
    let failed = std::process::Command::new(&weir)
        .args(std::env::args_os().skip(1))
        .env(MARK, uuid::Uuid::new_v4().to_string())
        .exec();
    Err(failed).with_context(|| format!("{} cannot be started", weir.display()))
}

impl Args {
    /// The parts that are asked for.
    fn parts(&self) -> Vec<Part> {
        let asked = [
            (Part::Edge, self.edge),
            (Part::Loader, self.loader),
            (Part::Instructions, self.instructions),
            (Part::Start, self.start),
            (Part::EndToEnd, self.end_to_end || self.against.is_some()),
            (Part::Growth, self.growth),
            (Part::Cost, self.cost),
        ];
        let all = asked.iter().all(|(_, asked)| !asked);
        let parts = asked
            .into_iter()
            .filter(|(part, asked)| *asked || all && *part != Part::Growth);
        parts.map(|(part, _)| part).collect()
    }

    fn growth_plan(&self) -> growth::Plan {
        let mut rows = self.rows.clone();
        rows.sort_unstable();
        rows.dedup();
        growth::Plan {
            // A plot of less than all is not for docs/.
            plotted: rows == ROWS && !self.unoptimised,
            rows,
            release: !self.unoptimised,
            library: self.library.clone(),
        }
    }

    fn plan(&self) -> end_to_end::Plan {
        end_to_end::Plan {
            length: Duration::from_secs(self.seconds),
            connections: self.connections.iter().copied().map(usize::from).collect(),
            against: self.against.clone(),
            release: !self.unoptimised,
            library: self.library.clone(),
        }
    }
}

/// Measures the parts that are asked for.
async fn measure(
    args: &Args,
    project: &Project,
    started: &mut Started,
    figures: &mut Vec<Figure>,
) -> anyhow::Result<()> {
    for part in args.parts() {
        let library = args.library.clone();
        let measured = match part {
            Part::Edge => cpu::edge(project).await?,
            Part::Loader => cpu::loader(project, library).await?,
            Part::Instructions => {
                instructions::run(project, args.accept, figures).await?;
                Vec::new()
            }
            Part::EndToEnd => end_to_end::run(project, &args.plan(), started).await?,
            Part::Growth => growth::run(project, &args.growth_plan(), started).await?,
            Part::Start => start::run(project).await?,
            Part::Cost => start::bill::run(project, library).await?,
        };
        figures.extend(measured);
        std::mem::take(started).stop(false).await;
    }
    Ok(())
}
