//! `weir chaos`: a stack of its own, known traffic, planned faults, and in the end the proof that nothing is lost and
//! nothing counted twice.
//!
//! - `schedule`: the faults and their times, `traffic` and `poison`: what is sent. All three are pure functions of the seed.
//! - `proxy`, `mischief`: what stands between the parts and breaks requests; `conduct`: commits the faults and heals them.
//! - `client`: sends, retries and reads answers; `ledger`: what the senders know.
//! - `warehouse`: what is stored in the end; `tally`: the comparison, and the table.

mod client;
mod conduct;
mod ledger;
mod mischief;
mod poison;
mod progress;
mod proxy;
mod schedule;
mod table;
mod tally;
mod traffic;
mod warehouse;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use anyhow::Context as _;
use clap::value_parser;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::client::Clients;
use self::conduct::Conductor;
use self::ledger::{Book, Ledger};
use self::proxy::Proxy;
use self::schedule::{Planned, Way};
use self::tally::Tally;
use self::traffic::Parcel;
use crate::project::Project;
use crate::report::{self, Step};
use crate::signals::Signals;
use crate::status::{Account, Places};
use crate::up::Urls;
use crate::up::apart::{Apart, Site};

/// Events a minute when `--events` does not say how many.
const EVENTS_A_MINUTE: u64 = 5000;

/// Clients, each with one request under way.
const CONNECTIONS: usize = 16;

const AFTER_HELP: &str = "\
Starts ClickHouse, Firehose and the functions as plain servers, on free ports and in a temporary folder, with a proxy on \
each way between them; no other stack is touched. While events are posted, faults are committed from a schedule that the \
seed alone decides: processes are killed in the middle of requests, connections are refused and cut, answers come late or \
get lost, deliveries come twice, out of order and under other ids, puts are taken in part or throttled, the disk is full. \
Lines that cannot be rows are put into Firehose among others. Then everything heals, and what is stored is compared with \
what was sent, by id.

Exit code: 0 when nothing is lost, nothing is counted twice, and the quarantine holds exactly the lines that belong there; \
1 when not: then the folder with the data and the logs is kept, and named; 130 after Ctrl-C, 143 after SIGTERM.";

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Minutes of traffic and faults, such as 20 or 0.5; starting and healing come on top
    #[arg(long, value_name = "N", default_value_t = 2.0, value_parser = minutes)]
    minutes: f64,
    /// Another seed is another schedule and other traffic
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Events to send, evenly over the time [default: 5000 a minute]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    events: Option<u64>,
    /// Only print the schedule
    #[arg(long)]
    dry_run: bool,
    /// Say each fault when it is committed
    #[arg(long, short)]
    verbose: bool,
    /// Keep the folder with the data and the logs when all is well, too
    #[arg(long)]
    keep: bool,
    /// Write the numbers of the table, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The engine's library, instead of the fetched one
    #[arg(long, value_name = "PATH", env = "WEIR_LIBCHDB")]
    library: Option<PathBuf>,
    /// Lose one event and double another before the comparison: it must fail then
    #[arg(long, hide = true)]
    sabotage: bool,
}

fn minutes(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|value| (0.05..=1440.0).contains(value))
        .ok_or_else(|| "not a number from 0.05 to 1440".to_owned())
}

impl Args {
    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }

    fn events(&self) -> u64 {
        let by_length = self.length().as_millis() * u128::from(EVENTS_A_MINUTE) / 60_000;
        self.events.unwrap_or(u64::try_from(by_length).unwrap_or(u64::MAX))
    }
}

/// What a run has shown.
struct Outcome {
    book: Book,
    tally: Tally,
    met: HashMap<usize, u32>,
    restarts: u32,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let plan = schedule::draw(args.seed, args.length());
    if args.dry_run {
        report::print(table::schedule(&plan));
        return Ok(ExitCode::SUCCESS);
    }
    let report_file = match &args.report {
        Some(path) => Some(File::create(path).with_context(|| format!("{} cannot be written", path.display()))?),
        None => None,
    };
    let project = Project::find()?;
    let folder = tempfile::Builder::new()
        .prefix("weir-chaos-")
        .tempdir()
        .context("no temporary folder can be made")?;
    let mut signals = Signals::listen_to_hangup()?;
    let (stop, mut stack) = (CancellationToken::new(), None);
    let ended = signals
        .or(go(&args, &plan, &project, folder.path(), &stop, &mut stack))
        .await;
    stop.cancel();
    if let Some(stack) = stack {
        let step = Step::begin("stop");
        stack.stop().await;
        step.done();
    }
    let ended = match ended {
        Ok(ended) => ended,
        Err(asked) => {
            report::say(format!("{asked}: nothing is proved, and nothing is left"));
            return Ok(asked.into());
        }
    };
    let holds = ended.as_ref().is_ok_and(|outcome| outcome.tally.holds());
    if let Ok(outcome) = &ended {
        report::print(table::outcome(&args, &plan, outcome));
        if let Some(file) = report_file {
            serde_json::to_writer_pretty(file, &outcome.tally).context("the report cannot be written")?;
        }
    }
    if args.keep || !holds {
        let kept = folder.keep();
        report::say(format!("the data and the logs are kept in {}", kept.display()));
    }
    ended.map(|_| if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything but the end. `started` holds the stack as soon as there is something to stop.
async fn go(
    args: &Args,
    plan: &[Planned],
    project: &Project,
    folder: &Path,
    stop: &CancellationToken,
    started: &mut Option<Arc<Apart>>,
) -> anyhow::Result<Outcome> {
    let site = Site::prepare(project, args.library.clone(), folder, false).await?;
    let urls = site.urls.clone();
    let stack = Arc::new(Apart::new(site)?);
    *started = Some(Arc::clone(&stack));

    let (orders, obeyed) = mpsc::unbounded_channel();
    let loader = urls.loader.trim_end_matches('/').to_owned();
    let events = urls.events.trim_end_matches("/events").to_owned();
    let mut proxies = Vec::new();
    for (way, upstream) in Way::ALL
        .into_iter()
        .zip([events, urls.firehose.clone(), loader, urls.clickhouse.clone()])
    {
        proxies.push(Proxy::start(way, upstream, orders.clone()).await?);
    }
    let mut called = urls.clone();
    called.events = format!("{}/events", proxies[0].url);
    called.firehose.clone_from(&proxies[1].url);
    called.loader = format!("{}/", proxies[2].url);
    called.clickhouse.clone_from(&proxies[3].url);

    let step = Step::begin("start a stack");
    tokio::select! {
        ready = stack.start(&called) => ready?,
        why = stack.lost() => return Err(why),
    }
    step.done();
    tokio::spawn(conduct::obey(Arc::clone(&stack), obeyed));

    let http = crate::client::builder()
        .timeout(Duration::from_secs(15))
        .build()
        .context("no HTTP client can be made")?;
    let ledger = Arc::new(Ledger::default());
    let conductor = Conductor {
        stack: Arc::clone(&stack),
        proxies,
        ledger: Arc::clone(&ledger),
        http: http.clone(),
        firehose: urls.firehose.clone(),
        stop: stop.clone(),
        verbose: args.verbose,
        begun: AtomicUsize::new(0),
    };
    let work = async {
        let without_effect = faults_and_traffic(args, plan, &called.events, &conductor).await?;
        let step = Step::begin("wait until everything is delivered");
        conductor.drained().await?;
        step.done();
        anyhow::Ok(without_effect)
    };
    let without_effect = tokio::select! {
        done = work => done?,
        why = stack.lost() => return Err(why),
    };

    let step = Step::begin("compare");
    if args.sabotage {
        warehouse::sabotage(&http, &urls.clickhouse).await?;
    }
    let backup = folder.join("data/firehose/backup");
    let mut stored = warehouse::read(&http, &urls.clickhouse, &backup).await?;
    let account = account(&http, &urls, &backup).await?;
    stored.taken = account.total().accepted;
    stored.taken_again = account.total().again;
    stored.unaccounted = account.missing.len() as u64;
    let book = ledger.take();
    let tally = Tally::of(&book, &stored);
    step.done();
    let mut met = conductor.met();
    for (number, planned) in plan.iter().enumerate() {
        if !matches!(planned.fault, schedule::Fault::Requests { .. }) && !without_effect.contains(&number) {
            met.insert(number, 1);
        }
    }
    Ok(Outcome {
        book,
        tally,
        met,
        restarts: stack.restarts(),
    })
}

/// What `weir status --reconcile` says.
async fn account(http: &reqwest::Client, urls: &Urls, backup: &Path) -> anyhow::Result<Account> {
    let warehouse = ::clickhouse::Client::default()
        .with_url(&urls.clickhouse)
        .with_database("analytics");
    let places = Places {
        http,
        firehose: &urls.firehose,
        warehouse: &warehouse,
        backup,
    };
    Ok(Account::of(&places.read(None, edge::clock::now()).await?))
}

/// Sends everything while the faults are committed, and heals when the last one is over: clients that still wait for their
/// answers then get them. Gives the numbers of faults that had no effect here.
async fn faults_and_traffic(
    args: &Args,
    plan: &[Planned],
    url: &str,
    conductor: &Conductor,
) -> anyhow::Result<Vec<usize>> {
    let (queue, parcels) = mpsc::channel(4);
    let (seed, events, length) = (args.seed, args.events(), args.length());
    tokio::spawn(produce(seed, events, length, queue));
    let clients = Clients::new(url.to_owned(), Arc::clone(&conductor.ledger), conductor.stop.clone())?;
    let sending = Arc::new(clients).run(parcels, CONNECTIONS);
    let faults = async {
        let without_effect = conductor.run(plan).await;
        conductor.heal().await?;
        anyhow::Ok(without_effect)
    };
    let both = async { tokio::join!(faults, sending).0 };
    tokio::select! {
        without_effect = both => without_effect,
        never = progress::show(conductor, plan.len(), events) => match never {},
    }
}

/// Puts the requests of a run into the queue, evenly over its time, until it holds as many events as are to be sent.
async fn produce(seed: u64, events: u64, length: Duration, queue: mpsc::Sender<Parcel>) {
    let began = tokio::time::Instant::now();
    let (mut number, mut sent) = (0, 0_u64);
    while sent < events {
        let parcel = traffic::parcel(seed, number);
        #[allow(clippy::cast_precision_loss, reason = "a share of the time")]
        let due = length.mul_f64(sent as f64 / events as f64);
        tokio::time::sleep_until(began + due).await;
        number += 1;
        sent += parcel.items.len() as u64;
        if queue.send(parcel).await.is_err() {
            return;
        }
    }
}
