//! Blocks of ClickHouse's Native format: what the loader writes can be read back, and what `weir clickhouse` rewrites for a
//! protocol version loses nothing.

#![no_main]

#[path = "../../../infra/local/src/clickhouse"]
mod clickhouse {
    #[allow(dead_code, reason = "its tests use more")]
    pub(crate) mod native_block;
}

use clickhouse::native_block::{needs_zones, rewrite};
use event_model::Row;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use loader::insert::groups;
use loader::native::{string, varint};
use uuid::Uuid;

/// What protocol versions change in a block.
const VERSIONS: [u64; 5] = [0, 51_903, 54_337, 54_454, 54_470];

/// Larger blocks are not built: they would show nothing more.
const MAX_BLOCK: usize = 1 << 18;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Rows(Vec<Fields>),
    Columns(u8, Vec<(String, Column)>),
    Bytes(&'a [u8], Vec<String>),
}

#[derive(Debug, Arbitrary)]
struct Fields {
    dt: u32,
    numbers: (u64, u64, u32, u128, i64),
    texts: (String, String, String, String),
    exp: Vec<(String, String)>,
    request_id: String,
}

/// A column's type, with what fills it where that is not a matter of its size.
#[derive(Debug, Arbitrary)]
enum Column {
    Fixed(u8),
    FixedString(u8),
    DateTime(bool),
    Text(String),
    Nullable(Box<Column>),
    Array(u8, Box<Column>),
    Map(u8, Box<Column>),
    Tuple(Vec<Column>),
    Dictionary(u8, String),
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Rows(fields) => loaded(fields.into_iter().map(row).collect()),
    Input::Columns(rows, columns) => engine(usize::from(rows), &columns),
    Input::Bytes(block, types) => anything(block, &types),
});

fn row(fields: Fields) -> Row<'static> {
    let Fields {
        dt,
        numbers,
        texts,
        exp,
        request_id,
    } = fields;
    Row {
        dt,
        name: texts.0.into(),
        user_id: numbers.0,
        url: texts.1.into(),
        obj: texts.2.into(),
        obj_id: texts.3.into(),
        product_id: numbers.1,
        amount: f64::from(numbers.2) / 8.0,
        exp: exp.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
        event_id: Uuid::from_u128(numbers.3),
        received_at: numbers.4,
        request_id: request_id.into(),
    }
}

/// The loader's blocks hold the rows that it was given, and walking them finds every column.
fn loaded(rows: Vec<Row<'static>>) {
    let mut read = Vec::new();
    for group in groups(&rows) {
        let rows = decode(&group.block).expect("what was encoded is decoded");
        assert_eq!(rows.len(), group.rows);
        let order = |row: &Row<'static>| {
            (
                row.dt,
                row.name.clone(),
                row.obj.clone(),
                row.obj_id.clone(),
                row.event_id,
            )
        };
        assert!(rows.is_sorted_by_key(order), "the table's order");
        read.extend(rows);
        walks(&group.block, 12);
    }
    let sorted = |mut rows: Vec<Row<'static>>| {
        rows.sort_by_cached_key(|row| format!("{row:?}"));
        rows
    };
    assert_eq!(sorted(read), sorted(rows));
}

/// With layouts, each of a block's columns becomes one byte longer; a block that was cut off is refused.
fn walks(block: &[u8], columns: usize) {
    let longer = rewrite(block, 54_454, &[]).expect("a block is walked to its end");
    assert_eq!(longer.len(), block.len() + 8 + columns);
    assert_eq!(rewrite(block, 51_902, &[]).as_deref(), Ok(block));
    assert_eq!(&rewrite(block, 51_903, &[]).expect("nothing is walked")[8..], block);
    if let Some((_, cut)) = block.split_last() {
        assert!(rewrite(cut, 54_454, &[]).is_err(), "a block without its last byte");
    }
}

/// Reads a block of `events`, knowing its columns.
fn decode(block: &[u8]) -> Option<Vec<Row<'static>>> {
    let mut reader = Reader(block);
    let (columns, rows) = (reader.number()?, usize::try_from(reader.number()?).ok()?);
    assert_eq!(columns, 12);
    let dt = reader.column("dt", rows, |reader| reader.fixed().map(u32::from_le_bytes))?;
    let name = reader.column("name", rows, Reader::text)?;
    let user_id = reader.column("user_id", rows, |reader| reader.fixed().map(u64::from_le_bytes))?;
    let url = reader.column("url", rows, Reader::text)?;
    let obj = reader.column("obj", rows, Reader::text)?;
    let obj_id = reader.column("obj_id", rows, Reader::text)?;
    let product_id = reader.column("product_id", rows, |reader| reader.fixed().map(u64::from_le_bytes))?;
    let amount = reader.column("amount", rows, |reader| reader.fixed().map(f64::from_le_bytes))?;
    let ends = reader.column("exp", rows, |reader| reader.fixed().map(u64::from_le_bytes))?;
    let pairs = usize::try_from(ends.last().copied().unwrap_or(0)).ok()?;
    let keys: Vec<String> = (0..pairs).map(|_| reader.text()).collect::<Option<_>>()?;
    let values: Vec<String> = (0..pairs).map(|_| reader.text()).collect::<Option<_>>()?;
    let mut pairs = keys.into_iter().zip(values);
    let event_id = reader.column("event_id", rows, |reader| {
        let (high, low) = (reader.fixed()?, reader.fixed()?);
        Some(Uuid::from_u64_pair(u64::from_le_bytes(high), u64::from_le_bytes(low)))
    })?;
    let received_at = reader.column("received_at", rows, |reader| reader.fixed().map(i64::from_le_bytes))?;
    let request_id = reader.column("request_id", rows, Reader::text)?;
    assert!(reader.0.is_empty(), "nothing is behind the last column");
    let mut before = 0;
    let rows = (0..rows).map(|at| {
        let own = ends[at] - before;
        before = ends[at];
        Row {
            dt: dt[at],
            name: name[at].clone().into(),
            user_id: user_id[at],
            url: url[at].clone().into(),
            obj: obj[at].clone().into(),
            obj_id: obj_id[at].clone().into(),
            product_id: product_id[at],
            amount: amount[at],
            exp: pairs
                .by_ref()
                .take(own as usize)
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            event_id: event_id[at],
            received_at: received_at[at],
            request_id: request_id[at].clone().into(),
        }
    });
    Some(rows.collect())
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.fixed()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn column<T>(&mut self, name: &str, rows: usize, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        assert_eq!(self.text()?, name);
        self.text()?;
        (0..rows).map(|_| read(self)).collect()
    }
}

/// A block as the engine lays it out, of any types, is walked to its end.
fn engine(rows: usize, columns: &[(String, Column)]) {
    let mut block = Vec::new();
    varint(&mut block, columns.len() as u64);
    varint(&mut block, rows as u64);
    for (name, column) in columns {
        string(&mut block, name.as_bytes());
        let kind = column.kind();
        string(&mut block, kind.as_bytes());
        if rows > 0 {
            column.prefix(&mut block);
            column.data(&mut block, rows);
        }
        if block.len() > MAX_BLOCK {
            return;
        }
    }
    walks(&block, columns.len());
}

impl Column {
    /// The name of the type.
    fn kind(&self) -> String {
        match self {
            Self::Fixed(choice) => FIXED[usize::from(*choice) % FIXED.len()].0.to_owned(),
            Self::FixedString(size) => format!("FixedString({})", size.max(&1)),
            Self::DateTime(false) => "DateTime".to_owned(),
            Self::DateTime(true) => "DateTime64(3, 'Etc/GMT+1, (''x')".to_owned(),
            Self::Text(_) => "String".to_owned(),
            Self::Nullable(inner) => format!("Nullable({})", inner.kind()),
            Self::Array(_, inner) => format!("Array({})", inner.kind()),
            Self::Map(_, inner) => format!("Map(String, {})", inner.kind()),
            Self::Tuple(fields) => {
                let fields = fields.iter().enumerate().map(|(at, field)| match at % 3 {
                    0 => field.kind(),
                    1 => format!("name {}", field.kind()),
                    _ => format!("`a, (b` {}", field.kind()),
                });
                format!("Tuple({})", fields.collect::<Vec<_>>().join(", "))
            }
            Self::Dictionary(_, _) => "LowCardinality(Nullable(String))".to_owned(),
        }
    }

    fn prefix(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nullable(inner) | Self::Array(_, inner) | Self::Map(_, inner) => inner.prefix(out),
            Self::Tuple(fields) => fields.iter().for_each(|field| field.prefix(out)),
            Self::Dictionary(_, _) => out.extend_from_slice(&1_u64.to_le_bytes()),
            _ => {}
        }
    }

    fn data(&self, out: &mut Vec<u8>, rows: usize) {
        if rows == 0 || out.len() > MAX_BLOCK {
            return;
        }
        let ends = |out: &mut Vec<u8>, each: u8| {
            (1..=rows).for_each(|row| out.extend_from_slice(&((row * usize::from(each % 4)) as u64).to_le_bytes()));
            rows * usize::from(each % 4)
        };
        match self {
            Self::Fixed(choice) => out.resize(out.len() + rows * FIXED[usize::from(*choice) % FIXED.len()].1, 0xee),
            Self::FixedString(size) => out.resize(out.len() + rows * usize::from(*size.max(&1)), 0xee),
            Self::DateTime(wide) => out.resize(out.len() + rows * if *wide { 8 } else { 4 }, 0xee),
            Self::Text(text) => {
                let fits = |out: &Vec<u8>| out.len() <= MAX_BLOCK;
                (0..rows).for_each(|_| {
                    if fits(out) {
                        string(out, text.as_bytes())
                    }
                });
            }
            Self::Nullable(inner) => {
                out.resize(out.len() + rows, 0);
                inner.data(out, rows);
            }
            Self::Array(each, inner) => {
                let inside = ends(out, *each);
                inner.data(out, inside);
            }
            Self::Map(each, inner) => {
                let inside = ends(out, *each);
                (0..inside).for_each(|_| string(out, b"key"));
                inner.data(out, inside);
            }
            Self::Tuple(fields) => fields.iter().for_each(|field| field.data(out, rows)),
            Self::Dictionary(width, text) => {
                // The width of an index, and flags that the server sets.
                out.extend_from_slice(&(u64::from(width % 4) | 0x600).to_le_bytes());
                out.extend_from_slice(&2_u64.to_le_bytes());
                string(out, b"");
                string(out, text.as_bytes());
                out.extend_from_slice(&(rows as u64).to_le_bytes());
                out.resize(out.len() + (rows << (width % 4)), 0);
            }
        }
    }
}

/// Types and the bytes of one value.
const FIXED: [(&str, usize); 12] = [
    ("UInt8", 1),
    ("Enum8('a(' = 1, 'b\\'' = 2)", 1),
    ("Date", 2),
    ("Float32", 4),
    ("Decimal(9, 2)", 4),
    ("Decimal(10, 2)", 8),
    ("IntervalDay", 8),
    ("UUID", 16),
    ("Decimal(38, 0)", 16),
    ("Point", 16),
    ("Int256", 32),
    ("SimpleAggregateFunction(sum, UInt64)", 8),
];

/// Bytes that no engine wrote are refused or copied.
fn anything(block: &[u8], types: &[String]) {
    for version in VERSIONS {
        let _ = needs_zones(block, version);
        if let Ok(out) = rewrite(block, version, types) {
            assert!(version > 0 || out == block);
        }
    }
}
