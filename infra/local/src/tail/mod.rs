//! `weir tail`: events as they arrive in ClickHouse, each once.
//!
//! The table is asked once a second for what was inserted since a while before the last answer: rows of an insert that took long have
//! an older time. Ids that were shown are remembered, as many as fit into some tens of megabytes.

mod shown;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clickhouse::Client;
use edge::clickhouse::WarehouseError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::shown::{Seen, line};
use crate::moment;
use crate::project::Project;
use crate::report;
use crate::signals::Signals;
use crate::warehouse::{WarehouseArgs, explained, json_rows};

/// How often the tables are asked.
const EVERY: Duration = Duration::from_secs(1);

/// How long an insert may take, in seconds: its rows have the time at which it began.
const OVERLAP_S: u32 = 30;

/// Rows of one answer.
const PAGE: usize = 10_000;

/// How long one query may take, in seconds.
const SECONDS: u32 = 20;

/// What was inserted since, a page of it.
const EVENTS: &str = "\
SELECT toUnixTimestamp(inserted_at) AS inserted_s, event_id, formatDateTime(dt, '%FT%H:%i:%SZ', 'UTC') AS dt, name,
    user_id, url, obj, obj_id, product_id, amount, exp, request_id,
    formatDateTime(received_at, '%FT%H:%i:%S.%fZ', 'UTC') AS received_at
FROM events
WHERE inserted_at >= toDateTime({from:UInt32})
    AND (inserted_at > toDateTime({after:UInt32}) OR (inserted_at = toDateTime({after:UInt32}) AND event_id > {id:UUID}))
    AND ({name:String} = '' OR name = {name:String}) AND ({obj:String} = '' OR obj = {obj:String})
    AND ({user:String} = '' OR user_id = toUInt64OrZero({user:String}))
    AND ({url:String} = '' OR position(url, {url:String}) > 0)
ORDER BY inserted_at, event_id LIMIT 10000";

/// What was put aside since.
const REFUSED: &str = "\
SELECT toUnixTimestamp(quarantined_at) AS inserted_s, id AS event_id, toString(quarantined_at) AS quarantined_at, stage, code, reason
FROM events_quarantine
WHERE quarantined_at >= toDateTime({from:UInt32})
    AND (toUnixTimestamp(quarantined_at), id) > ({after:UInt32}, {id:UUID})
ORDER BY inserted_s, event_id LIMIT 10000";

const AFTER_HELP: &str = "\
An event that is sent again is shown once. On a line: when it happened, its name, user, object, page. Ends with Ctrl-C, or when nobody \
reads its output any more.";

/// Arguments of the command.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Only events with this name
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Only those of this user
    #[arg(long, value_name = "ID")]
    user: Option<u64>,
    /// Only those whose URL holds this
    #[arg(long, value_name = "PART", default_value = "", hide_default_value = true)]
    url: String,
    /// Only those with this obj
    #[arg(long, value_name = "OBJ", default_value = "", hide_default_value = true)]
    obj: String,
    /// Begin with what arrived since then: a date, a time, or an age such as 5m
    #[arg(long, value_name = "WHEN", default_value = "0s")]
    since: String,
    /// Lines that go to quarantine, too
    #[arg(long)]
    quarantine: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    warehouse: WarehouseArgs,
}

/// A row of [`EVENTS`].
#[derive(Debug, Serialize, Deserialize)]
struct Event {
    #[serde(skip_serializing)]
    inserted_s: u32,
    event_id: Uuid,
    dt: String,
    name: String,
    user_id: u64,
    url: String,
    obj: String,
    obj_id: String,
    product_id: u64,
    amount: f64,
    exp: serde_json::Value,
    request_id: String,
    received_at: String,
}

/// A row of [`REFUSED`].
#[derive(Debug, Serialize, Deserialize)]
struct Refused {
    #[serde(skip_serializing)]
    inserted_s: u32,
    #[serde(rename(serialize = "quarantine_id"))]
    event_id: Uuid,
    quarantined_at: String,
    stage: String,
    code: String,
    reason: String,
}

/// What both kinds of rows have.
trait Arrived: serde::de::DeserializeOwned + Serialize {
    /// What identifies it, and when it was inserted.
    fn place(&self) -> (u32, Uuid);
    /// A line for people.
    fn line(&self, colours: bool) -> String;
}

impl Arrived for Event {
    fn place(&self) -> (u32, Uuid) {
        (self.inserted_s, self.event_id)
    }

    fn line(&self, colours: bool) -> String {
        let amount = if self.amount > 0.0 {
            format!("  {}", self.amount)
        } else {
            String::new()
        };
        let rest = format!(
            "user {}  {} {}  {}{amount}  {}",
            self.user_id, self.obj, self.obj_id, self.url, self.event_id
        );
        line(colours, &self.dt, &self.name, &rest)
    }
}

impl Arrived for Refused {
    fn place(&self) -> (u32, Uuid) {
        (self.inserted_s, self.event_id)
    }

    fn line(&self, colours: bool) -> String {
        let rest = format!("{} {}: {}  {}", self.stage, self.code, self.reason, self.event_id);
        line(colours, &self.quarantined_at, "quarantine", &rest)
    }
}

/// Why it ends by itself.
enum Ended {
    /// Nobody reads.
    Unread,
    Failed(anyhow::Error),
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let now = edge::clock::now();
    let ago = now.as_second() - moment::parse(&args.since, now)?.as_second();
    let project = Project::find()?;
    let tail = Tail {
        client: args.warehouse.config(&project)?.client(),
        ago: u32::try_from(ago.max(0)).context("--since is too long ago")?,
        colours: io::stdout().is_terminal(),
        args,
    };
    match signals.or(tail.follow()).await {
        Ok(Ended::Unread) => Ok(ExitCode::SUCCESS),
        Ok(Ended::Failed(error)) => Err(error),
        Err(asked) => Ok(asked.into()),
    }
}

struct Tail {
    client: Client,
    args: Args,
    /// Where to begin: seconds before now, by ClickHouse's clock.
    ago: u32,
    colours: bool,
}

impl Tail {
    async fn follow(&self) -> Ended {
        let (mut events, mut refused) = (Seen::default(), Seen::default());
        let (mut from, mut away) = (None, false);
        loop {
            match self.poll(&mut from, &mut events, &mut refused).await {
                Ok(()) if away => {
                    away = false;
                    report::say("ClickHouse is back");
                }
                Ok(()) => {}
                Err(Failed::Unread) => return Ended::Unread,
                Err(Failed::Garbled(error)) => {
                    return Ended::Failed(anyhow::Error::new(error).context("ClickHouse's answer cannot be read"));
                }
                Err(Failed::Warehouse(WarehouseError::Unreachable(_) | WarehouseError::TimedOut(_))) => {
                    if !away {
                        report::say("ClickHouse is away: waiting for it");
                    }
                    away = true;
                }
                Err(Failed::Warehouse(error)) => return Ended::Failed(explained(error)),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Shows what is new.
    async fn poll(&self, from: &mut Option<u32>, events: &mut Seen, refused: &mut Seen) -> Result<(), Failed> {
        #[derive(Deserialize)]
        struct Now {
            now: u32,
        }
        let clock = self.client.query("SELECT toUnixTimestamp(now()) AS now");
        let now = json_rows::<Now>(clock, SECONDS)
            .await??
            .first()
            .map_or(0, |row| row.now);
        let begin = *from.get_or_insert(now.saturating_sub(self.ago));
        self.show::<Event>(EVENTS, begin, events).await?;
        if self.args.quarantine {
            self.show::<Refused>(REFUSED, begin, refused).await?;
        }
        *from = Some(begin.max(now.saturating_sub(OVERLAP_S)));
        Ok(())
    }

    async fn show<T: Arrived>(&self, query: &str, from: u32, seen: &mut Seen) -> Result<(), Failed> {
        let mut after = (0, Uuid::nil());
        loop {
            let query = self
                .client
                .query(query)
                .param("from", from)
                .param("after", after.0)
                .param("id", after.1.to_string())
                .param("name", &self.args.name)
                .param("obj", &self.args.obj)
                .param("url", &self.args.url)
                .param("user", self.args.user.map(|user| user.to_string()).unwrap_or_default());
            let rows = json_rows::<T>(query, SECONDS).await??;
            for row in &rows {
                after = row.place();
                if !seen.is_new(after.1) {
                    continue;
                }
                let text = if self.args.json {
                    serde_json::to_string(row)?
                } else {
                    row.line(self.colours)
                };
                report::try_print(text).map_err(|_| Failed::Unread)?;
            }
            if rows.len() < PAGE {
                return Ok(());
            }
        }
    }
}

/// Why a poll failed.
enum Failed {
    Unread,
    Warehouse(WarehouseError),
    Garbled(serde_json::Error),
}

impl From<WarehouseError> for Failed {
    fn from(error: WarehouseError) -> Self {
        Self::Warehouse(error)
    }
}

impl From<serde_json::Error> for Failed {
    fn from(error: serde_json::Error) -> Self {
        Self::Garbled(error)
    }
}
