//! Rules compiled to be run on columns.
//!
//! The rules that may see a class of events become one program. Their matchers become tests, each
//! of them once; the tests of a field are asked together, and about each distinct value once. A
//! rule is an expression over tests, and is only looked at in rows where one of its anchors holds:
//! tests of which at least one holds whenever the rule is true.
//!
//! What a test answers, rsigma's matcher decides. Literals only tell which matchers need not be
//! asked.

pub(crate) mod expr;
mod literals;
pub(crate) mod lookup;
pub(crate) mod test;

use std::collections::BTreeMap;

use rsigma_eval::{CompiledDetection, CompiledRule};

use self::expr::{Expr, Lowering, Place, RowPart};
use self::lookup::TestSet;
use self::test::Test;
use super::listed::asks_only_lists;
use super::names::FieldNames;
use super::taxonomy::Family;

/// Rules that see the same events, ready to be run on columns.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) family: Family,
    /// In the order of their ids.
    pub(crate) rules: Vec<ProgramRule>,
    /// Rules that can be true where no test holds, by their places.
    pub(crate) open: Vec<u32>,
    /// Fields that tests look at.
    pub(crate) fields: Vec<FieldNames>,
    pub(crate) groups: Vec<Group>,
    /// Group of each test.
    pub(crate) group_of: Vec<u32>,
    /// Fields that a column can be of, by its name or a part of it before a dot, lower case.
    touched: ahash::HashMap<String, Vec<u32>>,
    /// Rules that a test anchors, by test.
    anchored: Vec<Vec<u32>>,
    pub(crate) row_parts: Vec<RowPart>,
}

/// A rule of a program.
#[derive(Debug)]
pub(crate) struct ProgramRule {
    /// Place among all rules.
    pub(crate) index: u32,
    pub(crate) expr: Expr,
    /// Fields it reads; `None` when its match rests on more than their values.
    pub(crate) fields: Option<Vec<u32>>,
}

/// Tests that are asked together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) place: Place,
    /// Do they anchor rules? Then every row is asked, otherwise only rows that a rule asks about.
    pub(crate) anchors: bool,
    /// Do they ask threat lists? These change, so that no answer is remembered.
    pub(crate) lists: bool,
    pub(crate) tests: TestSet,
    /// Tests that hold where the field has no value, rising.
    pub(crate) without_value: Vec<u32>,
}

impl Program {
    /// Compiles rules, given with their places among all rules.
    pub(crate) fn new(family: Family, mut rules: Vec<(u32, &CompiledRule)>) -> Self {
        rules.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        let mut lowering = Lowering::default();
        let exprs: Vec<Expr> = rules.iter().map(|(_, r)| lowering.rule(r)).collect();
        let mut anchored = vec![Vec::new(); lowering.tests.len()];
        let mut open = Vec::new();
        for (place, expr) in (0u32..).zip(&exprs) {
            let Some(mut anchors) = lowering.anchors(expr) else {
                open.push(place);
                continue;
            };
            anchors.sort_unstable();
            anchors.dedup();
            for test in anchors {
                if let Some(rules) = anchored.get_mut(test as usize) {
                    rules.push(place);
                }
            }
        }
        let rules = rules.iter().zip(exprs).map(|((index, rule), expr)| {
            let fields = fields_read(rule, &expr, &lowering);
            ProgramRule {
                index: *index,
                expr,
                fields,
            }
        });
        let rules = rules.collect();
        let (groups, group_of) = groups(&mut lowering, &anchored);
        let fields = lowering.fields.iter().map(|f| FieldNames::of(family, f));
        let fields: Vec<FieldNames> = fields.collect();
        let mut touched: ahash::HashMap<String, Vec<u32>> = ahash::HashMap::default();
        for (number, field) in (0u32..).zip(&fields) {
            for name in field.stems() {
                touched.entry(name.to_owned()).or_default().push(number);
            }
        }
        Program {
            family,
            rules,
            open,
            fields,
            groups,
            group_of,
            touched,
            anchored,
            row_parts: lowering.row_parts,
        }
    }

    /// Fields that a batch can have, each once; given the [`stems`](super::names::stems) of the
    /// names of its columns in lower case.
    pub(crate) fn fields_of<'n>(&self, stems: impl Iterator<Item = &'n str>) -> Vec<u32> {
        let fields = stems.filter_map(|stem| self.touched.get(stem));
        let mut found: Vec<u32> = fields.flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The rules that one of these tests anchors, rising.
    pub(crate) fn anchored_by(&self, tests: &[u32]) -> Vec<u32> {
        let rules = tests.iter().filter_map(|t| self.anchored.get(*t as usize));
        let mut rules: Vec<u32> = rules.flatten().copied().collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

/// Puts tests that are asked together into groups.
fn groups(lowering: &mut Lowering, anchored: &[Vec<u32>]) -> (Vec<Group>, Vec<u32>) {
    let mut sets: BTreeMap<(Place, bool, bool), Vec<u32>> = BTreeMap::new();
    for (test, known) in (0u32..).zip(&lowering.tests) {
        let anchors = anchored.get(test as usize).is_some_and(|r| !r.is_empty());
        let lists = matches!(known.test, Test::Listed(_));
        let set = sets.entry((known.place, anchors, lists)).or_default();
        set.push(test);
    }
    let mut group_of = vec![0; lowering.tests.len()];
    let mut groups = Vec::new();
    for ((place, anchors, lists), tests) in sets {
        let group = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        let known = tests.iter().filter_map(|test| {
            *group_of.get_mut(*test as usize)? = group;
            Some((*test, lowering.tests.get(*test as usize)?.test.clone()))
        });
        let tests = TestSet::new(known.collect());
        groups.push(Group {
            place,
            anchors,
            lists,
            without_value: tests.without_value(),
            tests,
        });
    }
    (groups, group_of)
}

/// Fields whose values decide everything about the rule's match, and nothing else does.
fn fields_read(rule: &CompiledRule, expr: &Expr, lowering: &Lowering) -> Option<Vec<u32>> {
    fn walk(expr: &Expr, lowering: &Lowering, found: &mut Vec<u32>) -> bool {
        match expr {
            Expr::Is(_) => true,
            Expr::Row(_) => false,
            Expr::Test(test) => match lowering.tests.get(*test as usize).map(|k| k.place) {
                Some(Place::Field(field)) => {
                    found.push(field);
                    true
                }
                _ => false,
            },
            Expr::All(parts) | Expr::Any(parts) | Expr::AtLeast(_, parts) => {
                parts.iter().all(|part| walk(part, lowering, found))
            }
            Expr::Not(part) => walk(part, lowering, found),
        }
    }
    let mut found = Vec::new();
    let only_fields = walk(expr, lowering, &mut found) && !rule.include_event;
    found.sort_unstable();
    found.dedup();
    only_fields.then_some(found)
}

/// Why part of the rule is evaluated row by row; `None` for a rule that runs on columns alone.
pub(crate) fn by_row(rule: &CompiledRule) -> Option<&'static str> {
    fn reason(detection: &CompiledDetection) -> Option<&'static str> {
        match detection {
            CompiledDetection::AllOf(items) => items
                .iter()
                .any(|item| test::needs_event(&item.matcher) && !asks_only_lists(&item.matcher))
                .then_some("compares fields with each other"),
            CompiledDetection::AnyOf(parts) | CompiledDetection::And(parts) => {
                parts.iter().find_map(reason)
            }
            CompiledDetection::ArrayMatch { .. } => Some("asks about members of a list"),
            CompiledDetection::Conditional { .. } => Some("has a condition within a selection"),
            CompiledDetection::Keywords(_) => None,
        }
    }
    rule.detections.values().find_map(reason)
}
