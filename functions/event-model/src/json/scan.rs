//! Finding the end of plain text inside a JSON string, eight bytes at a time.

/// The bytes that mean something inside a string: quote, backslash and control characters. They are also those that are written as
/// an escape.
const ENDS_PLAIN_TEXT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

const WORD: usize = size_of::<u64>();
/// One in each byte.
const ONES: u64 = u64::from_ne_bytes([1; WORD]);
/// The highest bit of each byte.
const HIGHS: u64 = ONES << 7;

/// Where the first quote, backslash or control character at or behind `at` is; the length when there is none.
#[inline]
pub(crate) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    let (words, rest) = bytes.get(at..).unwrap_or_default().as_chunks::<WORD>();
    for word in words {
        let found = ends(u64::from_le_bytes(*word));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += WORD;
    }
    let ends = |byte: &u8| ENDS_PLAIN_TEXT[usize::from(*byte)];
    at + rest.iter().position(ends).unwrap_or(rest.len())
}

/// The highest bit of each byte that ends plain text. Bytes above the lowest of them may have it too: a subtraction borrows.
#[inline]
fn ends(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    // Each is negative where its byte was too small; where the word's own byte was negative already, it is no ASCII.
    let smaller = quote.wrapping_sub(ONES) | backslash.wrapping_sub(ONES) | word.wrapping_sub(ONES * 0x20);
    smaller & !word & HIGHS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Byte by byte.
    fn slowly(bytes: &[u8], at: usize) -> usize {
        let ends = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
        bytes[at..]
            .iter()
            .position(ends)
            .map_or(bytes.len(), |found| at + found)
    }

    #[test]
    fn every_byte_at_every_place() {
        for length in 0..20 {
            for place in 0..length {
                for byte in 0..=255 {
                    let mut bytes = vec![b'a'; length];
                    bytes[place] = byte;
                    for at in 0..=place {
                        assert_eq!(plain_end(&bytes, at), slowly(&bytes, at), "{bytes:?} {at}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn as_byte_by_byte(bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), 0x18_u8..0x28, 0x58_u8..0x60, 0x7e_u8..0x82, 0xa0_u8..0xa4, 0xd8_u8..0xe0,
        ], 0..40)) {
            for at in 0..=bytes.len() {
                prop_assert_eq!(plain_end(&bytes, at), slowly(&bytes, at));
            }
        }
    }
}
