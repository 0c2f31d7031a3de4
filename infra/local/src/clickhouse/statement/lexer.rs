//! Tokens of ClickHouse's SQL: strings with backslashes and doubled quotes, quoted names, heredocs, comments.

use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    QuotedName,
    Text,
    Mark(u8),
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: Range<usize>,
}

/// The significant tokens of a text.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8], at: usize) -> Self {
        Self { text, at }
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn starts_with(&self, at: usize, what: &[u8]) -> bool {
        self.text.get(at..).is_some_and(|rest| rest.starts_with(what))
    }

    /// The offset after the first `what` at or behind `at`, or the end.
    fn after(&self, at: usize, what: &[u8]) -> usize {
        let rest = self.text.get(at..).unwrap_or(&[]);
        rest.windows(what.len())
            .position(|window| window == what)
            .map_or(self.text.len(), |found| at + found + what.len())
    }

    /// The offset after a quoted piece that opens at `at`.
    fn quoted(&self, at: usize, quote: u8) -> usize {
        let mut at = at + 1;
        while at < self.text.len() {
            match self.byte(at) {
                b'\\' => at += 2,
                byte if byte == quote && self.byte(at + 1) == quote => at += 2,
                byte if byte == quote => return at + 1,
                _ => at += 1,
            }
        }
        self.text.len()
    }

    /// The length of a blank beyond ASCII (no-break space, the typographic ones), which the engine skips too.
    fn blank(&self, at: usize) -> usize {
        let piece = self.text.get(at..self.text.len().min(at + 4)).unwrap_or(&[]);
        let valid = match std::str::from_utf8(piece) {
            Ok(text) => text,
            Err(error) => piece
                .get(..error.valid_up_to())
                .and_then(|good| std::str::from_utf8(good).ok())
                .unwrap_or(""),
        };
        valid
            .chars()
            .next()
            .filter(|c| !c.is_ascii() && (c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}')))
            .map_or(0, char::len_utf8)
    }

    /// `$tag$ … $tag$`, or just the dollar.
    fn heredoc(&self, at: usize) -> usize {
        let mut end = at + 1;
        while is_word(self.byte(end)) && self.byte(end) != b'$' {
            end += 1;
        }
        if self.byte(end) != b'$' {
            return at + 1;
        }
        let tag = self.text.get(at..=end).unwrap_or(&[]);
        self.after(end + 1, tag)
    }
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            let start = self.at;
            if start >= self.text.len() {
                return None;
            }
            let byte = self.byte(start);
            let (kind, end) = match byte {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0c | 0x0b | 0 => {
                    self.at += 1;
                    continue;
                }
                b'-' if self.starts_with(start, b"--") => {
                    self.at = self.after(start, b"\n");
                    continue;
                }
                b'#' if matches!(self.byte(start + 1), b' ' | b'!') => {
                    self.at = self.after(start, b"\n");
                    continue;
                }
                b'/' if self.starts_with(start, b"//") => {
                    self.at = self.after(start, b"\n");
                    continue;
                }
                0xC2 | 0xE1..=0xE3 | 0xEF if self.blank(start) > 0 => {
                    self.at += self.blank(start);
                    continue;
                }
                b'/' if self.starts_with(start, b"/*") => {
                    self.at = self.after(start + 2, b"*/");
                    continue;
                }
                b'\'' => (Kind::Text, self.quoted(start, b'\'')),
                b'"' | b'`' => (Kind::QuotedName, self.quoted(start, byte)),
                b'$' => (Kind::Text, self.heredoc(start)),
                _ if is_word(byte) => {
                    let mut end = start + 1;
                    while is_word(self.byte(end)) {
                        end += 1;
                    }
                    (Kind::Word, end)
                }
                _ => (Kind::Mark(byte), start + 1),
            };
            self.at = end.min(self.text.len());
            return Some(Token {
                kind,
                at: start..self.at,
            });
        }
    }
}

/// A lexer with two tokens of sight, the depth of brackets, and words compared without case.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a [u8],
    pub(super) lexer: std::iter::Peekable<Lexer<'a>>,
    pub(super) depth: i32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            lexer: Lexer::new(text, 0).peekable(),
            depth: 0,
        }
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        let token = self.lexer.next()?;
        match token.kind {
            Kind::Mark(b'(' | b'[' | b'{') => self.depth += 1,
            Kind::Mark(b')' | b']' | b'}') => self.depth -= 1,
            _ => {}
        }
        Some(token)
    }

    pub(super) fn is(&self, token: &Token, word: &str) -> bool {
        token.kind == Kind::Word
            && self
                .text
                .get(token.at.clone())
                .is_some_and(|bytes| bytes.eq_ignore_ascii_case(word.as_bytes()))
    }

    pub(super) fn peek_is(&mut self, word: &str) -> bool {
        self.lexer.peek().cloned().is_some_and(|token| self.is(&token, word))
    }

    pub(super) fn peek_mark(&mut self, mark: u8) -> bool {
        self.lexer.peek().is_some_and(|token| token.kind == Kind::Mark(mark))
    }

    pub(super) fn skip(&mut self, word: &str) -> bool {
        self.peek_is(word) && self.next().is_some()
    }

    /// A plain or quoted name.
    pub(super) fn name(&mut self) -> Option<Token> {
        self.lexer
            .next_if(|token| matches!(token.kind, Kind::Word | Kind::QuotedName))
    }
}
