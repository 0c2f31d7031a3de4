//! `weir trace`: where one event is, from the request that brought it to the marts that count it.
//!
//! - `rows`: what the tables know; `logs`: what this machine's logs do. Firehose and the backup are asked as `weir status
//!   --reconcile` asks them.
//! - `timeline`: all of it, for people and for programs, purely.

mod logs;
mod rows;
mod timeline;

use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use uuid::Uuid;

use self::timeline::{GivenUp, Kept, Trace};
use crate::quarantine::Quarantine;
use crate::status::{Places, each_given_up};
use crate::warehouse::WarehouseArgs;
use crate::{client, project::Project, report, signals::Signals, up};

const AFTER_HELP: &str = "\
Asked are Firehose's ledger, the backup and the logs of this machine's stack, if one runs, and the tables of ClickHouse. What cannot be \
asked is said. An id that is no version 7 UUID is looked for in all of events, for a minute at most.

Exit code: 0 when the event was found, 1 when not.";

/// Arguments of the command.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The event's id
    #[arg(value_name = "EVENT_ID")]
    event_id: String,
    /// As one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    warehouse: WarehouseArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let event_id = Uuid::try_parse(args.event_id.trim())
        .ok()
        .with_context(|| format!("{} is not a UUID", report::escaped(args.event_id.as_bytes())))?;
    let mut signals = Signals::listen()?;
    let trace = match signals.or(read(event_id, &args)).await {
        Ok(trace) => trace?,
        Err(asked) => {
            report::say(asked.to_string());
            return Ok(asked.into());
        }
    };
    report::print(if args.json {
        serde_json::to_string(&trace)?
    } else {
        trace.text()
    });
    Ok(if trace.found() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn read(event_id: Uuid, args: &Args) -> anyhow::Result<Trace> {
    let project = Project::find()?;
    let stack = up::running(&project)?;
    let warehouse = args.warehouse.config(&project)?.client();
    let http = client::builder().build().context("no HTTP client can be made")?;
    let backup = project.data("firehose").join("backup");
    let mut trace = Trace::of(event_id);
    // From the beginning of the way to its end: what moves on meanwhile is found where it goes.
    match &stack {
        Some(stack) => {
            let places = Places {
                http: &http,
                firehose: &stack.firehose,
                warehouse: &warehouse,
                backup: &backup,
            };
            match places.whereabouts(event_id).await {
                Ok(found) => trace.firehose = Some(found),
                Err(error) => trace.unread.push(format!("{error:#}")),
            }
        }
        None => trace
            .unread
            .push("no stack runs here: Firehose is not asked".to_owned()),
    }
    let mut ids = Vec::new();
    let read = each_given_up(&backup, |object, key, request_id| {
        if key == event_id {
            ids.extend(request_id.map(str::to_owned));
            let known = trace.given_up.iter().any(|known| known.object == object);
            if !known {
                trace.given_up.push(GivenUp {
                    object: object.to_owned(),
                });
            }
        }
    });
    if let Err(error) = read.await {
        trace.unread.push(format!("{error:#}"));
    }
    match Quarantine::new(warehouse.clone()).of_event(event_id).await {
        Ok(lines) => {
            for line in lines {
                ids.extend(logs::request_id(&line.raw));
                trace.quarantine.push(Kept::from(line));
            }
        }
        Err(error) => trace.unread.push(format!("the quarantine cannot be read: {error:#}")),
    }
    match rows::find(&warehouse, event_id).await {
        Ok(rows) => trace.rows = rows,
        Err(error) => trace.unread.push(format!("events cannot be read: {error:#}")),
    }
    if let Some(oldest) = trace.rows.iter().map(|row| row.inserted_s).min() {
        match rows::runs(&warehouse).await {
            Ok(runs) => trace.marts = Some(timeline::Marts::of(&runs, oldest)),
            Err(error) => trace.unread.push(format!("dbt_runs cannot be read: {error:#}")),
        }
    }
    ids.extend(trace.rows.iter().map(|row| row.request_id.clone()));
    ids.sort_unstable();
    ids.dedup();
    // A shorter one would be found in lines of other requests.
    ids.retain(|id| id.len() == uuid::fmt::Hyphenated::LENGTH && event_model::is_request_id(id));
    let folder = project.logs();
    let (found, ids) = tokio::task::spawn_blocking(move || (logs::find(&folder, &ids), ids)).await?;
    trace.requests = found;
    trace.insights = ids.iter().map(|id| timeline::insights(id)).collect();
    Ok(trace)
}

/// When an id was made, if it says so.
fn made_at(event_id: Uuid) -> Option<Timestamp> {
    if event_id.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanoseconds) = event_id.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
}
