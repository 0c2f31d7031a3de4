//! ClickHouse's Native format: blocks of columns (<https://clickhouse.com/docs/interfaces/formats/Native>).
//!
//! A block is the number of columns and of rows, then each column's name, type and values. Columns cost the server a third
//! of what rows cost, because it takes them as they are.

use uuid::Uuid;

/// A block that is being written.
#[derive(Debug)]
pub struct Block {
    out: Vec<u8>,
    columns_left: usize,
    rows: usize,
}

impl Block {
    /// Begins a block of exactly so many columns and rows.
    pub fn new(columns: usize, rows: usize) -> Self {
        Block::with_capacity(columns, rows, 160 * rows)
    }

    /// The same, with room for so many bytes of values.
    pub fn with_capacity(columns: usize, rows: usize, bytes: usize) -> Self {
        let mut out = Vec::with_capacity(64 * columns + bytes);
        varint(&mut out, columns as u64);
        varint(&mut out, rows as u64);
        Block {
            out,
            columns_left: columns,
            rows,
        }
    }

    /// Writes a column whose values all have the same size.
    pub fn fixed<T, const N: usize>(&mut self, name: &str, type_name: &str, rows: &[T], value: impl Fn(&T) -> [u8; N]) {
        self.header(name, type_name, rows.len());
        let start = self.out.len();
        self.out.resize(start + N * rows.len(), 0);
        let (places, _) = self.out[start..].as_chunks_mut();
        for (place, row) in places.iter_mut().zip(rows) {
            *place = value(row);
        }
    }

    /// Writes a column of type `String`.
    pub fn strings<'r, T>(&mut self, name: &str, rows: &'r [T], value: impl Fn(&'r T) -> &'r [u8]) {
        self.header(name, "String", rows.len());
        for row in rows {
            string(&mut self.out, value(row));
        }
    }

    /// Writes a column of type `Map(String, String)`: where each row's pairs end, then all keys, then all values.
    pub fn string_map<'r, T, S: AsRef<str> + 'r>(
        &mut self,
        name: &str,
        rows: &'r [T],
        pairs: impl Fn(&'r T) -> &'r [(S, S)],
    ) {
        self.header(name, "Map(String, String)", rows.len());
        let mut end = 0_u64;
        for row in rows {
            end += pairs(row).len() as u64;
            self.out.extend_from_slice(&end.to_le_bytes());
        }
        for (key, _) in rows.iter().flat_map(&pairs) {
            string(&mut self.out, key.as_ref().as_bytes());
        }
        for (_, value) in rows.iter().flat_map(&pairs) {
            string(&mut self.out, value.as_ref().as_bytes());
        }
    }

    fn header(&mut self, name: &str, type_name: &str, rows: usize) {
        debug_assert!(
            self.columns_left > 0 && rows == self.rows,
            "a block has the size it began with"
        );
        self.columns_left -= 1;
        string(&mut self.out, name.as_bytes());
        string(&mut self.out, type_name.as_bytes());
    }

    /// What is written so far: how many columns and rows there will be, and the columns.
    pub(crate) fn written(&self) -> &[u8] {
        &self.out
    }

    /// The bytes of the block.
    pub fn finish(self) -> Vec<u8> {
        debug_assert_eq!(self.columns_left, 0, "every column is written");
        self.out
    }
}

/// Appends a number in LEB128.
pub fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a string: its length and its bytes.
pub fn string(out: &mut Vec<u8>, value: &[u8]) {
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A UUID's bytes: two 64-bit numbers, the high one first, each little-endian.
pub fn uuid(value: Uuid) -> [u8; 16] {
    let (high, low) = value.as_u64_pair();
    (u128::from(low) << 64 | u128::from(high)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as ClickHouse 26.7 gives them for `SELECT … FORMAT Native`.
    #[test]
    fn golden_block() {
        let rows = [vec![("a".to_owned(), "b".to_owned())], vec![]];
        let mut block = Block::new(2, 2);
        block.fixed("u", "UUID", &["00112233-4455-6677-8899-aabbccddeeff"; 2], |text| {
            uuid(text.parse().unwrap())
        });
        block.string_map("m", &rows, |row| row);
        let id = b"\x77\x66\x55\x44\x33\x22\x11\x00\xff\xee\xdd\xcc\xbb\xaa\x99\x88";
        let expected = [
            b"\x02\x02\x01u\x04UUID".as_slice(),
            id,
            id,
            b"\x01m\x13Map(String, String)",
            b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01a\x01b",
        ]
        .concat();
        assert_eq!(block.finish(), expected);
    }

    #[test]
    fn varints() {
        for (number, expected) in [
            (0, &b"\0"[..]),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (300, b"\xac\x02"),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            let mut out = Vec::new();
            varint(&mut out, number);
            assert_eq!(out, expected, "{number}");
        }
    }
}
