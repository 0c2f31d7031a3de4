//! Bytes that come in pieces, as lines.

/// The longest line that is looked at, in bytes: the longest event of CloudWatch Logs.
pub(crate) const MAX_LINE: usize = 256 * 1024;

/// A piece of what was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'b> {
    /// A whole line, with its end.
    Line(&'b [u8]),
    /// A part of a line that is longer than [`MAX_LINE`]; its end comes as the last of its parts.
    Part(&'b [u8]),
}

/// Cuts what is read at the ends of its lines. What it hands out is, put together again, what was put in.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    /// Whether the line under way is too long, and its beginning was handed out.
    long: bool,
}

impl Lines {
    /// Takes the next bytes, and hands out what is complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Piece<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, later) = bytes.split_at(end + 1);
            bytes = later;
            if self.rest.is_empty() && !self.long && line.len() <= MAX_LINE {
                each(Piece::Line(line));
                continue;
            }
            self.rest.extend_from_slice(line);
            if self.long || self.rest.len() > MAX_LINE {
                each(Piece::Part(&self.rest));
            } else {
                each(Piece::Line(&self.rest));
            }
            self.rest.clear();
            self.long = false;
        }
        self.rest.extend_from_slice(bytes);
        if self.rest.len() > MAX_LINE {
            each(Piece::Part(&self.rest));
            self.rest.clear();
            self.long = true;
        }
    }

    /// The beginning of a line whose end never came.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]]) -> (Vec<(bool, Vec<u8>)>, Vec<u8>) {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for bytes in pieces {
            lines.push(bytes, |piece| {
                seen.push(match piece {
                    Piece::Line(line) => (true, line.to_vec()),
                    Piece::Part(part) => (false, part.to_vec()),
                });
            });
        }
        (seen, lines.finish())
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let line = |text: &str| (true, text.as_bytes().to_vec());
        for (pieces, expected, rest) in [
            (&[&b""[..]][..], vec![], ""),
            (&[b"a\nb\n"], vec![line("a\n"), line("b\n")], ""),
            (&[b"a", b"b\nc"], vec![line("ab\n")], "c"),
            (&[b"\n\n", b"x"], vec![line("\n"), line("\n")], "x"),
        ] {
            assert_eq!(cut(pieces), (expected, rest.as_bytes().to_vec()), "{pieces:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_held_by_nobody() {
        let long = vec![b'x'; MAX_LINE + 1];
        let (seen, rest) = cut(&[&long, b"yy\nz\n", &long, b"\n"]);
        let shapes: Vec<_> = seen.iter().map(|(whole, bytes)| (*whole, bytes.len())).collect();
        let expected = [
            (false, MAX_LINE + 1),
            (false, 3),
            (true, 2),
            (false, MAX_LINE + 1),
            (false, 1),
        ];
        assert_eq!((shapes, rest.len()), (expected.to_vec(), 0));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_changed(pieces in prop::collection::vec("[ab\n]{0,9}", 0..9)) {
            let pieces: Vec<_> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            let (seen, rest) = cut(&pieces);
            let whole: Vec<u8> = seen.iter().flat_map(|(_, bytes)| bytes.clone()).chain(rest.clone()).collect();
            prop_assert_eq!(whole, pieces.concat());
            prop_assert!(!rest.contains(&b'\n'));
            for (is_line, bytes) in seen {
                prop_assert!(is_line && bytes.iter().position(|byte| *byte == b'\n') == Some(bytes.len() - 1));
            }
        }
    }
}
