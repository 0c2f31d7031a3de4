//! `weir quarantine`: what could not become a row, to look at, correct and replay.
//!
//! `table` reads and marks; `correct` makes a corrected line; `replay` posts lines through the front door; `print` shows bytes
//! safely.

mod correct;
mod print;
mod replay;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use uuid::Uuid;

use self::table::Filter;
pub(crate) use self::table::{Line, Quarantine, State};
use crate::moment;
use crate::project::Project;
use crate::report;
use crate::warehouse::WarehouseArgs;

const AFTER_HELP: &str = "\
Ids may be shortened to what tells them apart. A line that is replayed keeps its event_id, or gets one made of its id here: \
replayed twice, it counts once. Exit code: 0 when everything asked for was done, 1 when any line was not.";

/// Arguments of the command.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    warehouse: WarehouseArgs,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List lines, the newest first
    Ls {
        /// Only those that failed at this step: decode, json, record or insert
        #[arg(long)]
        stage: Option<String>,
        /// Only those that failed for this reason, such as invalid_field
        #[arg(long)]
        code: Option<String>,
        /// Only those kept since then: a date, a time, or an age such as 90m, 12h, 7d
        #[arg(long, value_name = "WHEN")]
        since: Option<String>,
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show one line, with its bytes
    Show {
        /// Its id
        id: String,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Keep a corrected line beside the bad one
    Fix {
        /// Its id
        id: String,
        /// A field's value as JSON, such as --set user_id=42 or --set name='"view"'
        #[arg(long, value_name = "FIELD=JSON", required_unless_present = "raw")]
        set: Vec<String>,
        /// A file that holds the whole event
        #[arg(long, value_name = "FILE", conflicts_with = "set")]
        raw: Option<PathBuf>,
    },
    /// Post lines to the events function, corrected where they have been
    Replay(replay::Args),
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let project = Project::find()?;
    let quarantine = Quarantine::new(args.warehouse.config(&project)?.client());
    match args.command {
        Command::Ls {
            stage,
            code,
            since,
            limit,
            json,
        } => {
            let since = since.map(|text| moment::parse(&text, edge::clock::now())).transpose()?;
            let filter = Filter { stage, code, since };
            let lines = quarantine.list(&filter, limit).await?;
            for line in &lines {
                report::print(if json { print::json(line)? } else { print::short(line) });
            }
            if lines.len() == limit as usize {
                report::say(format!("these are the newest {limit}: --limit shows more"));
            }
        }
        Command::Show { id, json } => {
            let line = quarantine.one(&id).await?;
            report::print(if json { print::json(&line)? } else { print::long(&line) });
        }
        Command::Fix { id, set, raw } => {
            let line = quarantine.one(&id).await?;
            if line.state == State::Replayed {
                bail!("{} is replayed already: another fix would come too late", line.id);
            }
            let corrected = match raw {
                Some(path) => std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?,
                None => correct::set(line.newest(), &set)?,
            };
            let corrected = correct::one_line(&corrected)?;
            quarantine.fix(line.id, &corrected).await?;
            report::print(format!(
                "{}: corrected; `weir quarantine replay {}` posts it",
                line.id, line.id
            ));
        }
        Command::Replay(args) => return replay::run(&project, &quarantine, args).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// The event that a line becomes: its own id, or one made of the line's.
fn event_id(line: &Line, own: Option<Uuid>) -> Uuid {
    own.unwrap_or_else(|| Uuid::new_v5(&line.id, b"replay"))
}
