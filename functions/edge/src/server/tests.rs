use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use http::StatusCode;

use super::*;
use crate::record::Output;
use crate::{Failure, respond};

/// Tells what it was asked; panics or fails on demand.
struct Echo {
    seen: Mutex<Vec<String>>,
}

#[derive(Debug, thiserror::Error)]
#[error("secret detail")]
struct Teapot;

impl Failure for Teapot {
    fn response(&self) -> Response<Body> {
        respond::problem(StatusCode::IM_A_TEAPOT, "teapot", "I'm a teapot")
    }
}

impl Function for Echo {
    type Error = Teapot;

    const NAME: &'static str = "echo";

    fn from_lookup(_: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Echo { seen: Mutex::default() })
    }

    fn routes() -> &'static [&'static str] {
        &["/a"]
    }

    async fn handle(&self, request: Request, _: &mut Record) -> Result<Response<Body>, Teapot> {
        let kind = match request.body() {
            Body::Empty => "empty",
            Body::Text(_) => "text",
            _ => "binary",
        };
        let line = format!(
            "{} {} {kind} {}",
            request.method(),
            request.uri().path(),
            request.body().len()
        );
        self.seen.lock().unwrap().push(line.clone());
        match request.uri().path() {
            "/panic" => panic!("on demand"),
            "/teapot" => Err(Teapot),
            "/large" => Ok(respond::text(StatusCode::OK, "text/plain", "x".repeat(64 << 20))),
            _ => Ok(respond::text(StatusCode::OK, "text/plain", line)),
        }
    }
}

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<Result<(), ServerError>>,
}

async fn start() -> Running {
    start_within(MAX_CONNECTIONS, ANSWER_TIMEOUT).await
}

async fn start_within(connections: usize, answer_timeout: Duration) -> Running {
    let listener = bind(&ServerConfig {
        host: "127.0.0.1".into(),
        port: 0,
    })
    .await
    .unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let function = Echo::from_lookup(&|_| None).unwrap();
    let function = Arc::new(Recorded {
        function,
        output: Output { emf: None, log: true },
    });
    let done = tokio::spawn(run_within((connections, answer_timeout), listener, function, async {
        let _ = stopped.await;
    }));
    Running { address, stop, done }
}

/// What comes back for raw bytes on a new connection, until the server closes it.
async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn requests_reach_the_handler_as_on_aws() {
    let running = start().await;
    for (request, expected) in [
        (
            "GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "GET /a empty 0",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: a b%\r\nConnection: close\r\n\r\n",
            "GET /a empty 0",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: 1.2.3.400\r\nX-Forwarded-Proto: :\r\nConnection: close\r\n\r\n",
            "GET /a empty 0",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: xn--zzzzzzzzz\r\nConnection: close\r\n\r\n",
            "GET /a empty 0",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "OPTIONS / empty 0",
        ),
        (
            "POST /e HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
            "POST /e text 2",
        ),
        (
            "POST /e HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
            "POST /e binary 2",
        ),
        (
            "GET /teapot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "{\"code\":\"teapot\",\"detail\":\"I'm a teapot\"}",
        ),
    ] {
        let answer = talk(running.address, request.as_bytes()).await;
        assert!(answer.ends_with(expected), "{request}\n{answer}");
    }
    let answer = talk(
        running.address,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1\r\nConnection: close\r\n\r\n\xFF",
    )
    .await;
    assert!(answer.ends_with("POST / binary 1"), "{answer}");
}

/// Whatever the answer is, it names its request, and no two have the same name.
#[tokio::test]
async fn answers_name_their_request() {
    let running = start().await;
    let mut seen = std::collections::HashSet::new();
    for request in [
        "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: x\r\nx-amzn-requestid: mine\r\nConnection: close\r\n\r\n",
        "GET /panic HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /teapot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 6291457\r\n\r\n",
    ] {
        let answer = talk(running.address, request.as_bytes()).await;
        let (_, rest) = answer.split_once("x-amzn-requestid: ").expect(&answer);
        let (id, _) = rest.split_once('\r').unwrap();
        let parts: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'), "{id}");
        assert!(seen.insert(id.to_owned()), "{id} is another request's");
    }
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let running = start().await;
    let two = b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = talk(running.address, two).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.ends_with("GET /b empty 0"), "{answer}");
    assert!(!answer.contains("on demand"));
}

#[tokio::test]
async fn too_large_a_body_is_refused_early() {
    let running = start().await;
    let answer = talk(
        running.address,
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 6291457\r\n\r\n",
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("6291456"),
        "{answer}"
    );
    let mut chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..7 {
        chunked.extend_from_slice(b"100000\r\n");
        chunked.resize(chunked.len() + (1 << 20), b'x');
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let mut announced = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n".to_vec();
    announced.resize(announced.len() + (8 << 20), b'x');
    // Clients that send everything before they read: the answer must still be there.
    for request in [chunked, announced] {
        let answer = talk(running.address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
}

#[tokio::test]
async fn headers_are_limited_in_number_and_size() {
    let running = start().await;
    let fixed = "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let numbered =
        |count: usize| (2..count).fold(fixed.to_owned(), |head, at| head + &format!("h{at}: x\r\n")) + "\r\n";
    let sized = |bytes: usize| {
        let ends = format!("{fixed}big: \r\n\r\n");
        format!("{fixed}big: {}\r\n\r\n", "x".repeat(bytes - ends.len()))
    };
    for (request, status) in [
        (numbered(MAX_HEADERS), 200),
        (numbered(MAX_HEADERS + 1), 431),
        (sized(MAX_HEADER_BYTES), 200),
        (sized(MAX_HEADER_BYTES + 1), 431),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(MAX_HEADER_BYTES)), 431),
    ] {
        let answer = talk(running.address, request.as_bytes()).await;
        let expected = format!("HTTP/1.1 {status}");
        assert!(
            answer.starts_with(&expected),
            "{} bytes: {answer}, not {status}",
            request.len()
        );
    }
}

/// The third client is served when one of two has gone, and not before.
#[tokio::test]
async fn connections_are_limited() {
    let running = start_within(2, ANSWER_TIMEOUT).await;
    let ask = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = TcpStream::connect(running.address).await.unwrap();
        client.write_all(ask).await.unwrap();
        clients.push(client);
    }
    let mut start = [0; 12];
    for client in &mut clients[..2] {
        client.read_exact(&mut start).await.unwrap();
    }
    let wait = Duration::from_millis(200);
    let waited = tokio::time::timeout(wait, clients[2].read_exact(&mut start)).await;
    assert!(waited.is_err(), "a third connection was accepted");
    drop(clients.remove(0));
    clients[1].read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
}

/// A client that does not take its answer keeps nobody out for ever.
#[tokio::test]
async fn an_answer_that_is_not_taken_ends_its_connection() {
    let running = start_within(1, Duration::from_millis(100)).await;
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    silent
        .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    // The only connection is taken: this one is accepted when it has ended.
    let served = talk(
        running.address,
        b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    let served = tokio::time::timeout(Duration::from_secs(60), served).await;
    assert!(served.unwrap().starts_with("HTTP/1.1 200"));
    let mut rest = Vec::new();
    let _cut = silent.read_to_end(&mut rest).await;
    assert!(rest.len() < 64 << 20, "all of the answer came");
}

#[tokio::test]
async fn stops_when_told() {
    let running = start().await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    running.stop.send(()).unwrap();
    running.done.await.unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_taken_port_is_one_clear_line() {
    let running = start().await;
    let config = ServerConfig {
        host: "127.0.0.1".into(),
        port: running.address.port(),
    };
    let error = bind(&config).await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot listen on 127.0.0.1:{}", config.port)),
        "{error}"
    );
    let error = ServerConfig::from_lookup(&|_| None).unwrap_err().to_string();
    assert_eq!(error, "PORT is not set: the port to listen on, outside Lambda");
}
