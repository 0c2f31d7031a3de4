//! Files that are whole or not there: written aside, synced, renamed, and the folder synced after.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// Makes the names in `folder` durable: a rename or a new file is only certain after this.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes `bytes` to `path` so that a reader, or a crash, sees the old file or the new one and nothing between.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .ok_or_else(|| io::Error::other("a file without a folder"))?;
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("a file without a name"))?;
    let mut aside = std::ffi::OsString::from(".");
    aside.push(name);
    aside.push(".new");
    let aside = folder.join(aside);
    let written = File::create(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| std::fs::rename(&aside, path)) {
        // Best effort: the leftover is overwritten by the next try anyway.
        let _ = std::fs::remove_file(&aside);
        return Err(error);
    }
    sync_folder(folder)
}
