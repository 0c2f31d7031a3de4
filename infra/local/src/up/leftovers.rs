//! What an earlier stack left running because its supervisor was killed: found by its state file, ended by pid.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{processes, state::Stack};

/// How long leftovers may take to stop by themselves.
const GRACE: Duration = Duration::from_secs(15);

/// Ends every process of the stack that the state file in `folder` tells of, and removes the file. Call it only with the
/// lock taken: then no supervisor lives. Returns what was ended, such as `firehose (pid 12)`.
pub(super) async fn end(folder: &Path) -> anyhow::Result<Vec<String>> {
    let Some(stack) = Stack::read(folder)? else {
        return Ok(Vec::new());
    };
    let mut ended = Vec::new();
    // Functions first, the warehouse last, as in an orderly stop.
    for process in stack
        .processes
        .iter()
        .rev()
        .filter(|process| processes::is_running(process.pid, process.started))
    {
        processes::signal_group(process.pid, Signal::TERM);
        wait(|| !processes::is_running(process.pid, process.started)).await;
        processes::signal_group(process.pid, Signal::KILL);
        ended.push(format!("{} (pid {})", process.name, process.pid));
    }
    sweep(processes::MARK, &stack.id).await;
    Stack::remove(folder);
    Ok(ended)
}

/// Kills whatever still carries a mark, such as a function whose cargo-lambda was killed carries its stack's.
pub(crate) async fn sweep(variable: &str, value: &str) {
    let strays = processes::marked(variable, value);
    for pid in &strays {
        processes::signal(*pid, Signal::KILL);
    }
    if !strays.is_empty() {
        wait(|| processes::marked(variable, value).is_empty()).await;
    }
}

/// There is no waiting on another's child: it has to be looked at.
async fn wait(over: impl Fn() -> bool) {
    let deadline = Instant::now() + GRACE;
    while !over() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
