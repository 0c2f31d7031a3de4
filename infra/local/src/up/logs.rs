//! The children's log files: their last lines for a failure, and all of them as they grow for `--logs`.

use std::{
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use crate::report;

/// How much of a log's end is looked at for its last lines, bytes.
const TAIL: u64 = 16 * 1024;

/// Puts the log of the last run aside as `<name>.log.1` and gives the new one's path.
pub(super) fn rotate(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let path = folder.join(format!("{name}.log"));
    match std::fs::rename(&path, folder.join(format!("{name}.log.1"))) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be put aside", path.display()))
        }
        _ => Ok(path),
    }
}

/// The last lines of a log, each indented; empty when there is none.
pub(super) fn last_lines(path: &Path, count: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(count);
    lines.iter().skip(from).map(|line| format!("\n    {line}")).collect()
}

/// Prints what is added to the log, each line behind its name, for as long as it is polled.
pub(super) async fn follow(name: &'static str, path: PathBuf) {
    let (mut offset, mut rest) = (0, Vec::new());
    loop {
        let added = read_from(&path, offset).unwrap_or_default();
        offset += added.len() as u64;
        rest.extend_from_slice(&added);
        if let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') {
            let lines: Vec<u8> = rest.drain(..=end).collect();
            for line in String::from_utf8_lossy(&lines).lines() {
                report::say(format!("{name:10} | {line}"));
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn read_from(path: &Path, offset: u64) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        assert_eq!(last_lines(&path, 3), "");
        std::fs::write(&path, "a\nb\n\nc\nd\n").unwrap();
        assert_eq!(last_lines(&path, 2), "\n    c\n    d");
        assert_eq!(last_lines(&path, 9), "\n    a\n    b\n    c\n    d");
        assert_eq!(rotate(folder.path(), "x").unwrap(), path);
        assert!(!path.exists() && folder.path().join("x.log.1").exists());
    }
}
