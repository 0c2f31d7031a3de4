//! The embedded engine: one per process and data folder, a connection per request or session.

mod ffi;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(crate) use ffi::{Connection, LoadError, QueryClass, Stats};

/// The setting that marks each running query with the id its client knows. The engine gives queries ids of its own and
/// lets nobody choose; this setting is read only by message-queue table engines on INSERT, and system.processes shows it.
pub(crate) const MARK: &str = "stream_like_engine_insert_queue";

/// Settings in which the embedded engine differs from a server, and the server's values: for the first SET of a session.
/// (Connecting with them takes the engine twice as long.)
pub(crate) const SERVER_DEFAULTS: [(&str, &str); 3] = [
    ("implicit_select", "0"),
    ("allow_introspection_functions", "0"),
    ("storage_file_read_method", "pread"),
];

/// An output or input format of the engine.
#[derive(Debug, Clone)]
pub(crate) struct Format {
    /// As the engine spells it.
    pub(crate) name: String,
    /// The Content-Type of output in it.
    pub(crate) content_type: String,
}

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The library.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The folder.
    #[error("{path} cannot be used as the data folder")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("{0} is in use by another weir clickhouse: give this one its own --data-dir")]
    Locked(PathBuf),
    /// The engine gives no reason for a refusal; its own log has it.
    #[error("the engine refuses to start on {0}: is it the data of a newer version, or is the disk full?")]
    Refused(PathBuf),
    /// A statement of the start failed.
    #[error("the engine failed while starting: {0}")]
    Statement(String),
}

/// The running engine.
pub(crate) struct Engine {
    library: ffi::Library,
    arguments: Vec<String>,
    version: String,
    http_compression: bool,
    formats: HashMap<String, Format>,
    /// For KILL QUERY, which must get through while every other connection is busy. None once closed.
    control: Mutex<Option<Connection>>,
    /// Held over the process's life: two engines on one folder would destroy it.
    _lock: std::fs::File,
}

impl Engine {
    /// Starts the engine on a folder, which is created, and creates the database. Blocks for about a quarter second.
    pub(crate) fn start(library: &Path, folder: &Path, database: &str) -> Result<Self, StartError> {
        let failed = |source| StartError::Folder {
            path: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        let lock = std::fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("weir.lock"))
            .map_err(failed)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| StartError::Locked(folder.clone()))?;

        let library = ffi::Library::load(library)?;
        let arguments = arguments(&folder).map_err(failed)?;
        let mut control = connect(&library, &arguments).ok_or_else(|| StartError::Refused(folder.clone()))?;
        let create = format!("CREATE DATABASE IF NOT EXISTS {} ENGINE = Atomic", quote_name(database));
        run(&mut control, &create)?;
        let version = run(&mut control, "SELECT version() FORMAT TSVRaw")?.trim().to_owned();
        let compression = run(
            &mut control,
            "SELECT value FROM system.settings WHERE name = 'enable_http_compression' FORMAT TSVRaw",
        )?;
        let formats = run(
            &mut control,
            "SELECT name, content_type FROM system.formats FORMAT TSVRaw",
        )?
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, content_type)| {
            let content_type = if content_type.is_empty() {
                "text/plain; charset=UTF-8"
            } else {
                content_type
            };
            (
                name.to_ascii_lowercase(),
                Format {
                    name: name.to_owned(),
                    content_type: content_type.to_owned(),
                },
            )
        })
        .collect();
        Ok(Self {
            library,
            arguments,
            version,
            http_compression: compression.trim() == "1",
            formats,
            control: Mutex::new(Some(control)),
            _lock: lock,
        })
    }

    /// As `SELECT version()` has it.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Whether responses are compressed without being asked to by `enable_http_compression`.
    pub(crate) fn http_compression(&self) -> bool {
        self.http_compression
    }

    /// A format by its name in any case.
    pub(crate) fn format(&self, name: &str) -> Option<&Format> {
        self.formats.get(&name.to_ascii_lowercase())
    }

    /// A fresh session. `None` when the engine refuses, as it does when it is shut down.
    pub(crate) fn connect(&self) -> Option<Connection> {
        // The rest of the arguments is for the connection that starts the engine.
        connect(&self.library, self.arguments.get(..1)?)
    }

    /// Cancels the query of that id. It ends soon after with error 394.
    pub(crate) fn kill(&self, query_id: &str) {
        let statement = format!(
            "KILL QUERY WHERE Settings['{MARK}'] = {} ASYNC FORMAT Null",
            quote(query_id)
        );
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = control
            .as_mut()
            .and_then(|connection| connection.query(statement.as_bytes(), "Null", &[]).error())
        {
            // Its words may quote a query.
            let code = super::error::Exception::from_engine(&error).code;
            tracing::debug!(code, "a query could not be cancelled");
        }
    }

    /// Closes the last connection, with which the engine puts its affairs in order. Waits a little for the others; false
    /// when some stay open.
    pub(crate) fn stop(&self) -> bool {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = (0..100).any(|_| {
            self.library.connections() <= 1 || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                false
            }
        });
        drop(control.take());
        alone
    }
}

/// What a connection is opened with. The engine would take a `config.xml` from whatever folder the program runs in;
/// naming one keeps it to ours, and lets the user see users, roles and policies as a server's default user may.
fn arguments(folder: &Path) -> std::io::Result<Vec<String>> {
    let (config, users) = (folder.join("weir-config.xml"), folder.join("weir-users.xml"));
    std::fs::write(&config, "<clickhouse></clickhouse>\n")?;
    std::fs::write(&users, USERS)?;
    Ok(vec![
        format!("--path={}", folder.display()),
        format!("--config-file={}", config.display()),
        format!("--users_config={}", users.display()),
    ])
}

/// The engine's own user; passwords are checked before it.
const USERS: &str = "<clickhouse>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users>
        <default>
            <password></password>
            <networks><ip>::/0</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <access_management>1</access_management>
            <named_collection_control>1</named_collection_control>
        </default>
    </users>
</clickhouse>
";

fn connect(library: &ffi::Library, arguments: &[String]) -> Option<Connection> {
    library.connect(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn run(connection: &mut Connection, sql: &str) -> Result<String, StartError> {
    let result = connection.query(sql.as_bytes(), "TSVRaw", &[]);
    match result.error() {
        Some(error) => Err(StartError::Statement(error)),
        None => Ok(String::from_utf8_lossy(result.data()).into_owned()),
    }
}

/// A string literal.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A quoted identifier.
pub(crate) fn quote_name(text: &str) -> String {
    format!("`{}`", text.replace('\\', "\\\\").replace('`', "\\`"))
}
