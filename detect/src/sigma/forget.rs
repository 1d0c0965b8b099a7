//! Taking what an erasure names out of the windows of correlations.

use serde::Serialize;
use watchfire_event::Query;

use super::correlate::CorrelatorState;
use super::run::SigmaState;

impl SigmaState {
    /// Forgets the groups that name what the query asks for.
    pub(crate) fn forget(&mut self, query: &Query) {
        for state in self.correlators.values_mut() {
            state.forget(query);
        }
    }
}

impl CorrelatorState {
    /// Forgets the groups that name what the query asks for, by their keys or by what they know
    /// of their matches. Of values that are counted there are hashes alone.
    fn forget(&mut self, query: &Query) {
        for state in self.groups_of.values_mut() {
            state.groups.retain(|group| !mentions(query, group));
        }
    }
}

fn mentions<T: Serialize>(query: &Query, group: &T) -> bool {
    let mut texts = Vec::new();
    if let Ok(value) = serde_json::to_value(group) {
        crate::state::texts(&value, &mut texts);
    }
    query.is_mentioned_by(&texts)
}
