//! Rules on trial beside the rules that are live: what they refer to there, and what there is about
//! them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::backtest::Backtest;
use crate::policy::RulePolicy;
use crate::ruleset::{RuleFault, RuleFile, RuleInfo, RuleKind, RuleSet};
use crate::sigma::load::{documents as documents_of, identity, targets};
use crate::sigma::pipelines::Pipelines;

impl RuleSet {
    /// As [`RuleSet::load`], with the threat lists, the pipelines and the filters of `live`, and
    /// those of its rules that the files refer to and do not have: what the files would be beside
    /// its rules. With the ids of what stands in the files themselves, and of the live rules that
    /// filters in them are about.
    pub fn load_beside(
        files: &[RuleFile],
        live: &RuleSet,
    ) -> (RuleSet, Vec<RuleFault>, BTreeSet<String>) {
        let (more, faults) = Pipelines::read(files);
        let known = |file: &RuleFile| live.infos.iter().any(|info| info.path == file.path);
        let pipelines = match files.iter().all(known) {
            true => live.pipelines.as_ref().clone(),
            false => live.pipelines.everywhere(more),
        };
        let said = Said::by(files);
        let mut wanted: Vec<&RuleInfo> = Vec::new();
        for name in said.takes.difference(&said.own).chain(&said.about) {
            live.add(name, &mut wanted);
        }
        live.add_filters(&said.own, &mut wanted);
        wanted.retain(|info| !said.own.contains(&info.id));
        let mut all = files.to_vec();
        all.extend(documents(&wanted));
        let (set, faults) = RuleSet::load_all(&all, Arc::clone(live.lists()), pipelines, faults);
        let counts = |info: &&RuleInfo| {
            let is_about = || said.about.iter().any(|name| is_called(info, name));
            is_about() || !wanted.iter().any(|w| w.id == info.id)
        };
        let ids = set.infos.iter().filter(counts).map(|info| info.id.clone());
        let ids = ids.collect();
        (set, faults, ids)
    }

    /// The live rule of this id and all that belongs to it, as files: what it refers to, the
    /// correlations that take it, the filters that are about any of these.
    pub(crate) fn with_parts(&self, id: &str) -> Vec<RuleFile> {
        let mut wanted = Vec::new();
        self.add(id, &mut wanted);
        let takes = |info: &&RuleInfo| {
            let names = |rule: &RuleInfo| info.refs.iter().any(|name| is_called(rule, name));
            info.kind == RuleKind::Correlation && self.info(id).is_some_and(names)
        };
        for info in self.infos.iter().filter(takes) {
            self.add(&info.id, &mut wanted);
        }
        self.add_filters(&BTreeSet::new(), &mut wanted);
        documents(&wanted)
    }

    /// Adds the live rule of this id or name with all that it refers to.
    fn add<'a>(&'a self, name: &str, wanted: &mut Vec<&'a RuleInfo>) {
        let known = |info: &&RuleInfo| is_called(info, name);
        let Some(info) = self.infos.iter().find(known) else {
            return;
        };
        if wanted.iter().any(|w| w.id == info.id) {
            return;
        }
        wanted.push(info);
        info.refs.iter().for_each(|name| self.add(name, wanted));
    }

    /// Adds the filters that are about any of the rules, or about all rules.
    fn add_filters<'a>(&'a self, names: &BTreeSet<String>, wanted: &mut Vec<&'a RuleInfo>) {
        let rules = wanted.clone();
        let is_about = |info: &&RuleInfo| {
            let named = |name: &String| {
                names.contains(name) || rules.iter().any(|rule| is_called(rule, name))
            };
            info.refs.is_empty() || info.refs.iter().any(named)
        };
        let filters = self.infos.iter().filter(|i| i.kind == RuleKind::Filter);
        let is_new = |info: &&RuleInfo| !rules.iter().any(|rule| rule.id == info.id);
        let filters: Vec<_> = filters.filter(is_about).filter(is_new).collect();
        for filter in filters {
            wanted.push(filter);
            // It may be about others too, which it must not miss.
            filter.refs.iter().for_each(|name| self.add(name, wanted));
        }
    }
}

fn is_called(info: &RuleInfo, name: &str) -> bool {
    info.id == name || info.name.as_deref() == Some(name)
}

/// The documents of rules, each once.
fn documents(infos: &[&RuleInfo]) -> Vec<RuleFile> {
    let mut seen = BTreeSet::new();
    let mut file = |info: &&RuleInfo| {
        seen.insert((info.path.clone(), info.text.as_ptr() as usize))
            .then(|| RuleFile {
                path: info.path.clone(),
                text: info.text.to_string(),
            })
    };
    infos.iter().filter_map(&mut file).collect()
}

impl Backtest {
    /// Goes by these settings and exceptions, as the live rules do. Matches are counted before
    /// them, alerts after. To be said before [`Backtest::without`].
    #[must_use]
    pub fn under(mut self, policy: &Arc<RulePolicy>) -> Self {
        self.engine.set_policy(Arc::clone(policy));
        self
    }
}

/// What documents of Sigma say of themselves and of others.
#[derive(Default)]
struct Said {
    /// Their ids and names.
    own: BTreeSet<String>,
    /// What their correlations take.
    takes: BTreeSet<String>,
    /// What their filters are about.
    about: BTreeSet<String>,
}

impl Said {
    fn by(files: &[RuleFile]) -> Said {
        let mut said = Said::default();
        for (_, text) in files.iter().flat_map(|file| documents_of(&file.text)) {
            let Ok(read) = rsigma_parser::parse_sigma_yaml(text) else {
                continue;
            };
            for rule in read.rules {
                said.own.insert(identity(&rule.id, &rule.name, &rule.title));
                said.own.extend(rule.name);
            }
            for rule in read.correlations {
                said.own.insert(identity(&rule.id, &rule.name, &rule.title));
                said.own.extend(rule.name);
                said.takes.extend(rule.rules);
            }
            for filter in read.filters {
                said.own
                    .insert(identity(&filter.id, &filter.name, &filter.title));
                said.about
                    .extend(targets(&filter).unwrap_or_default().iter().cloned());
            }
        }
        said
    }
}
