//! A connection whose last response can be broken off on purpose.
//!
//! A failure after the head was sent must leave the body without its terminating chunk, or clients would take it for
//! whole. HTTP libraries drop what they have buffered when a body fails, and the exception's text with it; so the body
//! ends normally here, and the terminator is kept from the wire.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The end of a chunked body.
const TERMINATOR: &[u8] = b"0\r\n\r\n";

/// Clients that unpack on another thread drop what they have not unpacked when the connection ends: they get a moment.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// See the module.
pub(crate) struct Breakable<S> {
    inner: S,
    /// The response under way must not end well.
    broken: Arc<AtomicBool>,
    /// Set once the response has been broken off: the pause before the connection ends.
    closing: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<S> Breakable<S> {
    /// `broken` is set by whoever fails; the connection ends with that response.
    pub(crate) fn new(inner: S, broken: Arc<AtomicBool>) -> Self {
        Self {
            inner,
            broken,
            closing: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Breakable<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.closing {
            // As if the client had closed: the server lets go of the connection.
            Some(pause) => pause.as_mut().poll(cx).map(Ok),
            None => Pin::new(&mut self.inner).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Breakable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.closing.is_some() {
            return Poll::Ready(Ok(buf.len()));
        }
        let kept = if self.broken.load(Ordering::SeqCst) {
            buf.strip_suffix(TERMINATOR)
        } else {
            None
        };
        let Some(kept) = kept else {
            return Pin::new(&mut self.inner).poll_write(cx, buf);
        };
        if kept.is_empty() {
            self.closing = Some(Box::pin(tokio::time::sleep(PAUSE)));
            return Poll::Ready(Ok(buf.len()));
        }
        // The rest, terminator included, comes again.
        Pin::new(&mut self.inner).poll_write(cx, kept)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    async fn written(broken: bool, pieces: &[&str]) -> String {
        let mut stream = Breakable::new(Vec::new(), Arc::new(AtomicBool::new(broken)));
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
        }
        String::from_utf8(stream.inner).unwrap()
    }

    #[tokio::test]
    async fn only_a_broken_response_lacks_its_end() {
        assert_eq!(
            written(false, &["3\r\nabc\r\n0\r\n\r\n"]).await,
            "3\r\nabc\r\n0\r\n\r\n"
        );
        assert_eq!(written(true, &["3\r\nabc\r\n0\r\n\r\n"]).await, "3\r\nabc\r\n");
        assert_eq!(
            written(true, &["3\r\nabc\r\n", "0\r\n\r\n", "HTTP/1.1"]).await,
            "3\r\nabc\r\n"
        );
    }
}
