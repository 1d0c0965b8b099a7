//! What a query need not look at in a segment.
//!
//! The words of text columns are in the index and the values of identifier columns in bloom
//! filters. From them follows, for each column, the rows where it can take part in a match;
//! elsewhere its values need not be read, because an absent value and one that fails a test
//! are the same to `Query::matches`. For the whole query follows the rows that can match. Both
//! are supersets: matching decides.

use std::collections::HashMap;

use watchfire_event::query::{Node, Test, Words};
use watchfire_event::{Kind, Origin, Query, field};

use crate::StoreError;
use crate::segment::{Access, ColumnInfo, Rows, Segment, sealed_name};

/// Letters whose lower case depends on what is around them, or is more than one character: a
/// text that holds one is not looked up, because it may be cut into words differently.
const UNSTABLE: [char; 3] = ['\u{307}', 'σ', 'ς'];

/// How to answer a query over a segment.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Rows that can match.
    pub rows: Rows,
    /// Columns to read, with the rows where their values can matter.
    pub columns: Vec<(String, Rows)>,
    /// Which of `_seq`, `_time`, `_received` to read.
    pub own: Vec<&'static str>,
}

impl Plan {
    pub fn of(segment: &Segment, query: &Query) -> Result<Plan, StoreError> {
        let mut planner = Planner {
            segment,
            whole: segment
                .info
                .columns
                .iter()
                .any(|c| c.name == field::OVERFLOW),
            found: HashMap::new(),
        };
        let rows = planner.node(query.node())?;
        let needs = query.needs();
        let own = [field::SEQ, field::TIMESTAMP, field::RECEIVED];
        let own = own
            .into_iter()
            .filter(|name| asks(query.node(), name))
            .filter_map(sealed_name);
        let mut columns = Vec::new();
        for column in segment.info.columns.iter().filter(|c| needs.wants(&c.name)) {
            let used = planner.used(column, query.node())?.and(rows.clone());
            if used != Rows::None {
                columns.push((column.stored.clone(), used));
            }
        }
        Ok(Plan {
            rows,
            columns,
            own: own.collect(),
        })
    }
}

struct Planner<'a> {
    segment: &'a Segment,
    /// The segment has fields outside of columns: names of columns then prove nothing.
    whole: bool,
    /// Answers so far, by column and by words.
    found: HashMap<(String, String), Rows>,
}

impl Planner<'_> {
    /// Rows that can match a node.
    fn node(&mut self, node: &Node) -> Result<Rows, StoreError> {
        Ok(match node {
            Node::All | Node::Not(_) | Node::Exists(_) => Rows::All,
            Node::Never => Rows::None,
            Node::And(list) => {
                let mut rows = Rows::All;
                for node in list {
                    if rows == Rows::None {
                        break;
                    }
                    rows = rows.and(self.node(node)?);
                }
                rows
            }
            Node::Or(list) => {
                let mut rows = Rows::None;
                for node in list {
                    rows = rows.or(self.node(node)?);
                }
                rows
            }
            Node::Test { field, test } => self.leaf(field.as_deref(), test)?,
        })
    }

    /// Rows that can pass a test of a field, or of any field.
    fn leaf(&mut self, name: Option<&str>, test: &Test) -> Result<Rows, StoreError> {
        if self.whole || name.is_some_and(|n| sealed_name(n).is_some()) {
            return Ok(Rows::All);
        }
        let mut rows = Rows::None;
        for column in self
            .segment
            .info
            .columns
            .iter()
            .filter(|c| is_tested(c, name))
        {
            if rows == Rows::All {
                break;
            }
            rows = rows.or(self.column(column, test, name.is_none())?);
        }
        Ok(rows)
    }

    /// Rows where the value of `column` can make a difference to any test in the tree.
    fn used(&mut self, column: &ColumnInfo, node: &Node) -> Result<Rows, StoreError> {
        if self.whole {
            return Ok(Rows::All);
        }
        Ok(match node {
            Node::All | Node::Never => Rows::None,
            Node::Not(inner) => self.used(column, inner)?,
            Node::And(list) | Node::Or(list) => {
                let mut rows = Rows::None;
                for node in list {
                    rows = rows.or(self.used(column, node)?);
                }
                rows
            }
            Node::Exists(name) => match is_at_or_under(&column.name, name) {
                true => Rows::All,
                false => Rows::None,
            },
            Node::Test { field, test } => match is_tested(column, field.as_deref()) {
                true => self.column(column, test, field.is_none())?,
                false => Rows::None,
            },
        })
    }

    /// Rows where a value of `column` can pass the test.
    fn column(&mut self, column: &ColumnInfo, test: &Test, any: bool) -> Result<Rows, StoreError> {
        match test {
            Test::Words(words) => self.words(column, words, any),
            Test::In(list) => {
                let mut rows = Rows::None;
                for words in list {
                    rows = rows.or(self.words(column, words, any)?);
                }
                Ok(rows)
            }
            _ => Ok(Rows::All),
        }
    }

    fn words(&mut self, column: &ColumnInfo, w: &Words, any: bool) -> Result<Rows, StoreError> {
        if !can_hold(column.origin_and_kind().1, &w.text) {
            return Ok(Rows::None);
        }
        let key = (column.stored.clone(), format!("{any} {}", w.text));
        if let Some(rows) = self.found.get(&key) {
            return Ok(rows.clone());
        }
        let rows = match column.access {
            Access::Scan => Rows::All,
            Access::Bloom => self.identifier(column, w, any)?,
            Access::Index => self.text(column, w)?,
        };
        self.found.insert(key, rows.clone());
        Ok(rows)
    }

    /// Values are single words in lower case: one passes by being equal to the text, or without
    /// a field to its only word.
    fn identifier(&self, column: &ColumnInfo, w: &Words, any: bool) -> Result<Rows, StoreError> {
        let may = |value: &str| self.segment.may_contain(&column.stored, value);
        let possible = may(&w.text)?
            || match w.tokens.as_slice() {
                [only] if any && *only != w.text => may(only)?,
                _ => false,
            };
        Ok(if possible { Rows::All } else { Rows::None })
    }

    /// A text passes only where it has all the words.
    fn text(&self, column: &ColumnInfo, w: &Words) -> Result<Rows, StoreError> {
        let Some(index) = self.segment.index() else {
            return Ok(Rows::All);
        };
        if w.text.contains(UNSTABLE) {
            return Ok(Rows::All);
        }
        let mut rows = Rows::All;
        for word in &w.tokens {
            if let Some(mask) = index.rows(&column.stored, word)? {
                rows = rows.and(Rows::of(mask));
            }
        }
        Ok(rows)
    }
}

/// Can a value of this kind be equal to the text? Strings can always.
fn can_hold(kind: Kind, text: &str) -> bool {
    match kind {
        Kind::Str | Kind::StrList | Kind::Json => true,
        Kind::Int | Kind::Float | Kind::IntList => text.parse::<f64>().is_ok(),
        Kind::Bool => text == "true" || text == "false",
    }
}

/// Does the tree test this field by name?
fn asks(node: &Node, name: &str) -> bool {
    match node {
        Node::All | Node::Never => false,
        Node::And(list) | Node::Or(list) => list.iter().any(|n| asks(n, name)),
        Node::Not(inner) => asks(inner, name),
        Node::Exists(field) => &**field == name,
        Node::Test { field, .. } => field.as_deref() == Some(name),
    }
}

/// Does a test of `name` (or of any field) look at the column? As in `Query::matches`.
fn is_tested(column: &ColumnInfo, name: Option<&str>) -> bool {
    match name {
        Some(name) => column.name == name,
        None => column.origin_and_kind().0 != Origin::Meta,
    }
}

fn is_at_or_under(column: &str, name: &str) -> bool {
    column
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
