//! `weir replay`: what Firehose gave up on, from its backup to the tables.
//!
//! `source` finds the objects, in a folder or in S3; `done` remembers which are finished, so that an interrupted run goes on
//! where it was. The work itself is the function `replay`'s library.

mod done;
pub(crate) mod source;

use std::process::ExitCode;

use ::replay::handler::DELIVERY_LIMIT;
use ::replay::{Contents, Outcome};
use anyhow::Context as _;
use edge::clickhouse::ClickHouseConfig;

use self::done::Done;
use self::source::Source;
use crate::project::Project;
use crate::report::{self, Step};
use crate::signals::Signals;
use crate::warehouse::{self, WarehouseArgs};

const AFTER_HELP: &str = "\
A source is a file, a folder with everything below it, or s3://bucket/prefix (AWS_REGION, AWS_ACCESS_KEY_ID, \
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_ENDPOINT_URL_S3 say where and as whom). Objects hold Firehose's error records, \
gzip or not. What was stored already is recognised: replaying again changes nothing. Objects that were finished are \
remembered and passed over.

Exit code: 0 when everything was replayed, 1 when anything could not be, 130 after Ctrl-C, 143 after SIGTERM: the same again \
goes on where it was.";

/// Arguments of the command.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Files, folders or s3:// addresses [default: the local Firehose's backup]
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
    /// Replay objects that were finished before, too
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    warehouse: WarehouseArgs,
}

/// How far a run is.
#[derive(Debug, Default)]
struct Tally {
    /// Objects that were found.
    objects: usize,
    /// Of these, finished before.
    before: usize,
    /// Of these, unreadable.
    failed: usize,
    /// Of these, replayed now.
    replayed: usize,
    sum: Outcome,
}

/// Runs the command. What a signal interrupts is abandoned: an object that is half stored is replayed again.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut tally = Tally::default();
    match Signals::listen()?.or(replay(args, &mut tally)).await {
        Ok(ended) => ended,
        Err(asked) => {
            report::say(format!(
                "{asked}: {} of {} objects were replayed, {} before; run the same again, it goes on with the next",
                tally.replayed, tally.objects, tally.before
            ));
            Ok(asked.into())
        }
    }
}

async fn replay(args: Args, tally: &mut Tally) -> anyhow::Result<ExitCode> {
    let project = Project::find()?;
    let clickhouse = args.warehouse.config(&project)?;
    let client = clickhouse.client();
    let mut sources = args.sources;
    if sources.is_empty() {
        sources.push(project.data("firehose").join("backup").display().to_string());
    }
    let mut objects = Vec::new();
    for source in &sources {
        objects.extend(Source::open(source)?.objects().await?);
    }
    let mut done = Done::open(&project.replayed(), &target(&clickhouse))?;
    let total: u64 = objects.iter().map(|object| object.bytes).sum();
    let step = Step::begin(format!("{} objects: replay", objects.len()));
    step.expect_bytes(total);
    tally.objects = objects.len();
    let mut bytes = 0;
    for object in &objects {
        bytes += object.bytes;
        if !args.again && done.holds(&object.identity) {
            tally.before += 1;
            step.at_bytes(bytes);
            continue;
        }
        let contents = match object.read().await {
            Ok(content) => Contents::read(&content).map_err(|error| anyhow::anyhow!("{}: {error}", object.name)),
            Err(error) => Err(error),
        };
        match contents {
            Err(error) => {
                tally.failed += 1;
                report::say(format!("{error:#}"));
            }
            Ok(contents) => {
                for wrong in &contents.undecodable {
                    report::say(format!("{}: {wrong}", object.name));
                }
                let outcome = ::replay::store(&client, contents, &object.name, DELIVERY_LIMIT)
                    .await
                    .map_err(|error| warehouse::in_full(&error))
                    .with_context(|| format!("{} was not replayed: run the same again", object.name))?;
                tally.sum.add(outcome);
                tally.replayed += 1;
                // One that holds what cannot be read is not finished: it is named again the next time.
                if outcome.undecodable == 0 {
                    done.add(&object.identity)?;
                }
            }
        }
        step.at_bytes(bytes);
    }
    step.done();
    let sum = tally.sum;
    report::print(format!(
        "{} objects replayed, {} before, {} unreadable; {} records: {} rows, {} lines in quarantine, {} lines that are no \
         record",
        tally.replayed, tally.before, tally.failed, sum.records, sum.rows, sum.quarantined, sum.undecodable
    ));
    Ok(if tally.failed + sum.undecodable == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What is finished is finished for one database of one server.
fn target(warehouse: &ClickHouseConfig) -> String {
    format!("{} {}", warehouse.url.trim_end_matches('/'), warehouse.database)
}
