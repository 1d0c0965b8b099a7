//! What the filters of a SQL query say about segments and rows that need not be read.
//!
//! Bounds on the event time narrow the range, equalities become a [`Query`]. Both let pass more
//! than the filter does (a query knows no letter case), so DataFusion applies the filter again.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use watchfire_event::{Query, TimeRange, field};

/// A part of all events that holds every event a filter lets pass.
#[derive(Debug, Clone)]
pub(crate) struct Narrowed {
    pub range: TimeRange,
    pub query: Query,
}

impl Narrowed {
    /// All events.
    pub fn not() -> Narrowed {
        Narrowed {
            range: TimeRange::ALL,
            query: Query::all(),
        }
    }

    /// Does it leave anything out?
    pub fn is_narrower(&self) -> bool {
        self.range != TimeRange::ALL || !self.query.is_all()
    }

    /// Narrowed further by `filter`. `plain` are the fields whose values are the same to SQL and
    /// to queries: not lists and not JSON.
    #[must_use]
    pub fn by(self, filter: &Expr, plain: &BTreeSet<String>) -> Narrowed {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else {
            return self;
        };
        if *op == Operator::And {
            return self.by(left, plain).by(right, plain);
        }
        let (name, op, value) = match (left.as_ref(), right.as_ref()) {
            (Expr::Column(c), Expr::Literal(value, _)) => (&c.name, Some(*op), value),
            (Expr::Literal(value, _), Expr::Column(c)) => (&c.name, op.swap(), value),
            _ => return self,
        };
        let Some(op) = op else {
            return self;
        };
        if name == field::TIMESTAMP {
            return Narrowed {
                range: narrow(self.range, op, value),
                ..self
            };
        }
        let equal = equal_to(value).filter(|_| op == Operator::Eq && plain.contains(name));
        match equal.map(|value| Query::parse(&Query::field_equals(name, &value))) {
            Some(Ok(query)) => Narrowed {
                query: self.query.and(query),
                ..self
            },
            _ => self,
        }
    }
}

fn narrow(range: TimeRange, op: Operator, value: &ScalarValue) -> TimeRange {
    let ScalarValue::TimestampNanosecond(Some(ns), _) = value else {
        return range;
    };
    let (from_ns, to_ns) = match op {
        Operator::Gt | Operator::GtEq => (*ns, i64::MAX),
        Operator::Lt | Operator::LtEq => (i64::MIN, ns.saturating_add(1)),
        Operator::Eq => (*ns, ns.saturating_add(1)),
        _ => return range,
    };
    TimeRange {
        from_ns: range.from_ns.max(from_ns),
        to_ns: range.to_ns.min(to_ns),
    }
}

/// The text of a value that queries can look for.
fn equal_to(value: &ScalarValue) -> Option<String> {
    let text = match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            text.clone()?
        }
        ScalarValue::Int64(number) => number.as_ref()?.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{col, ident, lit};

    fn narrowed(filter: &Expr) -> (TimeRange, String) {
        let plain = BTreeSet::from(["a".to_owned(), "b.c".to_owned()]);
        let narrowed = Narrowed::not().by(filter, &plain);
        (narrowed.range, narrowed.query.text().to_owned())
    }

    #[test]
    fn bounds_and_equalities_narrow_and_the_rest_does_not() {
        let at = |ns| {
            lit(ScalarValue::TimestampNanosecond(
                Some(ns),
                Some("UTC".into()),
            ))
        };
        let time = || ident("@timestamp");
        let range = |from_ns, to_ns| TimeRange { from_ns, to_ns };
        let all = TimeRange::ALL;
        for (filter, expected_range, expected_query) in [
            (time().gt_eq(at(5)).and(time().lt(at(9))), range(5, 10), "*"),
            (at(5).lt(time()), range(5, i64::MAX), "*"),
            (time().eq(at(5)), range(5, 6), "*"),
            (time().not_eq(at(5)), all, "*"),
            (col("a").eq(lit("x\" y")), all, "a:\"x\\\" y\""),
            (ident("b.c").eq(lit(7_i64)), all, "b.c:\"7\""),
            (col("a").eq(lit("")), all, "*"),
            (col("a").not_eq(lit("x")), all, "*"),
            (col("list").eq(lit("x")), all, "*"),
            (col("a").eq(lit("x")).or(col("a").eq(lit("y"))), all, "*"),
        ] {
            assert_eq!(
                narrowed(&filter),
                (expected_range, expected_query.to_owned()),
                "{filter}"
            );
        }
    }
}
