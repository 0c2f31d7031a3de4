use super::*;
use proptest::prelude::*;

fn column(name: &str, kind: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_text(&mut out, name);
    write_text(&mut out, kind);
    out.extend(data);
    out
}

fn block(rows: u8, columns: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![u8::try_from(columns.len()).unwrap(), rows];
    out.extend(columns.concat());
    out
}

#[test]
fn a_zone_comes_back() {
    // SELECT 'ab' AS s, toDateTime(1676369730, 'Asia/Shanghai') AS dt FORMAT Native
    let data = [0x42, 0x5f, 0xeb, 0x63];
    let old = block(1, &[column("s", "String", b"\x02ab"), column("dt", "DateTime", &data)]);
    let types = ["String".to_owned(), "DateTime('Asia/Shanghai')".to_owned()];
    let mut expected = BLOCK_INFO.to_vec();
    expected.extend(block(
        1,
        &[
            column("s", "String", b"\x02ab"),
            column("dt", "DateTime('Asia/Shanghai')", &data),
        ],
    ));
    assert!(needs_zones(&old, 54405));
    assert_eq!(rewrite(&old, 54405, &types).unwrap(), expected);
    assert_eq!(rewrite(&old, 54000, &types).unwrap()[8..], old);
    assert_eq!(rewrite(&old, 50000, &types).unwrap(), old);
}

#[test]
fn layouts_are_announced() {
    let old = block(1, &[column("a", "UInt8", &[7])]);
    assert_eq!(
        rewrite(&old, 54454, &[]).unwrap()[8..],
        [1, 1, 1, b'a', 5, b'U', b'I', b'n', b't', b'8', 0, 7]
    );
    let unknown = block(1, &[column("a", "JSON", &[7])]);
    assert_eq!(
        rewrite(&unknown, 54454, &[]).unwrap_err(),
        Unreadable("JSON".to_owned())
    );
    assert_eq!(
        rewrite(&unknown, 54405, &["DateTime('UTC')".to_owned()]).unwrap()[8..],
        unknown
    );
}

#[test]
fn shapes_of_types() {
    let check = |name: &str, expected: Option<Shape>| assert_eq!(Shape::parse(name), expected, "{name}");
    let fixed = Shape::Fixed;
    let array = |inner| Shape::Array(Box::new(inner));
    check("Decimal(18, 2)", Some(fixed(8)));
    check("Enum8('a)' = 1, 'b,\\'' = 2)", Some(fixed(1)));
    check("DateTime64(3, 'UTC')", Some(fixed(8)));
    check("FixedString(5)", Some(fixed(5)));
    check(
        "LowCardinality(Nullable(String))",
        Some(Shape::Dictionary(Box::new(Shape::Text))),
    );
    check(
        "Map(String, Array(UInt8))",
        Some(array(Shape::Tuple(vec![Shape::Text, array(fixed(1))]))),
    );
    check(
        "Tuple(a UInt8, `b c` Nullable(Date), Tuple(x String))",
        Some(Shape::Tuple(vec![
            fixed(1),
            Shape::Nullable(Box::new(fixed(2))),
            Shape::Tuple(vec![Shape::Text]),
        ])),
    );
    check("SimpleAggregateFunction(sum, UInt64)", Some(fixed(8)));
    check("MultiPolygon", Some(array(array(array(fixed(16))))));
    check("Tuple()", Some(Shape::Tuple(vec![])));
    check("JSON", None);
    check("AggregateFunction(uniq, UInt64)", None);
    check("Array(Dynamic)", None);
}

#[test]
fn nested_columns_are_walked_to_their_end() {
    // An Array(LowCardinality(String)) of one row with two elements.
    let mut data = 1u64.to_le_bytes().to_vec();
    data.extend(2u64.to_le_bytes());
    data.extend(0x600u64.to_le_bytes());
    data.extend(2u64.to_le_bytes());
    data.extend(b"\x00\x01a");
    data.extend(2u64.to_le_bytes());
    data.extend([1, 1]);
    let old = block(
        1,
        &[
            column("l", "Array(LowCardinality(String))", &data),
            column("d", "DateTime", &[1, 2, 3, 4]),
        ],
    );
    let types = [String::new(), "DateTime('UTC')".to_owned()];
    let new = rewrite(&old, 54405, &types).unwrap();
    assert!(new.ends_with(b"\x0fDateTime('UTC')\x01\x02\x03\x04"));
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100), kind in "[A-Za-z(),' `]{0,30}") {
        let types = ["DateTime('UTC')".to_owned()];
        let _ = rewrite(&bytes, 54454, &types);
        let _ = rewrite(&block(3, &[column("a", &kind, &bytes)]), 54405, &types);
    }
}
