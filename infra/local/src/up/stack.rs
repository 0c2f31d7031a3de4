//! A stack's life: start in order, wait for health, keep running, stop in reverse.

use std::{ffi::OsString, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use tokio::sync::{mpsc, watch};

use super::{
    Args, Prepared,
    build::OPTIMISED,
    child::{Kept, News, Spec},
    environment,
    function_urls::FunctionUrls,
    health::Probe,
    instances::Instances,
    leftovers, logs,
    metrics::Metrics,
    processes,
    records::Records,
    settings::{self, FUNCTIONS, Ports, STREAM, Urls, Warehouse},
    state::{Process, Stack, Status, VERSION},
    words, write_private,
};
use crate::{
    metrics::BOTH,
    migrate,
    project::Project,
    report::{self, Step},
    signals::{Asked, Signals},
};

/// The child that runs the functions, unless each is a child of its own.
pub(super) const WATCHER: &str = "functions";
/// How many of a dead child's last lines are shown.
const LAST_LINES: usize = 12;
/// How often the instances of cargo-lambda are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Everything that is settled before the first process starts.
pub(super) struct Plan {
    pub(super) project: Project,
    pub(super) args: Args,
    pub(super) prepared: Prepared,
    pub(super) ports: Ports,
    pub(super) urls: Urls,
    pub(super) warehouse: Warehouse,
    pub(super) access_key: String,
}

/// Runs the stack until it is told to stop or cannot go on.
pub(super) async fn run(plan: Plan, signals: &mut Signals) -> anyhow::Result<ExitCode> {
    let mut running = Running::new(plan)?;
    let ended = match signals.or(running.start()).await {
        Ok(Ok(())) => running.supervise(signals).await,
        Ok(Err(error)) => Err(error),
        Err(asked) => {
            report::say(format!("{asked} before everything was healthy"));
            Ok(asked)
        }
    };
    running.stop(signals).await;
    ended.map(ExitCode::from)
}

struct Running {
    plan: Plan,
    probe: Probe,
    state: Stack,
    environment: Vec<(&'static str, String)>,
    children: Vec<Kept>,
    function_urls: Option<FunctionUrls>,
    records: Arc<Records>,
    metrics: Option<Metrics>,
    /// Of the state, for the metrics.
    processes: watch::Sender<Vec<Process>>,
    sender: mpsc::UnboundedSender<News>,
    news: mpsc::UnboundedReceiver<News>,
    instances: Instances,
}

impl Running {
    fn new(plan: Plan) -> anyhow::Result<Self> {
        let environment = settings::function_environment(&plan.urls, &plan.warehouse, &plan.access_key);
        let env_file = plan.project.run().join("functions.env");
        write_private(&env_file, &settings::env_file(&environment)?)?;
        let own = std::process::id();
        let state = Stack {
            version: VERSION,
            id: uuid::Uuid::new_v4().to_string(),
            status: Status::Starting,
            plain: plan.args.plain,
            pid: own,
            started: processes::started(own),
            ports: plan.ports.clone(),
            urls: plan.urls.clone(),
            stream: STREAM.to_owned(),
            database: plan.warehouse.database.clone(),
            env_file,
            processes: Vec::new(),
        };
        state.write(&plan.project.run())?;
        let (sender, news) = mpsc::unbounded_channel();
        let (probe, instances) = (Probe::new()?, Instances::default());
        Ok(Self {
            plan,
            probe,
            state,
            environment,
            children: Vec::new(),
            function_urls: None,
            records: Arc::new(Records::new()?),
            metrics: None,
            processes: watch::Sender::default(),
            sender,
            news,
            instances,
        })
    }

    /// Starts everything and waits until it is healthy. A child that dies meanwhile is an error: it would die again.
    async fn start(&mut self) -> anyhow::Result<()> {
        if let Some(port) = self.plan.ports.metrics {
            let (urls, warehouse) = (&self.plan.urls, &self.plan.warehouse);
            let (records, processes) = (Arc::clone(&self.records), self.processes.subscribe());
            self.metrics = Some(Metrics::start(port, urls, warehouse, records, processes).await?);
        }
        if self.plan.ports.clickhouse.is_some() {
            let step = Step::begin("start ClickHouse");
            self.keep(self.clickhouse())?;
            self.healthy(Part::Clickhouse).await?;
            step.done();
        } else {
            self.healthy(Part::Clickhouse).await?;
        }
        self.migrate().await?;

        let step = Step::begin("start Firehose");
        self.keep(self.firehose())?;
        self.healthy(Part::Firehose).await?;
        step.done();

        let step = Step::begin("start the functions");
        if let Some(watch) = self.plan.ports.watch {
            self.function_urls = Some(FunctionUrls::start(self.plan.ports.functions, watch).await?);
        }
        for spec in self.functions() {
            self.keep(spec)?;
        }
        self.healthy(Part::Functions).await?;
        step.done();

        self.state.status = Status::Healthy;
        self.save()?;
        report::print(summary(&self.state));
        if !self.plan.args.supervise {
            report::say("Ctrl-C stops everything.");
        }
        Ok(())
    }

    /// Keeps everything running until it is told to stop (`Ok`) or gives up.
    async fn supervise(&mut self, signals: &mut Signals) -> anyhow::Result<Asked> {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                asked = signals.asked() => return Ok(asked),
                news = self.news.recv() => match news {
                    Some(news) => self.hear(news)?,
                    None => bail!("the supervisor lost its children"),
                },
                _ = look.tick() => self.look_at_instances(),
            }
        }
    }

    /// Stops everything in order: nothing that sends outlives what it sends to for long.
    async fn stop(&mut self, signals: &mut Signals) {
        self.state.status = Status::Stopping;
        let _ = self.save();
        let step = Step::begin("stop");
        self.function_urls = None;
        while let Some(child) = self.children.pop() {
            // A second Ctrl-C is a hurry.
            let hurry = async {
                let _ = signals.asked().await;
            };
            child.stop(hurry).await;
        }
        leftovers::sweep(processes::MARK, &self.state.id).await;
        Stack::remove(&self.plan.project.run());
        step.done();
    }

    fn keep(&mut self, spec: Spec) -> anyhow::Result<()> {
        let folder = self.plan.project.logs();
        let log = logs::rotate(&folder, spec.name)?;
        let stdout = match spec.name {
            WATCHER => Some(self.records.of_log(&log)?),
            name if FUNCTIONS.contains(&name) => Some(self.records.of_function(&folder, &log)?),
            _ => None,
        };
        let spec = Spec { log, stdout, ..spec };
        if self.plan.args.logs {
            tokio::spawn(logs::follow(spec.name, spec.log.clone()));
        }
        self.children.push(Kept::start(spec, self.sender.clone())?);
        Ok(())
    }

    /// Waits for a part to be healthy, or for a child to die.
    async fn healthy(&mut self, part: Part) -> anyhow::Result<()> {
        let (probe, urls, warehouse) = (self.probe.clone(), self.plan.urls.clone(), self.plan.warehouse.clone());
        let own = self.plan.ports.clickhouse.is_some();
        let healthy = async {
            match part {
                // Our own may have a log to replay first; another's either answers or does not.
                Part::Clickhouse => {
                    probe
                        .clickhouse(&urls, &warehouse, Duration::from_secs(if own { 120 } else { 10 }))
                        .await
                }
                Part::Firehose => probe.firehose(&urls).await,
                Part::Functions => probe.functions(&urls).await,
            }
        };
        tokio::pin!(healthy);
        loop {
            tokio::select! {
                done = &mut healthy => return done,
                news = self.news.recv() => match news {
                    Some(News::Died { name, how }) => bail!("{how} before it was healthy{}", self.last_lines(name)),
                    Some(other) => self.hear(other)?,
                    None => bail!("the supervisor lost its children"),
                },
            }
        }
    }

    /// Takes note of what became of a child, and says so.
    fn hear(&mut self, news: News) -> anyhow::Result<()> {
        match news {
            News::Started { process, after } => self.started(process, after),
            // The line comes when its successor is there.
            News::Died { .. } => Ok(()),
            News::Lost { name, why } => bail!("{why}: the stack stops{}", self.last_lines(name)),
        }
    }

    fn started(&mut self, process: Process, after: Option<String>) -> anyhow::Result<()> {
        if process.name == WATCHER {
            self.instances.forget();
        }
        if let Some(after) = after {
            report::say(format!("{after}: started again (pid {})", process.pid));
        }
        match self.state.processes.iter_mut().find(|known| known.name == process.name) {
            None => self.state.processes.push(process),
            Some(known) => {
                // cargo-lambda starts a function with its first request: let that one be ours.
                if process.name == WATCHER {
                    let (probe, urls) = (self.probe.clone(), self.plan.urls.clone());
                    tokio::spawn(async move { probe.functions(&urls).await });
                }
                *known = process;
            }
        }
        self.save()
    }

    /// Starts cargo-lambda again when one of its instances is gone for good.
    fn look_at_instances(&mut self) {
        let Some(watcher) = self.state.processes.iter().find(|process| process.name == WATCHER) else {
            return;
        };
        let Some(vanished) = self.instances.look(watcher.pid) else {
            return;
        };
        if let Some(child) = self.children.iter().find(|child| child.name == WATCHER) {
            report::say(format!(
                "{} (pid {}) is gone: starting cargo-lambda again",
                vanished.function, vanished.pid
            ));
            child.renew();
        }
    }

    fn last_lines(&self, name: &str) -> String {
        let log = self.plan.project.logs().join(format!("{name}.log"));
        match logs::last_lines(&log, LAST_LINES) {
            lines if lines.is_empty() => String::new(),
            lines => format!("; the end of {}:{lines}", log.display()),
        }
    }

    fn save(&self) -> anyhow::Result<()> {
        self.processes.send_replace(self.state.processes.clone());
        self.state.write(&self.plan.project.run())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Clickhouse,
    Firehose,
    Functions,
}

impl Running {
    /// `weir clickhouse`: the embedded engine.
    fn clickhouse(&self) -> Spec {
        let Plan {
            project,
            prepared,
            warehouse,
            ports,
            ..
        } = &self.plan;
        let port = ports.clickhouse.unwrap_or_default();
        let args = settings::clickhouse_args(port, &project.data("clickhouse"), prepared.library.as_ref());
        let environment = vec![
            ("CLICKHOUSE_USER", warehouse.user.clone()),
            ("CLICKHOUSE_PASSWORD", warehouse.password.clone()),
        ];
        // The engine writes its parts out when it stops.
        self.spec(
            "clickhouse",
            prepared.programs.weir.clone(),
            args,
            environment,
            Duration::from_secs(30),
        )
    }

    /// `weir firehose`, with the stream that delivers to the loader.
    fn firehose(&self) -> Spec {
        let Plan {
            project,
            prepared,
            ports,
            urls,
            args: given,
            access_key,
            ..
        } = &self.plan;
        let args = settings::firehose_args(
            ports.firehose,
            &project.data("firehose"),
            &urls.loader,
            given.interval,
            given.buffer_mb,
        );
        let environment = vec![("FIREHOSE_ACCESS_KEY", access_key.clone())];
        self.spec(
            "firehose",
            prepared.programs.weir.clone(),
            args,
            environment,
            Duration::from_secs(15),
        )
    }

    /// cargo-lambda, or each function as a server of its own.
    fn functions(&self) -> Vec<Spec> {
        let Plan {
            prepared,
            ports,
            args: given,
            ..
        } = &self.plan;
        let grace = Duration::from_secs(15);
        let Some(cargo_lambda) = &prepared.cargo_lambda else {
            let ports = [
                ports.functions,
                ports.loader,
                ports.activity,
                ports.docs,
                ports.sessions,
                ports.experiments,
                ports.retention,
                ports.funnel,
                ports.dashboard,
            ];
            let servers = FUNCTIONS.iter().zip(&prepared.programs.functions).zip(ports);
            let server = |((name, program), port): ((&&'static str, &PathBuf), u16)| {
                let mut variables = environment::of(name, &self.environment);
                variables.extend([
                    ("PORT", port.to_string()),
                    ("WEIR_HOST", "127.0.0.1".to_owned()),
                    ("WEIR_METRICS", BOTH.to_owned()),
                ]);
                self.spec(name, program.clone(), Vec::new(), variables, grace)
            };
            return servers.map(server).collect();
        };
        let mut args = words(["lambda", "watch", "--invoke-address", "127.0.0.1", "--invoke-port"]);
        args.push(ports.watch.unwrap_or_default().to_string().into());
        args.extend(words([
            "--concurrency",
            &given.concurrency.to_string(),
            "--disable-cors",
            "--color",
            "never",
        ]));
        // Not --timeout: it cuts the instances' own wait for work off too, and they die of it.
        if given.release {
            args.extend(words(["--profile", OPTIMISED]));
        }
        if given.no_reload {
            args.extend(words(["--ignore-changes"]));
        }
        let mut variables = self.environment.clone();
        variables.push(("WEIR_METRICS", "emf".to_owned()));
        vec![self.spec(WATCHER, cargo_lambda.clone(), args, variables, grace)]
    }

    fn spec(
        &self,
        name: &'static str,
        program: PathBuf,
        args: Vec<OsString>,
        mut environment: Vec<(&'static str, String)>,
        grace: Duration,
    ) -> Spec {
        environment.push((processes::MARK, self.state.id.clone()));
        let folder = self.plan.project.root().to_owned();
        // cargo-lambda has one environment for all functions.
        let withheld = if name == WATCHER {
            Vec::new()
        } else {
            environment::withheld(name)
        };
        Spec {
            name,
            program,
            args,
            environment,
            withheld,
            folder,
            log: PathBuf::new(),
            stdout: None,
            grace,
        }
    }

    /// Applies the migrations, with the library that the deployed function uses.
    async fn migrate(&self) -> anyhow::Result<()> {
        let Plan {
            urls, warehouse, args, ..
        } = &self.plan;
        let step = Step::begin("apply migrations");
        let client = ::clickhouse::Client::default().with_url(&urls.clickhouse);
        let client = client.with_user(&warehouse.user).with_password(&warehouse.password);
        let migrations = ::migrate::embedded().context("the migrations are broken")?;
        let migrator =
            ::migrate::Migrator::new(client, &urls.clickhouse, &warehouse.database, args.cluster.as_deref())?;
        let applied = migrator
            .apply(&migrations, |_| ())
            .await
            .map_err(migrate::in_full)
            .context("the migrations failed")?;
        step.done();
        for report in applied {
            report::say(format!("applied {} ({} ms)", report.name, report.duration_ms));
        }
        Ok(())
    }
}

/// What a person wants to know of a healthy stack.
pub(super) fn summary(stack: &Stack) -> String {
    let urls = &stack.urls;
    let now = edge::clock::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    format!(
        "\nWeir is up.\n\n  events      POST {}\n  activity    GET  {}\n  sessions    GET  {}\n  experiments GET  {}\n  retention   GET  {}\n  \
         funnel      GET  {}\n  dashboard        {}\n  documentation    {}\n  ClickHouse       {} (database {})\n  \
         Firehose         {} (stream {})\n  metrics          {}\n  logs             {}\n\nSend an event:\n\n  {}\n",
        urls.events,
        urls.activity,
        urls.sessions,
        urls.experiments,
        urls.retention,
        urls.funnel,
        urls.dashboard,
        urls.docs,
        urls.clickhouse,
        stack.database,
        urls.firehose,
        stack.stream,
        urls.metrics.as_deref().unwrap_or_default(),
        stack
            .processes
            .first()
            .and_then(|process| process.log.parent())
            .unwrap_or_else(|| "".as_ref())
            .display(),
        settings::sample_curl(urls, &now),
    )
}
