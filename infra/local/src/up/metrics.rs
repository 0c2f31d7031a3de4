//! `GET /metrics` of a running stack: what its functions counted, what Firehose and ClickHouse say, and which part is up.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use clickhouse::Client;
use edge::clickhouse::{ClickHouseConfig, WarehouseError, within};
use http::Response;
use prometheus::proto::MetricFamily;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::processes;
use super::records::Records;
use super::settings::{FUNCTIONS, Urls, Warehouse};
use super::stack::WATCHER;
use super::state::Process;
use crate::metrics::exposition::{self, Figures, Kind};

/// How long a part may take to answer: less than Prometheus waits, so that the others' figures reach it.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// The same for ClickHouse, which does not notice that nobody waits.
const SECONDS: &str = "3";

/// How often records are read when nobody asks: what was read takes no room on the disk.
const READ_EVERY: Duration = Duration::from_millis(500);

const EVENTS: &str = "\
SELECT event AS name, toFloat64(value) AS figure, description FROM system.events ORDER BY event
SETTINGS system_events_show_zero_values = 1";

const METRICS: &str =
    "SELECT metric AS name, toFloat64(value) AS figure, description FROM system.metrics ORDER BY metric";

const QUARANTINE_OPEN: &str = "\
SELECT uniqExact(id) FROM events_quarantine
WHERE id NOT IN (SELECT id FROM events_quarantine_actions WHERE action = 'replay')";

/// Serves until it is dropped.
#[derive(Debug)]
pub(super) struct Metrics {
    stop: CancellationToken,
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Metrics {
    /// Listens on `port`.
    pub(super) async fn start(
        port: u16,
        urls: &Urls,
        warehouse: &Warehouse,
        records: Arc<Records>,
        processes: watch::Receiver<Vec<Process>>,
    ) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .with_context(|| format!("port {port} for the metrics cannot be used"))?;
        let warehouse = ClickHouseConfig {
            url: urls.clickhouse.clone(),
            user: warehouse.user.clone(),
            password: warehouse.password.clone().into(),
            database: warehouse.database.clone(),
        };
        let parts = Arc::new(Parts {
            records: Arc::clone(&records),
            processes,
            http: crate::client::builder().build().context("no HTTP client can be made")?,
            firehose: format!("{}/metrics", urls.firehose),
            warehouse: warehouse.client_within(ANSWER_WITHIN),
            asking: tokio::sync::Mutex::default(),
        });
        let stop = CancellationToken::new();
        let router = Router::new().route("/metrics", get(serve)).with_state(parts);
        let server = stop
            .clone()
            .run_until_cancelled_owned(async move { axum::serve(listener, router).await });
        tokio::spawn(server);
        tokio::spawn(stop.clone().run_until_cancelled_owned(read_on(records)));
        Ok(Self { stop })
    }
}

async fn read_on(records: Arc<Records>) {
    loop {
        tokio::time::sleep(READ_EVERY).await;
        read(&records).await;
    }
}

async fn read(records: &Arc<Records>) {
    let records = Arc::clone(records);
    // It gives nothing back, and panics in nothing that a record holds.
    let _ = tokio::task::spawn_blocking(move || records.read_on()).await;
}

/// Whom to ask.
struct Parts {
    records: Arc<Records>,
    processes: watch::Receiver<Vec<Process>>,
    http: reqwest::Client,
    firehose: String,
    warehouse: Client,
    /// One scrape at a time: a part that hangs is not asked again meanwhile.
    asking: tokio::sync::Mutex<()>,
}

async fn serve(State(parts): State<Arc<Parts>>) -> Response<Body> {
    let _asking = parts.asking.lock().await;
    let (firehose, warehouse, ()) = tokio::join!(parts.firehose(), parts.clickhouse(), read(&parts.records));
    let mut up = vec![
        ("firehose".to_owned(), firehose.is_some()),
        ("clickhouse".to_owned(), warehouse.is_some()),
    ];
    up.extend(parts.functions());
    let up = Figures {
        name: "weir_part_up",
        help: "Whether a part answers, or a function's process runs.",
        kind: Kind::Gauge,
        label: Some("part"),
        values: up
            .into_iter()
            .map(|(part, up)| (part, f64::from(u8::from(up))))
            .collect(),
    };
    let mut families = parts.records.gather();
    families.push(up.family());
    families.extend(warehouse.into_iter().flatten());
    let text = exposition::text(&families);
    exposition::response(text.map(|text| text + &firehose.unwrap_or_default()))
}

impl Parts {
    /// Firehose's own text. No name in it is in ours.
    async fn firehose(&self) -> Option<String> {
        let ask = async {
            let answer = self.http.get(&self.firehose).timeout(ANSWER_WITHIN).send().await?;
            ensure!(answer.status().is_success(), "it answers {}", answer.status());
            Ok(answer.text().await?)
        };
        let answer: anyhow::Result<_> = ask.await;
        answer.ok()
    }

    /// What ClickHouse counts. It is up when it answers anything: a user may not be allowed to read it all.
    async fn clickhouse(&self) -> Option<Vec<MetricFamily>> {
        let (events, metrics, open) = tokio::join!(
            self.figures(EVENTS, "ClickHouseProfileEvents_", Kind::Counter),
            self.figures(METRICS, "ClickHouseMetrics_", Kind::Gauge),
            within(
                ANSWER_WITHIN,
                self.warehouse
                    .query(QUARANTINE_OPEN)
                    .with_setting("max_execution_time", SECONDS)
                    .fetch_one::<u64>()
            ),
        );
        let open = open.map(|lines| {
            let figures = Figures {
                name: "weir_quarantine_open_lines",
                help: "Lines in quarantine that were not replayed.",
                kind: Kind::Gauge,
                label: None,
                #[allow(clippy::cast_precision_loss, reason = "so many lines are in no quarantine")]
                values: vec![(String::new(), lines as f64)],
            };
            vec![figures.family()]
        });
        let answers: Vec<_> = [events, metrics, open].into_iter().flatten().collect();
        (!answers.is_empty()).then(|| answers.into_iter().flatten().collect())
    }

    /// The rows of one of ClickHouse's tables, under the names that its own endpoint gives them
    /// (<https://clickhouse.com/docs/interfaces/prometheus>).
    async fn figures(&self, query: &str, prefix: &str, kind: Kind) -> Result<Vec<MetricFamily>, WarehouseError> {
        let rows = within(ANSWER_WITHIN, self.warehouse.query(query).fetch_all::<Figure>()).await?;
        let family = |row: Figure| {
            let figures = Figures {
                name: &format!("{prefix}{}", row.name),
                help: &row.description,
                kind,
                label: None,
                values: vec![(String::new(), row.figure)],
            };
            figures.family()
        };
        Ok(rows.into_iter().map(family).collect())
    }

    /// Whether each function has a process that runs: one of its own, or one of cargo-lambda's.
    fn functions(&self) -> Vec<(String, bool)> {
        let processes = self.processes.borrow();
        let running = |name: &str| {
            let found = processes.iter().find(|process| process.name == name);
            found.filter(|process| processes::is_running(process.pid, process.started))
        };
        let instances = running(WATCHER).map(|watcher| processes::children(watcher.pid));
        let runs = |name: &str| match &instances {
            // Elsewhere nothing tells of the children of another process.
            Some(instances) => !cfg!(target_os = "linux") || instances.values().any(|instance| instance == name),
            None => running(name).is_some(),
        };
        FUNCTIONS
            .into_iter()
            .map(|name| (name.to_owned(), runs(name)))
            .collect()
    }
}

/// One row of `system.events` or `system.metrics`.
#[derive(Debug, Deserialize, clickhouse::Row)]
struct Figure {
    name: String,
    figure: f64,
    description: String,
}
