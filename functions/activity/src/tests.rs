//! The handler against a small server that answers as ClickHouse does.

use clickhouse::Row as _;
use marts::{Context, Mart, Read};
use serde_json::{Value, json};

use self::fake::{Cell, Fake};
use crate::{Activity, Row};

#[path = "../../marts/src/handler/tests/fake.rs"]
mod fake;

#[tokio::test]
async fn days_as_json_or_csv() {
    let columns = [
        ("date", "Date"),
        ("dau", "UInt64"),
        ("wau", "UInt64"),
        ("mau", "UInt64"),
        ("stickiness", "Float64"),
        ("new_users", "UInt64"),
        ("returning_users", "UInt64"),
        ("resurrected_users", "UInt64"),
    ];
    let day = |date, dau, stickiness| {
        let [wau, mau, new, returning, resurrected] = [2, 4, 1, 0, 0].map(Cell::U64);
        [
            Cell::U16(date),
            Cell::U64(dau),
            wau,
            mau,
            Cell::F64(stickiness),
            new,
            returning,
            resurrected,
        ]
    };
    let days = fake::rows(columns, &[day(20_000, 1, 0.25), day(20_001, u64::MAX, 0.0)]);
    let fake: Fake<Activity> = Fake::answering(200, days).await;
    let (status, body) = fake.read("/activity?to=2026-11-22", "*/*").await;
    let day = |date: &str, dau: u64, stickiness: f64| {
        json!({ "date": date, "dau": dau, "wau": 2, "mau": 4, "stickiness": stickiness, "new_users": 1, "returning_users": 0,
            "resurrected_users": 0 })
    };
    let expected = json!({ "days": [day("2024-10-04", 1, 0.25), day("2024-10-05", u64::MAX, 0.0)] });
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, expected));
    assert_eq!(fake.parameter("from").as_deref(), Some("2026-10-24"));
    assert_eq!(fake.parameter("to").as_deref(), Some("2026-11-22"));
    let (_, csv) = fake.read("/activity/", "text/csv").await;
    assert_eq!(
        csv,
        "date,dau,wau,mau,stickiness,new_users,returning_users,resurrected_users\n2024-10-04,1,2,4,0.25,1,0,0\n\
         2024-10-05,18446744073709551615,2,4,0.0,1,0,0\n"
    );
    assert_eq!(Activity::COLUMNS, Row::COLUMN_NAMES);
}
