//! Events through a stack of its own: how many a second are acknowledged, how many become rows, how long that takes and what
//! it costs; and the same load on another service, in turns.
//!
//! Every run of Weir ends with a comparison: each acknowledged event is a row, and one only. If not, there is no figure but an error.
//! Of the service in this repository it is asked that as many rows came as it acknowledged; of one elsewhere nothing is known.

mod against;
mod figures;
mod landed;
mod procs;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::sync::mpsc;

pub(super) use self::against::Against;
use self::against::Other;
use self::figures::{Run, percentile};
use self::landed::{ASKED_EVERY, Landed, Table};
use self::procs::Watched;
use super::Started;
use super::figure::Figure;
use super::load::{self, Requests, Sent, Span};
use crate::project::Project;
use crate::report::Step;
use crate::up::apart::{Apart, INTERVAL_SECONDS, SIZE_MB, Site};

/// Load before anything is measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// Events of a request.
const BATCHES: [usize; 2] = [1, 100];

/// Runs of each setting and service, when there is another one: in turns, so that what else the machine does meets both.
const TURNS: usize = 2;

/// What the load's own process is called.
const LOAD: &str = "the load";

/// What is to be measured.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// How long each run is measured.
    pub(super) length: Duration,
    /// Connections of each setting.
    pub(super) connections: Vec<usize>,
    /// The other service.
    pub(super) against: Option<Against>,
    /// Whether the stack is the optimised one.
    pub(super) release: bool,
    /// The engine's library, instead of the fetched one.
    pub(super) library: Option<PathBuf>,
}

/// How the load comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting {
    connections: usize,
    /// Events of a request.
    batch: usize,
}

impl fmt::Display for Setting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.connections == 1 { "" } else { "s" };
        write!(out, "{} connection{s}, ", self.connections)?;
        match self.batch {
            1 => out.write_str("single"),
            batch => write!(out, "by {batch}"),
        }
    }
}

/// Which service a run was of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Weir,
    Other,
}

/// How the local Firehose buffers, for who reads how long a row takes.
fn buffered() -> String {
    format!(
        "Firehose delivers after {INTERVAL_SECONDS} s or {SIZE_MB} MiB, and the table is asked every {} ms",
        ASKED_EVERY.as_millis()
    )
}

/// Measures it. `started` holds the stack as soon as there is something to stop.
pub(super) async fn run(project: &Project, plan: &Plan, started: &mut Started) -> anyhow::Result<Vec<Figure>> {
    let folder = started.folder("weir-bench-")?;
    let site = Site::prepare(project, plan.library.clone(), &folder, plan.release).await?;
    let urls = site.urls.clone();
    let stack = Arc::new(Apart::new(site)?);
    started.stack = Some(Arc::clone(&stack));
    let step = Step::begin("start a stack");
    tokio::select! {
        ready = stack.start(&urls) => ready?,
        why = stack.lost() => return Err(why),
    }
    step.done();
    let other = match &plan.against {
        Some(against) => Some(Other::start(against, project, stack.engine(), &folder).await?),
        None => None,
    };
    let bench = Bench {
        stack: Arc::clone(&stack),
        url: urls.events,
        table: Table::at(&urls.clickhouse)?,
        other,
        length: plan.length,
    };
    let measured = tokio::select! {
        measured = bench.all(&plan.connections) => measured,
        why = stack.lost() => Err(why),
    };
    if let Some(other) = bench.other {
        other.stop().await;
    }
    Ok(figures::of(&measured?))
}

/// What a bench has.
struct Bench {
    stack: Arc<Apart>,
    url: String,
    table: Table,
    other: Option<Other>,
    length: Duration,
}

impl Bench {
    async fn all(&self, connections: &[usize]) -> anyhow::Result<Vec<Run>> {
        let mut runs = Vec::new();
        let turns = if self.other.is_some() { TURNS } else { 1 };
        for &connections in connections {
            for _ in 0..turns {
                for batch in BATCHES {
                    let setting = Setting { connections, batch };
                    let step = Step::begin(setting.to_string());
                    let run = self.weir(setting).await.with_context(|| setting.to_string())?;
                    step.done();
                    runs.push(run);
                    if let Some(other) = self.other.as_ref().filter(|_| batch == 1) {
                        let step = Step::begin(format!("{setting}, the other service"));
                        let run = self.other(other, setting).await;
                        step.done();
                        runs.push(run.context("the other service")?);
                    }
                }
            }
        }
        Ok(runs)
    }

    fn span(&self) -> Span {
        let from = Instant::now() + WARM_UP;
        let to = from + self.length;
        Span { from, to }
    }

    /// One run through the stack.
    async fn weir(&self, setting: Setting) -> anyhow::Result<Run> {
        self.table.empty().await?;
        let requests = Arc::new(Requests::new(&self.url, setting.batch, true)?);
        let watched: Vec<_> = ["events", "firehose", "loader", "clickhouse"]
            .into_iter()
            .filter_map(|name| Some(Watched::begin(name, self.stack.pid(name)?)))
            .chain([Watched::begin(LOAD, std::process::id())])
            .collect();
        let span = self.span();
        let marked_at = requests.marked_at;
        let (told, marks) = mpsc::unbounded_channel();
        let at_start = async {
            tokio::time::sleep_until(span.from.into()).await;
            self.table.rows().await
        };
        let (sent, delays, rows_at_start) = tokio::try_join!(
            load::send(requests, setting.connections, span, Some(told)),
            self.table.delays(marked_at, marks),
            at_start,
        )?;
        let landed = Landed {
            rows_at_start,
            all: Some(self.table.reach(sent.acknowledged).await?),
            delays,
        };
        let costs = watched.iter().filter_map(Watched::cost).collect();
        let refused: u64 = sent.refused.values().sum();
        self.table.holds(sent.acknowledged, refused > 0).await?;
        ensure!(self.stack.restarts() == 0, "a part of the stack died");
        Ok(self.outcome(setting, Service::Weir, span, &sent, costs, Some(&landed)))
    }

    /// One run of the other service.
    async fn other(&self, other: &Other, setting: Setting) -> anyhow::Result<Run> {
        let requests = Arc::new(Requests::new(&other.url, setting.batch, false)?);
        let mut watched = other.watch();
        watched.push(Watched::begin(LOAD, std::process::id()));
        let span = self.span();
        let before = other.rows().await?;
        let sent = load::send(requests, setting.connections, span, None).await?;
        // To store what it has taken is of its costs, and not of the next run's.
        other.reaches(before, sent.acknowledged).await?;
        let costs = watched.iter().filter_map(Watched::cost).collect();
        Ok(self.outcome(setting, Service::Other, span, &sent, costs, None))
    }

    fn outcome(
        &self,
        setting: Setting,
        service: Service,
        span: Span,
        sent: &Sent,
        costs: Vec<procs::Cost>,
        landed: Option<&Landed>,
    ) -> Run {
        #[allow(clippy::cast_precision_loss, reason = "a figure")]
        let a_second = |events: u64, time: Duration| events as f64 / time.as_secs_f64();
        let rate_landed = landed.and_then(|landed| {
            let time = landed.all?.duration_since(span.from);
            Some(a_second(sent.acknowledged.saturating_sub(landed.rows_at_start), time))
        });
        let delay = landed.and_then(|landed| {
            let delays = &landed.delays;
            Some((*delays.get(delays.len() / 2)?, *delays.last()?, delays.len()))
        });
        Run {
            setting,
            service,
            rate: a_second(sent.within, self.length),
            landed: rate_landed,
            p50: percentile(sent, 0.5),
            p99: percentile(sent, 0.99),
            delay,
            events: sent.acknowledged,
            costs,
            refused: sent.refused.values().sum(),
        }
    }
}
