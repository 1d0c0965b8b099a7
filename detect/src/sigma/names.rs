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
    /// As [`candidates`] gives them, and in lower case.
    pub(super) candidates: Vec<(String, String)>,
}

impl FieldNames {
    /// The names of a rule's field.
    pub(crate) fn of(family: Family, name: &str) -> Self {
        let all = candidates(family, name).into_iter();
        FieldNames {
            name: name.to_owned(),
            lower: name.to_lowercase(),
            candidates: all.map(|c| (c.to_string(), c.to_lowercase())).collect(),
        }
    }

    /// A column can be of this field only if it has one of these names, or one of them and a dot
    /// before the rest of its own.
    pub(crate) fn stems(&self) -> impl Iterator<Item = &str> {
        fn of_one(part: &str) -> &str {
            let path = part.split_once('?').map_or(part, |(path, _)| path);
            path.split_once(".*.").map_or(path, |(above, _)| above)
        }
        let parts = self
            .candidates
            .iter()
            .flat_map(|(_, lower)| lower.split('|'));
        parts.map(of_one).chain([self.lower.as_str()])
    }
}
