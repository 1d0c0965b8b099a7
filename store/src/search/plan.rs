//! What a query need not look at in a segment.
//!
//! For each part of a query there are two sets of rows: those that *must* match, and those that
//! *may*. A column held as codes tells both exactly. The index over words and the filters over
//! identifiers tell which rows may match, and of a single word which must. What lies between the
//! two is read, and `Query::matches` decides.

use std::collections::HashSet;
use std::sync::Arc;

use watchfire_event::query::{Node, Test, Words};
use watchfire_event::{Kind, Origin, Query, field};

use super::columns::{ColumnCache, Held};
use crate::StoreError;
use crate::segment::{Access, ColumnInfo, Rows, Segment, sealed_name};

/// Letters whose lower case depends on what is around them, or is more than one character: a
/// text that holds one is not looked up, because it may be cut into words differently.
const UNSTABLE: [char; 3] = ['\u{307}', 'σ', 'ς'];
/// A column that is not held is not worth reading in full for fewer than one in so many rows.
const THIN: usize = 64;

/// Two bounds of a set of rows.
#[derive(Debug, Clone)]
struct Part {
    must: Rows,
    may: Rows,
}

impl Part {
    fn exactly(rows: Rows) -> Part {
        Part {
            must: rows.clone(),
            may: rows,
        }
    }

    fn within(may: Rows) -> Part {
        Part {
            must: Rows::None,
            may,
        }
    }

    fn and(self, other: Part) -> Part {
        Part {
            must: self.must.and(other.must),
            may: self.may.and(other.may),
        }
    }

    fn or(self, other: Part) -> Part {
        Part {
            must: self.must.or(other.must),
            may: self.may.or(other.may),
        }
    }

    fn not(self) -> Part {
        Part {
            must: self.may.not(),
            may: self.must.not(),
        }
    }
}

/// How to answer a query over a segment.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Rows that match, whatever else.
    pub must: Rows,
    /// Rows outside of which nothing matches.
    pub may: Rows,
    /// Columns to read to decide about the rows between the two, by place in the segment.
    pub columns: Vec<usize>,
    /// Columns that are held as codes, and so need not be read for that.
    pub held: Vec<Arc<Held>>,
    /// Which of `_seq`, `_time`, `_received` to read for that.
    pub own: Vec<&'static str>,
}

impl Plan {
    /// Plans a query of which only the rows `among` are asked.
    pub fn of(
        segment: &Segment,
        query: &Query,
        among: &Rows,
        cache: &ColumnCache,
    ) -> Result<Plan, StoreError> {
        let columns = &segment.info.columns;
        let mut planner = Planner {
            segment,
            cache,
            whole: columns.iter().any(|c| c.name == field::OVERFLOW),
            used: HashSet::new(),
        };
        let part = planner.node(query.node(), among)?;
        let own = [field::SEQ, field::TIMESTAMP, field::RECEIVED];
        let own = own
            .into_iter()
            .filter(|name| asks(query.node(), name))
            .filter_map(sealed_name);
        let mut plan = Plan {
            must: part.must.and(among.clone()),
            may: part.may.and(among.clone()),
            columns: Vec::new(),
            held: Vec::new(),
            own: own.collect(),
        };
        let needs = query.needs();
        for (i, column) in columns.iter().enumerate() {
            let used = planner.whole || planner.used.contains(&i);
            if !used || !needs.wants(&column.name) {
                continue;
            }
            match cache.peek(segment, &column.stored) {
                Some(held) => plan.held.push(held),
                None => plan.columns.push(i),
            }
        }
        Ok(plan)
    }
}

struct Planner<'a> {
    segment: &'a Segment,
    cache: &'a ColumnCache,
    /// The segment has fields outside of columns: columns then prove nothing.
    whole: bool,
    /// Columns of which some value can pass a test.
    used: HashSet<usize>,
}

impl Planner<'_> {
    fn node(&mut self, node: &Node, among: &Rows) -> Result<Part, StoreError> {
        Ok(match node {
            Node::All => Part::exactly(Rows::All),
            Node::Never => Part::exactly(Rows::None),
            Node::Not(inner) => self.node(inner, among)?.not(),
            Node::And(list) => self.all_of(list, among)?,
            Node::Or(list) => {
                let mut part = Part::exactly(Rows::None);
                for node in list {
                    part = part.or(self.node(node, among)?);
                }
                part
            }
            Node::Exists(name) => self.exists(node, name)?,
            Node::Test { field, test } => self.test(node, field.as_deref(), test, among)?,
        })
    }

    /// The cheapest first; once nothing is left the rest need not be asked, and once little is
    /// left columns are not read for it.
    fn all_of(&mut self, list: &[Node], among: &Rows) -> Result<Part, StoreError> {
        let mut order: Vec<&Node> = list.iter().collect();
        order.sort_by_key(|node| self.cost(node));
        let mut part = Part::exactly(Rows::All);
        for node in order {
            let left = part.may.clone().and(among.clone());
            if left == Rows::None {
                break;
            }
            part = part.and(self.node(node, &left)?);
        }
        Ok(part)
    }

    /// How much there is to do before a node narrows anything down.
    fn cost(&self, node: &Node) -> u8 {
        let Node::Test {
            field: Some(name), ..
        } = node
        else {
            return 3;
        };
        let of_column = |column: &ColumnInfo| match column.access {
            Access::Bloom => 0,
            Access::Index => 1,
            Access::Scan => 2,
        };
        let columns = &self.segment.info.columns;
        let tested = columns.iter().filter(|c| c.name == **name);
        tested.map(of_column).max().unwrap_or_default()
    }

    fn exists(&mut self, node: &Node, name: &str) -> Result<Part, StoreError> {
        if self.whole || sealed_name(name).is_some() {
            return Ok(Part::within(Rows::All));
        }
        let segment = self.segment;
        let mut part = Part::exactly(Rows::None);
        for (i, column) in segment.info.columns.iter().enumerate() {
            if !is_at_or_under(&column.name, name) {
                continue;
            }
            let everywhere = column.rows == segment.info.rows;
            let of_column = match column.origin_and_kind().1 {
                Kind::Json => Part::within(Rows::All),
                _ if everywhere => Part::exactly(Rows::All),
                _ => match self.cache.coded(segment, column)? {
                    Some(held) => Part::exactly(held.coded.rows_passing(node)),
                    None => Part::within(Rows::All),
                },
            };
            if of_column.may != Rows::None {
                self.used.insert(i);
            }
            part = part.or(of_column);
        }
        Ok(part)
    }

    /// Rows that pass a test of a field, or of any field.
    fn test(
        &mut self,
        node: &Node,
        name: Option<&str>,
        test: &Test,
        among: &Rows,
    ) -> Result<Part, StoreError> {
        if self.whole || name.is_some_and(|n| sealed_name(n).is_some()) {
            return Ok(Part::within(Rows::All));
        }
        let segment = self.segment;
        let mut part = Part::exactly(Rows::None);
        for (i, column) in segment.info.columns.iter().enumerate() {
            if !is_tested(column, name)
                || !can_pass(column, test)
                || !self.may_hold(column, test)?
            {
                continue;
            }
            let of_column = match self.held(column, name, among)? {
                Some(held) => Part::exactly(held.coded.rows_passing(node)),
                None => self.column(column, (node, test), name.is_none(), among)?,
            };
            if of_column.may != Rows::None {
                self.used.insert(i);
            }
            part = part.or(of_column);
        }
        Ok(part)
    }

    /// May some value of the column pass, by the words that its values hold?
    fn may_hold(&self, column: &ColumnInfo, test: &Test) -> Result<bool, StoreError> {
        let may = |words: &Words| {
            let is_text = column.origin_and_kind().1 == Kind::Str;
            if !is_text || words.tokens.is_empty() || words.text.contains(UNSTABLE) {
                return Ok(true);
            }
            self.segment.may_hold_words(&column.stored, &words.tokens)
        };
        match test {
            Test::Words(words) => may(words),
            Test::In(list) => {
                for words in list {
                    if may(words)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// The column as codes, unless reading it for that is not worth the while.
    fn held(
        &self,
        column: &ColumnInfo,
        name: Option<&str>,
        among: &Rows,
    ) -> Result<Option<Arc<Held>>, StoreError> {
        if let Some(held) = self.cache.peek(self.segment, &column.stored) {
            return Ok(Some(held));
        }
        if self.is_thin(among) {
            return Ok(None);
        }
        if name.is_none() && (column.access != Access::Scan || !self.cache.has_room()) {
            return Ok(None);
        }
        self.cache.coded(self.segment, column)
    }

    /// Are so few rows left that no column is read in full for them?
    fn is_thin(&self, among: &Rows) -> bool {
        let rows = self.segment.rows();
        among.count(rows) * THIN < rows
    }

    /// Rows where a value of a column that is not held passes the test.
    fn column(
        &self,
        column: &ColumnInfo,
        (node, test): (&Node, &Test),
        any: bool,
        among: &Rows,
    ) -> Result<Part, StoreError> {
        if column.access == Access::Scan && !self.is_thin(among) {
            let alone = |name: &str| name == column.stored;
            let batch = self.segment.read(alone, &Rows::All)?;
            return Ok(Part::exactly(Rows::of(node.matches(&batch))));
        }
        match test {
            Test::Words(words) => self.words(column, words, any),
            Test::In(list) => {
                let mut part = Part::exactly(Rows::None);
                for words in list {
                    part = part.or(self.words(column, words, any)?);
                }
                Ok(part)
            }
            _ => Ok(Part::within(Rows::All)),
        }
    }

    fn words(&self, column: &ColumnInfo, w: &Words, any: bool) -> Result<Part, StoreError> {
        if !can_hold(column.origin_and_kind().1, &w.text) {
            return Ok(Part::exactly(Rows::None));
        }
        match column.access {
            Access::Scan => Ok(Part::within(Rows::All)),
            Access::Bloom => Ok(Part::within(self.identifier(column, w, any)?)),
            Access::Index => self.text(column, w, any),
        }
    }

    /// Values are single words in lower case: one passes by being equal to the text, or without
    /// a field to its only word.
    fn identifier(&self, column: &ColumnInfo, w: &Words, any: bool) -> Result<Rows, StoreError> {
        let may = |value: &str| self.segment.rows_that_may_hold(&column.stored, value);
        let rows = may(&w.text)?;
        match w.tokens.as_slice() {
            [only] if any && *only != w.text => Ok(rows.or(may(only)?)),
            _ => Ok(rows),
        }
    }

    /// A text passes only where it has all the words; without a field and for one word, exactly
    /// there.
    fn text(&self, column: &ColumnInfo, w: &Words, any: bool) -> Result<Part, StoreError> {
        let Some(index) = self.segment.index() else {
            return Ok(Part::within(Rows::All));
        };
        if w.text.contains(UNSTABLE) {
            return Ok(Part::within(Rows::All));
        }
        let mut rows = Rows::All;
        let mut known = 0;
        for word in &w.tokens {
            if let Some(mask) = index.rows(&column.stored, word)? {
                known += 1;
                rows = rows.and(Rows::of(mask));
            }
        }
        let exact = any && known == 1 && w.tokens.len() == 1 && w.text.is_ascii();
        Ok(match exact {
            true => Part::exactly(rows),
            false => Part::within(rows),
        })
    }
}

/// Can a value of the column pass, by its kind?
fn can_pass(column: &ColumnInfo, test: &Test) -> bool {
    let kind = column.origin_and_kind().1;
    match test {
        Test::Words(words) => can_hold(kind, &words.text),
        Test::In(list) => list.iter().any(|words| can_hold(kind, &words.text)),
        _ => true,
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
