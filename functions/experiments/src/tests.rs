//! The handler against a small server that answers as ClickHouse does.

use clickhouse::Row as _;
use marts::{Context, Mart, Read};
use serde_json::{Value, json};

use self::fake::{Cell, Fake};
use crate::{Experiments, Row};

#[path = "../../marts/src/handler/tests/fake.rs"]
mod fake;

/// One variant. What is not defined is null, and what is not finite becomes so.
async fn variant() -> Fake<Experiments> {
    let mut kinds = ["Nullable(Float64)"; 24];
    kinds[..2].fill("String");
    kinds[3..6].fill("UInt64");
    (kinds[2], kinds[21]) = ("UInt8", "UInt8");
    kinds[22..].fill("Nullable(DateTime('UTC'))");
    let mut columns = [("", ""); 24];
    for (at, column) in columns.iter_mut().enumerate() {
        *column = (Experiments::COLUMNS[at], kinds[at]);
    }
    let cell = |at: usize| match at {
        0 => Cell::Text("exp,1"),
        1 => Cell::Text("b"),
        2 | 21 => Cell::U8(0),
        3..6 => Cell::U64(at as u64),
        6 => Cell::Some(0.5),
        7 => Cell::Some(12.25),
        9 => Cell::Some(f64::INFINITY),
        10 => Cell::Some(f64::NAN),
        22 | 23 => Cell::SomeU32(1_795_428_000),
        _ => Cell::Null,
    };
    Fake::answering(200, fake::rows(columns, &[std::array::from_fn(cell)])).await
}

#[tokio::test]
async fn variants_as_json_or_csv() {
    let fake = variant().await;
    let (status, body) = fake.read("/experiments?from=ignored", "").await;
    let mut body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    let row = body["variants"][0].as_object_mut().unwrap();
    assert_eq!(row.len(), Experiments::COLUMNS.len());
    row.retain(|_, value| !value.is_null());
    let expected = json!({ "experiment": "exp,1", "variant": "b", "is_control": 0, "users": 3, "switchers": 4, "conversions": 5,
        "conversion_rate": 0.5, "revenue": 12.25, "srm_detected": 0, "first_exposure": "2026-11-23T10:00:00Z",
        "last_exposure": "2026-11-23T10:00:00Z" });
    assert_eq!(body["variants"][0], expected);
    assert!(!fake.asked().contains("WHERE"), "{}", fake.asked());

    let name = "it's%20%7Bhere%7D%20%3F";
    let (_, csv) = fake.read(&format!("/experiments?experiment={name}"), "text/csv").await;
    let header = Experiments::COLUMNS.join(",");
    let line = "\"exp,1\",b,0,3,4,5,0.5,12.25,,,,,,,,,,,,,,0,2026-11-23T10:00:00Z,2026-11-23T10:00:00Z";
    assert_eq!(csv, format!("{header}\n{line}\n"));
    // It is a parameter of the query's, escaped as those are, and no part of it.
    assert_eq!(fake.parameter("experiment").as_deref(), Some("it\\'s {here} ?"));
    assert_eq!(Experiments::COLUMNS, Row::COLUMN_NAMES);
}
