//! A proxy on one way of the pipeline: passes requests on as they are, but for those that a fault waits for.
//!
//! It reads a request whole, opens a fresh connection for each, and passes the whole answer back. A request that is to get
//! no answer has its connection cut.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::schedule::{End, Mischief, Victim, Way};

/// Larger than any request of the pipeline.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// How long a part may take to answer: longer than its own callers wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// How long to wait between two tries to listen again where it listened before.
const REBIND_PAUSE: Duration = Duration::from_millis(50);

/// A request that gets no answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
pub(super) struct Cut;

/// A whole answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A request, read whole.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    pub(super) head: Parts,
    pub(super) body: Bytes,
}

/// A fault that waits for requests.
#[derive(Debug)]
struct Armed {
    number: usize,
    mischief: Mischief,
    left: u32,
}

/// What the connections of a proxy share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) way: Way,
    /// Where requests are passed on to, such as `http://127.0.0.1:4573`.
    upstream: String,
    client: reqwest::Client,
    armed: Mutex<VecDeque<Armed>>,
    /// How many requests each fault has met.
    met: Mutex<HashMap<usize, u32>>,
    open: watch::Sender<bool>,
    /// Requests under way, and those that are to be sent once more.
    busy: AtomicUsize,
    draws: AtomicU64,
    /// Told when a request has been passed on.
    pub(super) passed: Notify,
    /// Where processes are ended.
    pub(super) orders: mpsc::UnboundedSender<(Victim, End)>,
}

/// A running proxy. Dropping it cuts everything.
#[derive(Debug)]
pub(super) struct Proxy {
    /// Where it listens.
    pub(super) url: String,
    pub(super) shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port and passes on to `upstream`.
    pub(super) async fn start(
        way: Way,
        upstream: String,
        orders: mpsc::UnboundedSender<(Victim, End)>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let client = crate::client::builder()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_WITHIN)
            // A connection that is kept may belong to a process that is gone: that would be a fault nobody planned.
            .pool_max_idle_per_host(0)
            .build()?;
        let shared = Arc::new(Shared {
            way,
            upstream,
            client,
            armed: Mutex::default(),
            met: Mutex::default(),
            open: watch::Sender::new(true),
            busy: AtomicUsize::new(0),
            draws: AtomicU64::new(0),
            passed: Notify::new(),
            orders,
        });
        let task = tokio::spawn(listen(Arc::clone(&shared), listener, address));
        Ok(Self {
            url: format!("http://{address}"),
            shared,
            task,
        })
    }

    /// Lets the fault of that number wait for so many requests.
    pub(super) fn arm(&self, number: usize, mischief: Mischief, requests: u32) {
        self.shared.armed().push_back(Armed {
            number,
            mischief,
            left: requests,
        });
    }

    /// A handle to take that fault back by.
    pub(super) fn disarming(&self, number: usize) -> Disarming {
        Disarming(Arc::clone(&self.shared), number)
    }

    /// Takes all faults back, and listens.
    pub(super) fn heal(&self) {
        self.shared.armed().clear();
        self.shared.open.send_replace(true);
        self.shared.passed.notify_waiters();
    }

    /// Listens while it holds `true`, and refuses connections while it does not.
    pub(super) fn gate(&self) -> watch::Sender<bool> {
        self.shared.open.clone()
    }

    /// Requests under way.
    pub(super) fn busy(&self) -> usize {
        self.shared.busy.load(Ordering::Relaxed)
    }

    /// How many requests each fault has met, by its number.
    pub(super) fn met(&self) -> HashMap<usize, u32> {
        self.shared.met().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One fault of a proxy.
#[derive(Debug)]
pub(super) struct Disarming(Arc<Shared>, usize);

impl Disarming {
    /// Takes the fault back. Whether it was still waiting for its first request.
    pub(super) fn disarm(&self) -> bool {
        let Self(shared, number) = self;
        let mut armed = shared.armed();
        let before = armed.len();
        armed.retain(|armed| armed.number != *number);
        before > armed.len() && !shared.met().contains_key(number)
    }
}

/// Counts a request as under way for as long as it lives.
#[derive(Debug)]
pub(super) struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn armed(&self) -> MutexGuard<'_, VecDeque<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn met(&self) -> MutexGuard<'_, HashMap<usize, u32>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request that is under way.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// A number that no other request of this proxy has.
    pub(super) fn next_draw(&self) -> u64 {
        self.draws.fetch_add(1, Ordering::Relaxed)
    }

    /// What is to be done to the next request.
    fn next_mischief(&self) -> Option<Mischief> {
        let mut armed = self.armed();
        let first = armed.front_mut()?;
        first.left = first.left.saturating_sub(1);
        let (number, mischief, left) = (first.number, first.mischief, first.left);
        if left == 0 {
            armed.pop_front();
        }
        drop(armed);
        *self.met().entry(number).or_default() += 1;
        Some(mischief)
    }

    /// Passes a request on and reads the whole answer.
    pub(super) async fn pass(&self, request: &Whole) -> Result<Answer, Cut> {
        self.pass_body(request, request.body.clone().into()).await
    }

    /// Passes half of a request on, then cuts the connection.
    pub(super) async fn pass_half(&self, request: &Whole) {
        let half = request.body.slice(..request.body.len() / 2);
        let parts = [Ok(half), Err(std::io::Error::other(Cut))];
        let body = reqwest::Body::wrap_stream(futures::stream::iter(parts));
        let _cut = self.pass_body(request, body).await;
    }

    async fn pass_body(&self, request: &Whole, body: reqwest::Body) -> Result<Answer, Cut> {
        let path = request.head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = request.head.headers.clone();
        end_to_end(&mut headers);
        headers.remove(header::HOST);
        let sent = self
            .client
            .request(request.head.method.clone(), format!("{}{path}", self.upstream))
            .headers(headers)
            .body(body)
            .send();
        let response = sent.await.map_err(|_| Cut)?;
        let (status, mut headers) = (response.status(), response.headers().clone());
        end_to_end(&mut headers);
        let body = response.bytes().await.map_err(|_| Cut)?;
        self.passed.notify_waiters();
        Ok(Answer { status, headers, body })
    }
}

/// Takes away the headers that speak of one connection only; the length is that of the body anyway.
fn end_to_end(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::EXPECT,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

/// Serves while the proxy is open; while it is not, nobody listens and no connection is left.
async fn listen(shared: Arc<Shared>, mut listener: TcpListener, address: SocketAddr) {
    let mut gate = shared.open.subscribe();
    loop {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let _ = stream.set_nodelay(true);
                        let shared = Arc::clone(&shared);
                        connections.spawn(async move {
                            let service = service_fn(|request| exchange(Arc::clone(&shared), request));
                            // A connection that is cut on purpose ends with an error here.
                            let _cut = hyper::server::conn::http1::Builder::new()
                                .serve_connection(TokioIo::new(stream), service)
                                .await;
                        });
                    }
                    // Out of file descriptors, most likely: let some connections end.
                    Err(_) => tokio::time::sleep(REBIND_PAUSE).await,
                },
                closed = async { gate.wait_for(|open| !open).await.is_ok() } => match closed {
                    true => break,
                    false => return,
                },
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        connections.shutdown().await;
        if gate.wait_for(|open| *open).await.is_err() {
            return;
        }
        listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                // Somebody's outgoing connection has the port for the moment.
                Err(_) => tokio::time::sleep(REBIND_PAUSE).await,
            }
        };
    }
}

async fn exchange(shared: Arc<Shared>, request: hyper::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY)
        .collect()
        .await
        .map_err(|_| Cut)?
        .to_bytes();
    let _busy = shared.begin();
    let request = Whole { head, body };
    let answer = match shared.next_mischief() {
        None => shared.pass(&request).await,
        Some(mischief) => super::mischief::commit(&shared, request, mischief).await,
    }?;
    let mut response = http::Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}
