//! Reading what the documents of a pack say about themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::ruleset::{RuleFault, RuleFile, is_tests};
use crate::sigma::pipelines::is_pipelines;

/// Tests that must stay silent, at least: one is no look at what comes close.
const MIN_SILENT: usize = 2;

/// A document that raises alerts.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) path: String,
    /// The folder, and the name of the file without its ending.
    pub(super) area: String,
    pub(super) title: String,
    pub(super) id: String,
    /// `rule`, `correlation`, or the name of the detector.
    pub(super) kind: String,
    pub(super) level: String,
    pub(super) description: String,
    pub(super) tags: Vec<String>,
    pub(super) falsepositives: Vec<String>,
    pub(super) runbook: String,
    pub(super) references: Vec<String>,
    /// Fields it reads, those of its exceptions left out.
    pub(super) fields: BTreeSet<String>,
    /// The log source of its rules.
    pub(super) sources: BTreeSet<String>,
    /// Names of the tests of its file: those that alert, those that stay silent.
    pub(super) alerts: Vec<String>,
    pub(super) silences: Vec<String>,
}

impl Entry {
    /// What somebody who gets its alert would miss.
    pub(super) fn missing(&self) -> Vec<String> {
        let wanted = [
            (self.description.is_empty(), "no description"),
            (self.level.is_empty(), "no level"),
            (self.tags.is_empty(), "no tags"),
            (self.falsepositives.is_empty(), "no known false positives"),
            (self.runbook.is_empty(), "no runbook line"),
            (self.references.is_empty(), "no references"),
            (self.alerts.is_empty(), "no test that alerts"),
            (
                self.silences.len() < MIN_SILENT,
                "fewer than two tests that stay silent",
            ),
        ];
        let missing = wanted.iter().filter(|(is_missing, _)| *is_missing);
        missing.map(|(_, what)| (*what).to_owned()).collect()
    }
}

#[derive(Deserialize)]
struct Test {
    name: String,
    expect: String,
}

/// The parts of a rule, a correlation or a detector file that the page tells.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    title: String,
    id: String,
    name: String,
    description: String,
    #[serde(alias = "severity")]
    level: String,
    tags: Vec<String>,
    falsepositives: Vec<String>,
    runbook: String,
    references: Vec<String>,
    logsource: BTreeMap<String, String>,
    detection: BTreeMap<String, Value>,
    correlation: Option<Correlation>,
    detector: Option<String>,
    filter: String,
    entity: Value,
    pair: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Correlation {
    rules: Vec<String>,
    group_by: Vec<String>,
    aliases: BTreeMap<String, BTreeMap<String, String>>,
    condition: Value,
}

/// The documents of `files` that raise alerts, in the order of the files, and what could not be
/// read.
pub(super) fn read(files: &[RuleFile]) -> (Vec<Entry>, Vec<RuleFault>) {
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    let rules = |f: &&RuleFile| !is_tests(&f.path) && !is_pipelines(f);
    for file in files.iter().filter(rules) {
        let fault = |error: yaml_serde::Error| RuleFault {
            path: file.path.clone(),
            line: None,
            code: "invalid_yaml",
            message: error.to_string(),
        };
        let documents: Result<Vec<Document>, _> = yaml_serde::Deserializer::from_str(&file.text)
            .map(Document::deserialize)
            .collect();
        match documents.and_then(|documents| Ok((documents, tests(files, &file.path)?))) {
            Ok((documents, tests)) => entries.extend(of_file(&file.path, &documents, &tests)),
            Err(error) => faults.push(fault(error)),
        }
    }
    (entries, faults)
}

fn tests(files: &[RuleFile], path: &str) -> Result<Vec<Test>, yaml_serde::Error> {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    let wanted = format!("{stem}.tests.yml");
    let found = files.iter().find(|f| f.path == wanted);
    found.map_or(Ok(Vec::new()), |f| yaml_serde::from_str(&f.text))
}

fn of_file(path: &str, documents: &[Document], tests: &[Test]) -> Vec<Entry> {
    let fed: BTreeSet<&String> = documents
        .iter()
        .filter_map(|d| d.correlation.as_ref())
        .flat_map(|c| &c.rules)
        .collect();
    let names = |expect: &str| -> Vec<String> {
        let of = tests.iter().filter(|t| t.expect == expect);
        of.map(|t| t.name.clone()).collect()
    };
    let area = path.rsplit('/').nth(1).unwrap_or_default();
    let loud = documents
        .iter()
        .filter(|d| !fed.contains(&d.name) && !fed.contains(&d.id));
    let entry = |document: &Document| {
        let (mut fields, mut sources) = (BTreeSet::new(), BTreeSet::new());
        document.reads(documents, &mut fields, &mut sources);
        let kind = match (&document.detector, &document.correlation) {
            (Some(detector), _) => detector.clone(),
            (None, Some(_)) => "correlation".to_owned(),
            (None, None) => "rule".to_owned(),
        };
        Entry {
            path: path.to_owned(),
            area: area.to_owned(),
            title: document.title.clone(),
            id: document.id.clone(),
            kind,
            level: document.level.clone(),
            description: document.description.trim().to_owned(),
            tags: document.tags.clone(),
            falsepositives: document.falsepositives.clone(),
            runbook: document.runbook.clone(),
            references: document.references.clone(),
            fields,
            sources,
            alerts: names("alert"),
            silences: names("silent"),
        }
    };
    loud.map(entry).collect()
}

impl Document {
    /// Fields and log sources of this document and of those that feed it.
    fn reads(
        &self,
        all: &[Document],
        fields: &mut BTreeSet<String>,
        sources: &mut BTreeSet<String>,
    ) {
        let excepted = excepted(&self.detection);
        for (name, part) in &self.detection {
            if name != "condition" && !excepted.contains(name) {
                fields_of(part, fields);
            }
        }
        if !self.logsource.is_empty() {
            let parts = ["product", "category", "service"];
            let words: Vec<_> = parts
                .iter()
                .filter_map(|p| self.logsource.get(*p))
                .collect();
            let words: Vec<_> = words.into_iter().map(String::as_str).collect();
            sources.insert(words.join(" "));
        }
        fields.extend(filter_fields(&self.filter));
        for value in [&self.entity, &self.pair] {
            fields.extend(texts(value));
        }
        let Some(correlation) = &self.correlation else {
            return;
        };
        for field in &correlation.group_by {
            match correlation.aliases.get(field) {
                Some(real) => fields.extend(real.values().cloned()),
                None => {
                    fields.insert(field.clone());
                }
            }
        }
        fields.extend(
            correlation
                .condition
                .get("field")
                .iter()
                .flat_map(|v| texts(v)),
        );
        let feeds = all
            .iter()
            .filter(|d| correlation.rules.iter().any(|r| *r == d.name || *r == d.id));
        feeds.for_each(|d| d.reads(all, fields, sources));
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(members) => members.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// Field names of a selection: keys up to the first modifier.
fn fields_of(part: &Value, fields: &mut BTreeSet<String>) {
    match part {
        Value::Object(members) => {
            let names = members.keys().filter_map(|k| k.split('|').next());
            fields.extend(names.map(str::to_owned));
        }
        Value::Array(members) => members.iter().for_each(|m| fields_of(m, fields)),
        _ => {}
    }
}

/// Field names of a query: the words before a colon.
fn filter_fields(filter: &str) -> BTreeSet<String> {
    let words = filter.split([' ', '(', ')']);
    let named = words.filter_map(|word| word.split_once(':'));
    named.map(|(field, _)| field.to_owned()).collect()
}

/// Parts of a detection that its condition asks not to hold.
fn excepted(detection: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let condition = detection.get("condition").and_then(Value::as_str);
    let spaced = condition
        .unwrap_or_default()
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut found = BTreeSet::new();
    let (mut negated, mut depth) = (false, 0);
    for word in words {
        match word {
            "not" => negated = true,
            "(" if negated => depth += 1,
            ")" if negated => depth -= 1,
            "1" | "all" | "any" | "of" => continue,
            "and" | "or" => {}
            _ if negated => found.extend(named(word, detection)),
            _ => {}
        }
        negated &= depth > 0 || word == "not";
    }
    found
}

/// The parts that a word of a condition stands for.
fn named(word: &str, detection: &BTreeMap<String, Value>) -> Vec<String> {
    let start = word.strip_suffix('*');
    let is_it = |name: &&String| match start {
        Some(start) => name.starts_with(start),
        None => *name == word,
    };
    detection.keys().filter(is_it).cloned().collect()
}
