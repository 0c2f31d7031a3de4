//! `weir bench`: how fast Weir is, beside how fast it is to be.
//!
//! Each part is a module with a `run` that measures and gives [`Figure`]s; `figure` prints them. No part fails because a
//! machine is slow: a goal that is missed is a word in the table. Only counts of instructions, which do not depend on the
//! machine's load, can end the command with an error.

mod figure;
mod start;

use std::process::ExitCode;

use serde::Serialize;

use self::figure::Figure;
use crate::project::Project;
use crate::report;
use crate::signals::Signals;

const AFTER_HELP: &str = "\
Without a part, all but --growth are measured. The machine should have nothing else to do. Figures are of this machine: \
compare ratios, and runs of the same machine.";

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Only how fast functions start, and what is to be loaded for it
    #[arg(long)]
    start: bool,
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

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let project = Project::find()?;
    let mut signals = Signals::listen_to_hangup()?;
    let figures = match signals.or(measure(&args, &project)).await {
        Ok(figures) => figures?,
        Err(asked) => {
            report::say(format!("{asked}: not everything was measured"));
            return Ok(asked.into());
        }
    };
    report::print(if args.json {
        serde_json::to_string_pretty(&figures)?
    } else {
        figure::table(&figures)
    });
    Ok(ExitCode::SUCCESS)
}

/// Measures the parts that are asked for.
async fn measure(args: &Args, project: &Project) -> anyhow::Result<Vec<Figure>> {
    let all = !args.start;
    let mut figures = Vec::new();
    if all || args.start {
        figures.extend(start::run(project).await?);
    }
    Ok(figures)
}
