//! The handler against a small server that answers as ClickHouse does.

use clickhouse::Row as _;
use marts::{Context, Mart, Read};
use serde_json::{Value, json};

use self::fake::{Cell, Fake};
use crate::{Funnel, Row};

#[path = "../../marts/src/handler/tests/fake.rs"]
mod fake;

#[tokio::test]
async fn steps_as_json_or_csv() {
    let columns = [
        ("date", "Nullable(Date)"),
        ("step", "UInt8"),
        ("step_name", "String"),
        ("users", "UInt64"),
        ("conversion_from_first", "Nullable(Float64)"),
        ("conversion_from_previous", "Nullable(Float64)"),
    ];
    let row = [
        Cell::Null,
        Cell::U8(1),
        Cell::Text("view"),
        Cell::U64(4),
        Cell::Some(1.0),
        Cell::Null,
    ];
    let fake: Fake<Funnel> = Fake::answering(200, fake::rows(columns, &[row])).await;
    let (status, body) = fake.read("/funnel?total=true", "").await;
    let expected = json!({ "steps": [{ "date": null, "step": 1, "step_name": "view", "users": 4, "conversion_from_first": 1.0,
        "conversion_from_previous": null }] });
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, expected));
    assert!(fake.asked().contains("sum(users)"), "{}", fake.asked());
    let (_, csv) = fake.read("/funnel?total=false&from=2026-01-01", "text/csv").await;
    assert_eq!(
        csv,
        "date,step,step_name,users,conversion_from_first,conversion_from_previous\n,1,view,4,1.0,\n"
    );
    assert!(!fake.asked().contains("sum(users)"), "{}", fake.asked());
    let asked = ["from", "to"].map(|name| fake.parameter(name).unwrap_or_default());
    assert_eq!(asked, ["2026-01-01", "2026-11-23"]);
    let (status, body) = fake.read("/funnel?total=1", "").await;
    assert!(status == 422 && body.contains("literal_error"), "{body}");
    assert_eq!(Funnel::COLUMNS, Row::COLUMN_NAMES);
}
