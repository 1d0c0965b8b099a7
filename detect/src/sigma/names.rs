//! The names of a field, made once for many batches.

use super::taxonomy::{Family, candidates};

/// What a name begins with before each of its dots, and the name itself.
pub(crate) fn stems(name: &str) -> impl Iterator<Item = &str> {
    let dots = name.match_indices('.').map(|(at, _)| at);
    let ends = dots.chain([name.len()]);
    ends.filter_map(|end| name.get(..end))
}

/// The names under which a field is looked for.
#[derive(Debug)]
pub(crate) struct FieldNames {
    pub(crate) name: String,
    pub(super) lower: String,
    /// What [`candidates`] gives: the values of all parts of one together.
    pub(super) candidates: Vec<Vec<Named>>,
}

/// A name that columns can have. All but `exact` is in lower case.
#[derive(Debug)]
pub(super) enum Named {
    /// The name itself; columns that spell it so come first.
    Plain { exact: String, lower: String },
    /// The path and the query of a request target.
    Target { path: String, query: String },
    /// Everything below a name that ends so.
    Between { above: String, suffix: String },
}

impl Named {
    fn read(exact: &str) -> Self {
        let lower = exact.to_lowercase();
        if let Some((path, query)) = lower.split_once('?') {
            let (path, query) = (path.to_owned(), query.to_owned());
            return Named::Target { path, query };
        }
        if let Some((above, leaf)) = lower.split_once(".*.") {
            let (above, suffix) = (above.to_owned(), format!(".{leaf}"));
            return Named::Between { above, suffix };
        }
        let exact = exact.to_owned();
        Named::Plain { exact, lower }
    }

    /// A column of this name has it, or has it before a dot and the rest of its own.
    fn stem(&self) -> &str {
        match self {
            Named::Plain { lower, .. } => lower,
            Named::Target { path, .. } => path,
            Named::Between { above, .. } => above,
        }
    }
}

impl FieldNames {
    /// The names of a rule's field.
    pub(crate) fn of(family: Family, name: &str) -> Self {
        let all = candidates(family, name);
        let parts = all.iter().map(|c| c.split('|').map(Named::read).collect());
        FieldNames {
            name: name.to_owned(),
            lower: name.to_lowercase(),
            candidates: parts.collect(),
        }
    }

    /// A column can be of this field only if it has one of these names, or one of them and a dot
    /// before the rest of its own.
    pub(crate) fn stems(&self) -> impl Iterator<Item = &str> {
        let parts = self.candidates.iter().flatten();
        parts.map(Named::stem).chain([self.lower.as_str()])
    }
}
