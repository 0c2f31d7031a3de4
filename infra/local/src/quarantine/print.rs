//! Lines for people and for programs.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::table::{Line, State};
use crate::report::escaped;

/// One line of a list.
pub(super) fn short(line: &Line) -> String {
    format!(
        "{}  {}  {:8}  {:6}  {:13}  {} bytes: {}",
        line.id,
        line.at,
        state(line.state),
        escaped(line.stage.as_bytes()),
        escaped(line.code.as_bytes()),
        line.bytes,
        escaped(line.reason.as_bytes())
    )
}

/// All about a line.
pub(super) fn long(line: &Line) -> String {
    let mut text = format!("id          {}\nstate       {}\n", line.id, state(line.state));
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:11} {}", escaped(value.as_bytes()));
        }
    };
    row("since", &line.at);
    row("stage", &line.stage);
    row("code", &line.code);
    row("reason", &line.reason);
    row("field", &line.field);
    row("request", &line.request_id);
    row("event", &line.event_id.map(|id| id.to_string()).unwrap_or_default());
    let _ = write!(text, "{} bytes\n{}", line.bytes, escaped(&line.raw));
    if let Some(fix) = &line.fix {
        let _ = write!(text, "\ncorrected\n{}", escaped(fix));
    }
    text
}

/// A line as JSON. The bytes are in base64, and as text too where they are text; a list has neither.
pub(super) fn json(line: &Line) -> serde_json::Result<String> {
    let bytes = |raw: &[u8]| json!({"base64": STANDARD.encode(raw), "text": std::str::from_utf8(raw).ok()});
    let mut value = json!({
        "id": line.id, "quarantined_at": line.at, "stage": line.stage, "code": line.code, "reason": line.reason,
        "field": line.field, "request_id": line.request_id, "bytes": line.bytes, "state": line.state,
        "event_id": line.event_id,
    });
    if !line.raw.is_empty() {
        value["raw"] = bytes(&line.raw);
        value["corrected"] = line.fix.as_deref().map(bytes).unwrap_or_default();
    }
    serde_json::to_string(&value)
}

fn state(state: State) -> &'static str {
    match state {
        State::New => "new",
        State::Fixed => "fixed",
        State::Replayed => "replayed",
    }
}
