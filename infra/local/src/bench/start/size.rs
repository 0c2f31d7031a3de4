//! How much there is to load: the program, and the package that is deployed.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::{EVENTS, MEGABYTE};
use crate::{
    bench::{Figure, Part},
    project::Project,
    report,
    report::Step,
    tools, up,
};

/// What Lambda runs on.
const TARGET: &str = "aarch64-unknown-linux-gnu";

/// The size of the program of `events`, for this machine.
pub(super) fn program(part: Part, events: &Path) -> anyhow::Result<Figure> {
    let bytes = std::fs::metadata(events)?.len() as f64;
    let what = format!("{EVENTS}: program for {}", std::env::consts::ARCH);
    Ok(Figure::new(part, what, bytes / MEGABYTE, "MB"))
}

/// The size of the package of `events`, as cargo-lambda makes it. Where Rust's library for Lambda's processor is not
/// installed, which only rustup fetches, there is none.
pub(super) async fn zip(project: &Project, part: Part) -> anyhow::Result<Option<Figure>> {
    if !is_installed().await? {
        report::say(format!(
            "{EVENTS}: zip for arm64: not measured, as Rust's library for it is missing (rustup target add {TARGET})"
        ));
        return Ok(None);
    }
    let environment = tools::sam_environment(project).await?;
    let step = Step::begin(format!("build {EVENTS} for arm64"));
    let mut build = Command::new(environment.join("bin/cargo-lambda"));
    // cargo-lambda finds the linker by the first Python there.
    #[allow(clippy::disallowed_methods, reason = "what is handed on to a tool")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(environment.join("bin")).chain(std::env::split_paths(&path));
    build
        .args(["lambda", "build", "--release", "--arm64", "--output-format", "zip"])
        .args(["--bin", EVENTS])
        .args([
            "--lambda-dir".as_ref(),
            project.root().join("target/bench/lambda").as_os_str(),
        ])
        .env("PATH", std::env::join_paths(path)?)
        .current_dir(project.root())
        .kill_on_drop(true);
    for name in up::WITHHELD {
        build.env_remove(name);
    }
    let built = build.status().await.context("cargo-lambda could not be started")?;
    ensure!(built.success(), "the build for arm64 failed: see above");
    step.done();
    let zip = project
        .root()
        .join("target/bench/lambda")
        .join(EVENTS)
        .join("bootstrap.zip");
    let bytes = std::fs::metadata(&zip)
        .with_context(|| zip.display().to_string())?
        .len() as f64;
    let figure = Figure::new(part, format!("{EVENTS}: zip for arm64"), bytes / MEGABYTE, "MB");
    Ok(Some(figure.at_most(2.2)))
}

async fn is_installed() -> anyhow::Result<bool> {
    let mut rustc = Command::new("rustc");
    let output = rustc.args(["--print", "sysroot"]).output().await?;
    let sysroot = String::from_utf8_lossy(&output.stdout);
    let library = Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).join("lib");
    Ok(library.is_dir())
}
