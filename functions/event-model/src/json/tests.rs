use proptest::prelude::*;

use super::*;

/// The value of a whole text.
fn whole(text: &str) -> Result<Raw<'_>, JsonError> {
    let mut reader = Reader::new(text);
    let value = reader.value(0)?;
    reader.finish()?;
    Ok(value)
}

/// Positions and words as CPython 3.11 gives them.
#[test]
fn syntax_errors_are_cpythons() {
    for (text, at, error) in [
        ("", 0, EXPECTING_VALUE),
        ("[", 1, EXPECTING_VALUE),
        ("[1", 2, EXPECTING_COMMA),
        ("[1,", 3, EXPECTING_VALUE),
        ("[1,]", 3, EXPECTING_VALUE),
        ("[1 2]", 3, EXPECTING_COMMA),
        ("{", 1, EXPECTING_KEY),
        ("{]", 1, EXPECTING_KEY),
        ("{\"a\"", 4, EXPECTING_COLON),
        ("{\"a\":", 5, EXPECTING_VALUE),
        ("{\"a\":1", 6, EXPECTING_COMMA),
        ("{\"a\":1,", 7, EXPECTING_KEY),
        ("{\"a\":1,}", 7, EXPECTING_KEY),
        ("[{\"a\":[1}", 8, EXPECTING_COMMA),
        ("1.", 1, EXTRA_DATA),
        ("1e", 1, EXTRA_DATA),
        ("1e+", 1, EXTRA_DATA),
        ("01", 1, EXTRA_DATA),
        ("-", 0, EXPECTING_VALUE),
        ("+1", 0, EXPECTING_VALUE),
        (".5", 0, EXPECTING_VALUE),
        ("-Infinit", 0, EXPECTING_VALUE),
        ("nul", 0, EXPECTING_VALUE),
        ("nulls", 4, EXTRA_DATA),
        ("\"", 0, UNTERMINATED),
        ("\"\\", 0, UNTERMINATED),
        ("\"\\x\"", 1, BAD_ESCAPE),
        ("\"\\u12\"", 2, BAD_UNICODE_ESCAPE),
        ("\"\\u0041", 2, BAD_UNICODE_ESCAPE),
        ("\"\\u 041\"", 2, BAD_UNICODE_ESCAPE),
        ("\"\\ud800\\u\"", 8, BAD_UNICODE_ESCAPE),
        ("\"a\n\"", 2, CONTROL),
        ("1\u{b}", 1, EXTRA_DATA),
        ("{} {}", 3, EXTRA_DATA),
    ] {
        assert_eq!(whole(text), Err(JsonError::Syntax { at, error }), "{text}");
    }
}

#[test]
fn values_are_slices() {
    for (text, expected) in [
        (" null\n", Raw::Null),
        ("true", Raw::Bool(true)),
        ("-0", Raw::Int("-0")),
        ("18446744073709551616", Raw::Int("18446744073709551616")),
        ("1.5E-3", Raw::Float("1.5E-3")),
        ("Infinity", Raw::NotFinite(f64::INFINITY)),
        ("-Infinity", Raw::NotFinite(f64::NEG_INFINITY)),
        (
            "\"a\\\"b\"",
            Raw::Text(Text {
                raw: "a\\\"b",
                escaped: true,
            }),
        ),
        ("[ 1, {\"a\" : []} ]", Raw::Array("[ 1, {\"a\" : []} ]")),
        ("{\"é\":{}}", Raw::Object("{\"é\":{}}")),
    ] {
        assert_eq!(whole(text), Ok(expected), "{text}");
    }
    assert!(matches!(whole("NaN"), Ok(Raw::NotFinite(nan)) if nan.is_nan()));
}

#[test]
fn escapes() {
    for (raw, text, lone_surrogate) in [
        (r"\n\t\r\b\f\/\\\u00e9", "\n\t\r\u{8}\u{c}/\\é", false),
        (r"\ud83d\ude00", "😀", false),
        (r"\ud83d", "\u{FFFD}\u{FFFD}\u{FFFD}", true),
        (r"\ud83d\u0041", "\u{FFFD}\u{FFFD}\u{FFFD}A", true),
        (r"\ud83d\ud83d\ude00", "\u{FFFD}\u{FFFD}\u{FFFD}😀", true),
        (r"\ude00x", "\u{FFFD}\u{FFFD}\u{FFFD}x", true),
    ] {
        let unescaped = Text { raw, escaped: true }.unescape();
        assert_eq!(
            (&*unescaped.text, unescaped.lone_surrogate),
            (text, lone_surrogate),
            "{raw}"
        );
    }
}

#[test]
fn limits() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(whole(&nested(MAX_JSON_DEPTH)).is_ok());
    assert_eq!(whole(&nested(MAX_JSON_DEPTH + 1)), Err(JsonError::TooDeep));
    assert_eq!(whole(&"[".repeat(1_000_000)), Err(JsonError::TooDeep));
    assert!(whole(&"9".repeat(MAX_INT_DIGITS)).is_ok());
    assert_eq!(whole(&"9".repeat(MAX_INT_DIGITS + 1)), Err(JsonError::IntTooLong));
}

/// Whatever kind of value it is, and however long its escapes make it.
#[test]
fn no_echo_is_long() {
    for text in [
        format!("1.{}", "5".repeat(30_000)),
        "9".repeat(MAX_INT_DIGITS),
        format!("\"{}\"", "\\u0001".repeat(4000)),
        format!("\"{}\"", "x".repeat(30_000)),
        format!("[{}0]", "0,".repeat(30_000)),
        format!("[\"{}\"]", "\\ud800".repeat(600)),
        "[".repeat(1000) + &"]".repeat(1000),
    ] {
        let echo = echo(whole(&text).unwrap());
        assert!(
            echo.get().len() <= crate::limits::MAX_ECHO_BYTES,
            "{} of {text:.20}",
            echo.get().len()
        );
        assert!(echo.get().starts_with('"') && echo.get().contains('…'), "{echo}");
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        // serde_json reads long decimals a little wrong, so only what is exact in few digits.
        any::<i32>().prop_map(|eighths| (f64::from(eighths) / 8.0).into()),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// What serde_json reads, this reads; and what is echoed is the same value.
    #[test]
    fn reads_and_echoes_json(value in any_json()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let raw = whole(&text).unwrap();
            if text.len() <= crate::limits::MAX_ECHO_BYTES {
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(echo(raw).get()).unwrap(), value.clone());
            }
        }
    }

    /// Whatever is read can be echoed; whatever serde_json refuses, apart from what CPython adds, is refused here.
    #[test]
    fn echo_is_always_json(text in r#"[\[\]{}:, "0-9eE.\-+aNIfity\\nud8]{0,60}"#) {
        if let Ok(raw) = whole(&text) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(echo(raw).get()).is_ok());
        } else {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_err());
        }
    }
}

proptest! {
    /// Keys in any order, twice, escaped, or with space about them are found as a reader finds them that tries none first.
    #[test]
    fn fields_are_found_in_any_order(members in prop::collection::vec(
        (prop::sample::select(vec!["a", "ab", "b", "c", "d", "e", "f", "", "x", "abc"]), 0..1000_u32, 0..4_u8), 0..12)
    ) {
        const NAMES: [&str; 7] = ["a", "ab", "b", "c", "d", "e", "f"];
        let written = members.iter().map(|(key, value, form)| match form {
            0 => format!("\"{key}\" :{value}"),
            1 => format!(" \"{}\":\n{value} ", key.replace('a', "\\u0061")),
            _ => format!("\"{key}\":{value}"),
        });
        let object = format!("{{{}}}", written.collect::<Vec<_>>().join(","));
        let Top::Object { values, span } = read(&object, &NAMES).unwrap() else { panic!("an object") };
        prop_assert_eq!(span, &object);
        for (name, value) in NAMES.iter().zip(values) {
            let last = members.iter().rev().find(|(key, ..)| key == name).map(|(_, value, _)| value.to_string());
            prop_assert_eq!(value, last.as_deref().map(Raw::Int), "{} in {}", name, object);
        }
    }
}
