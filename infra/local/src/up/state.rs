//! `.weir/run/stack.json`: the running stack, for `weir down`, for the next `weir up`, and for tests and scripts.
//!
//! ```json
//! {
//!   "version": 5,
//!   "id": "0198…",                 the mark (WEIR_STACK) in the environment of every process of the stack
//!   "status": "starting",          then "healthy", then "stopping"; the file goes when the stack has stopped
//!   "plain": false,                whether the functions run as plain servers
//!   "pid": 4100, "started": 98765, the supervisor, and its start in clock ticks since boot (null where unknown)
//!   "ports": { "functions", "watch" (cargo-lambda's; null with --plain), "loader", "activity", "docs",
//!              "sessions", "experiments", "retention", "funnel", "dashboard", "clickhouse" (null: not ours),
//!              "firehose", "metrics" },
//!   "urls": { "events", "activity", "sessions", "experiments", "retention", "funnel", "dashboard", "docs",
//!             "loader", "clickhouse", "firehose", "metrics" },
//!   "stream": "weir-events", "database": "analytics",
//!   "env_file": "/…/functions.env", what the functions see, the access key included (mode 0600)
//!   "processes": [ { "name", "pid", "started", "log", "restarts" } ]   names: clickhouse, firehose, and functions or
//!                                                                      with --plain those of the functions
//! }
//! ```
//!
//! Beside it, `stack.lock` is locked for as long as the supervisor lives: the kernel frees it however that one ends.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::settings::{Ports, Urls};

/// The format of this file. A file of another version is not touched.
pub(super) const VERSION: u32 = 5;

/// How far a stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Starting,
    Healthy,
    Stopping,
}

/// One process of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) started: Option<u64>,
    pub(super) log: PathBuf,
    pub(super) restarts: u32,
}

/// A running stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stack {
    pub(super) version: u32,
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) plain: bool,
    pub(super) pid: u32,
    pub(super) started: Option<u64>,
    pub(super) ports: Ports,
    pub(super) urls: Urls,
    pub(super) stream: String,
    pub(super) database: String,
    pub(super) env_file: PathBuf,
    pub(super) processes: Vec<Process>,
}

/// Why there is no telling what runs.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    #[error("{path} cannot be read: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is not a stack's state: {source}")]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("{path} was written by another version of weir: stop that stack with it, then remove the file")]
    OtherVersion { path: PathBuf },
}

impl Stack {
    /// What the file says; `None` when there is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StateError> {
        let path = file(folder);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Unreadable { path, source }),
            Ok(text) => text,
        };
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        match serde_json::from_str::<Versioned>(&text) {
            Ok(found) if found.version != VERSION => return Err(StateError::OtherVersion { path }),
            _ => {}
        }
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|source| StateError::Malformed { path, source })
    }

    /// Replaces the file as one step: a reader never sees half of it.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("the stack's state cannot be written")?;
        let draft = folder.join("stack.json.new");
        std::fs::write(&draft, text + "\n")
            .and_then(|()| std::fs::rename(&draft, file(folder)))
            .with_context(|| format!("{} cannot be written", file(folder).display()))
    }

    /// Removes the file.
    pub(super) fn remove(folder: &Path) {
        let _ = std::fs::remove_file(file(folder));
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("stack.json")
}

/// The lock of a running supervisor.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "held, not read: dropping it frees the lock")] File);

impl Lock {
    /// Takes it; `None` while another supervisor lives.
    pub(super) fn try_take(folder: &Path) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let path = folder.join("stack.lock");
        let file = File::create(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", path.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> Stack {
        let ports = Ports {
            functions: 1,
            watch: None,
            loader: 2,
            activity: 3,
            docs: 5,
            sessions: 6,
            experiments: 7,
            retention: 8,
            funnel: 9,
            dashboard: 11,
            clickhouse: None,
            firehose: 4,
            metrics: Some(10),
        };
        Stack {
            version: VERSION,
            id: "x".into(),
            status: Status::Starting,
            plain: true,
            pid: 10,
            started: Some(20),
            urls: Urls::new(&ports, true, Some("http://ch")),
            ports,
            stream: "weir-events".into(),
            database: "analytics".into(),
            env_file: "/e".into(),
            processes: vec![Process {
                name: "events".into(),
                pid: 5,
                started: None,
                log: "/l".into(),
                restarts: 0,
            }],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Stack::read(folder.path()).unwrap(), None);
        stack().write(folder.path()).unwrap();
        assert_eq!(Stack::read(folder.path()).unwrap(), Some(stack()));
        Stack::remove(folder.path());
        assert_eq!(Stack::read(folder.path()).unwrap(), None);
    }

    #[test]
    fn foreign_files_are_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let check = |text: &str, expected: &str| {
            std::fs::write(folder.path().join("stack.json"), text).unwrap();
            let error = Stack::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("", "is not a stack's state");
        check("{}", "is not a stack's state");
        check(r#"{"version":5}"#, "is not a stack's state");
        check(r#"{"version":7,"else":true}"#, "another version of weir");
    }

    #[test]
    fn one_supervisor_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::try_take(folder.path()).unwrap();
        assert!(first.is_some());
        assert!(Lock::try_take(folder.path()).unwrap().is_none());
        drop(first);
        assert!(Lock::try_take(folder.path()).unwrap().is_some());
    }
}
