//! CSV (RFC 4180) that a spreadsheet cannot mistake for formulas (OWASP ASVS 5.0 1.2.10).

use std::io::Write;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{EncodeError, Encoder};

/// Characters that make a spreadsheet read a cell as a formula when they come first, the
/// full-width forms that some accept included.
const FORMULA_STARTS: [char; 11] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\0', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}',
];
const FULL_WIDTH_AT: char = '\u{ff20}';

/// Writes CSV with a header line.
pub struct Csv {
    schema: SchemaRef,
    started: bool,
}

impl Csv {
    /// A file with the columns of `schema`.
    pub fn new(schema: SchemaRef) -> Self {
        Csv {
            schema,
            started: false,
        }
    }

    fn header(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        for (i, field) in self.schema.fields().iter().enumerate() {
            separate(out, i);
            // Names of fields come from events, as values do, but most are no danger: a guard
            // before `@timestamp` would only hide the column from those who look for it.
            match is_plain_name(field.name()) {
                true => out.extend_from_slice(field.name().as_bytes()),
                false => text_cell(out, field.name()),
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl Encoder<RecordBatch> for Csv {
    fn encode(&mut self, batch: RecordBatch) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(batch.num_rows() * 256);
        self.header(&mut out);
        let options = FormatOptions::new();
        let columns = batch.columns().iter().map(|c| Column::new(c, &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            for (i, column) in columns.iter().enumerate() {
                separate(&mut out, i);
                column.cell(row, &mut text, &mut out)?;
            }
            out.extend_from_slice(b"\r\n");
        }
        Ok(out)
    }

    fn finish(&mut self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        self.header(&mut out);
        Ok(out)
    }
}

struct Column<'a> {
    array: &'a ArrayRef,
    formatter: ArrayFormatter<'a>,
    /// Numbers, times and booleans are written by us and start harmlessly, `-1` included.
    harmless: bool,
}

impl<'a> Column<'a> {
    fn new(array: &'a ArrayRef, options: &FormatOptions<'a>) -> Result<Self, ArrowError> {
        let kind = array.data_type();
        let harmless = kind.is_numeric() || kind.is_temporal() || *kind == DataType::Boolean;
        Ok(Column {
            array,
            formatter: ArrayFormatter::try_new(array, options)?,
            harmless,
        })
    }

    fn cell(&self, row: usize, text: &mut String, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.array.is_null(row) {
            return Ok(());
        }
        if self.harmless {
            return write!(out, "{}", self.formatter.value(row)).map_err(ArrowError::from);
        }
        text.clear();
        self.formatter.value(row).write(text)?;
        text_cell(out, text);
        Ok(())
    }
}

fn separate(out: &mut Vec<u8>, column: usize) {
    if column > 0 {
        out.push(b',');
    }
}

/// Is this a field's name of the usual kind, which is no formula even behind an `@`?
fn is_plain_name(name: &str) -> bool {
    let rest = name.strip_prefix('@').unwrap_or(name);
    let starts_well = |c: char| c.is_ascii_alphabetic() || (c == '_' && rest == name);
    rest.starts_with(starts_well)
        && rest
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '@' | '-'))
}

/// Writes one text value. Semicolons and tabs are quoted too, because some spreadsheets split
/// there and would find a formula behind them.
fn text_cell(out: &mut Vec<u8>, text: &str) {
    let risky = text.starts_with(FORMULA_STARTS) || text.starts_with(FULL_WIDTH_AT);
    let quoted = risky || text.is_empty() || text.contains([',', ';', '"', '\t', '\r', '\n']);
    if !quoted {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    if risky {
        out.push(b'\'');
    }
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    #[test]
    fn every_way_to_start_a_formula_is_defused() {
        let table = [
            ("plain", "plain"),
            ("", "\"\""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("\n=1", "\"'\n=1\""),
            ("\0=1", "\"'\0=1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("\u{ff0b}1", "\"'\u{ff0b}1\""),
            ("\u{ff0d}1", "\"'\u{ff0d}1\""),
            ("\u{ff20}x", "\"'\u{ff20}x\""),
            ("a;=1", "\"a;=1\""),
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            (
                "=HYPERLINK(\"http://x\")",
                "\"'=HYPERLINK(\"\"http://x\"\")\"",
            ),
        ];
        for (text, expected) in table {
            let mut out = Vec::new();
            text_cell(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn names_of_fields_stay_and_formulas_among_them_are_defused() {
        let table = [
            ("@timestamp", "@timestamp"),
            ("_seq", "_seq"),
            ("source.ip", "source.ip"),
            ("a-b@c", "a-b@c"),
            ("=evil()", "\"'=evil()\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("@1", "\"'@1\""),
            ("@_x", "\"'@_x\""),
            ("@@x", "\"'@@x\""),
            ("-x", "\"'-x\""),
            ("+x", "\"'+x\""),
            ("", "\"\""),
            ("a,b", "\"a,b\""),
        ];
        for (name, expected) in table {
            let schema = Schema::new(vec![Field::new(name, DataType::Int64, true)]);
            let header = Csv::new(Arc::new(schema)).finish().unwrap();
            let header = String::from_utf8(header).unwrap();
            assert_eq!(header, format!("{expected}\r\n"), "{name:?}");
        }
    }

    #[test]
    fn a_file_has_a_header_nulls_and_plain_numbers() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("=evil()", DataType::Utf8, true),
        ]));
        let batch = RecordBatch::try_new(
            schema.clone(),
            vec![
                Arc::new(Int64Array::from(vec![Some(-5), None])),
                Arc::new(StringArray::from(vec![None, Some("@x")])),
            ],
        )
        .unwrap();
        let mut csv = Csv::new(schema.clone());
        let mut out = csv.encode(batch).unwrap();
        out.extend(csv.finish().unwrap());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "n,\"'=evil()\"\r\n-5,\r\n,\"'@x\"\r\n"
        );

        let empty = Csv::new(schema).finish().unwrap();
        assert_eq!(String::from_utf8(empty).unwrap(), "n,\"'=evil()\"\r\n");
    }
}
