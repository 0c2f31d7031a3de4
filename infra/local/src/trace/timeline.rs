//! What is known of an event, in the order of its way. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::logs::Request;
use super::rows::{Row, Run};
use crate::firehose::ledger::Whereabouts;
use crate::quarantine::{Line, State};
use crate::report::{self, escaped};

/// All that was found.
#[derive(Debug, Serialize)]
pub(super) struct Trace {
    pub(super) event_id: Uuid,
    /// What the id says of when it was made.
    pub(super) made_at: Option<String>,
    /// What the local logs hold of the requests that brought it.
    pub(super) requests: Vec<Request>,
    /// What Firehose says; `None` when it was not asked or does not answer.
    pub(super) firehose: Option<Whereabouts>,
    pub(super) given_up: Vec<GivenUp>,
    pub(super) quarantine: Vec<Kept>,
    pub(super) rows: Vec<Row>,
    /// `None` when there is no row.
    pub(super) marts: Option<Marts>,
    /// Queries for CloudWatch Logs Insights, one a request.
    pub(super) insights: Vec<String>,
    /// What could not be asked, and why.
    pub(super) unread: Vec<String>,
}

/// An object of the backup that holds it.
#[derive(Debug, Serialize)]
pub(super) struct GivenUp {
    pub(super) object: String,
}

/// A line in quarantine that names it.
#[derive(Debug, Serialize)]
pub(super) struct Kept {
    id: Uuid,
    quarantined_at: String,
    stage: String,
    code: String,
    reason: String,
    state: State,
    /// The event that it became.
    event_id: Option<Uuid>,
}

impl From<Line> for Kept {
    fn from(line: Line) -> Self {
        Self {
            id: line.id,
            quarantined_at: line.at,
            stage: line.stage,
            code: line.code,
            reason: line.reason,
            state: line.state,
            event_id: line.event_id,
        }
    }
}

/// How long an insert may take, in seconds.
const INSERT_TAKES_S: i64 = 30;

/// Whether dbt has seen a row.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Marts {
    /// Whether dbt ever finished a run here.
    built: bool,
    /// Incremental models whose last run began after the row was stored.
    counted: Vec<String>,
    /// The others.
    waiting: Vec<String>,
}

impl Marts {
    /// Of a row that was stored in that second.
    pub(super) fn of(runs: &Option<Vec<Run>>, inserted_s: i64) -> Self {
        let runs = runs.as_deref().unwrap_or_default();
        // A row can be seen from when its insert has ended; its time is when that began.
        let seen = |run: &&Run| run.began_ms.div_euclid(1000) > inserted_s + INSERT_TAKES_S;
        let (counted, waiting): (Vec<_>, Vec<_>) = runs.iter().partition(seen);
        let names = |runs: Vec<&Run>| runs.into_iter().map(|run| run.model.clone()).collect();
        Self {
            built: !runs.is_empty(),
            counted: names(counted),
            waiting: names(waiting),
        }
    }
}

/// The query that shows all lines of a request, of the function and of Lambda itself.
pub(super) fn insights(request_id: &str) -> String {
    format!("fields @timestamp, @log, @message | filter @message like \"{request_id}\" | sort @timestamp asc")
}

impl Trace {
    /// Nothing, of that event.
    pub(super) fn of(event_id: Uuid) -> Self {
        Self {
            event_id,
            made_at: super::made_at(event_id).map(instant),
            requests: Vec::new(),
            firehose: None,
            given_up: Vec::new(),
            quarantine: Vec::new(),
            rows: Vec::new(),
            marts: None,
            insights: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// Whether it is anywhere, or was.
    pub(super) fn found(&self) -> bool {
        let taken = self.firehose.as_ref().is_some_and(|found| !found.taken.is_empty());
        taken || !self.given_up.is_empty() || !self.quarantine.is_empty() || !self.rows.is_empty()
    }

    /// The timeline for people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("  event       {}", self.event_id);
        if let Some(at) = &self.made_at {
            let _ = write!(text, ", an id of {at}");
        }
        self.requests(&mut text);
        if let Some(found) = &self.firehose {
            firehose(&mut text, found);
        }
        for GivenUp { object } in &self.given_up {
            line(&mut text, '!', "given up", &format!("in the backup: {object}"));
            // Stored since then, it needs nothing more.
            if self.rows.is_empty() {
                line(&mut text, ' ', "", &format!("`weir replay {object}` stores it"));
            }
        }
        for kept in &self.quarantine {
            kept.tell(&mut text);
        }
        self.rows(&mut text);
        if !self.found() {
            line(
                &mut text,
                '!',
                "not found",
                "not in the ledger, the backup, the quarantine or events, as far as they were asked",
            );
        }
        for query in &self.insights {
            line(
                &mut text,
                ' ',
                "on AWS",
                "CloudWatch Logs Insights, over the log groups /aws/lambda/<stack>-*:",
            );
            line(&mut text, ' ', "", query);
        }
        for unread in &self.unread {
            line(&mut text, '!', "not asked", unread);
        }
        text
    }

    fn requests(&self, text: &mut String) {
        for request in &self.requests {
            let told = match (request.status, request.duration_ms) {
                (Some(status), Some(ms)) => format!(
                    "{}: answered {status} in {ms:.1} ms ({})",
                    request.request_id, request.log
                ),
                _ => format!("{} ({})", request.request_id, request.log),
            };
            line(text, ' ', "request", &told);
            for other in &request.lines {
                line(text, ' ', "", other);
            }
        }
    }

    fn rows(&self, text: &mut String) {
        let mut received_before = None;
        for row in &self.rows {
            let (received, inserted) = (
                milliseconds(row.received_ms),
                milliseconds(row.inserted_s.saturating_mul(1000)),
            );
            let told = format!(
                "dt {}, received {received}, stored {inserted} ({} later)",
                row.dt,
                // Stored in that second, or in the millisecond after.
                ago(row.inserted_s.saturating_mul(1000) - row.received_ms)
            );
            line(text, ' ', "row", &told);
            let what = format!(
                "{} of user {}: {} {} {}",
                row.name, row.user_id, row.obj, row.obj_id, row.url
            );
            line(text, ' ', "", &what);
            if !row.request_id.is_empty() {
                line(text, ' ', "", &format!("request {}", row.request_id));
            }
            if let Some(before) = received_before {
                line(
                    text,
                    ' ',
                    "",
                    &format!("sent again {} after the copy before", ago(row.received_ms - before)),
                );
            }
            received_before = Some(row.received_ms);
        }
        if self.rows.len() > 1 {
            let told = format!(
                "{} rows: readers with FINAL, and a merge, keep the last received",
                self.rows.len()
            );
            line(text, ' ', "copies", &told);
        }
        if let Some(marts) = &self.marts {
            let told = match marts {
                Marts { built: false, .. } => "not built yet: weir dbt".to_owned(),
                Marts { counted, waiting, .. } if waiting.is_empty() => {
                    format!(
                        "counted: a run of each of {} models began after it was stored",
                        counted.len()
                    )
                }
                Marts { counted, waiting, .. } if counted.is_empty() => {
                    format!("the next run of dbt counts it in {} models", waiting.len())
                }
                Marts { waiting, .. } => {
                    format!("counted, but the next run of dbt counts it in {}", waiting.join(", "))
                }
            };
            line(text, ' ', "marts", &told);
        }
    }
}

impl Kept {
    fn tell(&self, text: &mut String) {
        let (mark, advice) = match self.state {
            State::Replayed => (' ', "it was replayed".to_owned()),
            State::New | State::Fixed => (
                '!',
                format!(
                    "`weir quarantine fix {0}` corrects it, `weir quarantine replay {0}` posts it",
                    self.id
                ),
            ),
        };
        let told = format!(
            "{}: {} {} {}: {}",
            self.id, self.quarantined_at, self.stage, self.code, self.reason
        );
        line(text, mark, "quarantine", &told);
        line(text, ' ', "", &advice);
        if let Some(event_id) = self.event_id {
            line(text, ' ', "", &format!("as event {event_id}"));
        }
    }
}

fn firehose(text: &mut String, found: &Whereabouts) {
    for (hour, lines) in &found.taken {
        let times = if *lines == 1 {
            String::new()
        } else {
            format!(", {lines} times")
        };
        let hour = milliseconds(hour.saturating_mul(3_600_000));
        line(
            text,
            ' ',
            "accepted",
            &format!("by Firehose in the hour of {hour}{times}"),
        );
    }
    if found.spooled > 0 {
        line(text, ' ', "waiting", "in the spool, in no batch yet");
    }
    for batch in &found.batches {
        let why = match (&batch.code, batch.status) {
            (Some(code), Some(status)) => format!(", the last answered {status} ({code})"),
            (Some(code), None) => format!(", the last without an answer ({code})"),
            (None, _) => String::new(),
        };
        let mark = if batch.attempts > 0 { '!' } else { ' ' };
        let told = format!("in batch {}: {} attempts failed{why}", batch.request_id, batch.attempts);
        line(text, mark, "waiting", &told);
    }
    if found.spooled == 0 && found.batches.is_empty() && !found.taken.is_empty() {
        line(text, ' ', "done", "Firehose holds it no more: delivered, or given up");
    }
    if found.lost_bytes > 0 {
        let told = format!(
            "{} bytes of Firehose's spool cannot be read: it may have been in them",
            found.lost_bytes
        );
        line(text, '!', "damaged", &told);
    }
}

/// A line of the timeline. What came from outside is made harmless here.
fn line(text: &mut String, mark: char, name: &str, told: &str) {
    let _ = write!(text, "\n{mark} {name:<11} {}", escaped(told.as_bytes()));
}

fn milliseconds(since_1970: i64) -> String {
    Timestamp::from_millisecond(since_1970).map_or_else(|_| since_1970.to_string(), instant)
}

fn instant(at: Timestamp) -> String {
    at.strftime("%FT%T%.fZ").to_string()
}

/// A duration in milliseconds. Nothing is stored before it is received: clocks differ, and the table keeps whole seconds.
fn ago(ms: i64) -> String {
    report::seconds(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firehose::ledger::Waiting;

    fn row(received_ms: i64, url: &str) -> Row {
        Row {
            dt: "2026-11-27T05:19:34Z".into(),
            name: "view".into(),
            user_id: "42".into(),
            url: url.into(),
            obj: "page".into(),
            obj_id: "main".into(),
            request_id: "aa-1".into(),
            received_ms,
            inserted_s: 1_795_756_835,
        }
    }

    #[test]
    fn a_way_is_told_from_its_beginning_to_its_end() {
        let mut trace = Trace::of("01a21b72-bd49-75b1-a199-7e159e87c7fe".parse().unwrap());
        assert!(!trace.found() && trace.text().contains("! not found"));
        assert!(
            trace.text().contains("an id of 2026-11-27T05:20:34.121Z"),
            "{}",
            trace.text()
        );
        trace.firehose = Some(Whereabouts {
            taken: [(498_821, 2)].into(),
            spooled: 0,
            batches: vec![Waiting {
                request_id: Uuid::from_u128(7),
                lines: 1,
                attempts: 3,
                code: Some("HttpEndpoint.DestinationException".into()),
                status: Some(503),
            }],
            lost_bytes: 0,
        });
        trace.rows = vec![
            row(1_795_756_834_120, "http://a/\u{1b}[31m"),
            row(1_795_756_834_620, "http://a/"),
        ];
        trace.marts = Some(Marts::of(&None, 0));
        trace.insights = vec![insights("aa-1")];
        let text = trace.text();
        let mut rest = text.as_str();
        for expected in [
            "accepted    by Firehose in the hour of 2026-11-27T05:00:00Z, 2 times",
            "! waiting     in batch 00000000-0000-0000-0000-000000000007: 3 attempts failed, the last answered 503",
            "row         dt 2026-11-27T05:19:34Z, received 2026-11-27T05:20:34.12Z, stored 2026-11-27T05:20:35Z (0.9 s later)",
            "view of user 42: page main http://a/\\u{1b}[31m",
            "request aa-1",
            "sent again 0.5 s after the copy before",
            "copies      2 rows",
            "marts       not built yet: weir dbt",
            "filter @message like \"aa-1\"",
        ] {
            let (_, after) = rest
                .split_once(expected)
                .unwrap_or_else(|| panic!("no {expected:?} in {text}"));
            rest = after;
        }
        assert!(trace.found() && !text.contains('\u{1b}'));
    }

    #[test]
    fn what_began_after_a_row_has_counted_it() {
        let run = |model: &str, began_ms| Run {
            model: model.into(),
            began_ms,
        };
        let runs = Some(vec![run("a", 36_000), run("b", 35_999)]);
        let marts = Marts::of(&runs, 5);
        assert_eq!(
            (marts.counted, marts.waiting, marts.built),
            (vec!["a".to_owned()], vec!["b".to_owned()], true)
        );
        assert!(!Marts::of(&None, 5).built);
    }
}
