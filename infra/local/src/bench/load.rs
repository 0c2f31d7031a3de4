//! The load: connections that are kept, each with one request under way, and bodies that are made before.
//!
//! It shares the processors with what is measured, so it is one thread that writes bytes to sockets and reads the head of
//! what comes back; no HTTP client takes part.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, BytesMut};
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Requests, ready to be written.
#[derive(Debug)]
pub(super) struct Requests {
    /// `host:port`.
    host: String,
    /// Events of each.
    pub(super) batch: usize,
    all: Vec<Vec<u8>>,
    /// What marked events carry: a second that no other has, where a table sorted by time finds them at once.
    pub(super) marked_at: Timestamp,
    /// What an answer of 200 says when it took every event; `None`: whatever it says.
    full: Option<String>,
}

/// Events in all requests of a pool, about: enough that no two at a time are the same.
const POOL: usize = 4096;

impl Requests {
    /// Requests of so many events each, to this address, of the minute before now. `counted`: an answer says how many events it
    /// took, as Weir's do.
    pub(super) fn new(url: &str, batch: usize, counted: bool) -> anyhow::Result<Self> {
        let now = edge::clock::now();
        let all = (0..POOL.div_ceil(batch).max(64)).map(|at| match batch {
            1 => event(at, now),
            _ => {
                let events: Vec<_> = (0..batch).map(|within| event(at * batch + within, now)).collect();
                format!("[{}]", events.join(","))
            }
        });
        Ok(Self {
            host: host(url)?.0,
            batch,
            marked_at: now - SignedDuration::from_mins(10),
            all: all.map(|body| request(url, &body)).collect::<anyhow::Result<_>>()?,
            full: counted.then(|| format!("{{\"accepted\":{batch}}}")),
        })
    }
}

/// The user ids of marked events begin here.
pub(super) const MARKED_FROM: u64 = 1 << 40;

/// An event of about 200 bytes, of the minute before `now`.
fn event(number: usize, now: Timestamp) -> String {
    // The multiplier is odd, so no two numbers are drawn alike.
    let drawn = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let product = drawn % 5000;
    let name = ["view", "click", "purchase", "scroll"][drawn % 4];
    format!(
        "{{\"dt\":\"{:.0}\",\"name\":\"{name}\",\"user_id\":{},\
         \"url\":\"https://shop.example/products/{product}?ref=mail\",\"obj\":\"product\",\"obj_id\":\"{product}\",\
         \"product_id\":{product},\"amount\":19.9,\"exp\":{{\"checkout\":\"b\"}}}}",
        now - SignedDuration::from_secs(i64::try_from(drawn % 60).unwrap_or_default()),
        100_000 + drawn % 50_000,
    )
}

fn marked(user_id: u64, at: Timestamp) -> String {
    format!(
        "{{\"dt\":\"{at:.0}\",\"name\":\"view\",\"user_id\":{user_id},\"url\":\"https://shop.example/\",\"obj\":\"page\"}}"
    )
}

/// `host:port` and path of an address.
fn host(url: &str) -> anyhow::Result<(String, String)> {
    let parsed: url::Url = url.parse().with_context(|| format!("{url} is no address"))?;
    ensure!(parsed.scheme() == "http", "{url}: the load is sent by http only");
    let host = parsed.host_str().with_context(|| format!("{url} names no host"))?;
    let port = parsed.port_or_known_default().unwrap_or(80);
    Ok((format!("{host}:{port}"), parsed.path().to_owned()))
}

fn request(url: &str, body: &str) -> anyhow::Result<Vec<u8>> {
    let (host, path) = host(url)?;
    let length = body.len();
    Ok(format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes())
}

/// What a run sent, and what came back.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Events acknowledged from the first to the last, the warm-up's and marked ones included.
    pub(super) acknowledged: u64,
    /// Of those, the ones within the time that is measured.
    pub(super) within: u64,
    /// The times of the requests within it, in microseconds; sorted.
    pub(super) latencies: Vec<u32>,
    /// Requests that were answered otherwise, by what came.
    pub(super) refused: BTreeMap<String, u64>,
    /// When each marked event was acknowledged.
    pub(super) marks: BTreeMap<u64, Instant>,
    /// When the last was acknowledged.
    pub(super) ended: Option<Instant>,
}

impl Sent {
    fn add(&mut self, other: Sent) {
        self.acknowledged += other.acknowledged;
        self.within += other.within;
        self.latencies.extend(other.latencies);
        self.marks.extend(other.marks);
        self.ended = self.ended.max(other.ended);
        for (what, requests) in other.refused {
            *self.refused.entry(what).or_default() += requests;
        }
    }
}

/// When a run is measured: between these, after a warm-up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from: Instant,
    pub(super) to: Instant,
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a marked event is posted.
const MARK_EVERY: Duration = Duration::from_millis(100);

/// Sends until the span ends. Each marked event is told to `marks` when it is acknowledged; with no `marks` none is sent.
pub(super) async fn send(
    requests: Arc<Requests>,
    connections: usize,
    span: Span,
    marks: Option<mpsc::UnboundedSender<(u64, Instant)>>,
) -> anyhow::Result<Sent> {
    let (done, sent) = tokio::sync::oneshot::channel();
    // A thread of its own: the runtime's other threads need not be woken for it.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ran = match runtime {
            Ok(runtime) => runtime.block_on(send_all(requests, connections, span, marks)),
            Err(error) => Err(error.into()),
        };
        // Nobody waits for it after Ctrl-C.
        let _ = done.send(ran);
    });
    sent.await.context("the load's thread was lost")?
}

async fn send_all(
    requests: Arc<Requests>,
    connections: usize,
    span: Span,
    marks: Option<mpsc::UnboundedSender<(u64, Instant)>>,
) -> anyhow::Result<Sent> {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..connections {
        let requests = Arc::clone(&requests);
        tasks.spawn(async move { send_one(&requests, number, span).await });
    }
    if let Some(marks) = marks {
        let requests = Arc::clone(&requests);
        tasks.spawn(async move { send_marks(&requests, span, &marks).await });
    }
    let mut sent = Sent::default();
    while let Some(done) = tasks.join_next().await {
        sent.add(done?.with_context(|| format!("a connection to {} failed", requests.host))?);
    }
    sent.latencies.sort_unstable();
    Ok(sent)
}

/// One connection.
async fn send_one(requests: &Requests, number: usize, span: Span) -> io::Result<Sent> {
    let mut connection = Connection::open(&requests.host).await?;
    let mut sent = Sent::default();
    // Each begins somewhere else in the pool.
    let mut at = number * 61 % requests.all.len();
    let mut began = Instant::now();
    while began < span.to {
        let answer = connection.exchange(&requests.all[at]).await?;
        let now = Instant::now();
        let full = requests.full.as_ref().is_none_or(|full| answer.body == full.as_bytes());
        if answer.status == 200 && full {
            sent.acknowledged += requests.batch as u64;
            sent.ended = Some(now);
            if (span.from..=span.to).contains(&now) {
                sent.within += requests.batch as u64;
                let latency = (now - began).as_micros();
                sent.latencies.push(u32::try_from(latency).unwrap_or(u32::MAX));
            }
        } else {
            *sent.refused.entry(answer.status.to_string()).or_default() += 1;
        }
        at = (at + 1) % requests.all.len();
        began = now;
    }
    Ok(sent)
}

/// Marked events, a few a second.
async fn send_marks(requests: &Requests, span: Span, told: &mpsc::UnboundedSender<(u64, Instant)>) -> io::Result<Sent> {
    let mut connection = Connection::open(&requests.host).await?;
    let mut sent = Sent::default();
    let url = format!("http://{}/events", requests.host);
    let mut user_id = MARKED_FROM;
    tokio::time::sleep_until(span.from.into()).await;
    while Instant::now() < span.to {
        let request = request(&url, &marked(user_id, requests.marked_at)).map_err(io::Error::other)?;
        if connection.exchange(&request).await?.status == 200 {
            let now = Instant::now();
            sent.acknowledged += 1;
            sent.ended = Some(now);
            sent.marks.insert(user_id, now);
            let _ = told.send((user_id, now));
        } else {
            *sent.refused.entry("marked".to_owned()).or_default() += 1;
        }
        user_id += 1;
        tokio::time::sleep(MARK_EVERY).await;
    }
    Ok(sent)
}

/// A connection that is kept.
struct Connection {
    stream: TcpStream,
    read: BytesMut,
    /// Bytes of `read` that belong to the last answer.
    taken: usize,
}

/// An answer.
struct Answer<'a> {
    status: u16,
    body: &'a [u8],
}

impl Connection {
    async fn open(host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: BytesMut::with_capacity(16 * 1024),
            taken: 0,
        })
    }

    /// Writes a request and reads its answer, within [`PATIENCE`].
    async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        let exchanged = tokio::time::timeout(PATIENCE, self.exchange_in_any_time(request));
        exchanged.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn exchange_in_any_time(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.read.advance(self.taken);
        self.taken = 0;
        self.stream.write_all(request).await?;
        let head = loop {
            if let Some(head) = Head::of(&self.read)? {
                break head;
            }
            self.more().await?;
        };
        while self.read.len() < head.length + head.body {
            self.more().await?;
        }
        self.taken = head.length + head.body;
        Ok(Answer {
            status: head.status,
            body: &self.read[head.length..self.taken],
        })
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Its own bytes, and those of the body.
    length: usize,
    body: usize,
}

impl Head {
    /// `None` while it is not all there.
    fn of(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let odd = || io::Error::other("an answer that is none of HTTP/1.1, or does not say how long it is");
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| odd())?;
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split(' ').next());
        let length = text.lines().skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim())
        });
        Ok(Some(Self {
            status: status.and_then(|status| status.parse().ok()).ok_or_else(odd)?,
            length: end + 4,
            body: length.and_then(|length| length.parse().ok()).ok_or_else(odd)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\ndate: now\r\n\r\n{\"accepted\":1}";
        let head = Head {
            status: 200,
            length: answer.len() - 14,
            body: 14,
        };
        assert_eq!(Head::of(answer).unwrap(), Some(head));
        assert_eq!(Head::of(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
        assert!(Head::of(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Head::of(b"SMTP\r\ncontent-length: 1\r\n\r\n").is_err());
    }

    #[test]
    fn what_is_sent_are_events_of_about_200_bytes() {
        let now = edge::clock::now();
        for number in 0..1000 {
            let text = event(number, now);
            assert!((180..230).contains(&text.len()), "{text}");
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(value["user_id"].as_u64().unwrap() < MARKED_FROM);
            assert!(value["dt"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{text}");
        }
        let value: serde_json::Value = serde_json::from_str(&marked(MARKED_FROM, now)).unwrap();
        assert_eq!(value["dt"].as_str().unwrap().len(), "2026-06-05T00:00:00Z".len());
    }
}
