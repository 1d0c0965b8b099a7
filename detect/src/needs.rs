//! What a rule cannot do without: fields that no event has, log sources that no event is of.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::detectors::config::DetectorConfig;

/// What must be there for a rule to match. Says less rather than too much: what cannot be known
/// from names alone is taken as there.
#[derive(Debug, Clone)]
pub(crate) enum Need {
    /// A field, and the names under which it can come.
    Field {
        name: String,
        found_as: Arc<[String]>,
    },
    /// An event of this log source, `product/category/service`.
    Source(String),
    /// All of these.
    All(Vec<Need>),
    /// One of these; without any, nothing is needed.
    Any(Vec<Need>),
}

impl Need {
    /// Nothing is needed.
    pub(crate) const NOTHING: Need = Need::All(Vec::new());

    /// What a detector needs: who it is about, and the pair it watches.
    pub(crate) fn of_detector(config: &DetectorConfig) -> Need {
        let one_of = |fields: &[String]| {
            let field = |name: &String| Need::Field {
                name: name.clone(),
                found_as: Arc::new([name.to_lowercase()]),
            };
            Need::Any(fields.iter().map(field).collect())
        };
        Need::All(vec![one_of(&config.entity), one_of(&config.pair)])
    }

    /// What the rule lacks to match; nothing when it can.
    pub(crate) fn missing(&self, seen: &Seen) -> Lack {
        let mut lack = Lack::default();
        match self {
            Need::Field { name, found_as } => {
                if !seen.has_any(name, found_as) {
                    lack.fields.insert(name.clone());
                }
            }
            Need::Source(name) => {
                let unseen = |seen: &BTreeSet<String>| !seen.contains(name);
                if seen.sources.as_ref().is_some_and(unseen) {
                    lack.log_sources.insert(name.clone());
                }
            }
            Need::All(parts) => {
                parts.iter().for_each(|part| lack.add(part.missing(seen)));
            }
            Need::Any(parts) => {
                let lacking: Vec<Lack> = parts.iter().map(|part| part.missing(seen)).collect();
                if !lacking.iter().any(Lack::is_nothing) {
                    lacking.into_iter().for_each(|part| lack.add(part));
                }
            }
        }
        lack
    }
}

/// What a rule lacks to match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lack {
    /// Fields that no event has.
    pub fields: BTreeSet<String>,
    /// Log sources that no event is of, `product/category/service`.
    pub log_sources: BTreeSet<String>,
}

impl Lack {
    /// Does it lack nothing?
    pub fn is_nothing(&self) -> bool {
        self.fields.is_empty() && self.log_sources.is_empty()
    }

    fn add(&mut self, other: Lack) {
        self.fields.extend(other.fields);
        self.log_sources.extend(other.log_sources);
    }
}

/// What events have: fields, lower case, and log sources.
pub(crate) struct Seen {
    names: BTreeSet<String>,
    /// Log sources that events were of; none where that is not known.
    sources: Option<BTreeSet<String>>,
    /// Answers given: thousands of rules ask for a few hundred fields.
    known: RefCell<HashMap<String, bool>>,
}

impl Seen {
    pub(crate) fn new(names: &[&str], sources: Option<&[&str]>) -> Self {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Seen {
            names: set(names),
            sources: sources.map(set),
            known: RefCell::default(),
        }
    }

    /// Is the field of this name there under one of these?
    fn has_any(&self, name: &str, found_as: &[String]) -> bool {
        if let Some(there) = self.known.borrow().get(name) {
            return *there;
        }
        let there = found_as.iter().any(|candidate| self.has(candidate));
        self.known.borrow_mut().insert(name.to_owned(), there);
        there
    }

    /// Is there a field of this name, or one below it? The name may be a candidate of the
    /// taxonomy: `a|b` is either, `a?b` needs `a`, `a.*.b` is `b` below `a`.
    fn has(&self, candidate: &str) -> bool {
        candidate.split('|').any(|part| {
            let part = part.split('?').next().unwrap_or(part);
            match part.split_once(".*.") {
                Some((above, _)) => self.is_under(above),
                None => self.names.contains(part) || self.is_under(part),
            }
        })
    }

    fn is_under(&self, above: &str) -> bool {
        let prefix = format!("{above}.");
        let mut from = self.names.range(prefix.clone()..);
        from.next().is_some_and(|name| name.starts_with(&prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Need {
        Need::Field {
            name: name.to_owned(),
            found_as: Arc::new([name.to_owned()]),
        }
    }

    #[test]
    fn what_is_missing() {
        let seen = Seen::new(&["a", "b.c", "path"], Some(&["aws/*/cloudtrail"]));
        let of = |name: &str| Need::Source(name.to_owned());
        let either = |x, y| Need::Any(vec![field(x), field(y)]);
        let both = |x, y| Need::All(vec![field(x), field(y)]);
        for (need, expected) in [
            (field("a"), vec![]),
            (field("b"), vec![]),
            (field("c"), vec!["c"]),
            (field("path?query"), vec![]),
            (field("query?path"), vec!["query?path"]),
            (field("x|a"), vec![]),
            (field("b.*.d"), vec![]),
            (either("a", "x"), vec![]),
            (either("y", "x"), vec!["x", "y"]),
            (both("a", "x"), vec!["x"]),
            (Need::Any(Vec::new()), vec![]),
            (of("aws/*/cloudtrail"), vec![]),
            (of("okta/*/okta"), vec!["okta/*/okta"]),
            (
                Need::All(vec![of("okta/*/okta"), field("x")]),
                vec!["x", "okta/*/okta"],
            ),
            (Need::NOTHING, vec![]),
        ] {
            let Lack {
                fields,
                log_sources,
            } = need.missing(&seen);
            let missing: Vec<_> = fields.into_iter().chain(log_sources).collect();
            assert_eq!(missing, expected, "{need:?}");
        }
        let unknown = Seen::new(&[], None);
        assert!(of("okta/*/okta").missing(&unknown).is_nothing());
    }
}
