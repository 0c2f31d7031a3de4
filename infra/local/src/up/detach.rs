//! `weir up --detach`: leaves a supervisor behind that has nothing to do with this terminal.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::{
    logs, stack,
    state::{Stack, Status},
};
use crate::{project::Project, report, signals::Signals};

/// Starts this very command again as a supervisor, waits until its stack is healthy, prints what it serves.
pub(super) async fn start(project: &Project, signals: &mut Signals) -> anyhow::Result<ExitCode> {
    let log = logs::rotate(&project.logs(), "up")?;
    let file = std::fs::File::create(&log).with_context(|| format!("{} cannot be made", log.display()))?;
    let twin = file.try_clone().context("the log cannot be shared")?;
    let mut command = Command::new(std::env::current_exe().context("the path of weir itself is unknown")?);
    command.args(std::env::args_os().skip(1)).arg("--supervise");
    command.stdin(Stdio::null()).stdout(file).stderr(twin).process_group(0);
    let mut child = command.spawn().context("the supervisor cannot be started")?;
    let pid = child.id();
    loop {
        tokio::select! {
            ended = child.wait() => {
                let status = ended.context("the supervisor was lost")?;
                let signal = status.signal().map_or_else(String::new, |signal| format!(" (signal {signal})"));
                bail!("the stack did not start{signal}; the end of {}:{}", log.display(), logs::last_lines(&log, 12));
            }
            asked = signals.asked() => {
                if let Some(pid) = pid {
                    super::processes::signal(pid, rustix::process::Signal::TERM);
                }
                let _ = child.wait().await;
                report::say(format!("{asked}: the stack was stopped again"));
                return Ok(asked.into());
            }
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                // While it is being written, or before it is there, there is nothing to see yet.
                if let Ok(Some(stack)) = Stack::read(&project.run())
                    && Some(stack.pid) == pid
                    && stack.status == Status::Healthy
                {
                    report::print(stack::summary(&stack));
                    report::print("It runs in the background: `weir down` stops it.");
                    return Ok(ExitCode::SUCCESS);
                }
            }
        }
    }
}
