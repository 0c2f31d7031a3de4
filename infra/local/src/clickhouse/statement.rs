//! Reading just enough of a statement to know where its data begins and where its output clauses go.
//!
//! The engine parses; this looks for the few places that the HTTP interface must know before it hands the text over:
//! an INSERT's FORMAT or VALUES (the data follows in the same bytes), a SELECT's trailing FORMAT (INTO OUTFILE goes before
//! it), and a second statement. Tokens are those of ClickHouse's lexer: strings with backslashes and doubled quotes,
//! quoted names, heredocs, comments of three kinds.

use std::ops::Range;

/// What the interface does with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    /// Nothing but blanks and comments.
    Empty,
    /// A query whose output can be large: it is streamed.
    Select(Output),
    /// INSERT whose rows follow.
    Insert(Insert),
    /// INSERT that names no data yet: with more text it may.
    InsertUnfinished,
    /// KILL QUERY.
    Kill(Output),
    /// Any other: small output or none.
    Other(Output),
    /// INSERT … FROM INFILE, which is the client's to read.
    Infile,
}

/// Where output clauses are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// The name after FORMAT.
    pub(crate) format: Option<String>,
    /// Where INTO OUTFILE can be put in.
    pub(crate) outfile_at: usize,
    /// It has one already.
    pub(crate) into_outfile: bool,
    /// Another statement follows.
    pub(crate) several: bool,
    /// It has a result, if only an empty one (SHOW, DESCRIBE …; unset for SELECT).
    pub(crate) answers: bool,
    /// It names `system.processes`: the ranges of the two-part name.
    pub(crate) processes: Vec<Range<usize>>,
}

/// An INSERT cut in two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Insert {
    /// The statement up to FORMAT or VALUES.
    pub(crate) head: Range<usize>,
    /// A SETTINGS clause that stood after FORMAT and belongs to the head.
    pub(crate) settings: Option<Range<usize>>,
    /// The name after FORMAT; `Values` after VALUES.
    pub(crate) format: String,
    /// Where the data begins.
    pub(crate) data_at: usize,
    /// INSERT … SELECT … FROM input('structure'): where that call is, and the structure's literal.
    pub(crate) input: Option<(Range<usize>, String)>,
    /// `;` stood right after the format's name.
    pub(crate) semicolon: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    QuotedName,
    Text,
    Mark(u8),
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    at: Range<usize>,
}

/// The significant tokens of a text.
struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a [u8], at: usize) -> Self {
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

fn is_word(byte: u8) -> bool {
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
struct Cursor<'a> {
    text: &'a [u8],
    lexer: std::iter::Peekable<Lexer<'a>>,
    depth: i32,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            lexer: Lexer::new(text, 0).peekable(),
            depth: 0,
        }
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.lexer.next()?;
        match token.kind {
            Kind::Mark(b'(' | b'[' | b'{') => self.depth += 1,
            Kind::Mark(b')' | b']' | b'}') => self.depth -= 1,
            _ => {}
        }
        Some(token)
    }

    fn is(&self, token: &Token, word: &str) -> bool {
        token.kind == Kind::Word
            && self
                .text
                .get(token.at.clone())
                .is_some_and(|bytes| bytes.eq_ignore_ascii_case(word.as_bytes()))
    }

    fn peek_is(&mut self, word: &str) -> bool {
        self.lexer.peek().cloned().is_some_and(|token| self.is(&token, word))
    }

    fn peek_mark(&mut self, mark: u8) -> bool {
        self.lexer.peek().is_some_and(|token| token.kind == Kind::Mark(mark))
    }

    fn skip(&mut self, word: &str) -> bool {
        self.peek_is(word) && self.next().is_some()
    }

    /// A plain or quoted name.
    fn name(&mut self) -> Option<Token> {
        self.lexer
            .next_if(|token| matches!(token.kind, Kind::Word | Kind::QuotedName))
    }
}

/// The text of a name token.
fn name_of(text: &[u8], token: &Token) -> String {
    let bytes = text.get(token.at.clone()).unwrap_or(&[]);
    let bytes = if token.kind == Kind::QuotedName && bytes.len() >= 2 {
        bytes.get(1..bytes.len() - 1)
    } else {
        Some(bytes)
    };
    String::from_utf8_lossy(bytes.unwrap_or(&[])).into_owned()
}

/// Reads a statement. The text may be cut short (then [`Statement::InsertUnfinished`] asks for more) and may hold binary
/// data behind an INSERT's format.
pub(crate) fn parse(text: &[u8]) -> Statement {
    let mut cursor = Cursor::new(text);
    let Some(first) = cursor.next() else {
        return Statement::Empty;
    };
    if cursor.is(&first, "INSERT") {
        return insert(cursor);
    }
    if cursor.is(&first, "WITH") {
        let mut cursor = Cursor::new(text);
        while let Some(token) = cursor.next() {
            if cursor.depth <= 0 && cursor.is(&token, "INSERT") && cursor.peek_is("INTO") {
                return insert(cursor);
            }
        }
    }
    if first.kind == Kind::Mark(b';') && cursor.lexer.peek().is_none() {
        return Statement::Empty;
    }
    let select =
        first.kind == Kind::Mark(b'(') || ["SELECT", "WITH", "FROM"].iter().any(|word| cursor.is(&first, word));
    let kill = cursor.is(&first, "KILL") && cursor.peek_is("QUERY");
    let output = output(&mut cursor, &first);
    match (select, kill) {
        (true, _) => Statement::Select(output),
        (false, true) => Statement::Kill(output),
        (false, false) => Statement::Other(output),
    }
}

/// Words that begin a statement with a result, be it empty.
const ANSWERS: [&str; 8] = [
    "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK", "KILL", "WATCH",
];

/// Scans to the end of a statement that is no INSERT with data.
fn output(cursor: &mut Cursor<'_>, first: &Token) -> Output {
    let mut output = Output {
        format: None,
        outfile_at: first.at.end,
        into_outfile: false,
        several: false,
        answers: ANSWERS.iter().any(|word| cursor.is(first, word)),
        processes: Vec::new(),
    };
    let mut format_at = None;
    let mut ended = false;
    let mut database: Option<Range<usize>> = None;
    while let Some(token) = cursor.next() {
        if token.kind == Kind::Mark(b';') && cursor.depth <= 0 {
            ended = true;
            continue;
        }
        if ended {
            output.several = true;
            break;
        }
        output.outfile_at = token.at.end;
        if let Some(start) = database.take()
            && cursor.is(&token, "processes")
        {
            output.processes.push(start.start..token.at.end);
        }
        if cursor.is(&token, "system") && cursor.peek_mark(b'.') {
            database = Some(token.at.clone());
            cursor.next();
            continue;
        }
        if cursor.depth > 0 {
            continue;
        }
        if cursor.is(&token, "INTO") && cursor.peek_is("OUTFILE") {
            output.into_outfile = true;
        } else if cursor.is(&token, "FORMAT")
            && let Some(name) = cursor.name()
        {
            output.outfile_at = name.at.end;
            let last = match cursor.lexer.peek() {
                None => true,
                Some(token) if token.kind == Kind::Mark(b';') => true,
                Some(_) => cursor.peek_is("SETTINGS"),
            };
            if last {
                format_at = Some(token.at.start);
                output.format = Some(name_of(cursor.text, &name));
            }
        }
    }
    if let Some(at) = format_at {
        output.outfile_at = at;
    }
    output
}

fn insert(mut cursor: Cursor<'_>) -> Statement {
    cursor.skip("INTO");
    let table = cursor.skip("TABLE");
    let function = !table && cursor.skip("FUNCTION") || table && cursor.skip("FUNCTION");
    // The name, so that a table called `format` or `values` is one.
    cursor.name();
    while !function && cursor.peek_mark(b'.') {
        cursor.next();
        cursor.name();
    }
    let mut selects = false;
    let mut input = None;
    while let Some(token) = cursor.next() {
        let opened = token.kind == Kind::Mark(b'(') && cursor.depth == 1;
        if opened && (cursor.peek_is("SELECT") || cursor.peek_is("WITH")) {
            selects = true;
        }
        if selects && cursor.is(&token, "input") && cursor.peek_mark(b'(') {
            input = input.or_else(|| input_call(&mut cursor, &token));
            continue;
        }
        if cursor.depth > 0 {
            continue;
        }
        if cursor.is(&token, "SELECT") || cursor.is(&token, "WITH") {
            selects = true;
        } else if cursor.is(&token, "FROM") && cursor.peek_is("INFILE") {
            return Statement::Infile;
        } else if cursor.is(&token, "VALUES") && !selects {
            return Statement::Insert(Insert {
                head: 0..token.at.start,
                settings: None,
                format: "Values".to_owned(),
                data_at: token.at.end,
                input: None,
                semicolon: false,
            });
        } else if cursor.is(&token, "FORMAT") && (!selects || input.is_some()) {
            let Some(name) = cursor.name() else { continue };
            return with_format(cursor, &token, &name, input);
        }
    }
    if selects {
        let mut cursor = Cursor::new(cursor.text);
        return match cursor.next() {
            Some(first) => Statement::Other(output(&mut cursor, &first)),
            None => Statement::Empty,
        };
    }
    Statement::InsertUnfinished
}

/// `input('structure')`: the range of the call and the structure, unescaped.
fn input_call(cursor: &mut Cursor<'_>, word: &Token) -> Option<(Range<usize>, String)> {
    cursor.next();
    let literal = cursor.next()?;
    let close = cursor.next()?;
    if literal.kind != Kind::Text || close.kind != Kind::Mark(b')') {
        return None;
    }
    let bytes = cursor.text.get(literal.at.start + 1..literal.at.end.checked_sub(1)?)?;
    let text = String::from_utf8_lossy(bytes).replace("\\'", "'").replace("''", "'");
    Some((word.at.start..close.at.end, text))
}

/// The rest after `FORMAT name`: settings, perhaps, then the data, which begins after the blanks of the line and one line
/// end (ParserInsertQuery.cpp).
fn with_format(
    mut cursor: Cursor<'_>,
    format: &Token,
    name: &Token,
    input: Option<(Range<usize>, String)>,
) -> Statement {
    let text = cursor.text;
    let mut end = name.at.end;
    let settings = settings(&mut cursor);
    if let Some(range) = &settings {
        end = range.end;
    }
    let byte = |at: usize| text.get(at).copied().unwrap_or(0);
    while matches!(byte(end), b' ' | b'\t' | 0x0c) {
        end += 1;
    }
    let semicolon = byte(end) == b';';
    if byte(end) == b'\r' {
        end += 1;
    }
    if byte(end) == b'\n' {
        end += 1;
    }
    Statement::Insert(Insert {
        head: 0..format.at.start,
        settings,
        format: name_of(text, name),
        data_at: end,
        input,
        semicolon,
    })
}

/// `SETTINGS name = value, …`; anything else is data.
fn settings(cursor: &mut Cursor<'_>) -> Option<Range<usize>> {
    if !cursor.peek_is("SETTINGS") {
        return None;
    }
    let start = cursor.next()?.at.start;
    loop {
        cursor.name()?;
        if cursor.next()?.kind != Kind::Mark(b'=') {
            return None;
        }
        let mut value = cursor.next()?;
        while matches!(value.kind, Kind::Mark(b'-' | b'+' | b'.')) || cursor.peek_mark(b'.') {
            value = cursor.next()?;
        }
        if cursor.peek_mark(b',') {
            cursor.next();
            continue;
        }
        return Some(start..value.at.end);
    }
}

/// The plain words of a statement before any data, in capitals.
pub(crate) fn first_words(text: &[u8]) -> Vec<String> {
    let mut cursor = Cursor::new(text);
    let mut words = Vec::new();
    while let Some(token) = cursor.next() {
        if cursor.depth <= 0 && token.kind == Kind::Word {
            words.push(name_of(text, &token).to_ascii_uppercase());
        }
        if words.last().is_some_and(|word| word == "FORMAT" || word == "VALUES") || words.len() > 1000 {
            break;
        }
    }
    words
}

/// The ranges of the names `query_id` and `initial_query_id` in a statement.
pub(crate) fn query_id_names(text: &[u8]) -> Vec<Range<usize>> {
    Lexer::new(text, 0)
        .filter(|token| {
            let bytes = text.get(token.at.clone()).unwrap_or(&[]);
            token.kind == Kind::Word && (bytes == b"query_id" || bytes == b"initial_query_id")
        })
        .map(|token| token.at)
        .collect()
}

#[cfg(test)]
mod tests;
