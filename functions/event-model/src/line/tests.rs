use super::*;

/// A record, its strings escaped here and there.
pub(crate) fn record() -> Record<'static> {
    let body = r#"{"dt": "2024-05-17T10:20:30+03:00", "name": "click\n", "user_id": 42, "url": "https://Shop.example",
        "obj": "button", "obj_id": "add", "product_id": 1, "amount": 9.5, "exp": {"b": "1", "a": "\""}}"#;
    Record {
        event_id: "018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10".parse().unwrap(),
        received_at: "2024-05-17T07:20:31.0425Z".parse().unwrap(),
        request_id: "".into(),
        event: Event::from_json(body.as_bytes()).unwrap(),
    }
}

/// Its line.
pub(crate) fn line(record: &Record<'_>) -> String {
    let mut line = Vec::new();
    record.write_line(&mut line);
    String::from_utf8(line).unwrap()
}

#[test]
fn line_has_a_fixed_form() {
    let expected = concat!(
        r#"{"event_id":"018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10","received_at":"2024-05-17T07:20:31.042Z","#,
        r#""dt":"2024-05-17T07:20:30Z","name":"click\n","user_id":42,"url":"https://shop.example/","obj":"button","#,
        r#""obj_id":"add","product_id":1,"amount":9.5,"exp":{"b":"1","a":"\""}}"#,
        "\n"
    );
    assert_eq!(line(&record()), expected);
}

#[test]
fn the_id_is_read_from_the_beginning() {
    let record = record();
    let line = line(&record);
    assert_eq!(Record::event_id_at_start(line.as_bytes()), Some(record.event_id));
    assert_eq!(Record::event_id_at_start(&line.as_bytes()[..49]), Some(record.event_id));
    for other in [
        &line.as_bytes()[..48],
        b"",
        b"{}",
        &line.as_bytes()[1..],
        &line.to_uppercase().as_bytes()[..60],
    ] {
        assert_eq!(Record::event_id_at_start(other), None);
    }
}
