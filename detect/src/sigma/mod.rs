//! Sigma rules over the rows of a batch.
//!
//! Every row is classified by its log source ([`logsource`]); the rules that may see a class form
//! one [`program`], compiled when the first event of the class comes. A class costs an event only
//! what its own rules cost: a web request never meets the two thousand rules for Windows.

pub(crate) mod book;
mod classes;
mod component;
pub(crate) mod correlate;
mod detail;
pub(crate) mod event;
mod flood;
mod forget;
mod groups;
pub(crate) mod listed;
pub(crate) mod load;
mod logsource;
mod measures;
mod memory;
mod named;
mod names;
mod needs;
pub(crate) mod pipelines;
pub(crate) mod prefilter;
mod program;
mod reads;
pub(crate) mod run;
mod scan;
mod strings;
pub(crate) mod taxonomy;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod told;
mod trace;
mod value;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ahash::HashMap;
use rsigma_eval::result::MatchDetailLevel;
use rsigma_eval::{CompiledRule, Engine};
use rsigma_parser::{FilterRule, SigmaCollection};
use watchfire_event::{AlertKind, RuleRef};

use self::component::Component;
use self::load::{Loaded, Place, severity, tags, targets};
use self::logsource::{LogClass, admits, unknown_names};
use self::program::Program;
use self::scan::Spent;
use self::taxonomy::Family;
use crate::cost::Costs;
use crate::finding::Source;
use crate::ruleset::RuleFault;

/// Programs by their family and the places of their rules.
type Programs = HashMap<(Family, Vec<u32>), Arc<Program>>;

/// The Sigma rules of a set, ready to run.
#[derive(Default)]
pub(crate) struct SigmaRules {
    compiled: Vec<CompiledRule>,
    /// What alerts say of a rule or correlation, by id.
    sources: HashMap<String, Arc<Source>>,
    pub(crate) components: Vec<Component>,
    /// Rules and correlations that only feed correlations.
    silent: BTreeSet<String>,
    /// Components by the rule ids they take.
    feeds: HashMap<String, Vec<usize>>,
    unknown: BTreeSet<String>,
    /// Programs by their family and rules. Few: one for each kind of log source that events came
    /// from.
    programs: Mutex<Programs>,
    /// Places of the rules of each log source, made when the first class of events is seen.
    by_source: OnceLock<Vec<Vec<u32>>>,
    /// Engines of single rules, which explain their matches. Made when a rule first matches.
    alone: Mutex<HashMap<u32, Arc<Engine>>>,
}

impl std::fmt::Debug for SigmaRules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SigmaRules({} rules, {} correlations)",
            self.compiled.len(),
            self.components.len()
        )
    }
}

impl SigmaRules {
    /// Puts loaded documents together: filters into their rules, correlations with theirs.
    pub(crate) fn new(mut loaded: Loaded) -> (Self, Vec<crate::ruleset::RuleInfo>, Vec<RuleFault>) {
        let mut faults = std::mem::take(&mut loaded.faults);
        duplicates(&mut loaded, &mut faults);
        let (components, broken) =
            component::components(std::mem::take(&mut loaded.correlations), &loaded.rules);
        let live: BTreeSet<_> = components
            .iter()
            .flat_map(|c| &c.correlations)
            .filter_map(|c| c.id.clone())
            .collect();
        loaded
            .infos
            .retain(|i| i.kind != crate::ruleset::RuleKind::Correlation || live.contains(&i.id));
        faults.extend(broken);
        let mut rules = SigmaRules {
            unknown: unknown_names(loaded.rules.iter().map(|r| &r.rule.logsource)),
            silent: components.iter().flat_map(Component::silent).collect(),
            ..SigmaRules::default()
        };
        for (i, component) in components.iter().enumerate() {
            for id in component.rule_ids() {
                rules.feeds.entry(id.to_owned()).or_default().push(i);
            }
            for c in &component.correlations {
                rules.note(c.id.as_deref(), &c.title, c.level, &c.tags);
            }
        }
        rules.components = components;
        for loaded in loaded.rules {
            let rule = &loaded.rule;
            rules.note(rule.id.as_deref(), &rule.title, rule.level, &rule.tags);
            rules.compiled.push(loaded.compiled);
        }
        rules.filter(&loaded.filters, &mut faults);
        rules.note_conditions();
        (rules, loaded.infos, faults)
    }

    /// Lets alerts say the condition of their rule, filters included.
    fn note_conditions(&mut self) {
        for rule in &self.compiled {
            let id = rule.id.as_deref().unwrap_or_default();
            let conditions: Vec<String> = rule.conditions.iter().map(|c| c.to_string()).collect();
            if let Some(source) = self.sources.get_mut(id) {
                Arc::make_mut(source).condition = Some(conditions.join(" or "));
            }
        }
    }

    fn note(
        &mut self,
        id: Option<&str>,
        title: &str,
        level: Option<rsigma_parser::Level>,
        rule_tags: &[String],
    ) {
        let id = id.unwrap_or_default();
        let severity = severity(level);
        let level = level.map_or(severity.as_str(), |l| l.as_str());
        let rule = RuleRef {
            id: id.to_owned(),
            title: title.to_owned(),
            level: level.to_owned(),
        };
        let source = Source {
            detector: format!("sigma:{id}"),
            kind: AlertKind::Rule,
            title: title.to_owned(),
            severity,
            tags: tags(rule_tags),
            rule: Some(rule),
            condition: None,
        };
        self.sources.insert(id.to_owned(), Arc::new(source));
    }

    /// Works filters into the rules they name.
    fn filter(&mut self, filters: &[(FilterRule, Place)], faults: &mut Vec<RuleFault>) {
        if filters.is_empty() {
            return;
        }
        for (filter, place) in filters {
            let known = |name: &String| {
                self.compiled
                    .iter()
                    .any(|r| r.id.as_ref() == Some(name) || r.title == *name)
            };
            let missing: Vec<_> = targets(filter).unwrap_or_default().iter().collect();
            for name in missing.into_iter().filter(|name| !known(name)) {
                let message = format!("the filter names {name}, which is no live rule");
                faults.push(place.fault("unknown_rule_ref", message));
            }
        }
        let mut engine = Engine::new();
        engine.extend_compiled_rules(self.compiled.drain(..));
        let collection = SigmaCollection {
            filters: filters.iter().map(|(f, _)| f.clone()).collect(),
            ..SigmaCollection::new()
        };
        // Each filter was compiled on its own when it was read, so this does not fail.
        if let Err(error) = engine.add_collection(&collection)
            && let Some((_, place)) = filters.first()
        {
            faults.push(place.fault("invalid_filter", error.to_string()));
        }
        self.compiled = engine.rules().to_vec();
    }

    /// The rules that may see events of `class`, those of one log source together. There are
    /// thousands of rules, and a few hundred log sources.
    fn admitted(&self, class: &LogClass) -> impl Iterator<Item = &Vec<u32>> {
        let by_source = self.by_source.get_or_init(|| {
            let mut by_source: BTreeMap<_, Vec<u32>> = BTreeMap::new();
            for (place, rule) in (0u32..).zip(&self.compiled) {
                let of = &rule.logsource;
                let named = (&of.product, &of.service, &of.category);
                by_source.entry(named).or_default().push(place);
            }
            by_source.into_values().collect()
        });
        let first = |rules: &Vec<u32>| self.compiled.get(*rules.first()? as usize);
        by_source
            .iter()
            .filter(move |rules| first(rules).is_some_and(|rule| admits(&rule.logsource, class)))
    }

    /// The program of the rules that may see events of `class`; `None` when there are none.
    fn program(&self, class: &LogClass) -> Option<Arc<Program>> {
        let admitted = self.admitted(class);
        let mut admitted: Vec<u32> = admitted.flatten().copied().collect();
        admitted.sort_unstable();
        if admitted.is_empty() {
            return None;
        }
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (class.family, admitted);
        let made = programs
            .entry(key)
            .or_insert_with_key(|(family, admitted)| {
                let rules = admitted
                    .iter()
                    .filter_map(|i| Some((*i, self.compiled.get(*i as usize)?)));
                Arc::new(Program::new(*family, rules.collect()))
            });
        Some(Arc::clone(made))
    }

    /// rsigma's engine with this rule alone, telling everything of its matches.
    fn alone(&self, rule: u32) -> Option<Arc<Engine>> {
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = alone.get(&rule) {
            return Some(Arc::clone(engine));
        }
        let mut engine = Engine::new();
        engine.set_match_detail(MatchDetailLevel::Full);
        engine.extend_compiled_rules([self.compiled.get(rule as usize)?.clone()]);
        let engine = Arc::new(engine);
        alone.insert(rule, Arc::clone(&engine));
        Some(engine)
    }

    fn id(&self, rule: u32) -> &str {
        let rule = self.compiled.get(rule as usize);
        rule.and_then(|rule| rule.id.as_deref()).unwrap_or_default()
    }

    /// Adds what deciding the rules of a program took.
    fn note_spent(&self, program: &Program, spent: &Spent, costs: &mut Costs) {
        for (rule, (asked, seconds)) in program.rules.iter().zip(spent) {
            if *asked > 0 {
                costs.add(self.id(rule.index), *asked, *seconds);
            }
        }
    }

    /// Products and services that rules name and the table of log sources does not know.
    fn unknown_names(&self) -> &BTreeSet<String> {
        &self.unknown
    }

    /// Ids of rules with parts that are evaluated row by row, and why.
    pub(crate) fn by_row(&self) -> Vec<(&str, &'static str)> {
        let reason = |rule| {
            Some((
                self.id(rule),
                program::by_row(self.compiled.get(rule as usize)?)?,
            ))
        };
        (0..self.compiled.len() as u32).filter_map(reason).collect()
    }
}

/// The first of several documents with one id is live, the others are named.
fn duplicates(loaded: &mut Loaded, faults: &mut Vec<RuleFault>) {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for info in &loaded.infos {
        if !seen.insert(info.id.clone()) {
            twice.insert(info.id.clone());
            faults.push(RuleFault {
                path: info.path.clone(),
                line: None,
                code: "duplicate_id",
                message: format!("another rule has the id {}", info.id),
            });
        }
    }
    if twice.is_empty() {
        return;
    }
    let mut kept = BTreeSet::new();
    loaded.infos.retain(|i| kept.insert(i.id.clone()));
    kept.clear();
    loaded
        .rules
        .retain(|r| kept.insert(r.rule.id.clone().unwrap_or_default()));
    loaded
        .correlations
        .retain(|(c, _)| kept.insert(c.id.clone().unwrap_or_default()));
}
