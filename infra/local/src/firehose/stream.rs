//! The streams of one data folder.
//!
//! A stream is a folder `streams/<name>.<8 hex>` with `stream.json`, `cursor` and the spool's segments. The random part
//! keeps a stream that is created again apart from the one before it, and names apart that a file system would mix up.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::config::StreamConfig;
use super::deliver::{Context, Delivery, Status, Tuning, blocking};
use super::files;
use super::ledger::Ledger;
use super::spool::cursor::{CursorError, CursorFile};
use super::spool::{SEGMENT_BYTES, Spool};

const CONFIG: &str = "stream.json";
const DELETED: &str = "deleted.";

/// Why a stream cannot be opened or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// A file or folder.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `stream.json` does not hold a stream.
    #[error("{path} is not a stream's configuration: {source}")]
    Config {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The cursor.
    #[error(transparent)]
    Cursor(#[from] CursorError),
}

/// One stream, running.
#[derive(Debug)]
pub(crate) struct Stream {
    folder: PathBuf,
    config: watch::Sender<Arc<StreamConfig>>,
    /// Where its records are.
    pub(crate) spool: Arc<Spool>,
    /// Which lines it has taken.
    pub(crate) ledger: Arc<Ledger>,
    /// How its delivery does.
    pub(crate) status: Arc<Status>,
    stop: CancellationToken,
    delivery: Mutex<Option<JoinHandle<()>>>,
}

impl Stream {
    /// The configuration as it is now.
    pub(crate) fn config(&self) -> Arc<StreamConfig> {
        Arc::clone(&self.config.borrow())
    }

    /// Stores a new configuration, then uses it.
    pub(crate) async fn configure(&self, config: StreamConfig) -> Result<(), StreamError> {
        let (path, copy) = (self.folder.join(CONFIG), config.clone());
        tokio::task::spawn_blocking(move || save(&path, &copy))
            .await
            .map_err(|error| StreamError::Io {
                path: self.folder.clone(),
                source: io::Error::other(error),
            })??;
        self.config.send_replace(Arc::new(config));
        Ok(())
    }

    /// Stops delivery, letting attempts end within the grace. Records are still taken.
    async fn stop_delivery(&self) {
        self.stop.cancel();
        let delivery = self.delivery.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(delivery) = delivery
            && let Err(error) = delivery.await
        {
            tracing::error!(stream = self.config().name, %error, "the delivery ended early");
        }
    }

    /// Ends the spool's writer once it has stored what it was given.
    async fn close(&self) {
        let spool = Arc::clone(&self.spool);
        let _ = blocking(move || {
            spool.close();
            Ok(())
        })
        .await;
    }
}

fn save(path: &Path, config: &StreamConfig) -> Result<(), StreamError> {
    let json = serde_json::to_vec_pretty(config).map_err(|source| StreamError::Config {
        path: path.to_owned(),
        source,
    })?;
    files::write_whole(path, &json).map_err(|source| StreamError::Io {
        path: path.to_owned(),
        source,
    })
}

/// All streams of a data folder.
#[derive(Debug)]
pub(crate) struct Registry {
    streams: RwLock<BTreeMap<String, Arc<Stream>>>,
    /// One change at a time: create, update, tag, delete.
    pub(crate) changes: tokio::sync::Mutex<()>,
    root: PathBuf,
    client: reqwest::Client,
    tuning: Tuning,
}

impl Registry {
    /// Opens every stream in `data` and starts delivering. Blocks.
    pub(crate) fn open(data: &Path, client: reqwest::Client, tuning: Tuning) -> Result<Self, StreamError> {
        let root = data.join("streams");
        let at = |source| StreamError::Io {
            path: root.clone(),
            source,
        };
        std::fs::create_dir_all(&root)
            .and_then(|()| files::sync_folder(data))
            .map_err(at)?;
        let registry = Self {
            streams: RwLock::default(),
            changes: tokio::sync::Mutex::default(),
            root: root.clone(),
            client,
            tuning,
        };
        for entry in std::fs::read_dir(&root).map_err(at)? {
            let folder = entry.map_err(at)?.path();
            let deleted = folder
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(DELETED));
            let config = folder.join(CONFIG);
            if deleted || !config.is_file() {
                // A deletion or a creation that was cut short: nothing in it was ever acknowledged, or it was let go.
                std::fs::remove_dir_all(&folder).map_err(at)?;
                continue;
            }
            let json = std::fs::read(&config).map_err(|source| StreamError::Io {
                path: config.clone(),
                source,
            })?;
            let parsed = serde_json::from_slice(&json).map_err(|source| StreamError::Config {
                path: config.clone(),
                source,
            })?;
            registry.start(folder, parsed)?;
        }
        Ok(registry)
    }

    /// The stream of that name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Stream>> {
        self.streams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// All streams, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Stream>> {
        self.streams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Adds a stream, stored when this returns. Blocks.
    pub(crate) fn create(&self, config: StreamConfig) -> Result<Arc<Stream>, StreamError> {
        let part = Uuid::new_v4().simple().to_string();
        let folder = self
            .root
            .join(format!("{}.{}", config.name, part.get(..8).unwrap_or_default()));
        let at = |source| StreamError::Io {
            path: folder.clone(),
            source,
        };
        std::fs::create_dir(&folder).map_err(at)?;
        save(&folder.join(CONFIG), &config)?;
        files::sync_folder(&self.root).map_err(at)?;
        self.start(folder, config)
    }

    /// Removes a stream and all that is in it, as AWS does.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), StreamError> {
        let stream = self
            .streams
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        let Some(stream) = stream else {
            return Ok(());
        };
        stream.stop_delivery().await;
        stream.close().await;
        let dropped = stream
            .spool
            .tail()
            .records
            .saturating_sub(stream.status.summary().assigned.records)
            + stream.status.summary().open_records;
        if dropped > 0 {
            tracing::warn!(
                stream = name,
                records = dropped,
                "a stream is deleted with records that were not delivered"
            );
        }
        let (root, folder) = (self.root.clone(), stream.folder.clone());
        blocking(move || {
            let gone = root.join(format!("{DELETED}{}", Uuid::new_v4().simple()));
            std::fs::rename(&folder, &gone)?;
            files::sync_folder(&root)?;
            std::fs::remove_dir_all(gone)
        })
        .await
        .map_err(|source| StreamError::Io {
            path: stream.folder.clone(),
            source,
        })
    }

    /// Stops every delivery, all at once.
    pub(crate) async fn stop_deliveries(&self) {
        let streams = self.all();
        futures::future::join_all(streams.iter().map(|stream| stream.stop_delivery())).await;
    }

    /// Closes every spool: what is put from now on is refused.
    pub(crate) async fn close(&self) {
        let streams = self.all();
        futures::future::join_all(streams.iter().map(|stream| stream.close())).await;
    }

    fn start(&self, folder: PathBuf, config: StreamConfig) -> Result<Arc<Stream>, StreamError> {
        let (file, cursor) = CursorFile::open(&folder.join("cursor"))?;
        let cursor = cursor.unwrap_or_default();
        let run = rand::random();
        let (spool, recovery) =
            Spool::open(&folder, &cursor, run, SEGMENT_BYTES).map_err(|source| StreamError::Io {
                path: folder.clone(),
                source,
            })?;
        if recovery.torn_bytes > 0 {
            tracing::info!(
                stream = config.name,
                bytes = recovery.torn_bytes,
                "cut off a write that a crash left unfinished"
            );
        }
        if recovery.lost_bytes > 0 {
            tracing::error!(
                stream = config.name,
                bytes = recovery.lost_bytes,
                "the end of the spool was synced once and cannot be read back"
            );
        }
        let name = config.name.clone();
        let spool = Arc::new(spool);
        let (ledger, status) = (Ledger::in_stream(&folder), Arc::new(Status::default()));
        let stop = CancellationToken::new();
        let (sender, receiver) = watch::channel(Arc::new(config));
        let context = Arc::new(Context {
            spool: Arc::clone(&spool),
            ledger: Arc::clone(&ledger),
            config: receiver,
            client: self.client.clone(),
            backup: self.root.with_file_name("backup"),
            tuning: self.tuning,
            status: Arc::clone(&status),
            stop: stop.clone(),
            slots: Arc::new(Semaphore::new(self.tuning.concurrency)),
            freed: Arc::new(Notify::new()),
        });
        let delivery = tokio::spawn(Delivery::new(context, cursor, file, folder.clone()).run());
        let stream = Arc::new(Stream {
            folder,
            config: sender,
            spool,
            ledger,
            status,
            stop,
            delivery: Mutex::new(Some(delivery)),
        });
        self.streams
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, Arc::clone(&stream));
        Ok(stream)
    }
}
