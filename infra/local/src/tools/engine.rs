//! The ClickHouse engine: `libchdb` out of its npm package.
//!
//! npm does the download, because it knows the user's registry, proxy and credentials, and it checks the package's
//! digest. Only the library is unpacked.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::{cache, command, pins};
use crate::report::Step;

/// What to do when npm is not there.
const NEEDS_NPM: &str = "install Node.js (it brings npm), or give the engine's library with WEIR_LIBCHDB";

/// The path of the library, fetched when it is missing.
pub(super) async fn library(tools: &Path) -> anyhow::Result<PathBuf> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let Some((package, library)) = pins::engine_package(os, arch) else {
        bail!("there is no ClickHouse engine for {os} on {arch}: run a ClickHouse server and set CLICKHOUSE_URL");
    };
    let pinned = format!("{package}@{}", pins::ENGINE_VERSION);
    let name = format!("chdb-{}", pins::ENGINE_VERSION);
    let folder = cache::folder(tools, &name, &pinned, async |folder| {
        let tarball = download(folder, &pinned).await?;
        unpack(&tarball, library, folder).await?;
        std::fs::remove_file(&tarball).context("the unpacked download cannot be removed")
    });
    Ok(folder
        .await
        .context("the ClickHouse engine cannot be fetched")?
        .join(library))
}

async fn download(folder: &Path, pinned: &str) -> anyhow::Result<PathBuf> {
    let npm_cache = command::output(Command::new("npm").args(["config", "get", "cache"]), NEEDS_NPM).await?;
    let spool = PathBuf::from(npm_cache.trim()).join("_cacache/tmp");

    let step = Step::begin("ClickHouse engine: download (178 MB)");
    step.expect_bytes(pins::ENGINE_DOWNLOAD_BYTES);
    let since = std::fs::metadata(folder).and_then(|found| found.modified()).ok();
    let mut npm = Command::new("npm");
    npm.args(["pack", "--loglevel=error", "--pack-destination"])
        .arg(folder)
        .arg(pinned);
    command::output_with(&mut npm, NEEDS_NPM, || step.at_bytes(largest_since(&spool, since))).await?;
    step.done();

    let files = std::fs::read_dir(folder).context("the download's folder cannot be read")?;
    let paths = files.flatten().map(|entry| entry.path());
    paths
        .into_iter()
        .find(|path| path.extension().is_some_and(|ending| ending == "tgz"))
        .context("npm pack left no .tgz")
}

/// npm streams a download into a file of a random name in its cache before it writes the package: the only place
/// where its progress can be seen. A wrong guess shows a wrong bar, no more.
fn largest_since(folder: &Path, since: Option<SystemTime>) -> u64 {
    let Ok(files) = std::fs::read_dir(folder) else { return 0 };
    let recent = files
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .filter(|file| file.modified().ok() >= since);
    recent.map(|file| file.len()).max().unwrap_or(0)
}

async fn unpack(tarball: &Path, library: &str, folder: &Path) -> anyhow::Result<()> {
    let step = Step::begin("ClickHouse engine: unpack (566 MB)");
    step.expect_bytes(pins::ENGINE_UNPACKED_BYTES);
    let unpacked = folder.join("package").join(library);
    let mut tar = Command::new("tar");
    tar.arg("-xzf")
        .arg(tarball)
        .arg("-C")
        .arg(folder)
        .arg(format!("package/{library}"));
    let grown = || step.at_bytes(std::fs::metadata(&unpacked).map_or(0, |file| file.len()));
    command::output_with(&mut tar, "install tar", grown).await?;
    std::fs::rename(&unpacked, folder.join(library))
        .and_then(|()| std::fs::remove_dir(folder.join("package")))
        .context("the unpacked library cannot be moved")?;
    step.done();
    Ok(())
}
