//! `schema_migrations`: what was applied, and what that says about the files.

use serde::{Deserialize, Serialize};

use crate::error::MigrateError;
use crate::set::{Migration, MigrationSet};

/// The table that remembers. The migrator makes it: it must be there before the first file. Its placeholders are those
/// of the files.
pub(crate) const CREATE: &str = "\
CREATE TABLE IF NOT EXISTS {database}.schema_migrations {on_cluster}
(
    version     UInt32 COMMENT 'The number in front of the name',
    name        String COMMENT 'The file',
    checksum    String COMMENT 'SHA-256 of the file with LF line ends, hexadecimal',
    statements  UInt32,
    duration_ms UInt64,
    applied_at  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY version
SETTINGS non_replicated_deduplication_window = 1000, replicated_deduplication_window = 1000";

/// A row of `schema_migrations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, clickhouse::Row)]
pub struct Applied {
    /// The number in front of the name.
    pub version: u32,
    /// The file's name.
    pub name: String,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub checksum: String,
    /// How many statements it had.
    pub statements: u32,
    /// How long they took, milliseconds.
    pub duration_ms: u64,
    /// When, by the server's clock: `2026-11-23 08:15:00` UTC.
    pub applied_at: String,
}

/// Reads every row, oldest migration first.
pub(crate) const READ: &str = "\
SELECT version, name, checksum, statements, duration_ms, formatDateTime(applied_at, '%Y-%m-%d %H:%i:%S') AS applied_at
FROM {database}.schema_migrations FINAL ORDER BY version";

/// What is left to apply. An error when the files disagree with what was applied.
pub(crate) fn pending<'a>(set: &'a MigrationSet, applied: &[Applied]) -> Result<Vec<&'a Migration>, MigrateError> {
    for row in applied {
        let applied_at = format!("{} UTC", row.applied_at);
        let Some(file) = set.iter().find(|file| file.version() == row.version) else {
            return Err(MigrateError::Missing {
                file: row.name.clone(),
                applied_at,
            });
        };
        if file.name() != row.name {
            let (recorded, file) = (row.name.clone(), file.name().to_owned());
            return Err(MigrateError::Renamed {
                recorded,
                file,
                applied_at,
            });
        }
        if file.checksum() != row.checksum {
            let (recorded, actual) = (row.checksum.clone(), file.checksum().to_owned());
            return Err(MigrateError::Edited {
                file: row.name.clone(),
                applied_at,
                recorded,
                actual,
            });
        }
    }
    let pending: Vec<&Migration> = set
        .iter()
        .filter(|file| applied.iter().all(|row| row.version != file.version()))
        .collect();
    if let (Some(first), Some(last)) = (pending.first(), applied.iter().max_by_key(|row| row.version))
        && first.version() < last.version
    {
        return Err(MigrateError::OutOfOrder {
            file: first.name().to_owned(),
            later: last.name.clone(),
        });
    }
    Ok(pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(files: &[(&str, &str)]) -> MigrationSet {
        let files = files
            .iter()
            .map(|(name, content)| ((*name).to_owned(), (*content).to_owned()));
        MigrationSet::from_files(files).unwrap()
    }

    /// The rows that applying all of `files` would leave.
    fn applied(files: &[(&str, &str)]) -> Vec<Applied> {
        set(files)
            .iter()
            .map(|file| Applied {
                version: file.version(),
                name: file.name().to_owned(),
                checksum: file.checksum().to_owned(),
                statements: 1,
                duration_ms: 5,
                applied_at: "2026-11-23 08:15:00".to_owned(),
            })
            .collect()
    }

    const A: (&str, &str) = ("0001_create_a.sql", "A");
    const B: (&str, &str) = ("0002_create_b.sql", "B");

    #[test]
    fn what_was_not_applied_is_pending() {
        for (before, files, expected) in [
            (&[][..], &[A, B][..], &["0001_create_a.sql", "0002_create_b.sql"][..]),
            (&[A], &[A, B], &["0002_create_b.sql"]),
            (&[A, B], &[A, B], &[]),
        ] {
            let set = set(files);
            let names: Vec<&str> = pending(&set, &applied(before))
                .unwrap()
                .iter()
                .map(|file| file.name())
                .collect();
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn files_that_disagree_with_what_was_applied_are_named() {
        for (rows, files, message) in [
            (
                applied(&[A]),
                set(&[(A.0, "edited"), B]),
                "0001_create_a.sql was edited after it was applied on 2026-11-23 08:15:00 UTC: ",
            ),
            (
                applied(&[A, B]),
                set(&[A]),
                "0002_create_b.sql was applied on 2026-11-23 08:15:00 UTC and is not among ",
            ),
            (
                applied(&[A]),
                set(&[("0001_make_a.sql", "A")]),
                "0001_create_a.sql was applied on 2026-11-23 08:15:00 UTC and is named 0001_make_a.sql now",
            ),
            (
                applied(&[A, B]).split_off(1),
                set(&[A, B]),
                "0001_create_a.sql was not applied, but 0002_create_b.sql was",
            ),
        ] {
            let error = pending(&files, &rows).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
