//! `weir quarantine replay`: lines through the front door.
//!
//! A line is posted to the events function as anybody's event is, with an id that is always the same, and marked when it was
//! accepted. What happens between the two only leads to the same event once more.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;
use uuid::Uuid;

use super::correct;
use super::event_id;
use super::table::{Line, Quarantine, State};
use crate::project::Project;
use crate::report::{self, Step, escaped};
use crate::signals::Signals;
use crate::up;

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Attempts for each line when the events function is busy or away.
const ATTEMPTS: u32 = 5;

/// The wait before the second; doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Lines read at a time: each has at most a megabyte.
const PAGE: usize = 50;

/// Arguments of `weir quarantine replay`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Ids of lines
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// Every line that was not replayed
    #[arg(long)]
    all: bool,
    /// Only ask whether they would be accepted (POST /events/validate)
    #[arg(long)]
    dry_run: bool,
    /// Where to post [default: the running stack's]
    #[arg(long, env = "WEIR_EVENTS_URL", hide_env_values = true)]
    url: Option<Url>,
    /// A write key, where the endpoint asks for one
    #[arg(long, value_name = "KEY", env = "WEIR_WRITE_KEY", hide_env_values = true)]
    write_key: Option<SecretString>,
}

/// What became of the lines.
#[derive(Debug, Default)]
struct Totals {
    accepted: usize,
    before: usize,
    refused: usize,
    failed: usize,
}

impl Totals {
    fn line(&self, args: &Args) -> String {
        format!(
            "{} {}, {} replayed before, {} refused, {} failed",
            self.accepted,
            if args.dry_run { "would be accepted" } else { "accepted" },
            self.before,
            self.refused,
            self.failed
        )
    }
}

/// What the events function said to a line.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    /// It will not take this line as it is.
    Refused(String),
    /// It may take it another time.
    Failed(String),
}

/// Runs the command. What a signal interrupts is abandoned: a line that was posted and not marked is posted again.
pub(super) async fn run(project: &Project, quarantine: &Quarantine, args: Args) -> anyhow::Result<ExitCode> {
    let mut totals = Totals::default();
    match Signals::listen()?
        .or(replay(project, quarantine, &args, &mut totals))
        .await
    {
        Ok(ended) => ended,
        Err(asked) => {
            report::say(format!(
                "{asked}: {}; run the same again, it goes on with the others",
                totals.line(&args)
            ));
            Ok(asked.into())
        }
    }
}

async fn replay(
    project: &Project,
    quarantine: &Quarantine,
    args: &Args,
    totals: &mut Totals,
) -> anyhow::Result<ExitCode> {
    let door = Door::new(project, args)?;
    let ids = if args.all {
        quarantine.open().await?
    } else {
        let mut ids = Vec::new();
        for id in &args.ids {
            ids.push(quarantine.one(id).await?.id);
        }
        ids.dedup();
        ids
    };
    let what = if args.dry_run { "lines: check" } else { "lines: replay" };
    let step = Step::begin(format!("{} {what}", ids.len()));
    step.expect_items(ids.len());
    let mut done = 0;
    for page in ids.chunks(PAGE) {
        for line in quarantine.all_of(page).await? {
            handle(quarantine, &door, args, &line, totals).await?;
            done += 1;
            step.at_item(done);
        }
    }
    step.done();
    report::print(totals.line(args));
    Ok(if totals.refused + totals.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn handle(
    quarantine: &Quarantine,
    door: &Door,
    args: &Args,
    line: &Line,
    totals: &mut Totals,
) -> anyhow::Result<()> {
    if line.state == State::Replayed {
        totals.before += 1;
        return Ok(());
    }
    let (id, verdict) = match event(line) {
        Ok((id, body)) => (id, door.post(&body).await?),
        Err(error) => (
            Uuid::nil(),
            Verdict::Refused(format!("{error:#}: correct it with `weir quarantine fix`")),
        ),
    };
    match verdict {
        Verdict::Accepted => {
            totals.accepted += 1;
            if !args.dry_run {
                quarantine.replayed(line.id, id).await?;
            }
        }
        Verdict::Refused(why) => {
            totals.refused += 1;
            report::say(format!("{}: refused: {why}", line.id));
        }
        Verdict::Failed(why) => {
            totals.failed += 1;
            report::say(format!("{}: failed: {why}", line.id));
        }
    }
    Ok(())
}

/// What to post for a line, with the id of its event.
fn event(line: &Line) -> anyhow::Result<(Uuid, Vec<u8>)> {
    let mut fields = correct::fields(line.newest())?;
    let id = event_id(line, correct::own_event_id(&fields));
    fields.insert("event_id".to_owned(), RawValue::from_string(format!("\"{id}\""))?);
    Ok((id, serde_json::to_vec(&fields)?))
}

/// The events function.
struct Door {
    client: reqwest::Client,
    url: Url,
    write_key: Option<SecretString>,
}

impl Door {
    fn new(project: &Project, args: &Args) -> anyhow::Result<Self> {
        let mut url = match &args.url {
            Some(url) => url.clone(),
            None => match up::running(project)? {
                Some(stack) => Url::parse(&stack.events)?,
                None => bail!("no stack is running: start one with `weir up`, or say where to post with --url"),
            },
        };
        if args.dry_run {
            url.path_segments_mut()
                .map_err(|()| anyhow::anyhow!("--url is no http or https URL"))?
                .pop_if_empty()
                .push("validate");
        }
        let client = crate::client::of(&url)
            .timeout(ATTEMPT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        Ok(Self {
            client: client.build()?,
            url,
            write_key: args.write_key.clone(),
        })
    }

    /// Posts one event, again when that may help. An endpoint that lets nobody in is an error.
    async fn post(&self, body: &[u8]) -> anyhow::Result<Verdict> {
        let mut wait = FIRST_WAIT;
        let mut last = String::new();
        for attempt in 1..=ATTEMPTS {
            let mut request = self
                .client
                .post(self.url.clone())
                .header("content-type", "application/json");
            if let Some(key) = &self.write_key {
                request = request.bearer_auth(key.expose_secret());
            }
            let answer = async {
                let response = request.body(body.to_vec()).send().await?;
                Ok::<_, reqwest::Error>((response.status(), response.bytes().await?))
            };
            last = match answer.await {
                Ok((status, text)) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    format!("{status}: {}", said(&text))
                }
                Ok((StatusCode::OK, text)) if accepted(&text) => return Ok(Verdict::Accepted),
                Ok((status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND), text)) => {
                    bail!("{} answers {status}: {}", self.url, said(&text))
                }
                Ok((status, text)) => return Ok(Verdict::Refused(format!("{status}: {}", said(&text)))),
                Err(error) => crate::generate::causes(&error),
            };
            if attempt < ATTEMPTS {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
        }
        Ok(Verdict::Failed(format!("{last} (after {ATTEMPTS} attempts)")))
    }
}

fn accepted(answer: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        accepted: u64,
    }
    serde_json::from_slice::<Answer>(answer).is_ok_and(|answer| answer.accepted == 1)
}

/// Why an answer refuses: each issue's place and message, or the start of the text.
fn said(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        detail: Vec<Issue>,
    }
    #[derive(Deserialize)]
    struct Issue {
        loc: Vec<serde_json::Value>,
        msg: String,
    }
    let text = match serde_json::from_slice::<Answer>(answer).context("another shape") {
        Ok(answer) => {
            let issues = answer.detail.iter().map(|issue| {
                let loc: Vec<_> = issue
                    .loc
                    .iter()
                    .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                    .collect();
                format!("{}: {}", loc.join("."), issue.msg)
            });
            issues.collect::<Vec<_>>().join("; ")
        }
        Err(_) => String::from_utf8_lossy(answer).into_owned(),
    };
    escaped(text.chars().take(500).collect::<String>().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(raw: &str, fix: Option<&str>) -> Line {
        Line {
            id: Uuid::from_u128(1),
            at: String::new(),
            stage: String::new(),
            code: String::new(),
            reason: String::new(),
            field: String::new(),
            request_id: String::new(),
            bytes: 0,
            raw: raw.into(),
            fix: fix.map(Into::into),
            state: State::New,
            event_id: None,
        }
    }

    #[test]
    fn an_event_has_the_same_id_each_time() {
        let derived = Uuid::new_v5(&Uuid::from_u128(1), b"replay");
        let own = r#"{"event_id":"00000000-0000-0000-0000-000000000007"}"#;
        for (line, expected) in [
            (line("{}", None), derived),
            (line("broken", Some("{}")), derived),
            (line(r#"{"event_id":"no id"}"#, None), derived),
            (line(own, None), Uuid::from_u128(7)),
            (line("{}", Some(own)), Uuid::from_u128(7)),
        ] {
            let (id, body) = event(&line).unwrap();
            assert_eq!(id, expected);
            assert_eq!(body, format!("{{\"event_id\":\"{id}\"}}").as_bytes());
        }
        assert!(event(&line("broken", None)).is_err());
    }

    #[test]
    fn answers() {
        assert!(accepted(br#"{"accepted":1}"#) && !accepted(br#"{"accepted":0}"#) && !accepted(b"ok"));
        let issues = br#"{"detail":[{"type":"missing","loc":["body","dt"],"msg":"Field required","input":{}}]}"#;
        assert_eq!(said(issues), "body.dt: Field required");
        assert_eq!(said(b"\x1b[2J"), r"\u{1b}[2J");
    }
}
