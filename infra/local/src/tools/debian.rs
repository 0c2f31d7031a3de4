//! Programs that Debian packages: found on `PATH`, or their package fetched.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::{cache, command};
use crate::report::Step;

/// A program of the machine, and what stands in for it where it is not.
#[derive(Debug)]
pub(super) struct Wanted {
    /// What to call it.
    pub(super) name: &'static str,
    /// The variable that names another one.
    pub(super) variable: &'static str,
    /// The names that it goes by. One that begins with a slash is a file.
    pub(super) programs: &'static [&'static str],
    /// What to do when there is none.
    pub(super) needs: &'static str,
}

impl Wanted {
    /// The one that its variable names, or else one on `PATH`.
    pub(super) fn here(&self) -> anyhow::Result<Option<PathBuf>> {
        let variable = self.variable;
        if let Some(named) = edge::config::env(variable).filter(|path| !path.is_empty()) {
            let named = PathBuf::from(named);
            if !named.is_file() {
                bail!("{variable} names {}, which is no file", named.display());
            }
            return Ok(Some(named));
        }
        Ok(find(&edge::config::env("PATH").unwrap_or_default(), self.programs))
    }

    /// As [`Self::here`]; where there is none, Debian's package is installed, if this user may.
    pub(super) async fn installed(&self, package: &str) -> anyhow::Result<PathBuf> {
        if let Some(here) = self.here()? {
            return Ok(here);
        }
        if !rustix::process::geteuid().is_root() || !has_apt() {
            bail!("there is no {} on PATH: {}", self.name, self.needs);
        }
        let step = Step::begin(format!("{}: install Debian's package", self.name));
        self.apt_get(&["update", "-qq"]).await?;
        self.apt_get(&["install", "-qq", "--yes", "--no-install-recommends", package])
            .await?;
        step.done();
        let Some(brought) = self.here()? else {
            bail!("Debian's package brought no {}: {}", self.name, self.needs);
        };
        Ok(brought)
    }

    /// As [`Self::here`]; where there is none, the file `program` of Debian's package, which is unpacked under `tools` with all that
    /// it needs and the machine has not. Nothing is installed: the package of a server would start it.
    pub(super) async fn unpacked(&self, tools: &Path, package: &str, program: &str) -> anyhow::Result<PathBuf> {
        if let Some(here) = self.here()? {
            return Ok(here);
        }
        if !has_apt() {
            bail!("there is no {} on PATH: {}", self.name, self.needs);
        }
        let folder = cache::folder(tools, &format!("debian-{package}"), package, async |folder| {
            let step = Step::begin(format!("{}: unpack Debian's package", self.name));
            if rustix::process::geteuid().is_root() {
                self.apt_get(&["update", "-qq"]).await?;
            }
            self.unpack(package, folder).await?;
            step.done();
            Ok(())
        })
        .await?;
        let brought = folder.join(program);
        if !is_program(&brought) {
            bail!("Debian's package brought no {program}: {}", self.needs);
        }
        Ok(brought)
    }

    async fn unpack(&self, package: &str, folder: &Path) -> anyhow::Result<()> {
        let archives = folder.join("archives");
        let partial = archives.join("partial");
        std::fs::create_dir_all(&partial).with_context(|| format!("{} cannot be made", partial.display()))?;
        let cache = format!("Dir::Cache::archives={}/", archives.display());
        self.apt_get(&[
            "install",
            "-qq",
            "--yes",
            "--no-install-recommends",
            "--download-only",
            "-o",
            &cache,
            // The system's own folders are not touched, so anybody may.
            "-o",
            "Debug::NoLocking=1",
            package,
        ])
        .await?;
        let listed = std::fs::read_dir(&archives).with_context(|| format!("{} cannot be read", archives.display()))?;
        for entry in listed {
            let file = entry
                .with_context(|| format!("{} cannot be read", archives.display()))?
                .path();
            if file.extension().is_some_and(|it| it == "deb") {
                let mut dpkg = Command::new("dpkg-deb");
                dpkg.arg("--extract").arg(&file).arg(folder);
                command::output(&mut dpkg, self.needs).await?;
            }
        }
        std::fs::remove_dir_all(&archives).with_context(|| format!("{} cannot be removed", archives.display()))
    }

    async fn apt_get(&self, args: &[&str]) -> anyhow::Result<()> {
        let mut apt_get = Command::new("apt-get");
        // Never a question: nobody may be there.
        apt_get.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        command::output(&mut apt_get, self.needs).await?;
        Ok(())
    }
}

fn has_apt() -> bool {
    find(&edge::config::env("PATH").unwrap_or_default(), &["apt-get"]).is_some()
}

/// The first of these programs that is in a folder of `path`.
fn find(path: &str, programs: &[&str]) -> Option<PathBuf> {
    programs.iter().find_map(|program| {
        // A name that begins with a slash replaces the folder.
        std::env::split_paths(path)
            .map(|folder| folder.join(program))
            .find(|file| is_program(file))
    })
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
        let names = ["chromium", "google-chrome"];
        assert_eq!(find(&path, &names), None);
        put(first.path(), "chromium", 0o644);
        put(second.path(), "chromium", 0o755);
        put(first.path(), "google-chrome", 0o755);
        assert_eq!(find(&path, &names), Some(second.path().join("chromium")));
        let file = first.path().join("google-chrome");
        assert_eq!(
            find(&path, &[file.to_str().unwrap()]),
            Some(file.clone()),
            "a file, wherever it is"
        );
    }
}
