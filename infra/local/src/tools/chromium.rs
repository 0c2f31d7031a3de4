//! A Chromium, for the tests that open pages: this machine's, or on Debian its package.

use std::path::{Path, PathBuf};

use anyhow::bail;
use tokio::process::Command;

use super::command;
use crate::report::Step;

/// The variable that names it, when it is none of the usual ones.
const VARIABLE: &str = "WEIR_CHROMIUM";

/// The names that it goes by, and where it is on macOS.
const PROGRAMS: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// What to do when there is none.
const NEEDS: &str = "install chromium, or name one with WEIR_CHROMIUM";

/// The program. Debian's package is installed when there is none and this user may.
pub(super) async fn program() -> anyhow::Result<PathBuf> {
    if let Some(named) = edge::config::env(VARIABLE).filter(|path| !path.is_empty()) {
        let named = PathBuf::from(named);
        if !named.is_file() {
            bail!("{VARIABLE} names {}, which is no file", named.display());
        }
        return Ok(named);
    }
    let path = edge::config::env("PATH").unwrap_or_default();
    if let Some(found) = find(&path) {
        return Ok(found);
    }
    if !rustix::process::geteuid().is_root() || on_path(&path, "apt-get").is_none() {
        bail!("there is no Chromium on PATH: {NEEDS}");
    }
    let step = Step::begin("chromium: install Debian's package");
    apt_get(&["update", "-qq"]).await?;
    apt_get(&["install", "-qq", "--yes", "--no-install-recommends", "chromium"]).await?;
    step.done();
    match find(&path) {
        Some(found) => Ok(found),
        None => bail!("Debian's package brought no Chromium: {NEEDS}"),
    }
}

async fn apt_get(args: &[&str]) -> anyhow::Result<()> {
    let mut apt_get = Command::new("apt-get");
    // Never a question: nobody may be there.
    apt_get.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    command::output(&mut apt_get, NEEDS).await?;
    Ok(())
}

fn find(path: &str) -> Option<PathBuf> {
    PROGRAMS.iter().find_map(|program| on_path(path, program))
}

/// The program of that name in a folder of `path`.
fn on_path(path: &str, program: &str) -> Option<PathBuf> {
    // A name that begins with a slash replaces the folder.
    std::env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_first_program_of_a_known_name_is_found() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let put = |folder: &Path, name: &str, mode: u32| {
            std::fs::write(folder.join(name), "").unwrap();
            std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let path = format!("{}:{}", first.path().display(), second.path().display());
        assert_eq!(on_path(&path, "chromium"), None);
        put(first.path(), "chromium", 0o644);
        put(second.path(), "chromium", 0o755);
        put(first.path(), "google-chrome", 0o755);
        assert_eq!(find(&path), Some(second.path().join("chromium")));
    }
}
