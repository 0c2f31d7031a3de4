//! Whatever a row holds: from its line through the loader and the engine, and back.

use anyhow::ensure;
use event_model::Row;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

use crate::process::{PATIENCE, Service, scratch, weir_ok};

/// A row as ClickHouse gives it.
#[derive(Debug, clickhouse::Row, serde::Deserialize)]
struct Stored {
    dt: u32,
    name: String,
    user_id: u64,
    url: String,
    obj: String,
    obj_id: String,
    product_id: u64,
    amount: f64,
    exp: Vec<(String, String)>,
    event_id: String,
    received_at: i64,
    request_id: String,
}

impl Stored {
    fn row(self) -> anyhow::Result<Row<'static>> {
        Ok(Row {
            dt: self.dt,
            name: self.name.into(),
            user_id: self.user_id,
            url: self.url.into(),
            obj: self.obj.into(),
            obj_id: self.obj_id.into(),
            product_id: self.product_id,
            amount: self.amount,
            exp: self
                .exp
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            event_id: self.event_id.parse()?,
            received_at: self.received_at,
            request_id: self.request_id.into(),
        })
    }
}

/// Anything that a line can hold: texts of any characters, and of lengths that take one, two and three bytes; numbers and times up to
/// their ends.
fn any_row() -> impl Strategy<Value = Row<'static>> {
    let text = || {
        prop_oneof![
            4 => any::<String>(),
            2 => "[a-c]{0,2}",
            1 => "[\u{0}-\u{1f}\u{7f}\"\\\\\u{2028}\u{fffd}\u{10ffff}]{0,5}",
            1 => (120_usize..140).prop_map(|length| "x".repeat(length)),
            1 => (16_380_usize..16_390).prop_map(|length| "\u{e9}".repeat(length / 2)),
        ]
    };
    let number = || prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), 0_u64..100];
    // Each month is an insert.
    let dt = prop_oneof![
        Just(0),
        Just(u32::MAX),
        1_709_250_000_u32..1_709_253_000,
        1_715_930_000_u32..1_715_930_003
    ];
    let amount = prop_oneof![
        0.0..f64::MAX,
        0.0..1000.0,
        Just(0.0),
        Just(-0.0),
        Just(5e-324),
        Just(f64::MAX)
    ];
    let texts = (text(), text(), text(), text(), "([0-9a-fA-F-]{0,36})");
    let exp = prop::collection::btree_map(text(), text(), 0..4);
    let times = (
        dt,
        prop_oneof![0_i64..4_102_444_800_000, Just(-1), Just(10_413_791_999_999)],
    );
    (texts, number(), number(), amount, exp, any::<u128>(), times).prop_map(
        |((name, url, obj, obj_id, request_id), user_id, product_id, amount, exp, id, (dt, received_at))| Row {
            dt,
            name: name.into(),
            user_id,
            url: url.into(),
            obj: obj.into(),
            obj_id: obj_id.into(),
            product_id,
            amount,
            exp: exp.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
            event_id: Uuid::from_u128(id),
            received_at,
            request_id: request_id.into(),
        },
    )
}

/// The row's line, the line's row, the row's block, the block's row in the table: the same row all the way.
#[tokio::test]
async fn whatever_a_row_holds_comes_back() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    weir_ok(dir.path(), &["migrate", "--clickhouse-url", &server.url]).await?;
    let client = clickhouse::Client::default()
        .with_url(&server.url)
        .with_user("default")
        .with_database("analytics");
    let mut runner = TestRunner::deterministic();
    for size in [0, 1, 2, 60, 300, 1000] {
        let rows = prop::collection::vec(any_row(), size).new_tree(&mut runner);
        let rows = rows.map_err(|why| anyhow::anyhow!("{why}"))?.current();
        let lines: Vec<_> = rows.iter().map(Row::to_line).collect();
        let read: Result<Vec<_>, _> = lines.iter().map(|line| Row::from_line(line)).collect();
        loader::insert::rows(&client, &read?, PATIENCE).await?;
        // As an array, a map shows a key that is there twice, and the order.
        let stored = client
            .query(
                "SELECT dt, name, user_id, url, obj, obj_id, product_id, amount, CAST(exp, 'Array(Tuple(String, String))') AS exp, \
                 toString(event_id) AS event_id, received_at, request_id FROM events",
            )
            .fetch_all::<Stored>()
            .await?;
        client.query("TRUNCATE TABLE events").execute().await?;
        let mut stored = stored
            .into_iter()
            .map(Stored::row)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut expected = rows;
        stored.sort_by_key(|row| row.event_id);
        expected.sort_by_key(|row| row.event_id);
        ensure!(stored.len() == expected.len(), "{} of {}", stored.len(), expected.len());
        for (stored, expected) in stored.iter().zip(&expected) {
            ensure!(
                stored == expected && stored.amount.to_bits() == expected.amount.to_bits(),
                "{stored:?} for {expected:?}"
            );
        }
    }
    server.stop().await
}
