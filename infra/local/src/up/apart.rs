//! A stack apart: ClickHouse, Firehose and the functions `events` and `loader` as plain servers, on free ports and in a
//! folder of its own. Its parts can be told other addresses than each other's real ones, such as those of proxies, and each
//! can be ended: it is started again at once, however often.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use tokio::sync::{mpsc, watch};

use super::{
    budget::Budget,
    build,
    child::{Kept, News, Spec},
    environment,
    health::Probe,
    leftovers, logs, ports, processes,
    settings::{self, Programs, STREAM, Urls, Warehouse},
    state::Process,
};
use crate::{migrate, project::Project, tools};

/// How long the parts may take to stop by themselves.
const GRACE: Duration = Duration::from_secs(20);

/// Seconds and MiB that its Firehose buffers: as `weir up` does by itself.
pub(crate) const INTERVAL_SECONDS: u64 = 1;
pub(crate) const SIZE_MB: u64 = 2;

/// Everything that is settled before the first process starts.
pub(crate) struct Site {
    /// Where the parts really listen.
    pub(crate) urls: Urls,
    ports: settings::Ports,
    programs: Programs,
    library: PathBuf,
    root: PathBuf,
    folder: PathBuf,
}

impl Site {
    /// Builds the functions, optimised with `release`, fetches the engine unless `library` names one, and settles the ports.
    pub(crate) async fn prepare(
        project: &Project,
        library: Option<PathBuf>,
        folder: &Path,
        release: bool,
    ) -> anyhow::Result<Self> {
        let library = match library {
            Some(library) => library,
            None => tools::engine_library(project).await?,
        };
        let programs = build::programs(project.root(), release, &[]).await?;
        let ports = ports::settle(ports::Wanted {
            functions: 0,
            clickhouse: Some(0),
            firehose: 0,
            metrics: None,
            plain: true,
        })?;
        Ok(Self {
            urls: Urls::new(&ports, true, None),
            ports,
            programs,
            library,
            root: project.root().to_owned(),
            folder: folder.to_owned(),
        })
    }
}

/// A stack, running once it is started. Stop it: what is dropped goes on running.
pub(crate) struct Apart {
    site: Site,
    children: Mutex<Vec<Kept>>,
    sender: mpsc::UnboundedSender<News>,
    seen: Arc<Mutex<BTreeMap<String, Process>>>,
    lost: watch::Sender<Option<String>>,
    probe: Probe,
    warehouse: Warehouse,
    id: String,
}

impl Apart {
    /// A stack of which nothing runs yet.
    pub(crate) fn new(site: Site) -> anyhow::Result<Self> {
        let (sender, news) = mpsc::unbounded_channel();
        let lost = watch::Sender::new(None);
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        tokio::spawn(listen(news, Arc::clone(&seen), lost.clone()));
        Ok(Self {
            site,
            children: Mutex::default(),
            sender,
            seen,
            lost,
            probe: Probe::new()?,
            warehouse: Warehouse {
                user: "default".to_owned(),
                password: String::new(),
                database: "analytics".to_owned(),
            },
            id: uuid::Uuid::new_v4().to_string(),
        })
    }

    /// Starts everything, applies the migrations and waits until all is healthy. `called` says where each part finds the
    /// others.
    pub(crate) async fn start(&self, called: &Urls) -> anyhow::Result<()> {
        let Site {
            urls,
            ports,
            programs,
            library,
            folder,
            ..
        } = &self.site;
        let access_key = uuid::Uuid::new_v4().simple().to_string();
        let port = ports.clickhouse.unwrap_or_default();
        let args = settings::clickhouse_args(port, &folder.join("data/clickhouse"), Some(library));
        self.keep("clickhouse", &programs.weir, args, Vec::new())?;
        self.clickhouse_healthy().await?;
        self.migrate().await?;

        let args = settings::firehose_args(
            ports.firehose,
            &folder.join("data/firehose"),
            &called.loader,
            INTERVAL_SECONDS,
            SIZE_MB,
        );
        let environment = vec![("FIREHOSE_ACCESS_KEY", access_key.clone())];
        self.keep("firehose", &programs.weir, args, environment)?;
        self.probe.firehose(urls).await?;

        for (name, port) in [("events", ports.functions), ("loader", ports.loader)] {
            let all = settings::function_environment(called, &self.warehouse, &access_key);
            let mut variables = environment::of(name, &all);
            variables.extend([("PORT", port.to_string()), ("WEIR_HOST", "127.0.0.1".to_owned())]);
            let mut built = settings::FUNCTIONS.iter().zip(&programs.functions);
            let (_, program) = built
                .find(|(function, _)| **function == name)
                .with_context(|| format!("cargo built no program {name}"))?;
            self.keep(name, program, Vec::new(), variables)?;
        }
        self.healthy().await
    }

    /// Kills the process of that name. Another is started in its place.
    pub(crate) fn kill(&self, name: &str) {
        if let Some(process) = self.process(name)
            && processes::is_running(process.pid, process.started)
        {
            processes::signal(process.pid, Signal::KILL);
        }
    }

    /// Ends the process of that name with SIGTERM and starts another.
    pub(crate) fn deploy(&self, name: &str) {
        if let Some(child) = self.children().iter().find(|child| child.name == name) {
            child.renew();
        }
    }

    /// Lets the process of that name make files up to that size, or of any size again.
    pub(crate) fn limit_file_size(&self, name: &str, bytes: Option<u64>) -> anyhow::Result<()> {
        let process = self.process(name).with_context(|| format!("{name} does not run"))?;
        match processes::limit_file_size(process.pid, bytes) {
            // It has just been ended; the next one has no limit.
            Err(_) if !processes::is_running(process.pid, process.started) => Ok(()),
            limited => limited.with_context(|| format!("the files of {name} cannot be limited")),
        }
    }

    /// The program that serves ClickHouse and Firehose, and the library of the engine.
    pub(crate) fn engine(&self) -> (&Path, &Path) {
        (&self.site.programs.weir, &self.site.library)
    }

    /// The process of that name, while one runs.
    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        self.process(name).map(|process| process.pid)
    }

    /// How many processes were started again.
    pub(crate) fn restarts(&self) -> u32 {
        self.seen().values().map(|process| process.restarts).sum()
    }

    /// Resolves when a process cannot be started again.
    pub(crate) async fn lost(&self) -> anyhow::Error {
        let mut lost = self.lost.subscribe();
        match lost.wait_for(Option::is_some).await {
            Ok(why) => anyhow::anyhow!("{}", why.clone().unwrap_or_default()),
            Err(_) => anyhow::anyhow!("the supervisor lost its children"),
        }
    }

    /// Waits until every part answers.
    pub(crate) async fn healthy(&self) -> anyhow::Result<()> {
        self.clickhouse_healthy().await?;
        self.probe.firehose(&self.site.urls).await?;
        self.probe.function(&self.site.urls, "events").await?;
        self.probe.function(&self.site.urls, "loader").await
    }

    /// Stops everything: nothing that sends outlives what it sends to for long.
    pub(crate) async fn stop(&self) {
        let mut children = std::mem::take(&mut *self.children());
        while let Some(child) = children.pop() {
            child.stop(std::future::pending()).await;
        }
        leftovers::sweep(processes::MARK, &self.id).await;
    }

    async fn clickhouse_healthy(&self) -> anyhow::Result<()> {
        self.probe
            .clickhouse(&self.site.urls, &self.warehouse, Duration::from_secs(120))
            .await
    }

    async fn migrate(&self) -> anyhow::Result<()> {
        let Warehouse {
            user,
            password,
            database,
        } = &self.warehouse;
        let client = ::clickhouse::Client::default().with_url(&self.site.urls.clickhouse);
        let client = client.with_user(user).with_password(password);
        let migrations = ::migrate::embedded().context("the migrations are broken")?;
        let migrator = ::migrate::Migrator::new(client, &self.site.urls.clickhouse, database, None)?;
        migrator
            .apply(&migrations, |_| ())
            .await
            .map_err(migrate::in_full)
            .context("the migrations failed")?;
        Ok(())
    }

    fn keep(
        &self,
        name: &'static str,
        program: &Path,
        args: Vec<std::ffi::OsString>,
        mut environment: Vec<(&'static str, String)>,
    ) -> anyhow::Result<()> {
        environment.push((processes::MARK, self.id.clone()));
        let spec = Spec {
            name,
            program: program.to_owned(),
            args,
            environment,
            withheld: environment::withheld(name),
            folder: self.site.root.clone(),
            log: logs::rotate(&self.site.folder.join("logs"), name)?,
            stdout: None,
            grace: GRACE,
        };
        let child = Kept::start_within(spec, Budget::unlimited(), self.sender.clone())?;
        self.children().push(child);
        Ok(())
    }

    fn children(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn process(&self, name: &str) -> Option<Process> {
        self.seen().get(name).cloned()
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Process>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes note of what becomes of the children.
async fn listen(
    mut news: mpsc::UnboundedReceiver<News>,
    seen: Arc<Mutex<BTreeMap<String, Process>>>,
    lost: watch::Sender<Option<String>>,
) {
    while let Some(news) = news.recv().await {
        match news {
            News::Started { process, .. } => {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.insert(process.name.clone(), process);
            }
            News::Died { .. } => {}
            News::Lost { why, .. } => drop(lost.send_replace(Some(why))),
        }
    }
}

/// What `GET /health` of Firehose says of the stream.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
pub(crate) struct StreamHealth {
    /// Records that are accepted and not done.
    pub(crate) spooled_records: u64,
    /// Bytes of its spool that could not be read back.
    pub(crate) damaged_bytes: u64,
}

impl Apart {
    /// How the stream does.
    pub(crate) async fn stream(&self, http: &reqwest::Client) -> anyhow::Result<StreamHealth> {
        let response = http.get(format!("{}/health", self.site.urls.firehose)).send().await?;
        let mut health: serde_json::Value = response.error_for_status()?.json().await?;
        match health.pointer_mut(&format!("/streams/{STREAM}")) {
            Some(stream) => Ok(serde_json::from_value(stream.take())?),
            None => bail!("Firehose has no stream {STREAM}"),
        }
    }
}
