//! `weir status`: how the stack does, and whether every event is accounted for.
//!
//! - `health`: the stack's parts and their figures; `screen`: how they look.
//! - `reconcile`: the account of what was accepted, purely; `evidence`: what it is made of.

mod evidence;
mod health;
mod reconcile;
mod screen;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use console::Term;

pub(crate) use self::evidence::{Places, each_given_up};
use self::health::Health;
pub(crate) use self::reconcile::Account;
use crate::client;
use crate::firehose::ledger::KEPT_HOURS;
use crate::moment;
use crate::project::Project;
use crate::report::{self, Step};
use crate::signals::Signals;
use crate::up;
use crate::warehouse::WarehouseArgs;

/// How often `--watch` asks.
const EVERY: Duration = Duration::from_secs(2);

const AFTER_HELP: &str = "\
With --reconcile, every line that Firehose has accepted is looked for by the id of its event: in events, in quarantine, on its \
way, in the backup. By the hour in which it was accepted last: accepted = stored + again + quarantined + in flight + given up \
+ missing. An event that was sent again counts where it came last, and before that as again. Firehose keeps the ids for 31 days.

Exit code: 0 when every part answers (with --reconcile: when nothing is missing), 1 when not.";

/// Arguments of the command.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Account for every accepted event, by hour
    #[arg(long)]
    reconcile: bool,
    /// What was accepted since the hour of: a date, a time, or an age such as 90m, 12h, 7d
    #[arg(long, value_name = "WHEN", default_value = "24h", requires = "reconcile")]
    since: String,
    /// As one JSON object
    #[arg(long)]
    json: bool,
    /// Show it again every two seconds, until Ctrl-C
    #[arg(long, conflicts_with_all = ["json", "reconcile"])]
    watch: bool,
    #[command(flatten)]
    warehouse: WarehouseArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let project = Project::find()?;
    let stack = up::running(&project)?.context("nothing is running: start it with `weir up`")?;
    let warehouse = args.warehouse.config(&project)?.client();
    let http = client::builder().build().context("no HTTP client can be made")?;
    let (text, holds) = if args.reconcile {
        let now = edge::clock::now();
        let since = moment::parse(&args.since, now)?;
        let hour = since.as_second().div_euclid(3600);
        let oldest = now.as_second().div_euclid(3600) - KEPT_HOURS;
        if hour < oldest {
            report::say("Firehose keeps the ids of the last 31 days: what is older is not accounted for");
        }
        let step = Step::begin("look for every accepted line");
        let backup = project.data("firehose").join("backup");
        let places = Places {
            http: &http,
            firehose: &stack.firehose,
            warehouse: &warehouse,
            backup: &backup,
        };
        let account = Account::of(&places.read(Some(hour.max(oldest)), now).await?);
        step.done();
        let text = if args.json {
            serde_json::to_string(&account)?
        } else {
            account.table()
        };
        (text, account.holds())
    } else if args.watch {
        return watch(&http, &stack, &warehouse).await;
    } else {
        let now = edge::clock::now();
        let health = Health::of(&http, &stack, &warehouse, now).await;
        let text = if args.json {
            serde_json::to_string(&health)?
        } else {
            health.screen(now)
        };
        (text, health.is_good())
    };
    report::print(text);
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows the screen again and again, in place where standard output is a terminal, until a signal comes or nobody reads.
async fn watch(
    http: &reqwest::Client,
    stack: &up::Running,
    warehouse: &clickhouse::Client,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let terminal = Term::stdout();
    if terminal.is_term() {
        let _ = terminal.hide_cursor();
    }
    let draw = async {
        loop {
            let now = edge::clock::now();
            let health = Health::of(http, stack, warehouse, now).await;
            let mut text = health.screen(now);
            if terminal.is_term() {
                // Line by line over what was there, so that nothing flickers.
                text = format!("\x1b[H{}\x1b[K\n\x1b[J", text.replace('\n', "\x1b[K\n"));
            }
            if report::try_print(text).is_err() {
                return;
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    let ended = signals.or(draw).await;
    if terminal.is_term() {
        let _ = terminal.show_cursor();
    }
    Ok(match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(asked) => asked.into(),
    })
}
