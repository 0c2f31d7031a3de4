//! Bodies between the asynchronous server and the blocking engine: bounded channels of byte chunks.

use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

/// Chunks that may wait on either side: a client that is faster than the engine is held back.
const DEPTH: usize = 4;

/// The request body as the blocking side reads it.
pub(crate) struct BodyReader {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl BodyReader {
    /// A body with nothing in it.
    pub(crate) fn empty() -> Self {
        Self {
            chunks: mpsc::channel(1).1,
            current: Bytes::new(),
        }
    }

    /// Forwards a body as it arrives. Ends with an error when the client goes away in the middle.
    pub(crate) fn from_incoming(mut body: hyper::body::Incoming) -> Self {
        let (sender, chunks) = mpsc::channel(DEPTH);
        tokio::spawn(async move {
            while let Some(frame) = body.frame().await {
                let chunk = match frame {
                    Ok(frame) => match frame.into_data() {
                        Ok(data) => Ok(data),
                        Err(_trailers) => continue,
                    },
                    Err(error) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)),
                };
                let failed = chunk.is_err();
                if sender.send(chunk).await.is_err() || failed {
                    break;
                }
            }
        });
        Self {
            chunks,
            current: Bytes::new(),
        }
    }
}

impl BufRead for BodyReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => break,
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), available.get(..length)) {
            to.copy_from_slice(from);
        }
        self.consume(length);
        Ok(length)
    }
}

/// What the response body is made of; an error breaks the connection off before the body's end, which is how a client
/// learns that it is not whole.
pub(crate) type Chunk = Result<Bytes, io::Error>;

/// The blocking side of a response body.
pub(crate) type BodySender = mpsc::Sender<Chunk>;

/// A response body and its sender.
pub(crate) fn channel() -> (BodySender, mpsc::Receiver<Chunk>) {
    mpsc::channel(DEPTH)
}
