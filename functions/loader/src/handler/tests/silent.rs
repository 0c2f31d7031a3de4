//! Deliveries to a ClickHouse that says nothing.

use super::*;

/// A delivery of that many rows of one month.
fn delivery_of(rows: u32) -> String {
    let line = |row| {
        format!(
            concat!(
                r#"{{"event_id":"00000000-0000-0000-0000-{:012}","received_at":"2024-05-17T10:20:31.500Z","#,
                r#""dt":"2024-05-17T10:20:30Z","name":"view","user_id":1,"url":"http://site/{}","obj":"page","#,
                r#""obj_id":"","product_id":0,"amount":0.0,"exp":{{}}}}"#,
                "\n"
            ),
            row,
            "x".repeat(200)
        )
    };
    use base64::Engine;
    let data = base64::engine::general_purpose::STANDARD.encode((0..rows).map(line).collect::<String>());
    json!({ "requestId": "r-1", "timestamp": 1, "records": [{ "data": data }] }).to_string()
}

/// A server that does that with each connection, and whose system reads little ahead.
async fn server<F: Future<Output = ()> + Send + 'static>(serve: fn(tokio::net::TcpStream) -> F) -> String {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    url
}

/// ClickHouses that take their time, and a delivery whose time is over before theirs.
#[tokio::test]
async fn the_answer_comes_before_lambda_ends_the_function() {
    async fn reads_on(stream: tokio::net::TcpStream) {
        let mut stream = stream;
        while tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096])
            .await
            .is_ok_and(|read| read > 0)
        {}
        std::future::pending().await
    }
    async fn reads_nothing(stream: tokio::net::TcpStream) {
        let _open = stream;
        std::future::pending().await
    }
    for (what, url, body, left_ms, status, message) in [
        (
            "reads on",
            server(reads_on).await,
            delivery(),
            50,
            503,
            "did not answer within",
        ),
        (
            "reads nothing",
            server(reads_nothing).await,
            delivery_of(40_000),
            200,
            503,
            "did not answer within",
        ),
        (
            "has no time",
            server(reads_on).await,
            delivery(),
            0,
            503,
            "no time was left",
        ),
    ] {
        let context = context(&url);
        let deadline = (context.now)().as_millisecond() as u64 + 500 + left_ms;
        let mut lambda = lambda_http::Context::default();
        lambda.deadline = deadline;
        let request = post().body(Body::from(body)).unwrap();
        let request = edge::RequestExt::with_lambda_context(request, lambda);
        let response = Function::handle(&context, request, &mut edge::Record::default())
            .await
            .unwrap();
        let answer: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(
            (response.status().as_u16(), &answer["requestId"]),
            (status, &json!("r-1")),
            "{what}: {answer}"
        );
        assert!(
            answer["errorMessage"].as_str().unwrap().contains(message),
            "{what}: {answer}"
        );
    }
}
