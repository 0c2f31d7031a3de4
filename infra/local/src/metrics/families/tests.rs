use super::*;
use crate::metrics::exposition;

fn families() -> Families {
    Families::new(&["events", "loader"]).unwrap()
}

/// The samples of what was counted, without the histograms' buckets.
fn samples(families: &Families) -> Vec<String> {
    let text = exposition::text(&families.gather()).unwrap();
    let shown = |line: &&str| !line.starts_with('#') && !line.contains("_bucket{");
    text.lines().filter(shown).map(str::to_owned).collect()
}

#[test]
fn what_a_record_says_is_counted() {
    let request = Record {
        function: "events".into(),
        method: Some("POST".into()),
        route: Some("/events".into()),
        status: Some(200),
        duration: 0.25,
        ..Record::default()
    };
    let delivery = Record {
        function: "loader".into(),
        route: Some("/".into()),
        bytes: Some(700),
        stored: Some(3),
        quarantined: Some(1),
        insert: Some(0.5),
        data_age: Some(2.0),
        ..request.clone()
    };
    for (what, records, expected) in [
        (
            "a request",
            vec![Record {
                bytes: Some(350),
                accepted: Some(5),
                rejected: vec![("missing".into(), 2), ("url".into(), 1)],
                not_stored: Some(0),
                firehose_retries: Some(4),
                ..request.clone()
            }],
            &[
                r#"weir_events_accepted_total{function="events"} 5"#,
                r#"weir_events_not_stored_total{function="events"} 0"#,
                r#"weir_events_rejected_total{function="events",reason="missing"} 2"#,
                r#"weir_events_rejected_total{function="events",reason="url"} 1"#,
                r#"weir_firehose_retries_total{function="events"} 4"#,
                r#"weir_request_bytes_sum{function="events"} 350"#,
                r#"weir_request_bytes_count{function="events"} 1"#,
                r#"weir_request_duration_seconds_sum{function="events"} 0.25"#,
                r#"weir_request_duration_seconds_count{function="events"} 1"#,
                r#"weir_requests_total{function="events",method="POST",route="/events",status="200"} 1"#,
            ][..],
        ),
        (
            "deliveries, one of which failed",
            vec![
                delivery.clone(),
                Record {
                    status: Some(503),
                    stored: None,
                    quarantined: None,
                    bytes: None,
                    ..delivery
                },
            ],
            &[
                r#"weir_data_age_seconds_sum{function="loader"} 4"#,
                r#"weir_data_age_seconds_count{function="loader"} 2"#,
                r#"weir_insert_duration_seconds_sum{function="loader"} 1"#,
                r#"weir_insert_duration_seconds_count{function="loader"} 2"#,
                r#"weir_insert_rows_sum{function="loader"} 3"#,
                r#"weir_insert_rows_count{function="loader"} 1"#,
                r#"weir_lines_quarantined_total{function="loader"} 1"#,
                r#"weir_request_bytes_sum{function="loader"} 700"#,
                r#"weir_request_bytes_count{function="loader"} 1"#,
                r#"weir_request_duration_seconds_sum{function="loader"} 0.5"#,
                r#"weir_request_duration_seconds_count{function="loader"} 2"#,
                r#"weir_requests_failed_total{function="loader"} 1"#,
                r#"weir_requests_total{function="loader",method="POST",route="/",status="200"} 1"#,
                r#"weir_requests_total{function="loader",method="POST",route="/",status="503"} 1"#,
                r#"weir_rows_stored_total{function="loader"} 3"#,
            ],
        ),
        (
            "an invocation of a function that is none of ours",
            vec![Record {
                function: "stranger".into(),
                outcome: Some("done".into()),
                duration: 1.0,
                ..Record::default()
            }],
            &[
                r#"weir_request_duration_seconds_sum{function="other"} 1"#,
                r#"weir_request_duration_seconds_count{function="other"} 1"#,
                r#"weir_requests_total{function="other",method="",route="",status="done"} 1"#,
            ],
        ),
    ] {
        let families = families();
        for record in &records {
            families.count(record);
        }
        assert_eq!(samples(&families), expected, "{what}");
    }
}

#[test]
fn a_function_begins_at_zero() {
    let families = families();
    families.begin("events");
    families.begin("loader");
    families.begin("docs");
    let expected = [
        r#"weir_events_accepted_total{function="events"} 0"#,
        r#"weir_events_not_stored_total{function="events"} 0"#,
        r#"weir_firehose_retries_total{function="events"} 0"#,
        r#"weir_lines_quarantined_total{function="loader"} 0"#,
        r#"weir_requests_failed_total{function="docs"} 0"#,
        r#"weir_requests_failed_total{function="events"} 0"#,
        r#"weir_requests_failed_total{function="loader"} 0"#,
        r#"weir_rows_stored_total{function="loader"} 0"#,
    ];
    assert_eq!(samples(&families), expected);
}

/// Whatever a broken line says, memory is bounded, and nothing is left uncounted.
#[test]
fn labels_are_bounded() {
    let families = families();
    let all = MAX_SETS + 500;
    for at in 0..all {
        families.count(&Record {
            function: "events".into(),
            route: Some(format!("/{at}").into()),
            rejected: vec![(format!("reason {at}").into(), 1)],
            ..Record::default()
        });
    }
    families.count(&Record {
        function: "events".into(),
        route: Some("x".repeat(MAX_VALUE + 1).into()),
        ..Record::default()
    });
    let samples = samples(&families);
    let of = |name: &str| samples.iter().filter(|line| line.starts_with(name)).count();
    assert_eq!(of("weir_requests_total"), MAX_SETS + 1);
    assert_eq!(of("weir_events_rejected_total"), MAX_REASONS + 1);
    let other = r#"weir_requests_total{function="events",method="other",route="other",status="other"} 501"#;
    assert!(samples.iter().any(|line| line == other));
    let other = format!(
        r#"weir_events_rejected_total{{function="events",reason="other"}} {}"#,
        all - MAX_REASONS
    );
    assert!(samples.contains(&other));
}
