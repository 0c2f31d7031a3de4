//! Valgrind, which counts instructions.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::debian::Wanted;

const VALGRIND: Wanted = Wanted {
    name: "valgrind",
    variable: "WEIR_VALGRIND",
    programs: &["valgrind"],
    needs: "install valgrind, or name one with WEIR_VALGRIND",
};

/// Where it is.
#[derive(Debug, Clone)]
pub(crate) struct Valgrind {
    program: PathBuf,
}

impl Valgrind {
    /// A command that begins with it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Where it was unpacked, its tools are beside it, and not where they were meant to be.
        if let Some(tools) = self
            .program
            .parent()
            .and_then(Path::parent)
            .map(|usr| usr.join("libexec/valgrind"))
            && tools.is_dir()
        {
            command.env("VALGRIND_LIB", tools);
        }
        command
    }
}

/// The program: this machine's, or on Debian from its package.
pub(super) async fn valgrind(tools: &Path) -> anyhow::Result<Valgrind> {
    let program = VALGRIND.unpacked(tools, "valgrind", "usr/bin/valgrind").await?;
    Ok(Valgrind { program })
}
