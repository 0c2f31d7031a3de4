//! What can go wrong, in the words that the operator reads.

use std::path::PathBuf;

use edge::clickhouse::Said;

use crate::migrator::Begun;

/// The files are not a proper sequence. Found before any server is asked.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// A `.sql` file whose name has not the form that orders it.
    #[error("{file}: a migration is named NNNN_verb_object.sql, four digits, then words of a-z, 0-9 and _")]
    Name {
        /// The file's name.
        file: String,
    },
    /// Two files of one number.
    #[error("{first} and {second} have the same number: give the newer one the next free number")]
    Duplicate {
        /// The first by name.
        first: String,
        /// The other.
        second: String,
    },
    /// A number is left out.
    #[error("there is no migration {missing:04} before {file}: numbers start at 0001 and have no gaps")]
    Gap {
        /// The number that no file has.
        missing: u32,
        /// The file after the gap.
        file: String,
    },
    /// The folder or a file in it cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// No migration at all.
    #[error("{} holds no migration (NNNN_verb_object.sql)", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// A file that cannot be turned into statements, or a target that cannot be written into one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SqlError {
    /// A quote or block comment that the file's end leaves open.
    #[error("line {line}: the {what} that opens here is never closed")]
    Unclosed {
        /// Counted from 1.
        line: usize,
        /// What it is, such as `string`.
        what: &'static str,
    },
    /// A `{word}` that is no placeholder.
    #[error("line {line}: {{{word}}} is no placeholder; there are {{database}}, {{on_cluster}} and {{replicated}}")]
    Placeholder {
        /// Counted from 1.
        line: usize,
        /// The word in the braces.
        word: String,
    },
    /// A database name that would need quoting in some places and breaks others.
    #[error("the database name {name:?} is not made of letters, digits and _")]
    Database {
        /// The name.
        name: String,
    },
    /// An empty cluster name, or one that cannot stand in a string.
    #[error("the cluster name {name:?} is empty or holds a quote, a backslash or a control character")]
    Cluster {
        /// The name.
        name: String,
    },
}

/// A run that did not end with every migration applied. Of what ClickHouse said it shows the exception's number, because a
/// function's errors go to logs and ClickHouse may quote data. [`MigrateError::in_full`] shows the rest.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The files themselves.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The database or cluster name.
    #[error(transparent)]
    Target(SqlError),
    /// A file's text.
    #[error("{file}: {reason}")]
    Sql {
        /// The file's name.
        file: String,
        /// What is wrong in it.
        reason: SqlError,
    },
    /// An applied file has changed since.
    #[error(
        "{file} was edited after it was applied on {applied_at}: its SHA-256 was {recorded} then and is {actual} now. \
         Put the old text back and write a new migration"
    )]
    Edited {
        /// The file's name.
        file: String,
        /// When it was applied, UTC.
        applied_at: String,
        /// The checksum in `schema_migrations`.
        recorded: String,
        /// The checksum of the file.
        actual: String,
    },
    /// An applied file has another name now.
    #[error("{recorded} was applied on {applied_at} and is named {file} now: put the old name back")]
    Renamed {
        /// The name in `schema_migrations`.
        recorded: String,
        /// The name of the file.
        file: String,
        /// When it was applied, UTC.
        applied_at: String,
    },
    /// An applied file is not among the files.
    #[error(
        "{file} was applied on {applied_at} and is not among the migrations of this build: it was deleted, or this build \
         is older than the database"
    )]
    Missing {
        /// The name in `schema_migrations`.
        file: String,
        /// When it was applied, UTC.
        applied_at: String,
    },
    /// A file that was not applied has a lower number than one that was.
    #[error("{file} was not applied, but {later} was: a new migration takes the next free number")]
    OutOfOrder {
        /// The file that is late.
        file: String,
        /// The newest one applied.
        later: String,
    },
    /// A statement of a migration failed. What came before it in the file has happened.
    #[error(
        "{}: statement {} of {} failed, nothing after it ran: {message}\n  {}\n\
         Repair the cause (this file may still be edited) and run again: it starts from its first statement",
        begun.file, begun.statement, begun.statements, begun.first_line
    )]
    Statement {
        /// Which.
        begun: Begun,
        /// ClickHouse's message.
        message: Said,
    },
    /// The invocation's time was over. What came before the statement in the file has happened.
    #[error(
        "no time was left: {} was under way, and whether ClickHouse ends it is not known. Run again: what was recorded as \
         applied stays so, and the file starts from its first statement",
        under_way.as_ref().map_or_else(|| "no migration".to_owned(), ToString::to_string)
    )]
    NoTime {
        /// The statement that was begun last; none when it was only asked what is applied.
        under_way: Option<Begun>,
    },
    /// The migrator's own bookkeeping failed.
    #[error("{doing} failed: {message}")]
    Bookkeeping {
        /// What was being done.
        doing: &'static str,
        /// ClickHouse's message.
        message: Said,
    },
    /// No answer at all.
    #[error("ClickHouse does not answer at {url}: {message}")]
    Unreachable {
        /// Where it was looked for, without user or password.
        url: String,
        /// The network's reason.
        message: String,
    },
}

impl MigrateError {
    /// The error with ClickHouse's own words, for an operator at a terminal.
    pub fn in_full(&self) -> String {
        match self {
            MigrateError::Statement { message, .. } | MigrateError::Bookkeeping { message, .. } => {
                format!("{self}\nClickHouse: {}", message.words())
            }
            MigrateError::Set(_)
            | MigrateError::Target(_)
            | MigrateError::Sql { .. }
            | MigrateError::Edited { .. }
            | MigrateError::Renamed { .. }
            | MigrateError::Missing { .. }
            | MigrateError::OutOfOrder { .. }
            | MigrateError::NoTime { .. }
            | MigrateError::Unreachable { .. } => self.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clickhouses_words_are_for_a_terminal() {
        let words = "Code: 6. DB::Exception: Cannot parse 'secret'".to_owned();
        let error = MigrateError::Bookkeeping {
            doing: "reading",
            message: Said::from(&clickhouse::error::Error::BadResponse(words)),
        };
        assert_eq!(error.to_string(), "reading failed: exception 6");
        assert!(!format!("{error:?}").contains("secret"));
        assert!(error.in_full().contains("Cannot parse 'secret'"));
    }
}
