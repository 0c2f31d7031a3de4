//! Lines for people and for programs. The bytes came from outside: what a terminal would obey is written as an escape.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::table::{Line, State};

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

/// Bytes as text: what is not printable, or turns the direction of writing, as an escape.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let unseen = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            if letter.is_control() || unseen {
                text.extend(letter.escape_default());
            } else {
                text.push(letter);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing() {
        for (bytes, expected) in [
            (&b"plain \"text\" \\"[..], "plain \"text\" \\"),
            ("\u{e9}\u{4e16}".as_bytes(), "\u{e9}\u{4e16}"),
            (b"\x1b[31m\r\n\t\x07\0", r"\u{1b}[31m\r\n\t\u{7}\u{0}"),
            ("\u{202e}\u{9b}".as_bytes(), r"\u{202e}\u{9b}"),
            (b"a\xff\xc3", r"a\xff\xc3"),
        ] {
            assert_eq!(escaped(bytes), expected);
        }
    }
}
