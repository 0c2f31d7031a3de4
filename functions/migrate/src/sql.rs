//! From a file's text to the statements that are sent: cutting at `;` and filling placeholders, both blind to what stands
//! in strings, comments and quoted names. Pure.
//!
//! The lexical rules are ClickHouse's: `'…'` with `\` and doubled quotes, `"…"` and `` `…` `` for names, heredocs `$tag$…$tag$`,
//! `-- …`, `#! …` and `# …` to the line's end, `/* … */` which nest
//! (<https://clickhouse.com/docs/sql-reference/syntax>).

use crate::error::SqlError;

/// Where the statements are to run: what the placeholders stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    database: String,
    cluster: Option<String>,
}

impl Target {
    /// `database`: letters, digits and `_`. `cluster`: a cluster's name, or a macro such as `{cluster}`.
    pub fn new(database: &str, cluster: Option<&str>) -> Result<Self, SqlError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if database.is_empty() || !database.bytes().all(word) {
            return Err(SqlError::Database {
                name: database.to_owned(),
            });
        }
        if let Some(name) = cluster
            && (name.is_empty()
                || name
                    .chars()
                    .any(|char| matches!(char, '\'' | '\\') || char.is_control()))
        {
            return Err(SqlError::Cluster { name: name.to_owned() });
        }
        Ok(Self {
            database: database.to_owned(),
            cluster: cluster.map(str::to_owned),
        })
    }

    /// The database that the tables live in.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The cluster that DDL runs on, if any.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// What `{word}` stands for.
    fn value(&self, word: &str) -> Option<String> {
        match (word, &self.cluster) {
            ("database", _) => Some(format!("`{}`", self.database)),
            ("on_cluster", Some(cluster)) => Some(format!("ON CLUSTER '{cluster}'")),
            ("replicated", Some(_)) => Some("Replicated".to_owned()),
            ("on_cluster" | "replicated", None) => Some(String::new()),
            _ => None,
        }
    }
}

/// The statements of a file, ready to send: no comments around them, no closing `;`, placeholders filled.
pub fn statements(text: &str, target: &Target) -> Result<Vec<String>, SqlError> {
    let filled = render(text, target)?;
    Ok(split(&filled)?.into_iter().map(str::to_owned).collect())
}

/// Cuts a text at each `;` outside strings and comments. Pieces of nothing but comments and spaces are left out, and so
/// are comments before a statement.
pub fn split(text: &str) -> Result<Vec<&str>, SqlError> {
    let mut statements = Vec::new();
    // From the first code to the end of the last.
    let mut span: Option<(usize, usize)> = None;
    let mut finish = |span: &mut Option<(usize, usize)>| {
        if let Some(statement) = span.take().and_then(|(start, end)| text.get(start..end)) {
            statements.push(statement);
        }
    };
    for token in tokens(text)? {
        match token.kind {
            Kind::Comment | Kind::Space => {}
            Kind::Semicolon => finish(&mut span),
            Kind::Quoted | Kind::Code | Kind::Placeholder => {
                span = Some((span.map_or(token.start, |(start, _)| start), token.end));
            }
        }
    }
    finish(&mut span);
    Ok(statements)
}

/// Fills the placeholders of a text. A placeholder that stands for nothing takes one of the spaces around it away.
pub fn render(statement: &str, target: &Target) -> Result<String, SqlError> {
    let mut out = String::with_capacity(statement.len());
    for token in tokens(statement)? {
        let text = statement.get(token.start..token.end).unwrap_or_default();
        if token.kind != Kind::Placeholder {
            out.push_str(text);
            continue;
        }
        let word = text.trim_matches(['{', '}']);
        let line = line_of(statement, token.start);
        let value = target.value(word).ok_or_else(|| SqlError::Placeholder {
            line,
            word: word.to_owned(),
        })?;
        if value.is_empty() && out.ends_with(' ') && statement.get(token.end..).is_none_or(starts_blank) {
            out.pop();
        }
        out.push_str(&value);
    }
    Ok(out)
}

/// True at the end of the text, too.
fn starts_blank(rest: &str) -> bool {
    rest.chars().next().is_none_or(char::is_whitespace)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Space,
    Quoted,
    Comment,
    Semicolon,
    Placeholder,
}

/// A piece of a text, by byte offsets that are character boundaries.
#[derive(Debug, Clone, Copy)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

/// Cuts a text into tokens that cover it without a gap.
fn tokens(text: &str) -> Result<Vec<Token>, SqlError> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let (kind, length) =
            token(rest, text.get(..start).and_then(|before| before.chars().next_back())).map_err(|what| {
                SqlError::Unclosed {
                    line: line_of(text, start),
                    what,
                }
            })?;
        tokens.push(Token {
            kind,
            start,
            end: start + length,
        });
        start += length;
    }
    Ok(tokens)
}

/// The kind and length in bytes of the token that `rest` starts with; `rest` is not empty, `before` is the character
/// before it. The error is what stays open.
fn token(rest: &str, before: Option<char>) -> Result<(Kind, usize), &'static str> {
    let line = |rest: &str| (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    if rest.starts_with("--") || rest.starts_with("# ") || rest.starts_with("#!") {
        return Ok(line(rest));
    }
    if rest.starts_with("/*") {
        return Ok((Kind::Comment, block_comment(rest).ok_or("comment")?));
    }
    let mut chars = rest.chars();
    let first = chars.next().unwrap_or_default();
    match first {
        '\'' => Ok((Kind::Quoted, quoted(rest, '\'').ok_or("string")?)),
        '"' | '`' => Ok((Kind::Quoted, quoted(rest, first).ok_or("quoted name")?)),
        // Inside a word `$` is a letter; elsewhere `$tag$` opens a heredoc.
        '$' if !before.is_some_and(|char| char.is_alphanumeric() || char == '_' || char == '$') => {
            match heredoc(rest) {
                Some(length) => Ok((Kind::Quoted, length.ok_or("heredoc")?)),
                None => Ok((Kind::Code, 1)),
            }
        }
        ';' => Ok((Kind::Semicolon, 1)),
        '{' => Ok(placeholder(rest).map_or((Kind::Code, 1), |length| (Kind::Placeholder, length))),
        _ if first.is_whitespace() => Ok((Kind::Space, first.len_utf8())),
        _ => Ok((Kind::Code, first.len_utf8())),
    }
}

/// The length of a quoted piece, quotes included. A backslash hides what follows; a doubled quote is one inside.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => {
                chars.next()?;
            }
            _ if char == quote && chars.peek().is_some_and(|(_, next)| *next == quote) => {
                chars.next();
            }
            _ if char == quote => return Some(at + char.len_utf8()),
            _ => {}
        }
    }
    None
}

/// The length of a block comment, nested ones included.
fn block_comment(rest: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    None
}

/// `None`: no heredoc starts here. `Some(None)`: one that is never closed.
fn heredoc(rest: &str) -> Option<Option<usize>> {
    let tag_length = rest.get(1..)?.find('$')?;
    let tag = rest.get(..tag_length + 2)?;
    let word = tag
        .trim_matches('$')
        .chars()
        .all(|char| char.is_alphanumeric() || char == '_');
    word.then(|| rest.get(tag.len()..)?.find(tag).map(|at| at + 2 * tag.len()))
}

/// The length of `{word}`. Braces around anything else are SQL's own: a map, `{name:Type}`.
fn placeholder(rest: &str) -> Option<usize> {
    let inner = rest.get(1..rest.find('}')?)?;
    let word = !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    word.then_some(inner.len() + 2)
}

/// The line, counted from 1, of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
