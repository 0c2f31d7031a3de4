//! Blocks of the Native format for clients that state a protocol version.
//!
//! Clients may send `client_protocol_version`: blocks then begin with a block info, and column types keep what old clients
//! could not read. The embedded engine writes blocks for version 0 and has no way to be told otherwise, so blocks are
//! rewritten here. That takes knowing where each column ends: [`Shape`] is a column's layout, read from its type's name.

/// From here on blocks begin with a block info.
const WITH_BLOCK_INFO: u64 = 51903;
/// From here on `DateTime('zone')` keeps its zone.
const WITH_ZONE: u64 = 54337;
/// From here on each column says whether its layout is a special one.
const WITH_LAYOUT: u64 = 54454;
/// Field 1, no overflow row; field 2, no bucket; end.
const BLOCK_INFO: [u8; 8] = [1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0];

/// A block that is not laid out as its types say.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("column type {0} cannot be sent with this protocol version")]
pub(crate) struct Unreadable(String);

/// Whether a block of version 0 has a column whose zone may be missing.
pub(crate) fn needs_zones(block: &[u8], version: u64) -> bool {
    version >= WITH_ZONE && block.windows(9).any(|window| window == b"\x08DateTime")
}

/// Rewrites a block of version 0. `types` are the true types of its columns, where known.
pub(crate) fn rewrite(block: &[u8], version: u64, types: &[String]) -> Result<Vec<u8>, Unreadable> {
    let mut out = Vec::with_capacity(block.len() + 64);
    if version >= WITH_BLOCK_INFO {
        out.extend(BLOCK_INFO);
    }
    let layouts = version >= WITH_LAYOUT;
    let zones = version >= WITH_ZONE && types.iter().any(|name| name.starts_with("DateTime("));
    if !layouts && !zones {
        out.extend(block);
        return Ok(out);
    }
    match columns(block, types, layouts, &mut out) {
        Ok(()) => Ok(out),
        // Without layouts a column that cannot be walked only costs later ones their zones.
        Err((_, at)) if !layouts => {
            out.extend(block.get(at..).unwrap_or_default());
            Ok(out)
        }
        Err((name, _)) => Err(Unreadable(name)),
    }
}

/// Copies columns; on failure says which type and from where on nothing was copied.
fn columns(block: &[u8], types: &[String], layouts: bool, out: &mut Vec<u8>) -> Result<(), (String, usize)> {
    let mut reader = Reader { bytes: block, at: 0 };
    let broken = |at: usize| (String::from("of a broken block"), at);
    let count = reader.number().ok_or_else(|| broken(0))?;
    let rows = reader
        .number()
        .and_then(|rows| usize::try_from(rows).ok())
        .ok_or_else(|| broken(0))?;
    out.extend(block.get(..reader.at).unwrap_or_default());
    for index in 0..count {
        let start = reader.at;
        reader.text().ok_or_else(|| broken(start))?;
        let after_name = reader.at;
        let name = reader.text().ok_or_else(|| broken(start))?;
        let name = String::from_utf8_lossy(name).into_owned();
        let data = reader.at;
        out.extend(block.get(start..after_name).unwrap_or_default());
        let known = usize::try_from(index).ok().and_then(|index| types.get(index));
        let true_name = known
            .filter(|known| name == "DateTime" && known.starts_with("DateTime("))
            .unwrap_or(&name);
        write_text(out, true_name);
        if layouts {
            out.push(0);
        }
        let walked = if rows == 0 {
            Some(())
        } else {
            Shape::parse(&name).and_then(|shape| reader.column(&shape, rows))
        };
        if walked.is_none() {
            return Err((name, data));
        }
        out.extend(block.get(data..reader.at).unwrap_or_default());
    }
    if reader.at == block.len() {
        Ok(())
    } else {
        Err(broken(reader.at))
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(text.as_bytes());
}

/// How a column lies in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    /// So many bytes a row.
    Fixed(usize),
    /// A length and bytes.
    Text,
    /// A byte a row, then the values.
    Nullable(Box<Shape>),
    /// An end a row, then the elements.
    Array(Box<Shape>),
    /// One after the other.
    Tuple(Vec<Shape>),
    /// A dictionary and indexes into it.
    Dictionary(Box<Shape>),
}

impl Shape {
    /// `None` for types whose layout the name does not tell (AggregateFunction, Variant, Dynamic, JSON).
    fn parse(name: &str) -> Option<Self> {
        let (base, arguments) = match name.split_once('(') {
            Some((base, rest)) => (base, split(rest.strip_suffix(')')?)),
            None => (name, Vec::new()),
        };
        let inner = |index: usize| {
            arguments
                .get(index)
                .and_then(|argument| Self::parse(argument))
                .map(Box::new)
        };
        Some(match base {
            "Int8" | "UInt8" | "Bool" | "Enum8" | "Nothing" => Self::Fixed(1),
            "Int16" | "UInt16" | "Enum16" | "Date" | "BFloat16" => Self::Fixed(2),
            "Int32" | "UInt32" | "Float32" | "Date32" | "DateTime" | "IPv4" | "Decimal32" | "Time" => Self::Fixed(4),
            "Int64" | "UInt64" | "Float64" | "DateTime64" | "Decimal64" | "Time64" => Self::Fixed(8),
            "Int128" | "UInt128" | "UUID" | "IPv6" | "Decimal128" | "Point" => Self::Fixed(16),
            "Int256" | "UInt256" | "Decimal256" => Self::Fixed(32),
            "Decimal" => Self::Fixed(match arguments.first()?.parse::<u32>().ok()? {
                ..=9 => 4,
                10..=18 => 8,
                19..=38 => 16,
                _ => 32,
            }),
            "FixedString" => Self::Fixed(arguments.first()?.parse().ok()?),
            "String" => Self::Text,
            "Nullable" => Self::Nullable(inner(0)?),
            "LowCardinality" => {
                let value = match *inner(0)? {
                    Self::Nullable(value) => value,
                    other => Box::new(other),
                };
                Self::Dictionary(value)
            }
            "Array" => Self::Array(inner(0)?),
            "Map" => Self::Array(Box::new(Self::Tuple(vec![*inner(0)?, *inner(1)?]))),
            "Tuple" => Self::Tuple(
                arguments
                    .iter()
                    .map(|field| Self::parse(unnamed(field)))
                    .collect::<Option<_>>()?,
            ),
            "Nested" => {
                let fields = arguments
                    .iter()
                    .map(|field| Self::parse(unnamed(field)))
                    .collect::<Option<_>>()?;
                Self::Array(Box::new(Self::Tuple(fields)))
            }
            "SimpleAggregateFunction" => *inner(1)?,
            "Ring" | "LineString" => Self::Array(Box::new(Self::Fixed(16))),
            "Polygon" | "MultiLineString" => Self::Array(Box::new(Self::parse("Ring")?)),
            "MultiPolygon" => Self::Array(Box::new(Self::parse("Polygon")?)),
            _ if base.starts_with("Interval") => Self::Fixed(8),
            _ => return None,
        })
    }
}

/// Arguments at commas outside of brackets and quotes.
fn split(list: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote, mut escaped) = (Vec::new(), 0, 0i32, None, false);
    for (at, byte) in list.bytes().enumerate() {
        match (quote, byte) {
            _ if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'`') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => depth -= 1,
            (None, b',') if depth == 0 => {
                parts.push(list.get(start..at).unwrap_or_default().trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = list.get(start..).unwrap_or_default().trim();
    if !last.is_empty() || !parts.is_empty() {
        parts.push(last);
    }
    parts
}

/// A tuple's field without its name.
fn unnamed(field: &str) -> &str {
    let bracket = field.find('(').unwrap_or(field.len());
    if let Some(rest) = field.strip_prefix('`') {
        return rest.split_once("` ").map_or(field, |(_, kind)| kind);
    }
    match field.find(' ') {
        Some(blank) if blank < bracket => field.get(blank + 1..).unwrap_or_default(),
        _ => field,
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }

    /// LEB128.
    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn word(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn column(&mut self, shape: &Shape, rows: usize) -> Option<()> {
        self.prefix(shape)?;
        self.data(shape, rows)
    }

    /// What stands before all data: the version of each dictionary.
    fn prefix(&mut self, shape: &Shape) -> Option<()> {
        match shape {
            Shape::Fixed(_) | Shape::Text => Some(()),
            Shape::Nullable(inner) | Shape::Array(inner) => self.prefix(inner),
            Shape::Tuple(fields) => fields.iter().try_for_each(|field| self.prefix(field)),
            Shape::Dictionary(_) => self.take(8).map(drop),
        }
    }

    fn data(&mut self, shape: &Shape, rows: usize) -> Option<()> {
        if rows == 0 {
            return Some(());
        }
        match shape {
            Shape::Fixed(size) => self.take(rows.checked_mul(*size)?).map(drop),
            Shape::Text => (0..rows).try_for_each(|_| self.text().map(drop)),
            Shape::Nullable(inner) => {
                self.take(rows)?;
                self.data(inner, rows)
            }
            Shape::Array(inner) => {
                let ends = self.take(rows.checked_mul(8)?)?;
                let last = ends.last_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))?;
                self.data(inner, usize::try_from(last).ok()?)
            }
            Shape::Tuple(fields) => fields.iter().try_for_each(|field| self.data(field, rows)),
            Shape::Dictionary(value) => {
                let kind = self.word()?;
                let width = 1usize << (kind & 3);
                let keys = usize::try_from(self.word()?).ok()?;
                self.data(value, keys)?;
                let indexes = usize::try_from(self.word()?).ok()?;
                self.take(indexes.checked_mul(width)?).map(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
}
