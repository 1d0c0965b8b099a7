//! Rules as expressions over tests, and the tests without which a rule cannot be true.

use std::collections::HashMap;

use rsigma_eval::{CompiledDetection, CompiledDetectionItem, CompiledMatcher, CompiledRule};
use rsigma_parser::{ArrayQuantifier, ConditionExpr, Quantifier};

use super::literals::need;
use super::test::{Test, needs_event};
use crate::sigma::listed::asks_only_lists;

/// A rule's condition. Parts that cost least come first.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    /// Always this.
    Is(bool),
    /// The test of this number holds.
    Test(u32),
    /// The part of this number holds when rsigma evaluates it on the row.
    Row(u32),
    All(Box<[Expr]>),
    Any(Box<[Expr]>),
    AtLeast(u64, Box<[Expr]>),
    Not(Box<Expr>),
}

/// What an expression is asked of.
pub(crate) trait Facts {
    /// Does the test hold?
    fn test(&mut self, test: u32) -> bool;
    /// Does the part hold?
    fn row_part(&mut self, part: u32) -> bool;
}

impl Expr {
    /// Is it true?
    pub(crate) fn holds(&self, facts: &mut impl Facts) -> bool {
        match self {
            Expr::Is(answer) => *answer,
            Expr::Test(test) => facts.test(*test),
            Expr::Row(part) => facts.row_part(*part),
            Expr::All(parts) => parts.iter().all(|part| part.holds(facts)),
            Expr::Any(parts) => parts.iter().any(|part| part.holds(facts)),
            Expr::AtLeast(wanted, parts) => {
                let mut count = 0;
                parts.iter().any(|part| {
                    count += u64::from(part.holds(facts));
                    count >= *wanted
                })
            }
            Expr::Not(part) => !part.holds(facts),
        }
    }

    fn cost(&self) -> u8 {
        match self {
            Expr::Is(_) => 0,
            Expr::Test(_) => 1,
            Expr::Not(part) => part.cost().max(1) + 1,
            Expr::All(parts) | Expr::Any(parts) | Expr::AtLeast(_, parts) => {
                let most = parts.iter().map(Expr::cost).max();
                most.unwrap_or(0).saturating_add(1)
            }
            Expr::Row(_) => 100,
        }
    }
}

fn all(mut parts: Vec<Expr>) -> Expr {
    parts.sort_by_key(Expr::cost);
    match parts.len() {
        1 => parts.remove(0),
        _ => Expr::All(parts.into()),
    }
}

fn any(mut parts: Vec<Expr>) -> Expr {
    parts.sort_by_key(Expr::cost);
    match parts.len() {
        1 => parts.remove(0),
        _ => Expr::Any(parts.into()),
    }
}

/// Where a test looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// At the field of this number.
    Field(u32),
    /// At every text of the event.
    Keywords,
}

/// A test with what is known of it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) place: Place,
    pub(crate) test: Test,
    /// How little it selects; lower is better.
    width: (u8, usize),
}

/// Part of a rule that is evaluated on rows.
#[derive(Debug)]
pub(crate) struct RowPart {
    /// A rule that is nothing but the part.
    pub(crate) rule: CompiledRule,
    /// A test that must hold for it.
    anchor: Option<u32>,
}

/// Turns rules into expressions; equal tests get one number.
#[derive(Debug, Default)]
pub(crate) struct Lowering {
    pub(crate) fields: Vec<String>,
    pub(crate) tests: Vec<Known>,
    pub(crate) row_parts: Vec<RowPart>,
    by_field: HashMap<String, u32>,
    by_key: HashMap<(Place, String), u32>,
}

impl Lowering {
    /// The rule's condition.
    pub(crate) fn rule(&mut self, rule: &CompiledRule) -> Expr {
        let conditions = rule.conditions.iter();
        let parts = conditions.map(|c| self.condition(c, rule)).collect();
        any(parts)
    }

    fn condition(&mut self, condition: &ConditionExpr, rule: &CompiledRule) -> Expr {
        match condition {
            ConditionExpr::Identifier(name) => match rule.detections.get(name) {
                Some(detection) => self.detection(detection, rule),
                None => Expr::Is(false),
            },
            ConditionExpr::And(parts) => {
                all(parts.iter().map(|p| self.condition(p, rule)).collect())
            }
            ConditionExpr::Or(parts) => {
                any(parts.iter().map(|p| self.condition(p, rule)).collect())
            }
            ConditionExpr::Not(part) => Expr::Not(Box::new(self.condition(part, rule))),
            ConditionExpr::Selector {
                quantifier,
                pattern,
            } => {
                let detections = rule.detections.iter();
                let mut chosen: Vec<_> = detections
                    .filter(|(name, _)| pattern.matches_detection_name(name))
                    .collect();
                // The map's own order differs from run to run.
                chosen.sort_by_key(|(name, _)| *name);
                let parts = chosen
                    .into_iter()
                    .map(|(_, detection)| self.detection(detection, rule))
                    .collect();
                match quantifier {
                    Quantifier::Any => any(parts),
                    Quantifier::All => all(parts),
                    Quantifier::Count(0) => Expr::Is(true),
                    Quantifier::Count(wanted) => Expr::AtLeast(*wanted, parts.into()),
                }
            }
        }
    }

    fn detection(&mut self, detection: &CompiledDetection, rule: &CompiledRule) -> Expr {
        match detection {
            CompiledDetection::AllOf(items) => {
                all(items.iter().map(|item| self.item(item, rule)).collect())
            }
            CompiledDetection::AnyOf(parts) => {
                any(parts.iter().map(|p| self.detection(p, rule)).collect())
            }
            CompiledDetection::And(parts) => {
                all(parts.iter().map(|p| self.detection(p, rule)).collect())
            }
            CompiledDetection::Keywords(matcher) => {
                self.test(Place::Keywords, Test::Matches(matcher.clone()))
            }
            CompiledDetection::ArrayMatch {
                field, quantifier, ..
            } => {
                let wants_one = matches!(quantifier, ArrayQuantifier::Any | ArrayQuantifier::All);
                let anchor = wants_one.then_some(field.as_str());
                self.row_part(detection.clone(), anchor, rule)
            }
            CompiledDetection::Conditional { .. } => self.row_part(detection.clone(), None, rule),
        }
    }

    fn item(&mut self, item: &CompiledDetectionItem, rule: &CompiledRule) -> Expr {
        let Some(field) = &item.field else {
            return match item.exists {
                Some(wanted) => Expr::Is(!wanted),
                None => self.test(Place::Keywords, Test::Matches(item.matcher.clone())),
            };
        };
        let lists = item.exists.is_none() && asks_only_lists(&item.matcher);
        if item.exists.is_none() && !lists && needs_event(&item.matcher) {
            let alone = CompiledDetection::AllOf(vec![item.clone()]);
            return self.row_part(alone, Some(field), rule);
        }
        let test = match (item.exists, &item.matcher) {
            (Some(wanted), _) => Test::Exists(wanted),
            (None, CompiledMatcher::Null) => Test::Null,
            (None, matcher) if lists => Test::Listed(matcher.clone()),
            (None, matcher) => Test::Matches(matcher.clone()),
        };
        let place = self.field(field);
        self.test(place, test)
    }

    fn field(&mut self, name: &str) -> Place {
        if let Some(field) = self.by_field.get(name) {
            return Place::Field(*field);
        }
        let field = u32::try_from(self.fields.len()).unwrap_or(u32::MAX);
        self.fields.push(name.to_owned());
        self.by_field.insert(name.to_owned(), field);
        Place::Field(field)
    }

    fn test(&mut self, place: Place, test: Test) -> Expr {
        let next = u32::try_from(self.tests.len()).unwrap_or(u32::MAX);
        let number = *self.by_key.entry((place, test.key())).or_insert(next);
        if number == next {
            let width = width(&test, place);
            self.tests.push(Known { place, test, width });
        }
        Expr::Test(number)
    }

    fn row_part(
        &mut self,
        detection: CompiledDetection,
        field: Option<&str>,
        rule: &CompiledRule,
    ) -> Expr {
        let anchor = field.map(|field| {
            let place = self.field(field);
            self.test(place, Test::Present)
        });
        let anchor = match anchor {
            Some(Expr::Test(test)) => Some(test),
            _ => None,
        };
        let name = "part".to_owned();
        let part = u32::try_from(self.row_parts.len()).unwrap_or(u32::MAX);
        let rule = CompiledRule {
            conditions: vec![ConditionExpr::Identifier(name.clone())],
            detections: HashMap::from([(name, detection)]),
            include_event: false,
            ..rule.clone()
        };
        self.row_parts.push(RowPart { rule, anchor });
        Expr::Row(part)
    }

    /// Tests of which at least one holds whenever the expression is true; `None` when it can be
    /// true without any.
    pub(crate) fn anchors(&self, expr: &Expr) -> Option<Vec<u32>> {
        match expr {
            Expr::Is(true) | Expr::Not(_) => None,
            Expr::Is(false) => Some(Vec::new()),
            Expr::Test(test) => {
                let known = self.tests.get(*test as usize)?;
                (!known.test.holds_without_value()).then(|| vec![*test])
            }
            Expr::Row(part) => Some(vec![self.row_parts.get(*part as usize)?.anchor?]),
            Expr::All(parts) => {
                let found = parts.iter().filter_map(|part| self.anchors(part));
                found.min_by_key(|tests| self.set_width(tests))
            }
            Expr::Any(parts) | Expr::AtLeast(_, parts) => {
                let found: Option<Vec<_>> = parts.iter().map(|part| self.anchors(part)).collect();
                Some(found?.into_iter().flatten().collect())
            }
        }
    }

    /// A set is as wide as its widest member.
    fn set_width(&self, tests: &[u32]) -> (u8, usize) {
        let known = tests.iter().filter_map(|t| self.tests.get(*t as usize));
        let widths = known.map(|known| known.width);
        widths.fold((0, 0), |all, one| (all.0.max(one.0), all.1 + one.1))
    }
}

/// How little the test selects. Keywords look at everything, so a field is preferred.
fn width(test: &Test, place: Place) -> (u8, usize) {
    const UNKNOWN: u8 = 7;
    const NEGATED: u8 = 8;
    const PRESENCE: u8 = 9;
    let (width, count) = match test {
        Test::Matches(CompiledMatcher::Not(_)) => (NEGATED, 1),
        Test::Matches(matcher) => need(matcher).map_or((UNKNOWN, 1), |need| need.width()),
        Test::Listed(_) => (UNKNOWN, 1),
        Test::Null | Test::Exists(_) | Test::Present => (PRESENCE, 1),
    };
    (width + u8::from(place == Place::Keywords), count)
}
