//! `weir migrate`: applies `migrations/`.

use std::cell::RefCell;
use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::migrate::{Begun, MigrateError, MigrationSet, Migrator, Plan, Progress, Report};
use anyhow::Context as _;

use crate::project::Project;
use crate::report;
use crate::signals::Signals;
use crate::warehouse::WarehouseArgs;

/// How often it is said which statement is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the statements that would run, and run none
    #[arg(long)]
    dry_run: bool,
    /// Print what was applied, and when
    #[arg(long, conflicts_with = "dry_run")]
    status: bool,
    /// Read the files of this folder instead of those built in
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    warehouse: WarehouseArgs,
    /// Run DDL on this cluster, with Replicated engines
    #[arg(long, env = "WEIR_CLUSTER")]
    cluster: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let migrations = match &args.dir {
        Some(folder) => MigrationSet::from_dir(folder)?,
        None => ::migrate::embedded()?,
    };
    let clickhouse = match args.warehouse.named()? {
        Some(named) => named,
        None => args.warehouse.config(&Project::find()?)?,
    };
    // `WEIR_CLUSTER=` in an env file means none.
    let cluster = args.cluster.as_deref().filter(|name| !name.is_empty());
    let migrator = Migrator::new(clickhouse.client(), &clickhouse.url, &clickhouse.database, cluster)?;
    if args.status {
        for row in migrator.applied().await.map_err(in_full)? {
            let (name, at) = (row.name, row.applied_at);
            report::print(format!(
                "{name}  {at} UTC  {} statements, {} ms",
                row.statements, row.duration_ms
            ));
        }
        for file in migrator.plan(&migrations).await.map_err(in_full)?.pending {
            report::print(format!("{}  not applied", file.name));
        }
    } else if args.dry_run {
        report::print(script(&migrator.plan(&migrations).await.map_err(in_full)?));
    } else {
        return apply(&migrator, &migrations).await;
    }
    Ok(ExitCode::SUCCESS)
}

/// The error for a terminal, with what ClickHouse said.
pub(crate) fn in_full(error: MigrateError) -> anyhow::Error {
    anyhow::anyhow!(error.in_full())
}

/// Applies all that are built in, without a word.
pub(crate) async fn embedded(client: &::clickhouse::Client, url: &str, database: &str) -> anyhow::Result<()> {
    let migrations = ::migrate::embedded().context("the migrations are broken")?;
    let migrator = Migrator::new(client.clone(), url, database, None)?;
    let applied = migrator.apply(&migrations, |_| ()).await;
    applied.map_err(in_full).context("the migrations failed")?;
    Ok(())
}

/// Applies what is pending. A statement may take as long as it takes; it is said when that is long, and where a signal found
/// the run.
async fn apply(migrator: &Migrator, migrations: &MigrationSet) -> anyhow::Result<ExitCode> {
    let under_way = RefCell::new(None);
    let applying = migrator.apply(migrations, |progress| match progress {
        Progress::Begun(begun) => drop(under_way.replace(Some((begun, Instant::now())))),
        Progress::Applied(done) => {
            under_way.take();
            report::print(line(&done));
        }
    });
    let mut signals = Signals::listen()?;
    let applied = tokio::select! {
        applied = signals.or(applying) => applied,
        never = wait(&under_way) => match never {},
    };
    match applied {
        Ok(reports) => {
            if reports.map_err(in_full)?.is_empty() {
                report::print("nothing to apply");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(asked) => {
            let place = under_way.take().map_or_else(
                || "between two migrations".to_owned(),
                |(begun, _)| format!("at {begun}, which ClickHouse may still end"),
            );
            report::say(format!(
                "{asked} {place}: run the same again, it goes on with the first file that is not applied"
            ));
            Ok(asked.into())
        }
    }
}

fn line(done: &Report) -> String {
    format!(
        "applied {} ({} statements, {} ms)",
        done.name, done.statements, done.duration_ms
    )
}

/// Says what is waited for, again and again.
async fn wait(under_way: &RefCell<Option<(Begun, Instant)>>) -> Infallible {
    loop {
        tokio::time::sleep(PATIENCE).await;
        if let Some((begun, since)) = &*under_way.borrow()
            && since.elapsed() >= PATIENCE
        {
            report::say(format!("{begun}: under way for {}", report::seconds(since.elapsed())));
        }
    }
}

/// A plan as one SQL script: what `--dry-run` prints can be given to clickhouse-client.
fn script(plan: &Plan) -> String {
    if plan.bootstrap.is_empty() && plan.pending.is_empty() {
        return "-- nothing to apply".to_owned();
    }
    let bootstrap = (!plan.bootstrap.is_empty()).then_some(("before the first file", &plan.bootstrap));
    let files = plan.pending.iter().map(|file| (file.name.as_str(), &file.statements));
    let mut text = String::new();
    for (title, statements) in bootstrap.into_iter().chain(files) {
        text.push_str(&format!("-- {title}\n"));
        for statement in statements {
            text.push_str(&format!("{statement};\n\n"));
        }
    }
    text.trim_end().to_owned()
}
