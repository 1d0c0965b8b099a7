//! Just enough CSV: quoted fields, doubled quotes, line breaks within quotes.

use anyhow::{Context, Result};

/// A table with named columns.
pub(super) struct Table {
    header: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads a table whose first line names the columns.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut rows = records(text);
        anyhow::ensure!(!rows.is_empty(), "an empty file");
        let header = rows.remove(0);
        if let Some(at) = rows.iter().position(|row| row.len() != header.len()) {
            anyhow::bail!(
                "record {} has another number of fields than the header",
                at + 2
            );
        }
        Ok(Table { header, rows })
    }

    /// The place of a column.
    pub(super) fn column(&self, name: &str) -> Result<usize> {
        let found = self.header.iter().position(|h| h == name);
        found.with_context(|| format!("there is no column {name}"))
    }
}

fn records(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut begun) = (false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        begun = true;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
                begun = false;
            }
            c => field.push(c),
        }
    }
    if begun {
        row.push(field);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_may_hold_anything_in_quotes() {
        let table = Table::parse("a,b\r\n1,\"x,\"\"y\"\"\nz\"\n,\n").unwrap();
        assert_eq!(table.rows, [["1", "x,\"y\"\nz"], ["", ""]]);
        assert_eq!(table.column("b").unwrap(), 1);
        assert!(table.column("c").is_err());
        assert!(Table::parse("a,b\n1\n").is_err());
        assert!(Table::parse("").is_err());
        assert_eq!(Table::parse("a\n1").unwrap().rows, [["1"]]);
    }
}
