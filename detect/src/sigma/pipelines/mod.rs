//! Processing pipelines: rules are rewritten for the names and values of a site before they run.
//!
//! The format is pySigma's ("Processing Pipelines" of its documentation). rsigma reads the
//! transformations and applies most of them; what it would pass over in silence is refused when a
//! pipeline is read ([`read`]), and placeholders are filled in here ([`placeholders`]), in values
//! with the modifier `expand` alone.
//!
//! A pipeline applies to the rules of the folder that it is in, or that its `pipelines` folder is
//! in, and of all folders below.

pub(crate) mod placeholders;
mod read;

use std::collections::{BTreeMap, HashMap};

use rsigma_eval::pipeline::conditions::{NamedRuleCondition, all_rule_conditions_match};
use rsigma_eval::pipeline::{DetectionItemCondition, FieldNameCondition, eval_condition_expr};
use rsigma_eval::{EvalError, Pipeline, PipelineState, TransformationItem};
use rsigma_parser::{CorrelationRule, FilterRule, LogSource, SigmaRule, SigmaValue};
use sha2::{Digest, Sha256};

use self::placeholders::Fill;
use super::load::{Place, documents};
use crate::ruleset::{PipelineInfo, RuleFault, RuleFile, is_tests};

/// A transformation and what is ours of it.
#[derive(Debug, Clone)]
struct Step {
    item: TransformationItem,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// rsigma applies it.
    Transform,
    /// Placeholders are filled in.
    Fill(Fill),
    /// Steps under the same conditions.
    Nest(Vec<Step>),
}

/// A pipeline as it was read.
#[derive(Debug, Clone)]
struct SitePipeline {
    name: String,
    priority: i32,
    path: String,
    line: u32,
    /// Paths of the rules that it is for begin so.
    root: String,
    vars: HashMap<String, Vec<SigmaValue>>,
    steps: Vec<Step>,
    /// The same steps for correlations, which rsigma applies by itself.
    of_correlations: Pipeline,
    /// SHA-256 of its text.
    digest: [u8; 32],
}

/// The pipelines of a set of rules, in the order in which they apply.
#[derive(Debug, Default, Clone)]
pub(crate) struct Pipelines {
    list: Vec<SitePipeline>,
}

/// Is this file one of pipelines?
pub(crate) fn is_pipelines(file: &RuleFile) -> bool {
    in_folder(&file.path).is_some() || file.text.lines().any(begins_one)
}

/// Is this document a pipeline?
pub(crate) fn is_pipeline(path: &str, text: &str) -> bool {
    in_folder(path).is_some() || text.lines().any(begins_one)
}

fn begins_one(line: &str) -> bool {
    line.starts_with("transformations:")
}

/// What stands before the folder `pipelines` in a path.
fn in_folder(path: &str) -> Option<&str> {
    const FOLDER: &str = "pipelines/";
    let at = path.rfind(FOLDER)?;
    let before = path.get(..at)?;
    (before.is_empty() || before.ends_with('/')).then_some(before)
}

impl Pipelines {
    /// Reads the pipelines among `files`. One with a fault does not apply at all.
    pub(crate) fn read(files: &[RuleFile]) -> (Pipelines, Vec<RuleFault>) {
        let (mut list, mut faults) = (Vec::new(), Vec::new());
        let files = files.iter().filter(|f| !is_tests(&f.path));
        for file in files.filter(|f| is_pipelines(f)) {
            let root = in_folder(&file.path).unwrap_or_else(|| {
                let folder = file.path.rfind('/').map_or(0, |at| at + 1);
                file.path.get(..folder).unwrap_or_default()
            });
            for (line, text) in documents(&file.text) {
                if !is_pipeline(&file.path, text) {
                    continue;
                }
                let place = Place {
                    path: file.path.clone(),
                    line,
                    text: text.into(),
                };
                match read::pipeline(text, &place) {
                    Ok(read) => list.push(SitePipeline {
                        root: root.to_owned(),
                        path: place.path,
                        line,
                        digest: Sha256::digest(text).into(),
                        ..read
                    }),
                    Err(fault) => faults.push(*fault),
                }
            }
        }
        // Stable: of one priority, the order of the files.
        list.sort_by_key(|pipeline: &SitePipeline| pipeline.priority);
        (Pipelines { list }, faults)
    }

    /// These pipelines and then `more` of the same or a lower priority, for rules wherever they
    /// are: of a text that is only tried it is not known where it will be.
    pub(crate) fn everywhere(&self, more: Pipelines) -> Pipelines {
        let mut list = self.list.clone();
        list.extend(more.list);
        list.iter_mut().for_each(|pipeline| pipeline.root.clear());
        list.sort_by_key(|pipeline| pipeline.priority);
        Pipelines { list }
    }

    /// What is told of each, with the number of rules that it changed by path and line.
    pub(crate) fn infos(&self, changed: &BTreeMap<(String, u32), usize>) -> Vec<PipelineInfo> {
        let info = |pipeline: &SitePipeline| PipelineInfo {
            name: pipeline.name.clone(),
            path: pipeline.path.clone(),
            line: pipeline.line,
            priority: pipeline.priority,
            changed: *changed
                .get(&(pipeline.path.clone(), pipeline.line))
                .unwrap_or(&0),
        };
        self.list.iter().map(info).collect()
    }

    /// Stands for the texts of all pipelines.
    pub(crate) fn digest(&self) -> Vec<u8> {
        self.list.iter().flat_map(|p| p.digest).collect()
    }

    fn of<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a SitePipeline> {
        let applies = move |p: &&SitePipeline| path.starts_with(&p.root);
        self.list.iter().filter(applies)
    }

    /// Applies the pipelines to a rule; gives those that changed it.
    pub(crate) fn apply(
        &self,
        rule: &mut SigmaRule,
        place: &Place,
    ) -> Result<Vec<Changed>, RuleFault> {
        let mut changed = Vec::new();
        for pipeline in self.of(&place.path) {
            let before = rule.clone();
            let mut state = PipelineState::default();
            run(&pipeline.steps, rule, &mut state, pipeline, (&[], &[]))
                .map_err(|error| refused(pipeline, &error, place))?;
            if *rule != before {
                changed.push(pipeline.changed());
            }
        }
        Ok(changed)
    }

    /// Applies the pipelines to a correlation: to the fields that it groups by and counts.
    pub(crate) fn apply_to_correlation(
        &self,
        correlation: &mut CorrelationRule,
        place: &Place,
    ) -> Result<Vec<Changed>, RuleFault> {
        let mut changed = Vec::new();
        for pipeline in self.of(&place.path) {
            let before = correlation.clone();
            let mut state = PipelineState::default();
            pipeline
                .of_correlations
                .apply_to_correlation(correlation, &mut state)
                .map_err(|error| refused(pipeline, &error, place))?;
            if *correlation != before {
                changed.push(pipeline.changed());
            }
        }
        Ok(changed)
    }

    /// Applies the pipelines to what a filter says of events, as to a rule of its log source.
    pub(crate) fn apply_to_filter(
        &self,
        filter: &mut FilterRule,
        place: &Place,
    ) -> Result<Vec<Changed>, RuleFault> {
        let mut rule = as_rule(filter);
        let changed = self.apply(&mut rule, place)?;
        filter.detection = rule.detection;
        if filter.logsource.is_some() {
            filter.logsource = Some(rule.logsource);
        }
        Ok(changed)
    }
}

/// A pipeline that changed a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) name: String,
    /// Where it is.
    pub(crate) place: (String, u32),
}

impl SitePipeline {
    fn changed(&self) -> Changed {
        Changed {
            name: self.name.clone(),
            place: (self.path.clone(), self.line),
        }
    }
}

fn refused(pipeline: &SitePipeline, error: &EvalError, place: &Place) -> RuleFault {
    let message = match error {
        EvalError::InvalidModifiers(message) => message.clone(),
        error => error.to_string(),
    };
    let message = format!("{}: {message}", pipeline.name);
    place.fault("refused_by_pipeline", message)
}

type ItemConditions<'a> = (&'a [DetectionItemCondition], &'a [FieldNameCondition]);

/// Runs the steps whose conditions hold, each under those of the steps that it is nested in.
fn run(
    steps: &[Step],
    rule: &mut SigmaRule,
    state: &mut PipelineState,
    pipeline: &SitePipeline,
    outer: ItemConditions<'_>,
) -> Result<(), EvalError> {
    for step in steps {
        let item = &step.item;
        if !holds(item, rule, state) {
            continue;
        }
        state.reset_detection_item();
        let items = [outer.0, &item.detection_item_conditions].concat();
        let names = [outer.1, &item.field_name_conditions].concat();
        let applied = match &step.what {
            What::Transform => {
                let not = item.field_name_cond_not;
                item.transformation
                    .apply(rule, state, &items, &names, not)?
            }
            What::Fill(fill) => {
                placeholders::fill(rule, &pipeline.vars, fill);
                true
            }
            What::Nest(steps) => {
                run(steps, rule, state, pipeline, (&items, &names))?;
                true
            }
        };
        if let (Some(id), true) = (&item.id, applied) {
            state.mark_applied(id);
        }
    }
    Ok(())
}

fn holds(item: &TransformationItem, rule: &SigmaRule, state: &PipelineState) -> bool {
    let Some(expression) = &item.rule_cond_expr else {
        return all_rule_conditions_match(&item.rule_conditions, rule, state);
    };
    let one = |condition: &NamedRuleCondition| {
        let holds = condition.condition.matches_rule(rule, state);
        Some((condition.id.clone()?, holds))
    };
    let results = item.rule_conditions.iter().filter_map(one).collect();
    eval_condition_expr(expression, &results)
}

/// A rule with the log source and the detection of a filter.
fn as_rule(filter: &FilterRule) -> SigmaRule {
    SigmaRule {
        title: filter.title.clone(),
        logsource: filter.logsource.clone().unwrap_or(LogSource {
            category: None,
            product: None,
            service: None,
            definition: None,
            custom: HashMap::new(),
        }),
        detection: filter.detection.clone(),
        sigma_version: filter.sigma_version,
        id: filter.id.clone(),
        name: filter.name.clone(),
        related: Vec::new(),
        taxonomy: filter.taxonomy.clone(),
        status: filter.status,
        description: None,
        license: None,
        author: None,
        references: Vec::new(),
        date: None,
        modified: None,
        fields: Vec::new(),
        falsepositives: Vec::new(),
        level: filter.level,
        tags: filter.tags.clone(),
        scope: Vec::new(),
        custom_attributes: HashMap::new(),
    }
}

#[cfg(test)]
mod tests;
