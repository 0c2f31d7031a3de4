//! The handler against a small server that answers as ClickHouse does.

use clickhouse::Row as _;
use marts::{Context, Mart, Read};
use serde_json::{Value, json};

use self::fake::{Cell, Fake};
use crate::{Retention, Row};

#[path = "../../marts/src/handler/tests/fake.rs"]
mod fake;

#[tokio::test]
async fn cohorts_as_json_or_csv() {
    let columns = [
        ("period", "String"),
        ("cohort", "Date"),
        ("n", "UInt16"),
        ("cohort_size", "UInt64"),
        ("users", "UInt64"),
        ("rate", "Float64"),
    ];
    let row = [
        Cell::Text("week"),
        Cell::U16(20_780),
        Cell::U16(1),
        Cell::U64(4),
        Cell::U64(3),
        Cell::F64(0.75),
    ];
    let fake: Fake<Retention> = Fake::answering(200, fake::rows(columns, &[row])).await;
    let (status, body) = fake.read("/retention", "").await;
    let expected = json!({ "cohorts": [
        { "period": "week", "cohort": "2026-11-23", "n": 1, "cohort_size": 4, "users": 3, "rate": 0.75 },
    ] });
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, expected));
    let asked = ["period", "from", "to"].map(|name| fake.parameter(name).unwrap_or_default());
    assert_eq!(asked, ["week", "2026-10-25", "2026-11-23"]);
    let query = "/retention?period=day&from=2026-01-01&to=2026-01-31";
    let (_, csv) = fake.read(query, "text/csv").await;
    assert_eq!(
        csv,
        "period,cohort,n,cohort_size,users,rate\nweek,2026-11-23,1,4,3,0.75\n"
    );
    let asked = ["period", "from", "to"].map(|name| fake.parameter(name).unwrap_or_default());
    assert_eq!(asked, ["day", "2026-01-01", "2026-01-31"]);
    let (status, body) = fake.read("/retention?period=month&to=x", "").await;
    assert!(
        status == 422 && body.contains("literal_error") && body.contains("date_parsing"),
        "{body}"
    );
    assert_eq!(Retention::COLUMNS, Row::COLUMN_NAMES);
}
