//! Where things are: the checkout, and the state that Weir keeps in it under `.weir/`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The checkout that `weir` works in.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    root: PathBuf,
    state: PathBuf,
}

impl Project {
    /// Finds the checkout from the current directory upwards. `WEIR_DIR` moves the state out of it.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let start = std::env::current_dir().context("the current directory cannot be read")?;
        let root = start
            .ancestors()
            .find(|folder| folder.join("infra/local/Cargo.toml").is_file())
            .with_context(|| {
                format!(
                    "{} is not inside a Weir checkout: run weir from the clone",
                    start.display()
                )
            })?
            .to_owned();
        #[allow(clippy::disallowed_methods, reason = "the command line's own config, read once")]
        let state = std::env::var_os("WEIR_DIR").map_or_else(|| root.join(".weir"), |dir| start.join(dir));
        Ok(Self { root, state })
    }

    /// The checkout's top folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Fetched tools: shared by every stack of this checkout, whatever `WEIR_DIR` says.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join(".weir/tools")
    }

    /// What the service of that name must not lose, such as `clickhouse` or `firehose`.
    pub(crate) fn data(&self, service: &str) -> PathBuf {
        self.state.join("data").join(service)
    }

    /// Pids, generated env files: gone when the stack is down.
    pub(crate) fn run(&self) -> PathBuf {
        self.state.join("run")
    }

    /// Which objects of a backup were replayed.
    pub(crate) fn replayed(&self) -> PathBuf {
        self.state.join("replay")
    }

    /// What criterion measured last.
    pub(crate) fn bench(&self) -> PathBuf {
        self.state.join("bench")
    }

    /// One log file a process.
    pub(crate) fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }
}
