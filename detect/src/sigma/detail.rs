//! Why rules matched: rsigma's full account of a match, made once for all rows of a batch in which
//! a rule's fields have the same values.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use ahash::HashMap;
use rsigma_eval::EvaluationResult;

use super::SigmaRules;
use super::event::{BatchFields, Lookup, RowEvent};
use super::program::Program;
use super::taxonomy::Family;
use crate::cells::Cells;
use crate::explain::{Explanation, clauses, explain};

/// A match in full.
pub(crate) struct Detail {
    result: EvaluationResult,
    family: Family,
    row: usize,
    clauses: OnceCell<BTreeSet<String>>,
    explanation: OnceCell<Explanation>,
}

impl Detail {
    /// Query clauses that hold for every match with the same values.
    pub(crate) fn clauses(&self, fields: &BatchFields<'_>) -> &BTreeSet<String> {
        self.clauses
            .get_or_init(|| clauses(&self.result, fields, self.family, self.row))
    }

    /// The match in words, as data and as a query.
    pub(crate) fn explanation(&self, fields: &BatchFields<'_>) -> &Explanation {
        self.explanation
            .get_or_init(|| explain(&self.result, fields, self.family, self.row))
    }
}

/// Columns in which the fields of a rule have their values in a row, and which values.
type Values = Vec<(u32, u64)>;

/// The accounts made for a batch and a class of its rows.
pub(crate) struct Details<'a> {
    rules: &'a SigmaRules,
    fields: &'a BatchFields<'a>,
    program: &'a Program,
    ways: &'a [Vec<Lookup>],
    /// By rule and the values of its fields.
    made: HashMap<(u32, Values), Rc<Detail>>,
}

impl<'a> Details<'a> {
    /// No accounts yet.
    pub(crate) fn new(
        rules: &'a SigmaRules,
        fields: &'a BatchFields<'a>,
        program: &'a Program,
        ways: &'a [Vec<Lookup>],
    ) -> Self {
        Details {
            rules,
            fields,
            program,
            ways,
            made: HashMap::default(),
        }
    }

    /// The id of the program's rule at `place`.
    pub(crate) fn rule_id(&self, place: u32) -> &'a str {
        let rule = self.program.rules.get(place as usize);
        rule.map_or("", |rule| self.rules.id(rule.index))
    }

    /// The family by which fields are read.
    pub(crate) fn family(&self) -> Family {
        self.program.family
    }

    /// The account of the match of the program's rule at `place` in the row.
    pub(crate) fn of(&mut self, place: u32, row: usize) -> Option<Rc<Detail>> {
        let rule = self.program.rules.get(place as usize)?;
        let read = rule.fields.as_ref();
        let values = read.and_then(|read| fingerprint(self.fields, self.ways, read, row));
        let Some(values) = values else {
            return self.make(rule.index, row).map(Rc::new);
        };
        let key = (place, values);
        if let Some(made) = self.made.get(&key) {
            return Some(Rc::clone(made));
        }
        let made = Rc::new(self.make(rule.index, row)?);
        self.made.insert(key, Rc::clone(&made));
        Some(made)
    }

    fn make(&self, rule: u32, row: usize) -> Option<Detail> {
        let family = self.program.family;
        let event = RowEvent::new(self.fields, family, row);
        let result = self.rules.alone(rule)?.evaluate(&event).pop()?;
        Some(Detail {
            result,
            family,
            row,
            clauses: OnceCell::new(),
            explanation: OnceCell::new(),
        })
    }
}

/// What a row's fields are, as numbers that are equal for equal values within a batch; `None`
/// when one of them is not a single value of one column.
fn fingerprint(
    fields: &BatchFields<'_>,
    ways: &[Vec<Lookup>],
    read: &[u32],
    row: usize,
) -> Option<Values> {
    const ABSENT: (u32, u64) = (u32::MAX, 0);
    if fields.has_overflow(row) {
        return None;
    }
    let of_field = |field: &u32| {
        for way in ways.get(*field as usize)? {
            let Lookup::Columns(columns) = way else {
                if fields.value(way, row).is_some() {
                    return None;
                }
                continue;
            };
            let mut there = columns.iter().filter_map(|column| {
                let cells = fields.cells_at(*column, row)?;
                Some((u32::try_from(*column).ok()?, cells))
            });
            let Some((column, cells)) = there.next() else {
                continue;
            };
            let bits = match cells {
                _ if there.next().is_some() => return None,
                Cells::Str { keys, .. } => u64::try_from(keys.value(row)).ok()?,
                Cells::Int(cells) => cells.value(row).cast_unsigned(),
                Cells::Float(cells) => cells.value(row).to_bits(),
                Cells::Bool(cells) => u64::from(cells.value(row)),
                _ => return None,
            };
            return Some((column, bits));
        }
        Some(ABSENT)
    };
    read.iter().map(of_field).collect()
}
