//! Applies the SQL files of `migrations/` to ClickHouse: in order, each once, with what was applied kept in
//! `schema_migrations`. The rules that the files follow are in `migrations/README.md`.
//!
//! - [`MigrationSet`]: the files, named, numbered and checked, before any server is asked.
//! - [`sql`]: cutting a file into statements and filling its placeholders; pure.
//! - [`Migrator`]: compares the set with the server and applies what is missing.
//! - [`handler`]: the same, as the Lambda function that a deploy invokes; `deploy` and `tell` are how CloudFormation asks for it
//!   and hears of it.
//!
//! ClickHouse has neither transactional DDL nor locks. So nothing is recorded for a file before its last statement has
//! passed, a file that failed half-way runs again from its first statement, and two migrators at once do the same work
//! twice: that is right because every statement is idempotent.

mod deploy;
mod embedded;
mod error;
mod history;
mod migrator;
mod set;
mod tell;

pub mod handler;
pub mod sql;

pub use deploy::{BadRequest, Status};
pub use embedded::embedded;
pub use error::{MigrateError, SetError, SqlError};
pub use history::Applied;
pub use migrator::{Begun, Migrator, Plan, Planned, Progress, Report};
pub use set::{Migration, MigrationSet};
pub use tell::NotTold;
