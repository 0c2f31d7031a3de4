//! The files of `migrations/`, compiled in: a Lambda function needs no files beside it.

use crate::error::SetError;
use crate::set::MigrationSet;

/// Every file of `migrations/`, oldest first. A new migration is added here.
const FILES: &[(&str, &str)] = &[
    (
        "0001_create_events.sql",
        include_str!("../../../migrations/0001_create_events.sql"),
    ),
    (
        "0002_replay_quarantine.sql",
        include_str!("../../../migrations/0002_replay_quarantine.sql"),
    ),
    (
        "0003_create_events_per_minute.sql",
        include_str!("../../../migrations/0003_create_events_per_minute.sql"),
    ),
    (
        "0004_add_request_id.sql",
        include_str!("../../../migrations/0004_add_request_id.sql"),
    ),
];

/// The migrations of this build.
pub fn embedded() -> Result<MigrationSet, SetError> {
    MigrationSet::from_files(
        FILES
            .iter()
            .map(|(name, content)| ((*name).to_owned(), (*content).to_owned())),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sql::{Target, statements};

    #[test]
    fn the_list_equals_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        let on_disk = MigrationSet::from_dir(&folder).unwrap();
        assert_eq!(
            embedded().unwrap(),
            on_disk,
            "add the new file to FILES in functions/migrate/src/embedded.rs"
        );
    }

    /// The rules of `migrations/README.md` that a machine can check.
    #[test]
    fn every_statement_follows_the_rules() {
        let plain = Target::new("analytics", None).unwrap();
        for migration in embedded().unwrap().iter() {
            let file = migration.name();
            assert!(
                !statements(migration.sql(), &plain).unwrap().is_empty(),
                "{file} holds no statement"
            );
            for statement in crate::sql::split(migration.sql()).unwrap() {
                let upper = statement.to_uppercase();
                let ddl = ["CREATE ", "ALTER ", "DROP ", "RENAME ", "TRUNCATE "]
                    .iter()
                    .any(|verb| upper.starts_with(verb));
                assert!(
                    !ddl || statement.contains("{on_cluster}"),
                    "{file}: no {{on_cluster}} in: {statement}"
                );
                assert!(
                    statement.contains("{database}."),
                    "{file}: a table without {{database}}. in: {statement}"
                );
                for (at, _) in statement.match_indices("MergeTree") {
                    let before = statement.get(..at).unwrap().rsplit(char::is_whitespace).next().unwrap();
                    assert!(
                        before.starts_with("{replicated}"),
                        "{file}: an engine without {{replicated}} in: {statement}"
                    );
                }
            }
        }
    }
}
