//! The one query language: search, live tail, facets, filters of detectors and channels.
//!
//! # Meaning
//!
//! - `field:value` matches a value that equals it, letter case aside. A value with white space
//!   is *text*: it also matches where its words hold the words of the query in a row. So
//!   `user.id:u1` finds `u1` and not `u1-admin`, and `message:timeout` finds the word in a
//!   sentence.
//! - `value` without a field, quoted or not, matches any string of any field whose words hold
//!   its words in a row, and any number equal to it.
//! - `*` and `?` are wildcards in unquoted values: `user.id:probe-*`.
//! - `field:[1 TO 5]`, `field:{1 TO 5}`, `field:>=5`; `field: IN [a b c]`; `field:/regex/`;
//!   `source.ip:10.0.0.0/8`; `field:*` (there is a value).
//! - `field:@list` matches a value that is on a list of indicators; `@list` one of any field. In
//!   quotes it is the text.
//! - `AND`, `OR`, `NOT`, `-`, parentheses. Clauses side by side must all match.
//! - `@timestamp` in a range is the event time; `_seq`, `_received`, `_source`, `_flags` work too.
//!
//! A list matches when any of its members does. Several columns may share a name (see
//! [`crate::batch`]); any of them may match.
//!
//! [`Query::matches`] is the definition; indexes only narrow down where it must be asked.

mod eval;
mod glob;
mod lower;
mod mention;
mod question;
mod test;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use glob::Glob;
pub use question::{AnyLists, Ask, Lists, NoLists, Question};
pub use test::{Bound, Network, Range, Regexp, Test, Words};

use crate::field;

/// A parsed query.
#[derive(Debug, Clone)]
pub struct Query {
    text: Arc<str>,
    /// The text, and what else its meaning rests on.
    key: Arc<str>,
    node: Arc<Node>,
}

/// Why a text is not a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// A stable word for programs: `invalid_query` or `unknown_list`.
    pub code: &'static str,
    /// A sentence for a person.
    pub message: String,
    /// Where, in characters from the start of the text.
    pub position: usize,
}

/// The tree of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Every row.
    All,
    /// No row.
    Never,
    /// All of these.
    And(Vec<Node>),
    /// Any of these.
    Or(Vec<Node>),
    /// Not this.
    Not(Box<Node>),
    /// The field, or a field under it, has a value other than null.
    Exists(Arc<str>),
    /// A value passes a test: of the field, or of any field.
    Test {
        /// The field's name; `None` is any field.
        field: Option<Arc<str>>,
        /// What the value must pass.
        test: Test,
    },
}

/// Which columns a batch must hold for [`Query::matches`] to be right about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// Columns of these names, and columns under them where the query asks for existence.
    Fields {
        /// Names whose columns are needed.
        names: BTreeSet<Arc<str>>,
        /// Names of which the columns under them (`name.`) are needed too.
        under: BTreeSet<Arc<str>>,
    },
    /// All columns.
    Everything,
}

impl Needs {
    /// Is a column of this name needed? `_overflow` always is.
    pub fn wants(&self, name: &str) -> bool {
        match self {
            Needs::Everything => name != field::RAW,
            Needs::Fields { names, under } => {
                name == field::OVERFLOW
                    || names.contains(name)
                    || under.iter().any(|u| is_under(name, u))
            }
        }
    }
}

/// Is `name` a member of the object `parent`?
fn is_under(name: &str, parent: &str) -> bool {
    name.strip_prefix(parent)
        .is_some_and(|rest| rest.starts_with('.'))
}

impl Query {
    /// Parses the text of a query that names no lists. Empty text matches every row.
    ///
    /// # Errors
    /// [`QueryError`] with the position of what cannot be read.
    pub fn parse(text: &str) -> Result<Query, QueryError> {
        Query::parse_with(text, &NoLists)
    }

    /// As [`Query::parse`], with lists that the query may name. It keeps them as they are now.
    ///
    /// # Errors
    /// [`QueryError`], with the code `unknown_list` for a list that is not there.
    pub fn parse_with(text: &str, lists: &dyn Lists) -> Result<Query, QueryError> {
        let (node, named) = lower::parse(text, lists)?;
        let mut key = text.to_owned();
        for list in &named {
            key.push('\n');
            key.push_str(list.name());
        }
        Ok(Query {
            text: text.into(),
            key: key.into(),
            node: Arc::new(node),
        })
    }

    /// The query of a tree that no text can say. `name` stands for its text: trees of one name
    /// must have one meaning.
    pub fn of_node(name: &str, node: Node) -> Query {
        Query {
            text: name.into(),
            key: name.into(),
            node: Arc::new(node),
        }
    }

    /// The query that matches every row.
    pub fn all() -> Query {
        Query {
            text: "*".into(),
            key: "*".into(),
            node: Arc::new(Node::All),
        }
    }

    /// Does it match every row by its form alone?
    pub fn is_all(&self) -> bool {
        *self.node == Node::All
    }

    /// The text it was parsed from; of a combined query, a text that parses to the same.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What answers can be remembered by: queries of one key match the same rows.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The tree.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Both this and the other.
    #[must_use]
    pub fn and(self, other: Query) -> Query {
        if self.is_all() {
            return other;
        }
        if other.is_all() {
            return self;
        }
        Query {
            text: format!("({}) AND ({})", self.text, other.text).into(),
            key: format!("({}) AND ({})", self.key, other.key).into(),
            node: Arc::new(Node::And(vec![(*self.node).clone(), (*other.node).clone()])),
        }
    }

    /// Which columns [`Query::matches`] looks at.
    pub fn needs(&self) -> Needs {
        let (mut names, mut under) = (BTreeSet::new(), BTreeSet::new());
        match collect(&self.node, &mut names, &mut under) {
            true => Needs::Everything,
            false => Needs::Fields { names, under },
        }
    }

    /// The text of a query for exactly this value of this field. The grammar has no way to say a
    /// name that starts with `-`.
    pub fn field_equals(name: &str, value: &str) -> String {
        const SPECIAL: &[char] = &[
            '+', '^', '`', ':', '{', '}', '"', '\'', '[', ']', '(', ')', '!', '\\', '*', ' ',
        ];
        let mut escaped = String::with_capacity(name.len());
        for c in name.chars() {
            if SPECIAL.contains(&c) {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        format!(
            "{escaped}:\"{}\"",
            value.replace('\\', "\\\\").replace('"', "\\\"")
        )
    }
}

/// Collects needed names; answers whether everything is needed.
fn collect(node: &Node, names: &mut BTreeSet<Arc<str>>, under: &mut BTreeSet<Arc<str>>) -> bool {
    match node {
        Node::All | Node::Never => false,
        Node::And(list) | Node::Or(list) => list
            .iter()
            .fold(false, |any, n| collect(n, names, under) | any),
        Node::Not(inner) => collect(inner, names, under),
        Node::Exists(name) => {
            names.insert(name.clone());
            under.insert(name.clone());
            false
        }
        Node::Test {
            field: Some(name), ..
        } => {
            names.insert(name.clone());
            false
        }
        Node::Test { field: None, .. } => true,
    }
}

/// The words of a text: runs of letters, digits and `_`. Compared in lower case.
pub fn tokens(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|t| !t.is_empty())
}
