use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::*;

prop_compose! {
    fn any_row()(
        dt in prop_oneof![any::<u32>(), 1_700_000_000_u32..1_700_100_000],
        strings in prop::collection::vec("[a-c\u{e9}]{0,3}", 4),
        user_id in any::<u64>(), product_id in any::<u64>(), amount in 0.0..1e12_f64,
        exp in prop::collection::btree_map("[a-z]{0,200}", "[a-z]{0,3}", 0..4),
        id in any::<u128>(), received_at in 0_i64..4_102_444_800_000, request_id in "([0-9a-f-]{36})?",
    ) -> Row<'static> {
        let [name, url, obj, obj_id] = strings.try_into().unwrap();
        Row {
            dt, name: name.into(), user_id, url: url.into(), obj: obj.into(), obj_id: obj_id.into(), product_id, amount,
            exp: exp.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
            event_id: Uuid::from_u128(id), received_at, request_id: request_id.into(),
        }
    }
}

/// Reads back what [`rows_block`] writes.
struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn varint(&mut self) -> usize {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = self.take(1)[0];
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    fn string(&mut self) -> String {
        let length = self.varint();
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn column<T>(&mut self, rows: usize, name: &str, type_name: &str, read: fn(&mut Self) -> T) -> Vec<T> {
        assert_eq!((self.string().as_str(), self.string().as_str()), (name, type_name));
        (0..rows).map(|_| read(self)).collect()
    }

    fn rows(mut self) -> Vec<Row<'static>> {
        assert_eq!(self.varint(), 12);
        let rows = self.varint();
        let dt = self.column(rows, "dt", "DateTime('UTC')", |d| {
            u32::from_le_bytes(d.take(4).try_into().unwrap())
        });
        let name = self.column(rows, "name", "String", Self::string);
        let user_id = self.column(rows, "user_id", "UInt64", Self::u64);
        let url = self.column(rows, "url", "String", Self::string);
        let obj = self.column(rows, "obj", "String", Self::string);
        let obj_id = self.column(rows, "obj_id", "String", Self::string);
        let product_id = self.column(rows, "product_id", "UInt64", Self::u64);
        let amount = self.column(rows, "amount", "Float64", |d| f64::from_bits(d.u64()));
        let ends = self.column(rows, "exp", "Map(String, String)", Self::u64);
        let pairs = ends.last().map_or(0, |end| *end as usize);
        let keys: Vec<_> = (0..pairs).map(|_| self.string()).collect();
        let values: Vec<_> = (0..pairs).map(|_| self.string()).collect();
        let event_id = self.column(rows, "event_id", "UUID", |d| Uuid::from_u64_pair(d.u64(), d.u64()));
        let received_at = self.column(rows, "received_at", "DateTime64(3, 'UTC')", |d| d.u64() as i64);
        let request_id = self.column(rows, "request_id", "String", Self::string);
        assert!(self.0.is_empty());
        let mut start = 0;
        (0..rows)
            .map(|at| {
                let end = ends[at] as usize;
                let exp = keys[start..end]
                    .iter()
                    .zip(&values[start..end])
                    .map(|(key, value)| (key.clone().into(), value.clone().into()))
                    .collect();
                start = end;
                Row {
                    dt: dt[at],
                    name: name[at].clone().into(),
                    user_id: user_id[at],
                    url: url[at].clone().into(),
                    obj: obj[at].clone().into(),
                    obj_id: obj_id[at].clone().into(),
                    product_id: product_id[at],
                    amount: amount[at],
                    exp,
                    event_id: event_id[at],
                    received_at: received_at[at],
                    request_id: request_id[at].clone().into(),
                }
            })
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_block_holds_its_rows(rows in prop::collection::vec(any_row(), 0..30)) {
        let (block, _) = rows_block(&rows.iter().collect::<Vec<_>>());
        prop_assert_eq!(Decoder(&block).rows(), rows);
    }

    /// The same rows give the same blocks and tokens, in whatever order they come; other rows give other tokens.
    #[test]
    fn order_does_not_matter(rows in prop::collection::vec(any_row(), 1..30), seed in any::<prop::sample::Index>()) {
        let expected = groups(&rows);
        let mut turned = rows.clone();
        turned.rotate_left(seed.index(rows.len()));
        turned.reverse();
        prop_assert_eq!(groups(&turned), expected.clone());
        let back: Vec<_> = expected.iter().flat_map(|group| Decoder(&group.block).rows()).collect();
        prop_assert_eq!(back.len(), rows.len());
        turned.pop();
        prop_assert_ne!(groups(&turned), expected);
    }

    #[test]
    fn groups_are_months(rows in prop::collection::vec(any_row(), 1..30)) {
        let groups = groups(&rows);
        prop_assert!(groups.is_sorted_by(|a, b| a.month < b.month));
        for group in groups {
            let rows = Decoder(&group.block).rows();
            prop_assert!(rows.iter().all(|row| month(row.dt) == group.month));
            prop_assert!(rows.is_sorted_by_key(|row| (row.dt, row.name.clone(), row.obj.clone(), row.obj_id.clone(), row.event_id)));
        }
    }
}

#[test]
fn months() {
    for (dt, expected) in [
        (0, 197_001),
        (1_709_251_199, 202_402),
        (1_709_251_200, 202_403),
        (u32::MAX, 210_602),
    ] {
        assert_eq!(month(dt), expected, "{dt}");
    }
}

/// A token is part of the contract: a loader of another version must recognise what this one inserted.
#[test]
fn tokens_stay() {
    let line = concat!(
        r#"{"event_id":"00000000-0000-0000-0000-000000000007","received_at":"2024-05-17T10:20:31.500Z","#,
        r#""dt":"2024-05-17T10:20:30Z","name":"view","user_id":1,"url":"http://site/main","obj":"page","#,
        r#""obj_id":"","product_id":0,"amount":0.0,"exp":{"a":"b"}}"#
    );
    // Nor may a request id change it: a loader that does not know it stores the same line without.
    let with = line.replace("\"}}", "\"},\"request_id\":\"8f5e0c7a-3f1d-4e57-9f0a-5b8a4c1d2e3f\"}");
    assert_ne!(with, line);
    for line in [line, &with] {
        let groups = groups(&[Row::from_line(line.as_bytes()).unwrap()]);
        assert_eq!((groups.len(), groups[0].month, groups[0].rows), (1, 202_405, 1));
        assert_eq!(groups[0].token, "weir-events-6f3159fbbd2735ed3b5ac99aa50629e0");
    }
}

/// The lines of the benches.
#[path = "../../benches/sample/mod.rs"]
mod sample;

/// Of many rows, whose order is decided by each column of the sorting key and by what comes after it: tokens and blocks byte by byte.
#[test]
fn blocks_stay() {
    let mut lines = sample::lines(200, &["2024-05-17", "2024-03-31", "2024-04-01"]);
    let first = lines[0].clone();
    for (from, to) in [
        ("\"name\":\"", "\"name\":\"\\u00e9\\n"),
        ("\"name\":\"", "\"name\":\"\u{1f600}"),
        ("\"obj\":\"", "\"obj\":\"a\\u0000"),
        ("\"obj\":\"", "\"obj\":\"a"),
        ("\"obj_id\":\"", "\"obj_id\":\"\\\""),
        ("\"event_id\":\"0", "\"event_id\":\"f"),
        ("17T10:", "18T10:"),
        ("\"user_id\":", "\"user_id\":1"),
        ("\"product_id\":", "\"product_id\":1"),
        ("\"amount\":", "\"amount\":1"),
        ("https://", "http://"),
        ("\"exp\":{\"cart_style\"", "\"exp\":{\"a\":\"\",\"cart_style\""),
        ("\"request_id\":\"", "\"request_id\":\"\"}\n#"),
    ] {
        let other = first.replacen(from, to, 1);
        assert_ne!(other, first, "{from}");
        lines.push(other.split('#').next().unwrap_or_default().to_owned());
    }
    let rows: Vec<_> = lines
        .iter()
        .map(|line| Row::from_line(line.trim_end().as_bytes()).unwrap())
        .collect();
    let found: Vec<_> = groups(&rows)
        .into_iter()
        .map(|group| (group.month, group.rows, group.token, token("block", &[&group.block])))
        .collect();
    let expected: [(u32, usize, &str, &str); 3] = [
        (
            202_403,
            67,
            "weir-events-407d516752ad42e3cc1d1b31ded26666",
            "weir-block-387064dcadecf84986bddb27c320df1e",
        ),
        (
            202_404,
            66,
            "weir-events-7bbe280103b53dd88e00bc566192547b",
            "weir-block-977e1861d4d10af67e8ddb9c2b1c3bf6",
        ),
        (
            202_405,
            80,
            "weir-events-2531e897c2b2ad0316ed8b34120c753c",
            "weir-block-6db56940f9ce8b06326c8b428265f3b1",
        ),
    ];
    let expected = expected.map(|(month, rows, token, block)| (month, rows, token.to_owned(), block.to_owned()));
    assert_eq!(found, expected);
}

/// A server may answer before it has read what it was sent, and then read no further, or close. What it says decides
/// whether a row is at fault, so it must be heard.
#[tokio::test]
async fn an_answer_that_comes_early_is_heard() {
    for (closes, head, exception) in [
        (false, "connection: close\r\n", 469),
        (false, "", 252),
        (true, "connection: close\r\n", 469),
    ] {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // So that the system does not read all of it for the server.
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(8).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 64]).await.unwrap();
            let text = format!("Code: {exception}. x");
            let answer = format!("HTTP/1.1 500 No\r\n{head}content-length: {}\r\n\r\n{text}", text.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            if closes {
                stream.shutdown().await.unwrap();
            }
            (stream, listener)
        });
        let client = Client::default()
            .with_url(url)
            .with_compression(clickhouse::Compression::None);
        let block = Bytes::from(vec![0; 64 << 20]);
        let (piece, limit) = (Duration::from_millis(500), Duration::from_secs(60));
        let error = send_steadily(&client, "INSERT INTO t FORMAT Native", block, "t", piece, limit)
            .await
            .unwrap_err();
        assert_eq!(error.exception(), Some(exception), "{closes} {head:?}: {error:?}");
        drop(server.await.unwrap());
    }
}
