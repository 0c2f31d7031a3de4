//! What this machine's logs say of a request.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

/// The logs of the function `events`: a process of its own, or all functions together.
const LOGS: [&str; 4] = ["events.log.1", "events.log", "functions.log.1", "functions.log"];

/// How much of a log's end is read, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// Longest line that is looked at, in bytes.
const MAX_LINE: u64 = 64 << 10;

/// Lines of a request that are not its record, at most.
const MAX_OTHERS: usize = 20;

/// What the logs hold of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Request {
    pub(super) request_id: String,
    /// The log.
    pub(super) log: String,
    /// Of its record.
    pub(super) status: Option<u16>,
    pub(super) duration_ms: Option<f64>,
    /// Other lines, as they are.
    pub(super) lines: Vec<String>,
}

/// The request id that a line carries, if it can be read.
pub(super) fn request_id(line: &[u8]) -> Option<String> {
    let line: Value = serde_json::from_slice(line).ok()?;
    Some(line.get("request_id")?.as_str()?.to_owned())
}

/// What the logs in a folder hold of those requests. What cannot be read holds nothing. Blocks.
pub(super) fn find(folder: &Path, request_ids: &[String]) -> Vec<Request> {
    let mut found: Vec<Request> = Vec::new();
    if request_ids.is_empty() {
        return found;
    }
    for log in LOGS {
        let _unreadable = each_line(&folder.join(log), |line| {
            let Some(id) = request_ids.iter().find(|id| line.contains(id.as_str())) else {
                return;
            };
            let at = found.iter().position(|request| &request.request_id == id);
            let at = at.unwrap_or_else(|| {
                found.push(Request {
                    request_id: id.clone(),
                    log: log.to_owned(),
                    ..Request::default()
                });
                found.len() - 1
            });
            if let Some(request) = found.get_mut(at) {
                request.note(line);
            }
        });
    }
    found
}

impl Request {
    /// Takes a line of the log: the record of the request, as CloudWatch's embedded metric format or as text, or another.
    fn note(&mut self, line: &str) {
        let (status, duration) = match serde_json::from_str::<Value>(line) {
            Ok(record) => (record["status"].as_u64(), record["DurationMilliseconds"].as_f64()),
            Err(_) => {
                let value = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name));
                let status = value("status=").and_then(|text| text.parse().ok());
                (status, value("duration_ms=").and_then(|text| text.parse().ok()))
            }
        };
        if let (Some(status), Some(_)) = (status, duration) {
            (self.status, self.duration_ms) = (u16::try_from(status).ok(), duration);
        } else if self.lines.len() < MAX_OTHERS {
            self.lines.push(line.trim_end().to_owned());
        }
    }
}

fn each_line(path: &Path, mut each: impl FnMut(&str)) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_BYTES)))?;
    let (mut reader, mut line) = (BufReader::new(file), Vec::new());
    while reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? > 0 {
        each(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_found_in_either_kind_of_log() {
        let folder = tempfile::tempdir().unwrap();
        let emf = r#"{"_aws":{},"status":200,"DurationMilliseconds":2.5,"function":"events","request_id":"aa-1"}"#;
        let error = r#"{"level":"ERROR","message":"request failed","span":{"request_id":"aa-1","name":"request"}}"#;
        let text = "2026-11-27T05:20:33Z  INFO request method=\"POST\" status=503 duration_ms=7.25 request_id=\"bb-2\"";
        std::fs::write(
            folder.path().join("functions.log"),
            format!("\u{fffd}\n{error}\n{emf}\n"),
        )
        .unwrap();
        std::fs::write(folder.path().join("events.log"), format!("{text}\nnothing\n")).unwrap();
        let ids = ["aa-1", "bb-2", "cc-3"].map(str::to_owned);
        let found = find(folder.path(), &ids);
        let short: Vec<_> = found
            .iter()
            .map(|it| {
                (
                    it.request_id.as_str(),
                    it.log.as_str(),
                    it.status,
                    it.duration_ms,
                    it.lines.len(),
                )
            })
            .collect();
        let expected = [
            ("bb-2", "events.log", Some(503), Some(7.25), 0),
            ("aa-1", "functions.log", Some(200), Some(2.5), 1),
        ];
        assert_eq!(short, expected);
        assert!(find(folder.path(), &[]).is_empty());
    }

    #[test]
    fn a_line_carries_the_id_of_its_request() {
        for (line, expected) in [
            (r#"{"request_id":"a-1","x":1}"#, Some("a-1")),
            (r#"{"request_id":7}"#, None),
            ("not json", None),
        ] {
            assert_eq!(request_id(line.as_bytes()).as_deref(), expected, "{line}");
        }
    }
}
