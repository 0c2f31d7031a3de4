//! How the stack does, as text for people: one screen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use activity::Row;
use console::style;
use dashboard::{Live, Minute, Panel};
use jiff::Timestamp;

use super::health::{Health, PartHealth, Stream, Tables};
use crate::report;

/// How many minutes are drawn.
const MINUTES: u32 = 30;

/// From little to much.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl Health {
    /// The screen. Colours are those of a terminal, where standard output is one.
    pub(super) fn screen(&self, now: Timestamp) -> String {
        let mut text = String::new();
        for part in &self.parts {
            let _ = writeln!(text, "{}", part.line());
        }
        if let Some(stream) = &self.stream {
            stream.write(&mut text);
        }
        if let Some(tables) = &self.tables {
            tables.write(&mut text, &self.live);
            minutes(&mut text, &self.live.minutes, now);
            dbt(&mut text, &self.live);
            users(&mut text, &self.activity);
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// A line that begins with what it is about; one that somebody has to look at is marked.
fn line(text: &mut String, wrong: bool, name: &str, rest: &str) {
    let line = format!("{} {name:<11} {rest}", if wrong { '!' } else { ' ' });
    let _ = match wrong {
        true => writeln!(text, "{}", style(line).yellow().bold()),
        false => writeln!(text, "{line}"),
    };
}

impl PartHealth {
    fn line(&self) -> String {
        let state = match &self.problem {
            Some(problem) => style(problem.as_str()).red().bold(),
            None => style("answers").green(),
        };
        let mark = if self.problem.is_some() { '!' } else { ' ' };
        let restarts = match self.restarts {
            0 => String::new(),
            times => format!(", started again {times} times"),
        };
        format!("{mark} {:<11} {:<42} {state}{restarts}", self.name, self.url)
    }
}

impl Stream {
    fn write(&self, text: &mut String) {
        let oldest = self.oldest_age_seconds.map_or_else(String::new, |seconds| {
            format!(", the oldest for {}", report::seconds(Duration::from_secs(seconds)))
        });
        text.push('\n');
        let rest = format!(
            "{} records accepted, {} delivered, {} waiting{oldest}; {} attempts failed",
            self.accepted, self.delivered, self.spooled_records, self.failed_attempts
        );
        line(text, false, "stream", &rest);
        if self.given_up > 0 {
            let rest = format!(
                "{} records were given up: `weir replay` stores them, `weir status --reconcile` says which are still missing",
                self.given_up
            );
            line(text, true, "backup", &rest);
        }
        if self.damaged_bytes > 0 {
            let rest = format!("{} bytes could not be read back: see firehose.log", self.damaged_bytes);
            line(text, true, "spool", &rest);
        }
    }
}

impl Tables {
    fn write(&self, text: &mut String, live: &Live) {
        let mut rest = format!("{} rows", self.rows);
        let health = live.health.rows().and_then(<[_]>::first);
        if let Some(health) = health {
            match health.newest_event_age_seconds.0 {
                Some(age) => rest += &format!(", the newest received {} ago", seconds(age)),
                None if self.rows > 0 => rest += ", none received in the last day",
                None => {}
            }
            if let (Some(half), Some(most)) = (health.stored_within_seconds_p50.0, health.stored_within_seconds_p95.0) {
                rest += &format!("; stored within {} (half), {} (95 %)", within(half), within(most));
            }
        }
        line(text, false, "events", &rest);
        let open = self.quarantined_open > 0;
        let mut rest = format!(
            "{} lines, {} of them not replayed",
            self.quarantined, self.quarantined_open
        );
        if open {
            rest += ": `weir quarantine ls`";
        }
        line(text, open, "quarantine", &rest);
    }
}

/// Events by the minute that they happened in, each minute a bar; the last one is under way.
fn minutes(text: &mut String, panel: &Panel<Minute>, now: Timestamp) {
    let rows = match panel {
        Panel::Rows(rows) => rows,
        Panel::Error { detail, .. } => return line(text, true, "a minute", detail),
    };
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.minute.seconds() / 60).or_default() += row.events;
    }
    let this = u32::try_from(now.as_second() / 60).unwrap_or(u32::MAX);
    let drawn: Vec<u64> = (this.saturating_sub(MINUTES - 1)..=this)
        .map(|minute| counts.get(&minute).copied().unwrap_or_default())
        .collect();
    let most = drawn.iter().copied().max().unwrap_or_default();
    let before = drawn.iter().rev().nth(1).copied().unwrap_or_default();
    let rest = match most {
        0 => format!("no events in the last {MINUTES} minutes"),
        _ => format!(
            "{}  {before} in the last whole minute, {most} at most",
            bars(&drawn, most)
        ),
    };
    line(text, false, "a minute", &rest);
}

/// One bar a number; nothing is a space.
fn bars(numbers: &[u64], most: u64) -> String {
    let bar = |number: u64| match number {
        0 => ' ',
        // Rounded up, so that one event is seen.
        _ => BARS[(number.saturating_mul(BARS.len() as u64).div_ceil(most.max(1)) as usize).clamp(1, BARS.len()) - 1],
    };
    numbers.iter().copied().map(bar).collect()
}

fn dbt(text: &mut String, live: &Live) {
    let health = match &live.health {
        Panel::Rows(rows) => rows.first(),
        Panel::Error { detail, .. } => return line(text, true, "health", detail),
    };
    let Some(health) = health else { return };
    let rest = match health.dbt_finished_seconds_ago {
        None => "never ran: `weir dbt`".to_owned(),
        Some(age) => format!(
            "last finished {} ago, {} rows came since it began",
            seconds(age),
            health.events_since_dbt.unwrap_or_default()
        ),
    };
    line(text, false, "dbt", &rest);
}

fn users(text: &mut String, panel: &Panel<Row>) {
    let rows = match panel {
        Panel::Rows(rows) => rows,
        Panel::Error {
            code: "mart_missing", ..
        } => return line(text, false, "users", "not built yet: `weir dbt`"),
        Panel::Error { detail, .. } => return line(text, true, "users", detail),
    };
    if rows.is_empty() {
        line(
            text,
            false,
            "users",
            "nobody yesterday and today, as far as dbt has seen",
        );
    }
    for row in rows {
        let rest = format!("{}  DAU {}, WAU {}, MAU {}", row.date.date(), row.dau, row.wau, row.mau);
        line(text, false, "users", &rest);
    }
}

/// Rows know the second that they were stored in, no more: what took less was stored within one.
fn within(duration: f64) -> String {
    if duration < 1.0 {
        "1 s".to_owned()
    } else {
        seconds(duration)
    }
}

fn seconds(seconds: f64) -> String {
    report::seconds(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use dashboard::Health as Figures;
    use marts::{Day, Instant, Number};

    use super::*;

    fn now() -> Timestamp {
        "2026-11-27T10:20:30Z".parse().unwrap()
    }

    fn minute(ago: u32, name: &str, events: u64) -> Minute {
        let this = u32::try_from(now().as_second() / 60).unwrap();
        Minute {
            minute: Instant::since_1970((this - ago) * 60),
            name: name.to_owned(),
            events,
        }
    }

    fn part(name: &str, problem: Option<&str>) -> PartHealth {
        PartHealth {
            name: name.to_owned(),
            url: format!("http://127.0.0.1:9000/{name}"),
            restarts: u32::from(problem.is_some()),
            problem: problem.map(str::to_owned),
        }
    }

    fn health() -> Health {
        Health {
            parts: vec![part("events", None)],
            stream: Some(Stream {
                accepted: 7,
                delivered: 5,
                given_up: 0,
                spooled_records: 2,
                oldest_age_seconds: Some(3),
                failed_attempts: 1,
                damaged_bytes: 0,
            }),
            tables: Some(Tables {
                rows: 12,
                quarantined: 1,
                quarantined_open: 0,
            }),
            live: Live {
                now: String::new(),
                minutes: Panel::Rows(vec![minute(1, "view", 3), minute(1, "click", 5), minute(0, "view", 1)]),
                health: Panel::Rows(vec![Figures {
                    newest_event_age_seconds: Number(Some(2.0)),
                    stored_within_seconds_p50: Number(Some(0.1)),
                    stored_within_seconds_p95: Number(Some(1.9)),
                    quarantine_open: 0,
                    dbt_finished_seconds_ago: Some(61.0),
                    events_since_dbt: Some(4),
                }]),
            },
            activity: Panel::Rows(vec![Row {
                date: Day::since_1970(20_784),
                dau: 1,
                wau: 2,
                mau: 3,
                stickiness: 0.3,
                new_users: 1,
                returning_users: 0,
                resurrected_users: 0,
            }]),
        }
    }

    #[test]
    fn a_healthy_stack() {
        let expected = "  events      http://127.0.0.1:9000/events               answers

  stream      7 records accepted, 5 delivered, 2 waiting, the oldest for 3.0 s; 1 attempts failed
  events      12 rows, the newest received 2.0 s ago; stored within 1 s (half), 1.9 s (95 %)
  quarantine  1 lines, 0 of them not replayed
  a minute                                █▁  8 in the last whole minute, 8 at most
  dbt         last finished 1 min 01 s ago, 4 rows came since it began
  users       2026-11-27  DAU 1, WAU 2, MAU 3";
        assert_eq!(health().screen(now()), expected);
    }

    #[test]
    fn what_is_wrong_is_marked() {
        let error = |code| Panel::Error {
            code,
            detail: "Why.".to_owned(),
        };
        let sick = Health {
            parts: vec![part("loader", Some("cannot be connected to"))],
            tables: Some(Tables {
                rows: 0,
                quarantined: 2,
                quarantined_open: 2,
            }),
            live: Live {
                now: String::new(),
                minutes: Panel::Error {
                    code: "warehouse_refused",
                    detail: "Not now.".to_owned(),
                },
                health: Panel::Rows(vec![]),
            },
            activity: error("mart_missing"),
            ..health()
        };
        let text = sick.screen(now());
        for expected in [
            "! loader      http://127.0.0.1:9000/loader               cannot be connected to, started again 1 times",
            "! quarantine  2 lines, 2 of them not replayed: `weir quarantine ls`",
            "! a minute    Not now.",
            "  users       not built yet: `weir dbt`",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        }
        let gone = Health {
            tables: None,
            activity: error("warehouse_unreachable"),
            ..health()
        };
        assert_eq!(
            gone.screen(now()).lines().count(),
            3,
            "nothing is said of what is not known"
        );
    }

    #[test]
    fn bars_are_as_high_as_their_numbers() {
        for (numbers, expected) in [
            (&[0, 1, 4, 8][..], " ▁▄█"),
            (&[1, 1_000_000], "▁█"),
            (&[u64::MAX / 8], "█"),
            (&[], ""),
        ] {
            let most = numbers.iter().copied().max().unwrap_or_default();
            assert_eq!(bars(numbers, most), expected);
        }
    }
}
