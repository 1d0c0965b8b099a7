//! What the matches of a window amount to, by the type of their correlation.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;

use rsigma_parser::{ConditionExpr, CorrelationType};

use super::windows::{Entry, Plan};

/// Values of a window that moves on, so that one after the other is not counted from the start.
#[derive(Default)]
pub(super) struct Running {
    values: HashMap<u64, u32, ahash::RandomState>,
    range: Range<usize>,
}

impl Running {
    /// Is the next window counted from the last one?
    pub(super) fn is_cheap(plan: &Plan) -> bool {
        matches!(
            plan.correlation.correlation_type,
            CorrelationType::EventCount | CorrelationType::ValueCount
        )
    }

    /// What the window amounts to, if the condition holds.
    pub(super) fn amounts_to(
        &mut self,
        plan: &Plan,
        entries: &VecDeque<Entry>,
        range: Range<usize>,
    ) -> Option<f64> {
        let correlation = &plan.correlation;
        let value = match correlation.correlation_type {
            CorrelationType::EventCount => range.len() as f64,
            CorrelationType::ValueCount => self.distinct(entries, range) as f64,
            CorrelationType::Temporal | CorrelationType::TemporalOrdered => {
                return over_time(plan, entries, range);
            }
            kind => {
                let numbers = entries.range(range).filter_map(|e| e.value);
                measure(
                    kind,
                    correlation.condition.percentile,
                    numbers.map(f64::from_bits),
                )?
            }
        };
        correlation.condition.check(value).then_some(value)
    }

    fn distinct(&mut self, entries: &VecDeque<Entry>, range: Range<usize>) -> usize {
        if range.start < self.range.start || range.start >= self.range.end {
            self.values.clear();
            self.range = range.start..range.start;
        }
        let values = |places: Range<usize>| entries.range(places).filter_map(|e| e.value);
        for value in values(self.range.end..range.end.max(self.range.end)) {
            *self.values.entry(value).or_default() += 1;
        }
        for value in values(self.range.start..range.start) {
            if let Some(count) = self.values.get_mut(&value) {
                *count -= 1;
                if *count == 0 {
                    self.values.remove(&value);
                }
            }
        }
        self.range = range;
        self.values.len()
    }
}

/// How many of the rules matched, if the condition holds.
fn over_time(plan: &Plan, entries: &VecDeque<Entry>, range: Range<usize>) -> Option<f64> {
    let correlation = &plan.correlation;
    let seen: HashSet<u16, ahash::RandomState> =
        entries.range(range.clone()).map(|e| e.part).collect();
    let is_seen = |part: &u16| seen.contains(part);
    if let Some(expression) = &correlation.extended_expr {
        let matched = |name: &str| plan.part(&[name]).is_some_and(|part| is_seen(&part));
        if !holds(expression, &matched) {
            return None;
        }
    }
    let value = match correlation.correlation_type {
        CorrelationType::Temporal => plan.first.iter().filter(|p| is_seen(p)).count(),
        _ if in_order(plan, entries, range) => plan.first.len(),
        _ => 0,
    };
    let is_said = correlation.extended_expr.is_some()
        && correlation.correlation_type == CorrelationType::Temporal;
    let value = value as f64;
    (is_said || correlation.condition.check(value)).then_some(value)
}

/// Did the rules match one after the other, or at the same time?
fn in_order(plan: &Plan, entries: &VecDeque<Entry>, range: Range<usize>) -> bool {
    let mut since = i64::MIN;
    plan.first.iter().all(|part| {
        // The soonest that will do leaves the most to those that follow.
        let next = entries
            .range(range.clone())
            .find(|e| e.part == *part && e.time >= since);
        next.is_some_and(|e| {
            since = e.time;
            true
        })
    })
}

/// A measure of numbers; none where there is none of them and it needs one.
fn measure(
    kind: CorrelationType,
    percentile: Option<u64>,
    numbers: impl Iterator<Item = f64>,
) -> Option<f64> {
    let numbers: Vec<f64> = numbers.collect();
    let sum = || numbers.iter().sum::<f64>();
    let rank = match kind {
        CorrelationType::ValueSum => return Some(sum()),
        CorrelationType::ValueAvg if numbers.is_empty() => return Some(0.0),
        CorrelationType::ValueAvg => return Some(sum() / numbers.len() as f64),
        CorrelationType::ValueMedian => 0.5,
        _ => percentile.unwrap_or(50).min(100) as f64 / 100.0,
    };
    let mut sorted: Vec<f64> = numbers.into_iter().filter(|n| n.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    // Between the two nearest, in proportion (Hyndman and Fan 1996, type 7).
    let at = rank * last as f64;
    let below = *sorted.get(at.floor() as usize)?;
    let above = *sorted.get((at.ceil() as usize).min(last))?;
    Some(below + (above - below) * at.fract())
}

/// Does an expression over rules hold?
fn holds(expression: &ConditionExpr, matched: &dyn Fn(&str) -> bool) -> bool {
    match expression {
        ConditionExpr::Identifier(name) => matched(name),
        ConditionExpr::And(parts) => parts.iter().all(|part| holds(part, matched)),
        ConditionExpr::Or(parts) => parts.iter().any(|part| holds(part, matched)),
        ConditionExpr::Not(part) => !holds(part, matched),
        // Quantifiers are over selections, of which a correlation has none.
        ConditionExpr::Selector { .. } => false,
    }
}
