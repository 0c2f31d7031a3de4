//! `sam build` of the template, as DEPLOY.md says it, with the versions that DEPLOY.md installs.
//!
//! Optimised, because there is code that is only refused then, but not linked as thoroughly as what is deployed, which takes thrice as
//! long. Without Rust's library for arm64, which only rustup fetches, the functions are built for this machine's processor.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::{Template, binary_of, files, program, ran, ran_within};
use crate::process::{checkout, scratch, setting};

/// How long it may take where nothing was compiled before.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// The newest glibc that `provided.al2023` has, 2.34
/// (<https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2.html>).
const GLIBC_MINOR: u32 = 34;

#[tokio::test]
async fn sam_builds_every_function() -> anyhow::Result<()> {
    let template = Template::main().await?;
    let folder = scratch();
    let build = folder.path().join("build");
    let sysroot = ran(Command::new("rustc"), &["--print", "sysroot"]).await?;
    let for_arm64 = Path::new(sysroot.trim())
        .join("lib/rustlib/aarch64-unknown-linux-gnu/lib")
        .is_dir();
    let (file, architecture) = match (for_arm64, std::env::consts::ARCH) {
        (true, _) | (_, "aarch64") => (PathBuf::from("infra/template.yaml"), "arm64"),
        (false, "x86_64") => (for_x86_64(folder.path())?, "x86_64"),
        (false, other) => anyhow::bail!("Lambda has no {other}"),
    };

    let mut sam = program("sam");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = setting("WEIR_SAM").join("bin");
    let path = std::env::join_paths(std::iter::once(first).chain(std::env::split_paths(&path)))?;
    sam.env("PATH", path)
        // Its own: the profile differs from that of who builds to deploy.
        .env("CARGO_TARGET_DIR", checkout().join("target/sam"))
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_LTO", "off");
    let (file, build_dir) = (file.to_string_lossy(), build.to_string_lossy());
    let args = [
        "build",
        "--template-file",
        &*file,
        "--base-dir",
        "infra",
        "--build-dir",
        &*build_dir,
    ];
    ran_within(LIMIT, sam, &args).await?;

    for (id, function) in template.functions() {
        let package = build.join(id);
        match binary_of(function) {
            Some(binary) => starts_on_lambda(&package, architecture).with_context(|| binary.to_owned())?,
            None => holds_dbt(&package, &template).with_context(|| id.to_owned())?,
        }
    }
    ensure!(build.join("Monitoring/template.yaml").is_file(), "no alarms");
    Ok(())
}

/// The template for this machine's processor, in that folder, with the one that it has inside.
fn for_x86_64(folder: &Path) -> anyhow::Result<PathBuf> {
    let text = std::fs::read_to_string(checkout().join("infra/template.yaml"))?;
    let other = text.replace("Architectures: [arm64]", "Architectures: [x86_64]");
    ensure!(text != other, "the template names no architecture");
    let file = folder.join("template.yaml");
    std::fs::write(&file, other)?;
    std::fs::copy(checkout().join("infra/monitoring.yaml"), folder.join("monitoring.yaml"))?;
    Ok(file)
}

/// `e_machine` of an ELF file
/// (<https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html>).
fn machine(file: &[u8]) -> Option<u16> {
    let is_elf = file.starts_with(b"\x7fELF");
    let field = file.get(18..20).filter(|_| is_elf)?;
    Some(u16::from_le_bytes(field.try_into().ok()?))
}

/// A package with one program, of that processor, that asks for no newer glibc than Lambda's.
fn starts_on_lambda(package: &Path, architecture: &str) -> anyhow::Result<()> {
    let files = files(package)?;
    ensure!(files == [package.join("bootstrap")], "{files:?}");
    let program = std::fs::read(package.join("bootstrap"))?;
    let expected = if architecture == "arm64" { 183 } else { 62 };
    ensure!(
        machine(&program) == Some(expected),
        "{:?}, not {architecture}",
        machine(&program)
    );
    let prefix = b"GLIBC_2.";
    let newest = program
        .windows(prefix.len() + 2)
        .filter_map(|window| {
            let minor = window.strip_prefix(prefix)?;
            let digits = minor.iter().take_while(|byte| byte.is_ascii_digit());
            Some(digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
        })
        .max();
    let newest = newest.context("asks for no glibc at all")?;
    ensure!(newest <= GLIBC_MINOR, "asks for glibc 2.{newest}");
    Ok(())
}

/// A package with dbt for arm64, the whole project, and what Lambda calls.
fn holds_dbt(package: &Path, template: &Template) -> anyhow::Result<()> {
    let (mut bytes, mut libraries) = (0, 0);
    for file in files(package)? {
        bytes += file.metadata()?.len();
        let name = file.to_string_lossy();
        if name.ends_with(".so") {
            ensure!(
                machine(&std::fs::read(&file)?) == Some(183),
                "{name} is for another processor"
            );
            libraries += 1;
        }
    }
    ensure!(libraries > 5, "only {libraries} libraries");
    ensure!(bytes < 250 << 20, "{bytes} bytes: Lambda unpacks 250 MB at most");

    let project = checkout().join("dbt");
    for file in files(&project)? {
        let inside = file.strip_prefix(&project)?;
        if !["target", "logs"].iter().any(|name| inside.starts_with(name)) {
            ensure!(
                std::fs::read(package.join("project").join(inside))? == std::fs::read(&file)?,
                "{}",
                inside.display()
            );
        }
    }
    let handler = &template.source["Resources"]["DbtFunction"]["Properties"]["Handler"];
    let (module, function) = handler
        .as_str()
        .and_then(|it| it.split_once('.'))
        .context("no handler")?;
    let module = std::fs::read_to_string(package.join(format!("{module}.py")))?;
    ensure!(
        module.contains(&format!("\ndef {function}(")),
        "{handler} is not in the package"
    );
    // A test of `weir` compares these with the versions here.
    let asked = std::fs::read_to_string(checkout().join("functions/dbt/requirements.txt"))?;
    for pin in asked.lines().filter(|line| line.contains("==")) {
        let name = pin.replace("==", "-").replacen("dbt-", "dbt_", 1);
        ensure!(package.join(format!("{name}.dist-info")).is_dir(), "no {name}");
    }
    Ok(())
}
