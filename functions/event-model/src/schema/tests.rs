use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::prelude::*;
use proptest::string::string_regex;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{Event, NormalisedEvent};

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(schemars::schema_for!(Event).as_value()).unwrap());

/// A good event with one field replaced (or added).
fn event(field: &str, value: Value) -> Value {
    let mut event = json!({
        "dt": "2024-05-17T10:20:30Z", "name": "view", "user_id": 1, "url": "http://site/main", "obj": "page",
    });
    event[field] = value;
    event
}

/// What the schema says of such an event, and what the parser says.
fn verdicts(field: &str, value: Value) -> (bool, bool) {
    let event = event(field, value);
    (
        VALIDATOR.is_valid(&event),
        Event::from_json(event.to_string().as_bytes()).is_ok(),
    )
}

#[track_caller]
fn check(field: &str, value: Value, expected: bool) {
    assert_eq!(verdicts(field, value.clone()), (expected, expected), "{field}: {value}");
}

/// The schemas of one type among those that a field may have.
fn branches(field: &str, kind: &str) -> Vec<Map<String, Value>> {
    let schema = schemars::schema_for!(Event).to_value();
    let branches = schema["properties"][field]["anyOf"].as_array().unwrap();
    let branches: Vec<_> = branches.iter().filter(|branch| branch["type"] == kind).collect();
    branches
        .into_iter()
        .map(|branch| branch.as_object().unwrap().clone())
        .collect()
}

/// Strings of a pattern; what is behind a pattern without an end may be anything.
fn strings(field: &str) -> impl Strategy<Value = String> + use<> {
    let patterns = branches(field, "string").into_iter().map(|branch| {
        let pattern = branch["pattern"]
            .as_str()
            .unwrap()
            .strip_prefix('^')
            .unwrap()
            .to_owned();
        match pattern.strip_suffix('$') {
            Some(pattern) => string_regex(pattern).unwrap().boxed(),
            None => (string_regex(&pattern).unwrap(), any::<String>())
                .prop_map(|(start, rest)| start + &rest)
                .boxed(),
        }
    });
    proptest::strategy::Union::new(patterns)
}

/// One recorded case of the service that Weir replaces.
#[derive(serde::Deserialize)]
struct Case {
    id: u32,
    body: Option<String>,
}

/// Recorded cases on which the two differ, and why.
const DIFFERENT: [(u32, &str); 11] = [
    (1239, "a host whose last label begins with a digit, but is no number"),
    (
        1261,
        "a host in Punycode: a pattern cannot tell a good one from a bad one",
    ),
    (1262, "a host in Punycode"),
    (1467, "a host in Punycode"),
    (1324, "a host with a comma"),
    (1637, "a host with a comma"),
    (1345, "a tab before the URL, which a browser drops"),
    (1486, "two @ in a URL, the first of which is the user's"),
    (1731, "backslashes for slashes in a URL"),
    (3526, "one slash behind http:"),
    (
        1871,
        "an integer written with an exponent, refused from 2^63 on: valid, and refused",
    ),
];

/// Each recorded case that a JSON parser reads is valid by the schema exactly if it is accepted.
#[test]
fn agrees_with_the_recorded_cases() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/contract.jsonl");
    let (mut compared, mut wrong) = (0, Vec::new());
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let Case { id, body } = serde_json::from_str(line).unwrap();
        let body = body.unwrap_or_default();
        // A validator gets no value of bytes that are no text, NaN, 1e400, a lone surrogate, or what nests deep.
        let Ok(value) = serde_json::from_str::<Value>(&body) else {
            continue;
        };
        compared += 1;
        let (valid, accepted) = (VALIDATOR.is_valid(&value), Event::from_json(body.as_bytes()).is_ok());
        if (valid == accepted) == DIFFERENT.iter().any(|(different, _)| *different == id) {
            wrong.push(format!("case {id}: valid {valid}, accepted {accepted}: {body:.300}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 200, "only {compared} cases are JSON");
}

/// What an accepted event becomes is valid by the other schema, however long its URL has grown.
#[test]
fn what_is_written_has_the_normal_form() {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let schema = settings.into_generator().into_root_schema_for::<NormalisedEvent>();
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    let check = |body: &str| {
        let written = serde_json::to_value(Event::from_json(body.as_bytes()).unwrap()).unwrap();
        assert!(validator.is_valid(&written), "{written}");
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/contract.jsonl");
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let body = case.body.unwrap_or_default();
        if Event::from_json(body.as_bytes()).is_ok() {
            check(&body);
        }
    }
    let grown = event("url", json!(format!("http://site?{}", " ".repeat(2070) + "x")));
    check(&grown.to_string());
    check(&event("event_id", json!("018F85233C5B7D4A9D3E0B6F4C1F2A10")).to_string());
}

#[test]
fn integers() {
    for value in [
        json!(0),
        json!(u64::MAX),
        json!(1.0),
        json!(true),
        json!(false),
        json!("42"),
    ] {
        check("user_id", value.clone(), true);
        check("product_id", value, true);
    }
    for value in [
        json!(-1),
        json!(1.5),
        json!(18_446_744_073_709_551_616_f64),
        json!(null),
        json!([]),
        json!({}),
        json!("x"),
    ] {
        check("user_id", value.clone(), false);
        check("product_id", value, false);
    }
    for (text, expected) in [
        ("18446744073709551615", true),
        ("18446744073709551616", false),
        ("18_446_744_073_709_551_615.000", true),
        ("18_446_744_073_709_551_616", false),
        ("\u{a0}+007\u{85}", true),
        ("\u{feff}7", false),
        ("-0", true),
        ("-1", false),
        ("0-0", true),
        ("0__1", true),
        ("1__0", false),
        ("0_", false),
        ("", false),
    ] {
        check("user_id", json!(text), expected);
    }
}

#[test]
fn times() {
    for (value, expected) in [
        (json!(-1), false),
        (json!(0), true),
        (json!(4_294_967_295_u64), true),
        (json!(4_294_967_295.999_999), true),
        (json!(4_294_967_295.999_999_5), false),
        (json!(4_294_967_296_u64), false),
        (json!(20_000_000_000_u64), false),
        (json!(20_000_000_000.5), false),
        (json!(20_000_000_001_u64), true),
        (json!(4_294_967_294_999.5), true),
        (json!(4_294_967_295_999_u64), true),
        (json!(4_294_967_296_000_u64), false),
        (json!(true), false),
        (json!(null), false),
    ] {
        check("dt", value, expected);
    }
    for (text, expected) in [
        ("1969-12-31", false),
        ("1970-01-01", true),
        ("1970-01-01T00:00:00+00:00", true),
        ("1970-01-01T00:00:00-01:00", true),
        ("1970-01-01T00:00:00+01:00", false),
        ("1970-01-02T00:00:00+23:59", true),
        ("2000-02-29", true),
        ("2100-02-29", false),
        ("2104-02-29", true),
        ("2023-02-29", false),
        ("2024-04-31", false),
        ("2024-05-17t10:20:30,123456789\u{2212}0300", true),
        ("2024-05-17T10:20:30+03", false),
        ("2024-05-17T24:00", false),
        ("2024-05-17T", false),
        ("2024-05-17Z", false),
        ("2024-05-17\n", false),
        ("2106-02-05T23:59:59-23:59", true),
        ("2106-02-07T06:28:15.999Z", true),
        ("2106-02-07T06:28:16Z", false),
        ("2106-02-08", false),
        ("9999-12-31T23:59:59Z", false),
        ("+1715941230.", true),
        ("1.7e9", false),
        ("4294967295.9", false),
        ("4294967296", false),
        ("20000000000", false),
        ("20000000001", true),
        ("4294967295999", true),
        ("4294967296000", false),
    ] {
        // The last tenth of the last second is accepted in part: the schema leaves it out.
        let (valid, accepted) = verdicts("dt", json!(text));
        assert_eq!(valid, expected, "{text}");
        assert!(accepted == expected || text == "4294967295.9", "{text}");
    }
}

#[test]
fn amounts_urls_and_ids() {
    for (value, expected) in [
        (json!(0), true),
        (json!(-0.0), true),
        (json!(f64::MAX), true),
        (json!(-0.01), false),
        (json!(true), true),
        (json!(null), false),
        (json!(" 9.99\t"), true),
        (json!("1_000.5"), true),
        (json!(" 1_000.5"), false),
        (json!("10e99"), true),
        (json!("7.7e+293"), true),
        (json!("1e-9999"), true),
        (json!("1e999"), false),
        (json!("-0.0"), true),
        (json!("-1"), false),
        (json!("nan"), false),
        (json!("Infinity"), false),
        (json!("."), false),
        (json!("0x1"), false),
    ] {
        check("amount", value, expected);
    }
    for (value, expected) in [
        (json!("http://site"), true),
        (json!("HTTPS://user:p%40ss@shop.example.:08080/a b?c#d"), true),
        (json!("http://127.0.0.1/"), true),
        (json!("http://[::1]:80"), true),
        (json!("http://site/\u{43f}"), true),
        (json!("http://256.0.0.1/"), false),
        (json!("http://site:65536/"), false),
        (json!("http://"), false),
        (json!("http://a b/"), false),
        (json!("ftp://site/"), false),
        (json!("//site/"), false),
        (json!(""), false),
        (json!(1), false),
        (json!(format!("http://site/{}", "x".repeat(2071))), true),
        (json!(format!("http://site/{}", "x".repeat(2072))), false),
        (json!(format!("http://site/{}", "\u{1f600}".repeat(508))), true),
        (json!(format!("http://site/{}", "\u{1f600}".repeat(518))), false),
    ] {
        check("url", value, expected);
    }
    for (value, expected) in [
        (json!(null), true),
        (json!("018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10"), true),
        (json!("018F85233C5B7D4A9D3E0B6F4C1F2A10"), true),
        (json!("{018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10}"), true),
        (json!("URN:uuid:018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10"), true),
        (json!("{018f85233c5b7d4a9d3e0b6f4c1f2a10}"), false),
        (json!("018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a1"), false),
        (json!("018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10\n"), false),
        (json!(""), false),
        (json!(1), false),
    ] {
        check("event_id", value, expected);
    }
    for (value, expected) in [
        (json!(null), true),
        (json!({}), true),
        (json!({ "": "" }), true),
        (json!({ "a": null }), false),
        (json!([]), false),
    ] {
        check("exp", value, expected);
    }
}

/// What is accepted although no schema says so, for want of a pattern that can say it or that anybody would read.
#[test]
fn forms_that_the_schema_leaves_out() {
    for (field, value) in [
        ("dt", json!("1969-12-31T23:30:00-01:00")),
        ("dt", json!("2106-02-08T00:00:00+23:00")),
        ("dt", json!("4294967295.95")),
        ("dt", json!("4294967295999.0005")),
        ("dt", json!(-0.999_999_9)),
        ("amount", json!("10e100")),
        ("amount", json!("1_.5")),
        ("amount", json!("-1e-999")),
        ("url", json!(" http:/site")),
        ("url", json!("http://xn--e1afmkfd.xn--p1ai/")),
        ("url", json!("http://[fe80::1]/")),
        ("url", json!(format!("http://site/{}", "\u{e9}".repeat(600)))),
    ] {
        assert_eq!(verdicts(field, value.clone()), (false, true), "{field}: {value}");
    }
    // And the other way round: to a validator both of these are integers.
    assert_eq!(verdicts("user_id", json!(1e19)), (true, false));
}

proptest! {
    /// Whatever a pattern lets through is accepted.
    #[test]
    fn strings_of_the_patterns_are_accepted(
        dt in strings("dt"), user_id in strings("user_id"), amount in strings("amount"), url in strings("url"),
        event_id in strings("event_id"),
    ) {
        for (field, text) in [("dt", dt), ("user_id", user_id), ("amount", amount), ("event_id", event_id)] {
            prop_assert_eq!(verdicts(field, json!(text)), (true, true), "{}: {:?}", field, text);
        }
        let (valid, accepted) = verdicts("url", json!(url));
        prop_assert_eq!(valid, url.chars().count() <= if url.is_ascii() { 2083 } else { 520 }, "{:?}", url);
        prop_assert!(accepted || !valid, "{:?}", url);
    }

    /// A string near an integer is valid exactly if it is accepted.
    #[test]
    fn strings_near_integers(text in r"[ \u{a0}]{0,1}[+-]{0,1}(0[0_]{0,3}|[1-9]{1,22}|[0-9_.-]{1,24}|1844674407[0-9_]{9,12})(\.0{1,2}){0,1} {0,1}") {
        let (valid, accepted) = verdicts("user_id", json!(text));
        prop_assert_eq!(valid, accepted, "{:?}", text);
    }

    /// A string near a day, not at the ends of what can be stored, is valid exactly if it is accepted.
    #[test]
    fn strings_near_times(text in r"(19[78]|20[0-9]|209)[1-9]-[013][0-9]-[0-3][0-9]([T_:][0-2][0-9]:[0-6][0-9](:[0-6][0-9]([.,][0-9]{0,2}){0,1}){0,1}(Z|[+-][0-2][0-9]:{0,1}[0-6][0-9]){0,1}){0,1}") {
        let (valid, accepted) = verdicts("dt", json!(text));
        prop_assert_eq!(valid, accepted, "{:?}", text);
    }

    /// A number is valid exactly if it is accepted.
    #[test]
    fn numbers(value in prop_oneof![
        0.0..5e9, 1.9e10..2.1e10, 4.29e12..4.3e12, prop::num::f64::POSITIVE | prop::num::f64::ZERO, -1e13..-1.0,
        any::<i64>().prop_map(|number| number as f64), (0..u32::MAX).prop_map(f64::from),
    ]) {
        for field in ["dt", "amount", "user_id"] {
            // An integer written with an exponent is refused from 2^63 on.
            if field == "user_id" && value >= 9.2e18 { continue }
            let (valid, accepted) = verdicts(field, json!(value));
            prop_assert_eq!(valid, accepted, "{}: {:?}", field, value);
        }
    }
}
