//! `weir down`: stops a running stack, detached or not, and what a killed one left behind.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    leftovers, processes,
    state::{Lock, Stack},
};
use crate::{project::Project, report};

/// How long the supervisor may take; it has its own, shorter patience with its children.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command. That nothing runs is no failure: the wish is granted.
pub(crate) async fn run(_args: Args) -> anyhow::Result<ExitCode> {
    let project = Project::find()?;
    let folder = project.run();
    let Some(_lock) = stop_supervisor(&folder).await? else {
        anyhow::bail!(
            "the stack is still stopping after {} s: try again, or see up.log",
            PATIENCE.as_secs()
        );
    };
    Ok(ExitCode::SUCCESS)
}

/// Asks the supervisor to stop and waits for its lock; `None` when it does not come free.
async fn stop_supervisor(folder: &std::path::Path) -> anyhow::Result<Option<Lock>> {
    if !folder.exists() {
        report::print("nothing is running");
        return Lock::try_take(folder);
    }
    if let Some(lock) = Lock::try_take(folder)? {
        match leftovers::end(folder).await?.as_slice() {
            [] => report::print("nothing is running"),
            ended => report::print(format!("ended what a killed stack had left: {}", ended.join(", "))),
        }
        return Ok(Some(lock));
    }
    let since = Instant::now();
    let mut asked = None;
    while since.elapsed() < PATIENCE {
        if let Some(lock) = Lock::try_take(folder)? {
            // It may have been killed meanwhile.
            leftovers::end(folder).await?;
            report::print(format!("stopped in {}", report::seconds(since.elapsed())));
            return Ok(Some(lock));
        }
        // The state file comes a moment after the lock.
        if asked.is_none()
            && let Some(stack) = Stack::read(folder)?
        {
            processes::signal(stack.pid, Signal::TERM);
            asked = Some(stack.pid);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(None)
}
