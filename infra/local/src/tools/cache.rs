//! One folder a tool and version under `.weir/tools`, filled once however many processes ask and whenever one is
//! interrupted.
//!
//! A folder counts only when its marker file is in it. The marker is written last; whoever finds a folder without one
//! empties it and begins again. A file lock beside the folder keeps two processes from filling it at once; the kernel
//! frees the lock of a process that dies.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::report;

/// The file that says that the folder is complete. It holds what was fetched, for the curious.
const MARKER: &str = ".weir-complete";

/// The folder `name` under `tools`, filled by `fill` when it is not complete; `holds` names what goes into it.
pub(super) async fn folder<F>(tools: &Path, name: &str, holds: &str, fill: F) -> anyhow::Result<PathBuf>
where
    F: AsyncFnOnce(&Path) -> anyhow::Result<()>,
{
    let folder = tools.join(name);
    if is_complete(&folder, holds) {
        return Ok(folder);
    }
    std::fs::create_dir_all(tools).with_context(|| format!("{} cannot be made", tools.display()))?;
    let _lock = lock(tools.join(format!("{name}.lock"))).await?;
    if is_complete(&folder, holds) {
        return Ok(folder);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be emptied", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    fill(&folder).await?;
    let draft = folder.join(format!("{MARKER}.new"));
    std::fs::write(&draft, holds)
        .and_then(|()| std::fs::rename(&draft, folder.join(MARKER)))
        .with_context(|| format!("{} cannot be written", folder.display()))?;
    Ok(folder)
}

fn is_complete(folder: &Path, holds: &str) -> bool {
    std::fs::read_to_string(folder.join(MARKER)).is_ok_and(|found| found == holds)
}

/// Takes the lock, waiting for another process that has it.
async fn lock(path: PathBuf) -> anyhow::Result<File> {
    let file = File::create(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error).context("the tools folder cannot be locked"),
    }
    report::say(format!("waiting for another weir that holds {}", path.display()));
    let waited = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    waited
        .context("the wait for a lock was cut off")?
        .with_context(|| format!("{} cannot be locked", path.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_folder_is_filled_once_and_again_only_when_it_must() {
        let tools = tempfile::tempdir().unwrap();
        let filled = AtomicUsize::new(0);
        let get = async |holds: &str| {
            folder(tools.path(), "tool", holds, async |folder| {
                assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "begins empty");
                filled.fetch_add(1, Ordering::Relaxed);
                std::fs::write(folder.join("file"), "x")?;
                Ok(())
            })
            .await
            .unwrap()
        };
        let path = get("one").await;
        assert_eq!(get("one").await, path);
        assert_eq!(filled.load(Ordering::Relaxed), 1);
        get("two").await;
        assert_eq!(filled.load(Ordering::Relaxed), 2, "other contents are fetched anew");
        std::fs::remove_file(path.join(MARKER)).unwrap();
        get("two").await;
        assert_eq!(
            filled.load(Ordering::Relaxed),
            3,
            "an interrupted folder is begun again"
        );
    }

    #[tokio::test]
    async fn a_failed_fill_does_not_count() {
        let tools = tempfile::tempdir().unwrap();
        let failed = folder(tools.path(), "tool", "one", async |_| anyhow::bail!("no network")).await;
        assert_eq!(failed.unwrap_err().to_string(), "no network");
        assert!(!is_complete(&tools.path().join("tool"), "one"));
    }

    #[tokio::test]
    async fn two_at_once_fill_once() {
        let tools = tempfile::tempdir().unwrap();
        let filled = AtomicUsize::new(0);
        let get = async || {
            folder(tools.path(), "tool", "one", async |_| {
                filled.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok(())
            })
            .await
            .unwrap()
        };
        tokio::join!(get(), get());
        assert_eq!(filled.load(Ordering::Relaxed), 1);
    }
}
