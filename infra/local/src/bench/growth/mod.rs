//! How fast it is with more and more rows stored: taking events, bringing the marts up to date, reading them.
//!
//! A stack of its own is filled backwards from yesterday, with as many events a day however many rows there are: so a longer
//! history is more months, as it is in life, and what arrives is the same with each. What is measured is what arrives.

mod plot;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use self::plot::Panel;
use super::figure::{Figure, median};
use super::load::{self, Requests, Span};
use super::{Part, Started};
use crate::project::Project;
use crate::report::{self, Step};
use crate::up::Urls;
use crate::up::apart::{Apart, Site};
use crate::up::throwaway;

/// Events of each day of the history.
const EVENTS_A_DAY: u64 = 100_000;

/// Users that are new each day, and users that a day's events are drawn from.
const NEW_USERS: u64 = 500;
const USERS: u64 = 20_000;

/// What arrives before each run of dbt that is measured: new events, and late ones of the week before.
const NEW_EVENTS: u64 = 20_000;
const LATE_EVENTS: u64 = 200;

/// How often each thing is measured; the median counts.
const ROUNDS: usize = 3;

/// Connections and events a request while events are taken, and for how long.
const CONNECTIONS: usize = 8;
const BATCH: usize = 100;
const SENDING: Duration = Duration::from_secs(5);

/// Requests to `/activity`.
const READS: usize = 200;

/// How long merges may take after the table was filled.
const MERGES: Duration = Duration::from_secs(900);

/// By how much a measure may differ from that with the fewest rows.
const FLAT: f64 = 0.2;

/// What was measured with so many rows stored.
#[derive(Debug, Clone, PartialEq)]
struct Measured {
    rows: u64,
    /// Events acknowledged a second.
    taken: f64,
    /// Seconds of an incremental run of dbt, from the first model to the last.
    dbt: f64,
    /// The same with dbt's own start, which does not depend on rows.
    dbt_in_all: f64,
    /// Milliseconds of `GET /activity`, the median.
    read: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured {
            rows,
            taken,
            dbt,
            dbt_in_all,
            read,
        } = self;
        write!(
            out,
            "{rows} rows: {taken:.0} events/s, dbt {dbt:.2} s ({dbt_in_all:.1} s in all), /activity {read:.2} ms"
        )
    }
}

/// What is to be measured.
pub(super) struct Plan {
    /// Rows stored, from the fewest.
    pub(super) rows: Vec<u64>,
    /// Whether the stack is the optimised one.
    pub(super) release: bool,
    /// Whether the plot goes to `docs/growth.svg`, and not to `target/`.
    pub(super) plotted: bool,
    /// The engine's library, instead of the fetched one.
    pub(super) library: Option<PathBuf>,
}

/// Fills up to each number of rows, measures, and writes the plot. `started` holds the stack as soon as there is something to stop.
pub(super) async fn run(project: &Project, plan: &Plan, started: &mut Started) -> anyhow::Result<Vec<Figure>> {
    let folder = started.folder("weir-growth-")?;
    let site = Site::prepare(project, plan.library.clone(), &folder, plan.release).await?;
    let urls = site.urls.clone();
    let stack = Arc::new(Apart::new(site)?);
    started.stack = Some(Arc::clone(&stack));
    let work = async {
        stack.start(&urls).await?;
        stack.add_activity().await?;
        measure(project, &stack, &urls, &folder, plan).await
    };
    let measured = tokio::select! {
        measured = work => measured?,
        why = stack.lost() => return Err(why),
    };
    Ok(figures(&measured))
}

async fn measure(
    project: &Project,
    stack: &Apart,
    urls: &Urls,
    folder: &Path,
    plan: &Plan,
) -> anyhow::Result<Vec<Measured>> {
    let warehouse = Warehouse { url: &urls.clickhouse };
    let dbt = Dbt {
        weir: stack.engine().0,
        project,
        url: &urls.clickhouse,
        folder,
    };
    let (mut filled, mut arrived, mut measured) = (0, 0, Vec::new());
    let path = project.root().join(if plan.plotted {
        "docs/growth.svg"
    } else {
        "target/growth.svg"
    });
    for &rows in &plan.rows {
        let step = Step::begin(format!("growth: fill up to {rows} rows"));
        // What was measured with fewer rows is among them.
        let missing = rows.saturating_sub(warehouse.number("SELECT count() FROM events").await?);
        warehouse.fill(filled, filled + missing).await?;
        filled += missing;
        warehouse.settle().await?;
        step.done();
        let step = Step::begin(format!("growth: build the marts of {rows} rows"));
        // Of a history that was not there before.
        dbt.run(&["run", "--full-refresh"]).await?;
        warehouse.settle().await?;
        step.done();
        let step = Step::begin(format!("growth: measure with {rows} rows"));
        let mut runs = Vec::new();
        for _ in 0..ROUNDS {
            warehouse.arrive(arrived).await?;
            arrived += NEW_EVENTS + LATE_EVENTS;
            warehouse.settle().await?;
            runs.push(dbt.run(&["run"]).await?);
        }
        let read = read(&urls.activity).await?;
        let taken = take(urls).await?;
        warehouse.wait_for(&urls.firehose, stack).await?;
        // Millions of one day would be another history.
        warehouse.forget_taken().await?;
        step.done();
        let of = |of: fn(&Ran) -> f64| median(&runs.iter().map(of).collect::<Vec<_>>());
        let one = Measured {
            rows,
            taken,
            dbt: of(|ran| ran.queries),
            dbt_in_all: of(|ran| ran.all),
            read,
        };
        // The rest takes a while, and may be cut short.
        report::say(format!("growth: {one}"));
        measured.push(one);
        std::fs::write(&path, plot::svg(&panels(&measured)))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(measured)
}

/// Events acknowledged a second.
async fn take(urls: &Urls) -> anyhow::Result<f64> {
    let requests = Arc::new(Requests::new(&urls.events, BATCH, true)?);
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let from = Instant::now() + Duration::from_secs(1);
        let span = Span {
            from,
            to: from + SENDING,
        };
        let sent = load::send(Arc::clone(&requests), CONNECTIONS, span, None).await?;
        ensure!(sent.refused.is_empty(), "events were refused: {:?}", sent.refused);
        rates.push(sent.within as f64 / SENDING.as_secs_f64());
    }
    Ok(median(&rates))
}

/// Milliseconds of `GET /activity` of the last thirty days.
async fn read(url: &str) -> anyhow::Result<f64> {
    let client = crate::client::builder().build().context("no HTTP client can be made")?;
    let mut times = Vec::new();
    for _ in 0..READS {
        let began = Instant::now();
        let body = client.get(url).send().await?.error_for_status()?.bytes().await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(body.len() > 100, "GET /activity has no days");
    }
    Ok(median(&times))
}

/// The stack's ClickHouse.
struct Warehouse<'a> {
    url: &'a str,
}

impl Warehouse<'_> {
    /// Adds the rows from the one of that number to the one of this, each further back in time.
    async fn fill(&self, from: u64, to: u64) -> anyhow::Result<()> {
        let mut at = from;
        while at < to {
            let rows = (to - at).min(10_000_000);
            let time = format!("toStartOfDay(now('UTC')) - 1 - toIntervalSecond(intDiv(n * 86400, {EVENTS_A_DAY}))");
            // Each came a second after it happened: what looks for arrivals would else find all of them.
            self.insert(&time, "dt + 1", at, rows).await?;
            at += rows;
        }
        Ok(())
    }

    /// New events of now, and late ones of the week before, none of them there before.
    async fn arrive(&self, arrived: u64) -> anyhow::Result<()> {
        // Beyond the numbers of every history.
        let first = (1 << 40) + arrived;
        self.insert("now('UTC') - toIntervalSecond(n % 600)", "now()", first, NEW_EVENTS)
            .await?;
        let week = "now('UTC') - toIntervalSecond(86400 + n * 7919 % (6 * 86400))";
        self.insert(week, "now()", first + NEW_EVENTS, LATE_EVENTS).await?;
        // `inserted_at` has whole seconds: what arrives in the second of a run is left to the next one.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    /// Events with these numbers `n`, which decide all but their times.
    async fn insert(&self, time: &str, inserted_at: &str, first: u64, rows: u64) -> anyhow::Result<()> {
        let statement = format!(
            "INSERT INTO events (dt, name, user_id, url, obj, obj_id, product_id, amount, exp, event_id, received_at, request_id, inserted_at) \
             SELECT {time} AS dt, multiIf(h % 100 < 70, 'view', h % 100 < 95, 'click', h % 100 < 98, 'scroll', 'purchase') AS name, \
             intDiv(toUInt64(dt), 86400) * {NEW_USERS} + intDiv(h % 997 * (h % 991), 49) % {USERS} AS user_id, \
             concat('https://shop.example/catalog/product/', toString(product)) AS url, 'product' AS obj, toString(product) AS obj_id, \
             intDiv(h, 1000) % 5000 AS product, if(name = 'purchase', 9.99, 0) AS amount, \
             if(h % 2 = 0, map('cart_style', if(user_id % 2 = 0, 'new', 'old')), map()) AS exp, generateUUIDv4() AS event_id, \
             dt + toIntervalMillisecond(250) AS received_at, '' AS request_id, {inserted_at} AS inserted_at \
             FROM (SELECT number AS n, cityHash64(number) AS h FROM numbers({first}, {rows})) \
             SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 0"
        );
        throwaway::execute(self.url, &statement).await
    }

    /// Waits until nothing is merged: that would take the time of what is measured.
    async fn settle(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.number("SELECT count() FROM system.merges").await? > 0 {
            ensure!(began.elapsed() < MERGES, "ClickHouse merges for more than {MERGES:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    /// Waits until Firehose has delivered all it has.
    async fn wait_for(&self, firehose: &str, stack: &Apart) -> anyhow::Result<()> {
        let http = crate::client::builder().build().context("no HTTP client can be made")?;
        let began = Instant::now();
        while stack.stream(&http).await?.spooled_records > 0 {
            ensure!(began.elapsed() < MERGES, "{firehose} does not deliver");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.settle().await
    }

    /// Deletes what came through the stack: alone it carries the ids of its requests.
    async fn forget_taken(&self) -> anyhow::Result<()> {
        let months =
            "SELECT arraySort(groupUniqArray(toYYYYMM(dt))) FROM events WHERE dt > now() - 86400 AND request_id != ''";
        let client = ::clickhouse::Client::default()
            .with_url(self.url)
            .with_database("analytics");
        let months: Vec<u32> = client.query(months).fetch_one().await?;
        for month in months {
            let statement = format!(
                "ALTER TABLE events DELETE IN PARTITION {month} WHERE request_id != '' SETTINGS mutations_sync = 1"
            );
            throwaway::execute(self.url, &statement).await?;
        }
        self.settle().await
    }

    async fn number(&self, query: &str) -> anyhow::Result<u64> {
        let client = ::clickhouse::Client::default()
            .with_url(self.url)
            .with_database("analytics");
        Ok(client.query(query).fetch_one().await?)
    }
}

/// dbt on the stack's ClickHouse.
struct Dbt<'a> {
    weir: &'a Path,
    project: &'a Project,
    url: &'a str,
    folder: &'a Path,
}

impl Dbt<'_> {
    /// Runs it; how long it took.
    async fn run(&self, args: &[&str]) -> anyhow::Result<Ran> {
        let mut command = Command::new(self.weir);
        command
            .arg("dbt")
            .args(args)
            .arg("--log-path")
            .arg(self.folder.join("dbt/logs"))
            .arg("--target-path")
            .arg(self.folder.join("dbt/target"))
            .current_dir(self.project.root())
            .env("CLICKHOUSE_URL", self.url)
            .env_remove("WEIR_CLUSTER");
        for (name, value) in throwaway::CREDENTIALS {
            command.env(name, value);
        }
        let began = Instant::now();
        crate::tools::output(&mut command, "it was built just now").await?;
        let all = began.elapsed().as_secs_f64();
        // <https://docs.getdbt.com/reference/artifacts/run-results-json>
        let path = self.folder.join("dbt/target/run_results.json");
        let text = std::fs::read(&path).with_context(|| format!("dbt left no {}", path.display()))?;
        let results: serde_json::Value = serde_json::from_slice(&text)?;
        let queries = results["elapsed_time"]
            .as_f64()
            .context("dbt does not say how long it took")?;
        Ok(Ran { queries, all })
    }
}

/// Seconds of a run of dbt.
struct Ran {
    /// From the first model to the last.
    queries: f64,
    /// Everything.
    all: f64,
}

fn panels(measured: &[Measured]) -> [Panel; 3] {
    let panel = |title, of: fn(&Measured) -> f64| Panel {
        title,
        points: measured.iter().map(|one| (one.rows, of(one))).collect(),
    };
    [
        panel("events acknowledged a second", |one| one.taken),
        panel("models of an incremental dbt run, seconds", |one| one.dbt),
        panel("GET /activity, milliseconds", |one| one.read),
    ]
}

fn figures(measured: &[Measured]) -> Vec<Figure> {
    type Measure = (&'static str, &'static str, fn(&Measured) -> f64);
    let measures: [Measure; 3] = [
        ("ingest", "events/s", |one| one.taken),
        ("incremental dbt", "s", |one| one.dbt),
        ("GET /activity", "ms", |one| one.read),
    ];
    let mut figures = Vec::new();
    for (what, unit, of) in measures {
        for one in measured {
            let figure = Figure::new(Part::Growth, format!("{what}, {} rows", one.rows), of(one), unit);
            figures.push(match unit {
                "s" => figure.of(format!("{:.1} s with dbt's own start", one.dbt_in_all)),
                _ => figure,
            });
        }
        let Some(first) = measured.first() else { continue };
        let off = measured
            .iter()
            .map(|one| (of(one) / of(first) - 1.0).abs())
            .fold(0.0, f64::max);
        let figure = Figure::new(Part::Growth, format!("{what}, most it differs"), off * 100.0, "%");
        figures.push(figure.at_most(FLAT * 100.0));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_is_within_a_fifth_of_the_first() {
        let at = |rows, taken, dbt, read| Measured {
            rows,
            taken,
            dbt,
            dbt_in_all: dbt + 3.0,
            read,
        };
        let found = figures(&[at(1, 100.0, 4.0, 2.0), at(10, 121.0, 4.1, 1.8)]);
        let met: Vec<_> = found.iter().filter_map(Figure::met).collect();
        assert_eq!(met, [false, true, true]);
    }
}
