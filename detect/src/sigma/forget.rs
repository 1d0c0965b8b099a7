//! Taking what an erasure names out of the windows of correlations.

use rsigma_eval::GroupKey;
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
    /// Forgets the groups that name what the query asks for, by their keys or by a value that is
    /// counted in them.
    fn forget(&mut self, query: &Query) {
        fn keep<T: Serialize>(query: &Query, groups: &mut Vec<(GroupKey, T)>) {
            groups.retain(|group| !mentions(query, group));
        }
        let windows = &mut self.windows;
        windows.windows.values_mut().for_each(|w| keep(query, w));
        windows.last_alert.values_mut().for_each(|w| keep(query, w));
        // Compressed copies of events, which this engine does not ask for.
        windows.event_buffers.clear();
        let references = windows.event_ref_buffers.values_mut();
        references.for_each(|w| keep(query, w));
        self.groups
            .retain(|key, group| !mentions(query, &(key, &*group)));
    }
}

fn mentions<T: Serialize>(query: &Query, group: &T) -> bool {
    let mut texts = Vec::new();
    if let Ok(value) = serde_json::to_value(group) {
        crate::state::texts(&value, &mut texts);
    }
    query.is_mentioned_by(&texts)
}
