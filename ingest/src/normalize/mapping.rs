//! What a mapping file says, read and checked.

use std::collections::{BTreeMap, HashSet};

use arrow::buffer::BooleanBuffer;
use serde::Deserialize;
use watchfire_event::{EventBatch, Origin, field};

use super::present;
use super::transform::Take;

/// The files shipped with the program, the most particular first: the first mapping that has a
/// value for a field wins.
const BUILTIN: &[(&str, &str)] = &[
    (
        "elasticsearch.yml",
        include_str!("../mappings/elasticsearch.yml"),
    ),
    ("cloudtrail.yml", include_str!("../mappings/cloudtrail.yml")),
    (
        "kubernetes_audit.yml",
        include_str!("../mappings/kubernetes_audit.yml"),
    ),
    (
        "windows_event.yml",
        include_str!("../mappings/windows_event.yml"),
    ),
    ("caddy.yml", include_str!("../mappings/caddy.yml")),
    ("traefik.yml", include_str!("../mappings/traefik.yml")),
    ("falco.yml", include_str!("../mappings/falco.yml")),
    ("envoy.yml", include_str!("../mappings/envoy.yml")),
    ("nginx.yml", include_str!("../mappings/nginx.yml")),
    (
        "opentelemetry.yml",
        include_str!("../mappings/opentelemetry.yml"),
    ),
    ("access_log.yml", include_str!("../mappings/access_log.yml")),
    ("audit_log.yml", include_str!("../mappings/audit_log.yml")),
    ("generic.yml", include_str!("../mappings/generic.yml")),
    (
        "session_path.yml",
        include_str!("../mappings/session_path.yml"),
    ),
];

/// A mapping file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("mapping {file}: {message}")]
pub struct MappingError {
    /// Name of the file.
    pub file: String,
    /// What is wrong with it.
    pub message: String,
}

/// Mappings in the order in which they are tried.
#[derive(Debug, Clone, Default)]
pub struct Mappings {
    list: Vec<Mapping>,
    /// Every field that a mapping looks at or adds.
    names: HashSet<String>,
}

impl Mappings {
    /// The mappings shipped with the program.
    ///
    /// # Errors
    /// Never in a build whose tests passed: they read every file.
    pub fn builtin() -> Result<Mappings, MappingError> {
        let mut mappings = Mappings::default();
        for (file, text) in BUILTIN {
            mappings.add(file, text)?;
        }
        Ok(mappings)
    }

    /// No mappings: events stay as they came, with the time in `@timestamp` alone.
    pub fn none() -> Mappings {
        Mappings::default()
    }

    /// Adds the mappings of a file (YAML documents), after those that are there.
    ///
    /// # Errors
    /// [`MappingError`] when a document is not a mapping; then none of the file is added.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), MappingError> {
        let fault = |message: String| MappingError {
            file: file.into(),
            message,
        };
        let mut found = Vec::new();
        for document in yaml_serde::Deserializer::from_str(text) {
            let mut mapping = Mapping::deserialize(document).map_err(|e| fault(e.to_string()))?;
            mapping.check().map_err(fault)?;
            mapping.spell_out();
            found.push(mapping);
        }
        for mapping in &found {
            self.names.extend(mapping.names().map(str::to_owned));
        }
        self.list.extend(found);
        Ok(())
    }

    /// Does any mapping look at the field, or add it?
    pub(super) fn mention(&self, name: &str) -> bool {
        name == field::TIMESTAMP || self.names.contains(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.list.iter()
    }
}

/// One mapping.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mapping {
    /// What it is called, for people.
    pub(super) name: String,
    /// The rows it is for.
    #[serde(default)]
    pub(super) when: When,
    /// Prefixes under which its sources are looked for.
    #[serde(default = "no_prefix")]
    pub(super) under: Vec<String>,
    /// What it adds, in order.
    pub(super) map: Vec<Entry>,
}

fn no_prefix() -> Vec<String> {
    vec![String::new()]
}

impl Mapping {
    fn check(&self) -> Result<(), String> {
        for entry in &self.map {
            if entry.to.is_empty() || (entry.from.is_empty() && entry.value.is_none()) {
                return Err(format!(
                    "{}: `{}` has neither source nor value",
                    self.name, entry.to
                ));
            }
        }
        Ok(())
    }
}

impl Mapping {
    /// Writes every source out under every prefix, once instead of for each batch.
    fn spell_out(&mut self) {
        for entry in &mut self.map {
            let names = std::mem::take(&mut entry.from);
            let under = &self.under;
            let spelt = names
                .iter()
                .flat_map(|n| under.iter().map(move |p| format!("{p}{n}")));
            entry.from = spelt.collect();
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let entries = self
            .map
            .iter()
            .flat_map(|e| std::iter::once(&e.to).chain(&e.from));
        entries.chain(self.when.names()).map(String::as_str)
    }
}

/// A field that a mapping adds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Name of the field.
    pub(super) to: String,
    /// Names of fields to take it from; the first with a value is taken.
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) from: Vec<String>,
    /// A constant, for rows that have one of `from`, or for all without `from`.
    #[serde(default)]
    pub(super) value: Option<String>,
    /// What to do with the value.
    #[serde(default)]
    pub(super) take: Take,
    /// Replacements of the value, after `take`, in lower case; a value not listed is not mapped.
    #[serde(default)]
    pub(super) values: BTreeMap<String, String>,
}

/// Which rows a mapping is for: all conditions must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct When {
    /// All of these fields have a value.
    #[serde(deserialize_with = "one_or_many")]
    has: Vec<String>,
    /// At least one of these fields has a value.
    #[serde(deserialize_with = "one_or_many")]
    any: Vec<String>,
    /// At least one of these fields has a value, too.
    #[serde(deserialize_with = "one_or_many")]
    and_any: Vec<String>,
    /// None of these fields has a value.
    #[serde(deserialize_with = "one_or_many")]
    lacks: Vec<String>,
    /// The field starts with the text.
    prefix: BTreeMap<String, String>,
}

impl When {
    fn names(&self) -> impl Iterator<Item = &String> {
        let lists = [&self.has, &self.any, &self.and_any, &self.lacks];
        lists.into_iter().flatten().chain(self.prefix.keys())
    }

    /// The rows for which all conditions hold; `None` when there is none.
    pub(super) fn rows(&self, batch: &EventBatch) -> Option<BooleanBuffer> {
        let mut rows = BooleanBuffer::new_set(batch.rows());
        for name in &self.has {
            rows = &rows & &present(batch, name)?;
        }
        for group in [&self.any, &self.and_any]
            .into_iter()
            .filter(|group| !group.is_empty())
        {
            let found = group.iter().filter_map(|name| present(batch, name));
            rows = &rows & &found.reduce(|a, b| &a | &b)?;
        }
        for (name, prefix) in &self.prefix {
            rows = &rows & &starts_with(batch, name, prefix)?;
        }
        for name in &self.lacks {
            if let Some(present) = present(batch, name) {
                rows = &rows & &!&present;
            }
        }
        (rows.count_set_bits() > 0).then_some(rows)
    }
}

fn starts_with(batch: &EventBatch, name: &str, prefix: &str) -> Option<BooleanBuffer> {
    let mut columns = batch.named(name).filter(|c| c.origin == Origin::Own);
    let (keys, values) = columns.find_map(|c| c.dictionary())?;
    let hits: Vec<bool> = values
        .iter()
        .map(|v| v.is_some_and(|v| v.starts_with(prefix)))
        .collect();
    Some(BooleanBuffer::collect_bool(keys.len(), |row| {
        arrow::array::Array::is_valid(keys, row)
            && hits.get(keys.value(row) as usize).copied().unwrap_or(false)
    }))
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(name) => vec![name],
        OneOrMany::Many(names) => names,
    })
}
