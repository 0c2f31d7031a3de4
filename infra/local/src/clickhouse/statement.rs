//! Reading just enough of a statement to know where its data begins and where its output clauses go.
//!
//! The engine parses; this looks for the few places that the HTTP interface must know before it hands the text over:
//! an INSERT's FORMAT or VALUES (the data follows in the same bytes), a SELECT's trailing FORMAT (INTO OUTFILE goes before
//! it), and a second statement. Tokens are those of ClickHouse's lexer: strings with backslashes and doubled quotes,
//! quoted names, heredocs, comments of three kinds.

mod lexer;

use std::ops::Range;

use lexer::{Cursor, Kind, Lexer, Token};

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
