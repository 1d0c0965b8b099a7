//! Why rules matched: rsigma's full account of a match, made once for all rows in which a rule's
//! fields have the same values, and kept from batch to batch.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use ahash::HashMap;
use arrow::array::Array;
use rsigma_eval::EvaluationResult;

use super::SigmaRules;
use super::event::{BatchFields, Lookup, RowEvent};
use super::program::Program;
use super::taxonomy::Family;
use crate::cells::Cells;
use crate::explain::{Explanation, FieldValue, explain, values};

/// A match in full: of every row in which the rule's fields have the same values.
#[derive(Debug)]
pub(crate) struct Detail {
    result: EvaluationResult,
    family: Family,
    explanation: OnceLock<Explanation>,
}

impl Detail {
    /// What the rule found, in this row as in every match with the same values.
    pub(crate) fn values(&self, fields: &BatchFields<'_>, row: usize) -> Vec<FieldValue> {
        values(&self.result, fields, self.family, row)
    }

    /// The match in words, as data and as a query.
    pub(crate) fn explanation(&self, fields: &BatchFields<'_>, row: usize) -> &Explanation {
        self.explanation
            .get_or_init(|| explain(&self.result, fields, self.family, row))
    }
}

/// Bytes of accounts that are kept, about; beyond, all are forgotten and made again.
const MAX_KEPT: usize = 8 << 20;
/// What an account takes besides the values it is of, bytes, about: matches name few fields.
const ACCOUNT: usize = 2_048;
/// Matches of values that are longer together, bytes, are not kept.
const MAX_VALUES: usize = 2_048;

/// Accounts kept from batch to batch, by rule and the values of its fields.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    by_values: HashMap<Box<[u8]>, Arc<Detail>>,
    bytes: usize,
}

impl Accounts {
    /// What they take, bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn keep(&mut self, values: Vec<u8>, detail: &Arc<Detail>) {
        if values.len() > MAX_VALUES {
            return;
        }
        if self.bytes > MAX_KEPT {
            *self = Accounts::default();
        }
        // The account has the values again, in its sentence, as data and as clauses.
        self.bytes += ACCOUNT + 5 * values.len();
        self.by_values.insert(values.into(), Arc::clone(detail));
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
    kept: &'a RefCell<Accounts>,
    /// By rule and the values of its fields.
    made: HashMap<(u32, Values), Arc<Detail>>,
}

impl<'a> Details<'a> {
    /// No accounts yet.
    pub(crate) fn new(
        rules: &'a SigmaRules,
        fields: &'a BatchFields<'a>,
        program: &'a Program,
        ways: &'a [Vec<Lookup>],
        kept: &'a RefCell<Accounts>,
    ) -> Self {
        Details {
            rules,
            fields,
            program,
            ways,
            kept,
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
    pub(crate) fn of(&mut self, place: u32, row: usize) -> Option<Arc<Detail>> {
        let rule = self.program.rules.get(place as usize)?;
        let read = rule.fields.as_ref();
        let values = read.and_then(|read| fingerprint(self.fields, self.ways, read, row));
        let Some(values) = values else {
            return self.make(rule.index, row).map(Arc::new);
        };
        let key = (place, values);
        if let Some(made) = self.made.get(&key) {
            return Some(Arc::clone(made));
        }
        let exact = self.exact(rule.index, &key.1);
        let kept = self.kept.borrow().by_values.get(&*exact).map(Arc::clone);
        let made = match kept {
            Some(kept) => kept,
            None => {
                let made = Arc::new(self.make(rule.index, row)?);
                self.kept.borrow_mut().keep(exact, &made);
                made
            }
        };
        self.made.insert(key, Arc::clone(&made));
        Some(made)
    }

    fn make(&self, rule: u32, row: usize) -> Option<Detail> {
        let family = self.program.family;
        let event = RowEvent::new(self.fields, family, row);
        let result = self.rules.alone(rule)?.evaluate(&event).pop()?;
        Some(Detail {
            result,
            family,
            explanation: OnceLock::new(),
        })
    }

    /// The same as a fingerprint, in full: in every batch other bytes for other columns or values.
    fn exact(&self, rule: u32, values: &Values) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend(rule.to_le_bytes());
        out.push(self.program.family as u8);
        for (number, bits) in values {
            let column = usize::try_from(*number).ok();
            let column = column.and_then(|number| self.fields.batch().columns().get(number));
            let Some(column) = column else {
                out.push(u8::MAX);
                continue;
            };
            let text = match self.fields.cells(*number as usize) {
                Some(Cells::Str { values, .. }) => usize::try_from(*bits)
                    .ok()
                    .filter(|code| *code < values.len())
                    .map(|code| values.value(code)),
                _ => None,
            };
            out.push(column.kind as u8);
            for part in [column.name.as_bytes(), text.unwrap_or("").as_bytes()] {
                out.extend(part.len().to_le_bytes());
                out.extend(part);
            }
            if text.is_none() {
                out.extend(bits.to_le_bytes());
            }
        }
        out
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
