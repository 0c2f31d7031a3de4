//! One long-running child process: its own process group, its log file, started again when it dies.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{
    budget::{Budget, Verdict},
    processes,
    settings::WITHHELD,
    state::Process,
};

/// How to start a child.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    /// Its name in messages and of its log file.
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) environment: Vec<(&'static str, String)>,
    /// Variables that it does not inherit, besides [`WITHHELD`].
    pub(super) withheld: Vec<&'static str>,
    pub(super) folder: PathBuf,
    pub(super) log: PathBuf,
    /// Where its standard output goes when that is not the log: every process of it writes to this one open file, at its end.
    pub(super) stdout: Option<Arc<File>>,
    /// How long it may take to stop by itself.
    pub(super) grace: Duration,
}

/// What became of a child.
#[derive(Debug)]
pub(super) enum News {
    /// It runs; `after` says what happened to the one before, as in "firehose (pid 12) was killed by signal 9".
    Started { process: Process, after: Option<String> },
    /// It died and will be started again; `how` is as in `after`.
    Died { name: &'static str, how: String },
    /// It died too often, or cannot be started again.
    Lost { name: &'static str, why: String },
}

/// A child that is kept running until it is told to stop.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) name: &'static str,
    stop: watch::Sender<Order>,
    task: JoinHandle<()>,
}

/// What the supervisor wants of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Run,
    /// Stop this process and start it again; the number tells one such order from the next.
    Renew(u32),
    Stop,
    Kill,
}

impl Kept {
    /// Starts the child and keeps it running. `news` hears of every start and death.
    pub(super) fn start(spec: Spec, news: mpsc::UnboundedSender<News>) -> anyhow::Result<Self> {
        Self::start_within(spec, Budget::default(), news)
    }

    /// As [`Kept::start`], for as many deaths as the budget allows.
    pub(super) fn start_within(spec: Spec, budget: Budget, news: mpsc::UnboundedSender<News>) -> anyhow::Result<Self> {
        let child = spawn(&spec)?;
        let (stop, orders) = watch::channel(Order::Run);
        let name = spec.name;
        let _ = news.send(News::Started {
            process: describe(&spec, &child, 0),
            after: None,
        });
        Ok(Self {
            name,
            stop,
            task: tokio::spawn(keep(spec, budget, child, orders, news)),
        })
    }

    /// Stops the process and starts it again.
    pub(super) fn renew(&self) {
        self.stop.send_modify(|order| {
            *order = match *order {
                Order::Run => Order::Renew(1),
                Order::Renew(count) => Order::Renew(count.wrapping_add(1)),
                ended => ended,
            }
        });
    }

    /// Stops it: SIGTERM to its group, then, when its grace is over or `hurry` resolves, SIGKILL.
    pub(super) async fn stop(mut self, hurry: impl Future<Output = ()>) {
        self.stop.send_replace(Order::Stop);
        tokio::select! {
            _ = &mut self.task => return,
            () = hurry => {}
        }
        self.stop.send_replace(Order::Kill);
        let _ = self.task.await;
    }
}

async fn keep(
    spec: Spec,
    mut budget: Budget,
    mut child: Child,
    mut orders: watch::Receiver<Order>,
    news: mpsc::UnboundedSender<News>,
) {
    let mut restarts = 0;
    loop {
        let pid = child.id().unwrap_or_default();
        let (pause, after) = tokio::select! {
            status = child.wait() => {
                // Whatever it started must not outlive it.
                processes::signal_group(pid, Signal::KILL);
                let how = status.map_or_else(|error| format!("was lost: {error}"), describe_end);
                let how = format!("{} (pid {pid}) {how}", spec.name);
                match budget.died(Instant::now()) {
                    Verdict::GiveUp => {
                        let why = format!("{how}, its sixth death in a minute");
                        let _ = news.send(News::Lost { name: spec.name, why });
                        return;
                    }
                    Verdict::StartAgain(pause) => {
                        let _ = news.send(News::Died { name: spec.name, how: how.clone() });
                        (pause, Some(how))
                    }
                }
            }
            changed = orders.changed() => {
                let order = *orders.borrow_and_update();
                match (changed, order) {
                    (Ok(()), Order::Run) => continue,
                    (Ok(()), Order::Renew(_)) => {
                        end(&spec, &mut child, pid, &mut orders).await;
                        (Duration::ZERO, None)
                    }
                    _ => return end(&spec, &mut child, pid, &mut orders).await,
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            stopped = orders.wait_for(|order| matches!(order, Order::Stop | Order::Kill)) => { let _ = stopped; return }
        }
        restarts += 1;
        child = match spawn(&spec) {
            Ok(child) => child,
            Err(error) => {
                let _ = news.send(News::Lost {
                    name: spec.name,
                    why: format!("{error:#}"),
                });
                return;
            }
        };
        let _ = news.send(News::Started {
            process: describe(&spec, &child, restarts),
            after,
        });
    }
}

/// Ends the process and its group: politely, then not.
async fn end(spec: &Spec, child: &mut Child, pid: u32, orders: &mut watch::Receiver<Order>) {
    processes::signal_group(pid, Signal::TERM);
    tokio::select! {
        _ = child.wait() => {}
        () = tokio::time::sleep(spec.grace) => {}
        _ = orders.wait_for(|order| *order == Order::Kill) => {}
    }
    processes::signal_group(pid, Signal::KILL);
    let _ = child.wait().await;
}

fn spawn(spec: &Spec) -> anyhow::Result<Child> {
    let log = open_log(&spec.log)?;
    let stdout = spec.stdout.as_deref().unwrap_or(&log).try_clone();
    let stdout = stdout.with_context(|| format!("{} cannot be shared", spec.log.display()))?;
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).current_dir(&spec.folder);
    for name in WITHHELD.iter().chain(&spec.withheld) {
        command.env_remove(name);
    }
    command.envs(spec.environment.iter().map(|(name, value)| (name, value)));
    // A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which then stops things in order.
    command.process_group(0).stdin(Stdio::null()).stdout(stdout).stderr(log);
    command
        .spawn()
        .with_context(|| format!("{} cannot be started: {}", spec.name, spec.program.display()))
}

/// What a child writes goes straight into files: a supervisor that dies takes no pipe with it.
fn open_log(path: &Path) -> anyhow::Result<File> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.with_context(|| format!("{} cannot be written", path.display()))
}

fn describe(spec: &Spec, child: &Child, restarts: u32) -> Process {
    let pid = child.id().unwrap_or_default();
    let (started, log) = (processes::started(pid), spec.log.clone());
    Process {
        name: spec.name.to_owned(),
        pid,
        started,
        log,
        restarts,
    }
}

/// How a process ended, as the end of a sentence.
fn describe_end(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(folder: &Path, script: &str) -> Spec {
        Spec {
            name: "child",
            program: "sh".into(),
            args: vec!["-c".into(), script.into()],
            environment: vec![("WORD", "hello".to_owned())],
            withheld: Vec::new(),
            folder: folder.to_owned(),
            log: folder.join("child.log"),
            stdout: None,
            grace: Duration::from_secs(20),
        }
    }

    async fn started(news: &mut mpsc::UnboundedReceiver<News>) -> Process {
        loop {
            if let Some(News::Started { process, .. }) = news.recv().await {
                return process;
            }
        }
    }

    #[tokio::test]
    async fn a_killed_child_is_started_again_and_stops_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, mut news) = mpsc::unbounded_channel();
        let child = Kept::start(spec(folder.path(), "echo $WORD; sleep 1000 & wait"), sender).unwrap();
        let first = started(&mut news).await;
        processes::signal(first.pid, Signal::KILL);
        match news.recv().await {
            Some(News::Died { how, .. }) => {
                assert_eq!(how, format!("child (pid {}) was killed by signal 9", first.pid))
            }
            other => panic!("{other:?}"),
        }
        let second = started(&mut news).await;
        assert_eq!((second.restarts, second.pid == first.pid), (1, false));
        child.renew();
        let third = started(&mut news).await;
        assert_eq!(third.restarts, 2);
        child.stop(std::future::pending()).await;
        assert!(!processes::is_running(third.pid, third.started));
    }

    #[tokio::test]
    async fn a_child_that_will_not_stop_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, mut news) = mpsc::unbounded_channel();
        let mut stubborn = spec(folder.path(), "trap '' TERM; while :; do sleep 1; done");
        stubborn.grace = Duration::from_millis(50);
        let child = Kept::start(stubborn, sender).unwrap();
        let process = started(&mut news).await;
        child.stop(std::future::pending()).await;
        assert!(!processes::is_running(process.pid, process.started));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, _news) = mpsc::unbounded_channel();
        let missing = Spec {
            program: "/no/such/program".into(),
            ..spec(folder.path(), "")
        };
        let error = Kept::start(missing, sender).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("child cannot be started: /no/such/program"),
            "{error}"
        );
    }
}
