//! The handler against a small server that answers as ClickHouse does.

use clickhouse::Row as _;
use marts::{Context, Mart, Read};
use serde_json::{Value, json};

use self::fake::{Cell, Fake};
use crate::{Row, Sessions};

#[path = "../../marts/src/handler/tests/fake.rs"]
mod fake;

/// One session of each of the users from 1 to `users`.
async fn sessions(users: u64) -> Fake<Sessions> {
    let columns = [
        ("session_id", "String"),
        ("user_id", "UInt64"),
        ("date", "Date"),
        ("started_at", "DateTime('UTC')"),
        ("ended_at", "DateTime('UTC')"),
        ("duration_seconds", "UInt32"),
        ("events", "UInt64"),
        ("pages", "UInt64"),
        ("entry_url", "String"),
        ("exit_url", "String"),
        ("revenue", "Nullable(Float64)"),
    ];
    let session = |user| {
        [
            Cell::Text("6ba7b810-9dad-51d1-80b4-00c04fd430c8"),
            Cell::U64(user),
            Cell::U16(20_780),
            Cell::U32(1_795_428_000),
            Cell::U32(1_795_428_090),
            Cell::U32(90),
            Cell::U64(3),
            Cell::U64(2),
            Cell::Text("http://a/"),
            Cell::Text("http://a/b"),
            Cell::Some(9.5),
        ]
    };
    Fake::answering(200, fake::rows(columns, &(1..=users).map(session).collect::<Vec<_>>())).await
}

#[tokio::test]
async fn sessions_as_json_or_csv() {
    let fake = sessions(1).await;
    let (status, body) = fake.read("/sessions", "").await;
    let expected = json!({ "next": null, "sessions": [{
        "session_id": "6ba7b810-9dad-51d1-80b4-00c04fd430c8", "user_id": 1, "date": "2026-11-23",
        "started_at": "2026-11-23T10:00:00Z", "ended_at": "2026-11-23T10:01:30Z", "duration_seconds": 90, "events": 3, "pages": 2,
        "entry_url": "http://a/", "exit_url": "http://a/b", "revenue": 9.5,
    }] });
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, expected));
    let asked = ["from", "to", "limit"].map(|name| fake.parameter(name).unwrap_or_default());
    assert_eq!(asked, ["2026-10-25", "2026-11-23", "1001"]);
    assert!(!fake.asked().contains("after_"), "{}", fake.asked());
    let (_, csv) = fake.read("/sessions", "text/csv").await;
    assert_eq!(
        csv,
        format!(
            "{}\n6ba7b810-9dad-51d1-80b4-00c04fd430c8,1,2026-11-23,2026-11-23T10:00:00Z,2026-11-23T10:01:30Z,90,3,2,http://a/,\
             http://a/b,9.5\n",
            Sessions::COLUMNS.join(",")
        )
    );
    assert_eq!(Sessions::COLUMNS, Row::COLUMN_NAMES);
}

#[tokio::test]
async fn pages_follow_one_another() {
    let fake = sessions(3).await;
    let response = fake.get("/sessions?limit=2&user_id=7", "text/csv").await;
    assert_eq!(response.headers()["x-next-after"], "6b040ea00000000000000002");
    assert_eq!(
        (fake.parameter("limit").as_deref(), fake.parameter("user_id").as_deref()),
        (Some("3"), Some("7"))
    );
    let (_, body) = fake.read("/sessions?limit=2&after=6b040ea00000000000000002", "").await;
    assert!(body.ends_with("\"next\":\"6b040ea00000000000000002\"}"), "{body}");
    let asked = ["after_time", "after_user"].map(|name| fake.parameter(name).unwrap_or_default());
    assert_eq!(asked, ["1795428000", "2"]);
    // The thirty days began before midnight.
    fake.read("/sessions?after=6ada00000000000000000002", "").await;
    let asked = ["from", "after_time"].map(|name| fake.parameter(name).unwrap_or_default());
    assert_eq!(asked, ["2026-10-22", "1792671744"]);
    assert!(!fake.asked().contains("{user_id"), "{}", fake.asked());
}

#[tokio::test]
async fn each_wrong_parameter_is_named() {
    let fake = sessions(0).await;
    let (status, body) = fake.read("/sessions?after=x&limit=10001&user_id=-1&from=y", "").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    let named: Vec<_> = body["detail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["type"].clone(), it["loc"][1].clone()))
        .collect();
    let expected = [
        ("date_parsing", "from"),
        ("int_parsing", "user_id"),
        ("less_than_equal", "limit"),
        ("cursor_parsing", "after"),
    ];
    assert_eq!(
        (status, named),
        (422, expected.map(|(kind, name)| (json!(kind), json!(name))).to_vec())
    );
    assert_eq!(fake.asked(), "");
}
