//! A set of rules read from files: what could be read is live, what could not is named.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use watchfire_event::Severity;

use crate::detectors::config::DetectorConfig;
use crate::intel::IntelSet;
use crate::needs::{Lack, Need, Seen};
use crate::sigma::SigmaRules;
use crate::sigma::load::Loaded;
use crate::sigma::pipelines::Pipelines;

/// A rule file as text; reading it from disk is the caller's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile {
    /// Where it came from, for people.
    pub path: String,
    /// Its content, YAML.
    pub text: String,
}

/// A document that is not live, or not fully, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleFault {
    /// The file.
    pub path: String,
    /// First line of the document or of the fault in it, from 1.
    pub line: Option<u32>,
    /// Stable word for programs.
    pub code: &'static str,
    /// One sentence for people.
    pub message: String,
}

/// What kind of document a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// A Sigma detection rule.
    Sigma,
    /// A Sigma correlation rule.
    Correlation,
    /// A Sigma filter.
    Filter,
    /// A detector configured by a file.
    Detector,
}

/// A live rule, described.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleInfo {
    /// The rule's id.
    pub id: String,
    /// The rule's title.
    pub title: String,
    /// What kind of document it is.
    pub kind: RuleKind,
    /// Severity of its alerts.
    pub severity: Severity,
    /// Maturity, Sigma's word.
    pub status: Option<String>,
    /// Log source as `product/category/service`, `*` for what is not named.
    pub logsource: String,
    /// Tags, lower case.
    pub tags: Vec<String>,
    /// The file.
    pub path: String,
    /// Fields it reads.
    pub fields: Vec<String>,
    /// What it finds.
    pub description: Option<String>,
    /// Known benign causes.
    pub falsepositives: Vec<String>,
    /// Where to read on.
    pub references: Vec<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// Names of the pipelines that changed it before it was compiled.
    pub pipelines: Vec<String>,
    /// The name by which others refer to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of a correlation, the rules that it takes, and of a filter, those that it is about, by id
    /// or name; empty where a filter is about all.
    #[serde(skip)]
    pub refs: Vec<String>,
    /// The document, YAML; of a detector, its file.
    #[serde(skip)]
    pub text: Arc<str>,
}

/// A processing pipeline, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PipelineInfo {
    /// Its name; of one without, its path.
    pub name: String,
    /// The file.
    pub path: String,
    /// First line of the document, from 1.
    pub line: u32,
    /// Pipelines with a lower one apply first.
    pub priority: i32,
    /// Rules, correlations and filters that it changed.
    pub changed: usize,
}

/// Rules ready to be evaluated. Immutable; shared by engines.
#[derive(Debug, Default)]
pub struct RuleSet {
    pub(crate) infos: Vec<RuleInfo>,
    pub(crate) sigma: Arc<SigmaRules>,
    pub(crate) detectors: Vec<Arc<DetectorConfig>>,
    lists: Arc<IntelSet>,
    pub(crate) pipelines: Arc<Pipelines>,
    /// What is told of the pipelines.
    applied: Vec<PipelineInfo>,
    /// What rules need, by id; found when first asked for.
    needs: OnceLock<BTreeMap<String, Need>>,
}

impl RuleSet {
    /// Reads rule files. Every document stands for itself: a bad one is named in the faults and
    /// the others are live. Files ending in `.tests.yml` are skipped; a document with a top-level
    /// `detector:` key configures a detector, one with `transformations:` or in a folder
    /// `pipelines` is a processing pipeline, any other is Sigma. There are no threat lists.
    pub fn load(files: &[RuleFile]) -> (RuleSet, Vec<RuleFault>) {
        RuleSet::load_with(files, Arc::default())
    }

    /// As [`RuleSet::load`], with threat lists. A rule that asks for another list is named in the
    /// faults, with the code `unknown_list`.
    pub fn load_with(files: &[RuleFile], lists: Arc<IntelSet>) -> (RuleSet, Vec<RuleFault>) {
        let (pipelines, faults) = Pipelines::read(files);
        RuleSet::load_all(files, lists, pipelines, faults)
    }

    /// As [`RuleSet::load`], with given lists and pipelines.
    pub(crate) fn load_all(
        files: &[RuleFile],
        lists: Arc<IntelSet>,
        pipelines: Pipelines,
        mut faults: Vec<RuleFault>,
    ) -> (RuleSet, Vec<RuleFault>) {
        let pipelines = Arc::new(pipelines);
        let mut sigma = Loaded {
            lists: Arc::clone(&lists),
            pipelines: Arc::clone(&pipelines),
            ..Loaded::default()
        };
        let mut detectors: Vec<Arc<DetectorConfig>> = Vec::new();
        let mut described = Vec::new();
        for file in files.iter().filter(|f| !is_tests(&f.path)) {
            if !file.text.lines().any(|line| line.starts_with("detector:")) {
                sigma.file(file);
                continue;
            }
            let (configs, bad) = DetectorConfig::read(file, &lists);
            faults.extend(bad);
            for config in configs {
                if detectors.iter().any(|d| d.id == config.id) {
                    let message = format!("another detector has the id {}", config.id);
                    let path = file.path.clone();
                    faults.push(RuleFault {
                        path,
                        line: None,
                        code: "duplicate_id",
                        message,
                    });
                    continue;
                }
                described.push(config.info(file));
                detectors.push(Arc::new(config));
            }
        }
        let applied = pipelines.infos(&sigma.changed);
        let (sigma, mut infos, sigma_faults) = SigmaRules::new(sigma);
        faults.extend(sigma_faults);
        infos.extend(described);
        (
            RuleSet {
                infos,
                sigma: Arc::new(sigma),
                detectors,
                lists,
                pipelines,
                applied,
                needs: OnceLock::new(),
            },
            faults,
        )
    }

    /// The threat lists that rules and queries can ask for.
    pub fn lists(&self) -> &Arc<IntelSet> {
        &self.lists
    }

    /// The pipelines, in the order in which they apply.
    pub fn pipelines(&self) -> &[PipelineInfo] {
        &self.applied
    }

    /// The live rules: Sigma in the order of the files, then detectors.
    pub fn infos(&self) -> Vec<RuleInfo> {
        self.infos.clone()
    }

    /// The live rule of this id.
    pub fn info(&self, id: &str) -> Option<&RuleInfo> {
        self.infos.iter().find(|info| info.id == id)
    }

    /// Rules that no event can match as long as events have only the fields `fields` (lower
    /// case) and are only of the log sources `sources` (`product/category/service`), each with
    /// what it lacks. Without log sources, nothing is said about them.
    pub fn blind(&self, fields: &[&str], sources: Option<&[&str]>) -> BTreeMap<String, Lack> {
        let needs = self.needs.get_or_init(|| {
            let detectors = self.detectors.iter();
            let detectors = detectors.map(|d| (d.id.clone(), Need::of_detector(d)));
            self.sigma.needs().into_iter().chain(detectors).collect()
        });
        let seen = Seen::new(fields, sources);
        let lacking = |(id, need): (&String, &Need)| {
            let lack = need.missing(&seen);
            (!lack.is_nothing()).then(|| (id.clone(), lack))
        };
        needs.iter().filter_map(lacking).collect()
    }

    /// Sigma rules of which a part is evaluated row by row and not on columns: id and reason.
    pub fn rules_by_row(&self) -> Vec<(&str, &'static str)> {
        self.sigma.by_row()
    }

    /// How many rules, correlations, filters and detectors are live.
    pub fn len(&self) -> usize {
        self.infos.len()
    }

    /// Is there no live rule?
    pub fn is_empty(&self) -> bool {
        self.infos.is_empty()
    }
}

/// Is this a file of rule tests?
pub(crate) fn is_tests(path: &str) -> bool {
    path.ends_with(".tests.yml") || path.ends_with(".tests.yaml")
}
