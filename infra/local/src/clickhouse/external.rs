//! Tables that come with a query as parts of a multipart form.

use super::engine::{Connection, quote_name};
use super::error::{Code, Exception};
use super::request::{ExternalTable, Parameters};

/// What a form holds besides tables.
#[derive(Debug, Default)]
pub(crate) struct Form {
    /// Fields without a file name.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    /// Fields with one.
    pub(crate) files: Vec<(String, bytes::Bytes)>,
}

/// The tables of a form: `name_format` (TabSeparated), and `name_structure` or `name_types`, from form or URL.
pub(crate) fn tables(form: &Form, url: &Parameters) -> Result<Vec<ExternalTable>, Exception> {
    let value = |name: String| {
        let field = form
            .fields
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_slice());
        field
            .or_else(|| url.bytes(&name))
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let table = |(name, data): &(String, bytes::Bytes)| {
        let structure = match (value(format!("{name}_structure")), value(format!("{name}_types"))) {
            (Some(structure), _) if !structure.is_empty() => columns(&structure),
            (_, Some(types)) if !types.is_empty() => {
                let types = split(&types).into_iter().enumerate();
                types
                    .map(|(at, column)| format!("_{} {column}", at + 1))
                    .collect::<Vec<_>>()
                    .join(", ")
            }
            _ => {
                return Err(Exception::new(
                    Code::BadArguments,
                    "Neither structure nor types have not been provided for external table. Use fields 'structure' or 'types' to do so",
                ));
            }
        };
        Ok(ExternalTable {
            name: name.clone(),
            format: value(format!("{name}_format")).unwrap_or_else(|| "TabSeparated".to_owned()),
            structure,
            data: data.clone(),
        })
    };
    form.files.iter().map(table).collect()
}

/// Quotes the names of a structure, which clients send bare whatever they hold.
fn columns(structure: &str) -> String {
    let column = |text: &str| match text.split_once(char::is_whitespace) {
        Some((name, kind)) if !name.starts_with(['`', '"']) => format!("{} {}", quote_name(name), kind.trim()),
        _ => text.to_owned(),
    };
    split(structure).into_iter().map(column).collect::<Vec<_>>().join(", ")
}

/// Splits at commas outside of brackets and quotes.
fn split(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut quote, mut escaped) = (0, 0i32, None, false);
    for (at, byte) in list.bytes().enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, byte) {
            (Some(_), b'\\') => escaped = true,
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'`' | b'"') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => depth -= 1,
            (None, b',') if depth == 0 => {
                parts.push(list.get(start..at).unwrap_or_default().trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list.get(start..).unwrap_or_default().trim());
    parts
}

/// Creates and fills a table in the session.
pub(crate) fn create(connection: &mut Connection, table: &ExternalTable) -> Result<(), Exception> {
    let sql = format!(
        "CREATE TEMPORARY TABLE {} ({}) ENGINE = Memory",
        quote_name(&table.name),
        table.structure
    );
    if let Some(error) = connection.query(sql.as_bytes(), "Null", &[]).error() {
        return Err(Exception::from_engine(&error));
    }
    let sql = format!("INSERT INTO {}", quote_name(&table.name));
    let failed = |error: String| Exception::from_engine(&error);
    let mut insert = connection.insert(sql.as_bytes(), &table.format, &[]).map_err(failed)?;
    // A refused chunk is explained by `finish`.
    insert.append(&table.data);
    insert.finish().map_err(failed).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)], files: &[(&str, &str)]) -> Form {
        Form {
            fields: fields
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
                .collect(),
            files: files
                .iter()
                .map(|(n, v)| ((*n).to_owned(), bytes::Bytes::copy_from_slice(v.as_bytes())))
                .collect(),
        }
    }

    #[test]
    fn structures_and_types_become_columns() {
        let form = form(
            &[("b_types", "UInt8, Map(String, Array(UInt8)),Enum('a,b' = 1)")],
            &[("a", "1"), ("b", "2")],
        );
        let tables = tables(
            &form,
            &Parameters::parse("a_structure=x+UInt8,y+Tuple(a+Int8,+b+String)&a_format=CSV"),
        )
        .unwrap();
        assert_eq!(tables[0].structure, "`x` UInt8, `y` Tuple(a Int8, b String)");
        assert_eq!(tables[0].format, "CSV");
        assert_eq!(
            tables[1].structure,
            "_1 UInt8, _2 Map(String, Array(UInt8)), _3 Enum('a,b' = 1)"
        );
        assert_eq!(tables[1].format, "TabSeparated");
    }

    #[test]
    fn a_table_without_columns_is_refused() {
        assert_eq!(
            tables(&form(&[], &[("a", "1")]), &Parameters::default())
                .unwrap_err()
                .code,
            36
        );
    }
}
