//! The response body as the server sends it, and what happens when nobody takes it any more.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::body::Chunk;
use super::engine::Engine;
use super::session::Running;

/// A response body from the blocking side.
pub(super) struct ResponseBody {
    chunks: mpsc::Receiver<Chunk>,
    _guard: Guard,
}

impl ResponseBody {
    /// The guard lives as long as the body.
    pub(super) fn new(chunks: mpsc::Receiver<Chunk>, guard: Guard) -> Self {
        Self { chunks, _guard: guard }
    }
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.chunks
            .poll_recv(cx)
            .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

/// Dropped when nobody waits for a query any more: its response is whole, or its client has gone and it is cancelled.
pub(super) struct Guard {
    pub(super) engine: Arc<Engine>,
    pub(super) running: Arc<Running>,
    pub(super) query_id: String,
    pub(super) flag: Arc<AtomicBool>,
    pub(super) cancellable: Arc<AtomicBool>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.running.has(&self.query_id, &self.flag) {
            return;
        }
        self.flag.store(true, Ordering::SeqCst);
        let (engine, running) = (Arc::clone(&self.engine), Arc::clone(&self.running));
        let (query_id, flag, cancellable) = (
            self.query_id.clone(),
            Arc::clone(&self.flag),
            Arc::clone(&self.cancellable),
        );
        tokio::spawn(async move {
            // The query may not have reached the engine yet, so once is not enough.
            while running.has(&query_id, &flag) {
                if cancellable.load(Ordering::SeqCst) {
                    let (engine, query_id) = (Arc::clone(&engine), query_id.clone());
                    let _ = tokio::task::spawn_blocking(move || engine.kill(&query_id)).await;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
}
