//! The files: their names, their order, their checksums.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::SetError;

/// One migration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    version: u32,
    name: String,
    sql: String,
    checksum: String,
}

impl Migration {
    /// Reads the number out of the name and the checksum off the content.
    fn new(name: String, content: String) -> Result<Self, SetError> {
        let Some(version) = version(&name) else {
            return Err(SetError::Name { file: name });
        };
        // A checkout with CRLF line ends is the same migration.
        let sql = content.replace("\r\n", "\n");
        let checksum = Sha256::digest(sql.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Self {
            version,
            name,
            sql,
            checksum,
        })
    }

    /// The number in front of the name.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The file's name, such as `0001_create_events.sql`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's text, with LF line ends and its placeholders.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// SHA-256 of [`Migration::sql`], as 64 hexadecimal digits.
    #[must_use]
    pub fn checksum(&self) -> &str {
        &self.checksum
    }
}

/// All migrations, numbered 1, 2, 3 … without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationSet(Vec<Migration>);

impl MigrationSet {
    /// Orders and checks files given as (name, content), in any order.
    pub fn from_files(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, SetError> {
        let mut migrations = files
            .into_iter()
            .map(|(name, content)| Migration::new(name, content))
            .collect::<Result<Vec<_>, _>>()?;
        migrations.sort_by(|a, b| (a.version, &a.name).cmp(&(b.version, &b.name)));
        let mut previous: Option<&Migration> = None;
        for migration in &migrations {
            let expected = previous.map_or(1, |previous| previous.version.saturating_add(1));
            match previous {
                Some(previous) if previous.version == migration.version => {
                    let (first, second) = (previous.name.clone(), migration.name.clone());
                    return Err(SetError::Duplicate { first, second });
                }
                _ if migration.version != expected => {
                    return Err(SetError::Gap {
                        missing: expected,
                        file: migration.name.clone(),
                    });
                }
                _ => previous = Some(migration),
            }
        }
        Ok(Self(migrations))
    }

    /// Reads every `.sql` file of a folder; other files, such as a README, are left alone.
    pub fn from_dir(folder: &Path) -> Result<Self, SetError> {
        let read = |path: &Path, reason| SetError::Read {
            path: path.to_owned(),
            reason,
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|error| read(folder, error))? {
            let path = entry.map_err(|error| read(folder, error))?.path();
            if !path
                .extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
            {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((
                name,
                std::fs::read_to_string(&path).map_err(|error| read(&path, error))?,
            ));
        }
        if files.is_empty() {
            return Err(SetError::Empty {
                path: folder.to_owned(),
            });
        }
        Self::from_files(files)
    }

    /// The migrations, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Migration> {
        self.0.iter()
    }
}

/// The number of `NNNN_verb_object.sql`; `None` when the name has another form.
fn version(name: &str) -> Option<u32> {
    let (number, rest) = name.strip_suffix(".sql")?.split_once('_')?;
    let digits = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    let words: Vec<&str> = rest.split('_').collect();
    let worded = words.len() >= 2
        && words.iter().all(|word| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        });
    (digits && worded).then(|| number.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> Result<MigrationSet, SetError> {
        MigrationSet::from_files(names.iter().map(|name| ((*name).to_owned(), "SELECT 1".to_owned())))
    }

    #[test]
    fn names_carry_the_number() {
        for (name, expected) in [
            ("0001_create_events.sql", Some(1)),
            ("0042_add_events_utm2.sql", Some(42)),
            ("9999_drop_x.sql", Some(9999)),
            ("1_create_events.sql", None),
            ("00001_create_events.sql", None),
            ("0001-create-events.sql", None),
            ("0001_create.sql", None),
            ("0001_Create_events.sql", None),
            ("0001_create__events.sql", None),
            ("0001_create_events_.sql", None),
            ("0001_create_events.SQL", None),
            ("0001_create_évents.sql", None),
            ("create_events.sql", None),
            ("+001_create_events.sql", None),
            ("", None),
        ] {
            assert_eq!(version(name), expected, "{name}");
        }
    }

    #[test]
    fn files_are_put_in_order() {
        let set = set(&["0003_c_c.sql", "0001_a_a.sql", "0002_b_b.sql"]).unwrap();
        let names: Vec<&str> = set.iter().map(Migration::name).collect();
        assert_eq!(names, ["0001_a_a.sql", "0002_b_b.sql", "0003_c_c.sql"]);
    }

    #[test]
    fn a_bad_sequence_names_its_files() {
        for (names, message) in [
            (
                &["0001_a_a.sql", "0001_b_b.sql"][..],
                "0001_a_a.sql and 0001_b_b.sql have the same number: give the newer one the next free number",
            ),
            (
                &["0001_a_a.sql", "0003_b_b.sql"],
                "there is no migration 0002 before 0003_b_b.sql: numbers start at 0001 and have no gaps",
            ),
            (
                &["0002_a_a.sql"],
                "there is no migration 0001 before 0002_a_a.sql: numbers start at 0001 and have no gaps",
            ),
            (
                &["0000_a_a.sql"],
                "there is no migration 0001 before 0000_a_a.sql: numbers start at 0001 and have no gaps",
            ),
            (
                &["0001_a_a.sql", "fix.sql"],
                "fix.sql: a migration is named NNNN_verb_object.sql, four digits, then words of a-z, 0-9 and _",
            ),
        ] {
            assert_eq!(set(names).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn the_checksum_is_sha256_of_the_text_with_lf_line_ends() {
        let checksum = |text: &str| {
            Migration::new("0001_a_a.sql".to_owned(), text.to_owned())
                .unwrap()
                .checksum
        };
        assert_eq!(
            checksum("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(checksum("a\r\nb\r\n"), checksum("a\nb\n"));
        assert_ne!(checksum("a\nb"), checksum("a\nb\n"));
    }

    #[test]
    fn a_folder_is_read_without_its_readme() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("README.md"), "rules").unwrap();
        assert!(
            MigrationSet::from_dir(folder.path())
                .unwrap_err()
                .to_string()
                .ends_with("(NNNN_verb_object.sql)")
        );
        std::fs::write(folder.path().join("0001_a_a.sql"), "SELECT 1").unwrap();
        assert_eq!(MigrationSet::from_dir(folder.path()).unwrap().iter().len(), 1);
        let missing = folder.path().join("nowhere");
        assert!(
            MigrationSet::from_dir(&missing)
                .unwrap_err()
                .to_string()
                .contains("nowhere cannot be read: ")
        );
    }
}
