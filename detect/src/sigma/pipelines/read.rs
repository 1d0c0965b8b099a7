//! Pipelines from text. What would have no effect, or another than it says, is refused: a key that
//! is not known, a parameter that is missing, a transformation that means nothing where rules run.

use std::collections::HashMap;

use rsigma_eval::pipeline::Transformation;
use rsigma_eval::{EvalError, Pipeline, TransformationItem, parse_transformation_items};
use rsigma_parser::SigmaValue;
use yaml_serde::{Mapping, Value};

use super::super::load::Place;
use super::placeholders::Fill;
use super::{SitePipeline, Step, What};
use crate::ruleset::RuleFault;

/// Keys of a pipeline. What makes queries of rules has no effect on rules that run.
const KEYS: &[&str] = &[
    "name",
    "description",
    "priority",
    "vars",
    "transformations",
    "allowed_backends",
    "postprocessing",
    "finalizers",
];

/// Keys of every transformation.
const ITEM_KEYS: &[&str] = &[
    "id",
    "type",
    "rule_conditions",
    "rule_cond_op",
    "rule_cond_not",
    "rule_cond_expr",
    "rule_cond_expression",
    "detection_item_conditions",
    "detection_item_cond_op",
    "field_name_conditions",
    "field_name_cond_op",
    "field_name_cond_not",
];

/// Types of transformations with the parameters that each must have, and those it may have.
const TYPES: &[(&str, &[&str], &[&str])] = &[
    ("field_name_mapping", &["mapping"], &[]),
    ("field_name_prefix_mapping", &["mapping"], &[]),
    ("field_name_prefix", &["prefix"], &[]),
    ("field_name_suffix", &["suffix"], &[]),
    ("field_name_transform", &["transform_func"], &["mapping"]),
    ("drop_detection_item", &[], &[]),
    (
        "add_condition",
        &["conditions"],
        &["name", "negated", "field_refs", "prepend"],
    ),
    ("change_logsource", &[], &["category", "product", "service"]),
    (
        "replace_string",
        &["regex", "replacement"],
        &["skip_special"],
    ),
    ("value_placeholders", &[], &["include", "exclude"]),
    ("wildcard_placeholders", &[], &["include", "exclude"]),
    ("map_string", &["mapping"], &[]),
    ("set_value", &["value"], &[]),
    ("convert_type", &["target_type"], &[]),
    ("add_field", &["field"], &[]),
    ("remove_field", &["field"], &[]),
    ("set_field", &["fields"], &[]),
    ("set_custom_attribute", &["attribute", "value"], &[]),
    ("set_state", &["key", "val"], &[]),
    ("case", &["method"], &[]),
    (
        "hashes_fields",
        &["valid_hash_algos"],
        &["field_prefix", "drop_algo_prefix"],
    ),
    ("rule_failure", &["message"], &[]),
    ("detection_item_failure", &["message"], &[]),
    ("nest", &["items"], &[]),
];

/// Names under which rsigma knows what pySigma calls otherwise.
const RENAMED: &[(&str, &str, &str)] = &[
    ("set_state", "val", "value"),
    ("case", "method", "case_type"),
];

/// What rules may be asked by, and the parameters of each.
const RULE_CONDITIONS: &[(&str, &[&str])] = &[
    ("logsource", &["category", "product", "service"]),
    ("contains_detection_item", &["field", "value"]),
    ("processing_item_applied", &["processing_item_id"]),
    ("processing_state", &["key", "val"]),
    ("is_sigma_rule", &[]),
    ("is_sigma_correlation_rule", &[]),
    ("rule_attribute", &["attribute", "value"]),
    ("tag", &["tag"]),
];

type Read<T> = Result<T, String>;

/// Reads one document as a pipeline; where it came from is for the caller to say.
pub(super) fn pipeline(text: &str, place: &Place) -> Result<SitePipeline, Box<RuleFault>> {
    let fault = |line: Option<u32>, message: String| {
        let mut fault = place.fault("invalid_pipeline", message);
        fault.line = line.map(|l| place.line + l - 1).or(fault.line);
        Box::new(fault)
    };
    let value: Value = yaml_serde::from_str(text).map_err(|error| {
        let line = error.location().and_then(|l| u32::try_from(l.line()).ok());
        fault(line, error.to_string())
    })?;
    let top = value.as_mapping();
    let top = top.ok_or_else(|| fault(None, "a pipeline is a mapping".to_owned()))?;
    let at = |key: &str| line_of(text, key);
    known_keys(top, KEYS, "of pipelines").map_err(|(key, why)| fault(at(&key), why))?;
    let name = top.get("name").and_then(Value::as_str);
    let priority = match top.get("priority") {
        None => Some(0),
        Some(value) => value.as_i64().and_then(|p| i32::try_from(p).ok()),
    };
    let wrong = || fault(at("priority"), "priority is a whole number".to_owned());
    let priority = priority.ok_or_else(wrong)?;
    let vars = vars(top.get("vars")).map_err(|why| fault(at("vars"), why))?;
    let mut steps = Vec::new();
    let list = match top.get("transformations") {
        None => &[],
        Some(Value::Sequence(items)) => items.as_slice(),
        Some(_) => {
            let why = "transformations is a list".to_owned();
            return Err(fault(at("transformations"), why));
        }
    };
    for (number, item) in list.iter().enumerate() {
        let line = || line_of_item(text, number).or_else(|| at("transformations"));
        steps.push(step(item).map_err(|why| fault(line(), why))?);
    }
    let of_correlations = Pipeline {
        name: String::new(),
        priority,
        vars: HashMap::new(),
        transformations: steps.iter().map(|s| s.item.clone()).collect(),
        finalizers: Vec::new(),
        source_refs: Vec::new(),
    };
    Ok(SitePipeline {
        name: name.map_or_else(|| place.path.clone(), str::to_owned),
        priority,
        path: String::new(),
        line: 0,
        root: String::new(),
        vars,
        steps,
        of_correlations,
        digest: [0; 32],
    })
}

/// Variables: a value, or a list of values.
fn vars(value: Option<&Value>) -> Read<HashMap<String, Vec<SigmaValue>>> {
    let Some(value) = value else {
        return Ok(HashMap::new());
    };
    let map = value.as_mapping().ok_or("vars is a mapping")?;
    let plain = |name: &str, value: &Value| match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(SigmaValue::from_yaml(value)),
        _ => Err(format!(
            "the variable {name} is neither a value nor a list of values"
        )),
    };
    let one = |(name, value): (&Value, &Value)| {
        let name = name.as_str().ok_or("a variable's name is text")?;
        let values = match value {
            Value::Sequence(values) => values.iter().map(|v| plain(name, v)).collect(),
            value => plain(name, value).map(|v| vec![v]),
        };
        Ok((name.to_owned(), values?))
    };
    map.iter().map(one).collect()
}

/// Reads a transformation.
fn step(value: &Value) -> Read<Step> {
    if value.get("include").is_some() && value.get("type").is_none() {
        return Err("include is not supported: pipelines load nothing from elsewhere".to_owned());
    }
    let map = value.as_mapping().ok_or("a transformation is a mapping")?;
    let kind = map.get("type").and_then(Value::as_str);
    let kind = kind.ok_or("a transformation says its type")?;
    // An older name of the same.
    let kind = match kind {
        "case_transformation" => "case",
        kind => kind,
    };
    let (_, needed, allowed) = TYPES
        .iter()
        .find(|(name, ..)| *name == kind)
        .ok_or_else(|| format!("transformations of the type {kind} are not supported"))?;
    let keys = [ITEM_KEYS, needed, allowed].concat();
    known_keys(map, &keys, &format!("of {kind}")).map_err(|(_, why)| why)?;
    let missing = needed.iter().find(|key| map.get(**key).is_none());
    if let Some(missing) = missing {
        return Err(format!("{kind} needs {missing}"));
    }
    refuse_unsupported(kind, map)?;
    let what = match kind {
        "value_placeholders" | "wildcard_placeholders" => What::Fill(Fill {
            wildcard: kind == "wildcard_placeholders",
            include: names(map.get("include"))?,
            exclude: names(map.get("exclude"))?.unwrap_or_default(),
        }),
        "nest" => {
            let items = map.get("items").and_then(Value::as_sequence);
            let items = items.ok_or("items is a list")?;
            let negated = |item: &Value| item.get("field_name_cond_not").is_some();
            if negated(value)
                || map.contains_key("field_name_conditions") && items.iter().any(negated)
            {
                return Err("field_name_cond_not is not supported with nest".to_owned());
            }
            What::Nest(items.iter().map(step).collect::<Read<_>>()?)
        }
        _ => What::Transform,
    };
    let mut item = rsigmas(kind, map)?;
    if let What::Nest(steps) = &what {
        let items = steps.iter().map(|step| step.item.clone()).collect();
        item.transformation = Transformation::Nest { items };
    }
    item.rule_cond_expr = expression(&mut item, map)?;
    Ok(Step { item, what })
}

/// The transformation as rsigma reads it.
fn rsigmas(kind: &str, map: &Mapping) -> Read<TransformationItem> {
    let mut map = map.clone();
    map.insert("type".into(), kind.into());
    for (_, ours, theirs) in RENAMED.iter().filter(|(of, ..)| *of == kind) {
        if let Some(value) = map.remove(*ours) {
            map.insert((*theirs).into(), value);
        }
    }
    // Ours, read above. rsigma takes `include` for something else.
    for key in ["include", "exclude", "items"] {
        map.remove(key);
    }
    let list = Value::Sequence(vec![Value::Mapping(map)]);
    let items = parse_transformation_items(&list).map_err(|error| match error {
        EvalError::InvalidModifiers(message) => message,
        error => error.to_string(),
    })?;
    items
        .into_iter()
        .next()
        .ok_or_else(|| "there is nothing in it".to_owned())
}

/// Refuses what rsigma would read without doing it.
fn refuse_unsupported(kind: &str, map: &Mapping) -> Read<()> {
    let conditions = |key: &str| map.get(key).and_then(Value::as_sequence);
    for (op, of) in [
        ("detection_item_cond_op", "detection_item_conditions"),
        ("field_name_cond_op", "field_name_conditions"),
    ] {
        let is_or = map.get(op).and_then(Value::as_str) == Some("or");
        if is_or && conditions(of).is_some_and(|c| c.len() > 1) {
            return Err(format!(
                "{op}: or is not supported; write a transformation for each"
            ));
        }
    }
    for condition in conditions("rule_conditions").into_iter().flatten() {
        let map = condition.as_mapping().ok_or("a condition is a mapping")?;
        let kind = map.get("type").and_then(Value::as_str);
        let kind = kind.ok_or("a condition says its type")?;
        let known = RULE_CONDITIONS.iter().find(|(name, _)| *name == kind);
        let (_, allowed) =
            known.ok_or_else(|| format!("conditions of the type {kind} are not supported"))?;
        let keys = [&["id", "type"], *allowed].concat();
        known_keys(map, &keys, &format!("of the condition {kind}")).map_err(|(_, why)| why)?;
    }
    let texts = conditions("detection_item_conditions")
        .into_iter()
        .flatten();
    if texts
        .clone()
        .any(|c| c.get("cond").and_then(Value::as_str) == Some("all"))
    {
        return Err("cond: all is not supported".to_owned());
    }
    let regex = map.get("regex").and_then(Value::as_str);
    if let Some(error) = regex.and_then(|r| regex::Regex::new(r).err()) {
        return Err(format!("regex: {error}"));
    }
    let added = map.get("conditions").and_then(Value::as_mapping);
    let mut fields = added.into_iter().flat_map(|c| c.keys());
    let has_modifier = |key: &&Value| key.as_str().is_some_and(|k| k.contains('|'));
    match fields.find(has_modifier) {
        Some(_) if kind == "add_condition" => {
            Err("modifiers in the conditions of add_condition are not supported".to_owned())
        }
        _ => Ok(()),
    }
}

/// The expression over the rule conditions; none where all must hold.
fn expression(item: &mut TransformationItem, map: &Mapping) -> Read<Option<String>> {
    for (number, condition) in item.rule_conditions.iter_mut().enumerate() {
        condition.id.get_or_insert_with(|| format!("cond_{number}"));
    }
    let ids: Vec<&str> = item
        .rule_conditions
        .iter()
        .filter_map(|c| c.id.as_deref())
        .collect();
    let written = map
        .get("rule_cond_expr")
        .or_else(|| map.get("rule_cond_expression"));
    if let Some(written) = written {
        let written = written.as_str().ok_or("rule_cond_expr is text")?;
        let is_word = |w: &str| ["and", "or", "not"].contains(&w) || ids.contains(&w);
        return match written.split_whitespace().find(|word| !is_word(word)) {
            Some(word) if word.contains(['(', ')']) => {
                Err("parentheses in rule_cond_expr are not supported".to_owned())
            }
            Some(word) => Err(format!("no rule condition has the id {word}")),
            None => Ok(Some(written.to_owned())),
        };
    }
    let not = map
        .get("rule_cond_not")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let op = match map
        .get("rule_cond_op")
        .map(|op| op.as_str().unwrap_or_default())
    {
        None | Some("and") => "and",
        Some("or") => "or",
        Some(_) => return Err("rule_cond_op is and or or".to_owned()),
    };
    // The opposite of "all hold" is "one does not", and the other way round.
    Ok(match (op, not) {
        ("and", false) => None,
        ("and", true) => Some(negated(&ids, " or ")),
        (_, false) => Some(ids.join(" or ")),
        (_, true) => Some(negated(&ids, " and ")),
    })
    .map(|expression| expression.filter(|e| !e.is_empty()))
}

fn negated(ids: &[&str], join: &str) -> String {
    let parts: Vec<String> = ids.iter().map(|id| format!("not {id}")).collect();
    parts.join(join)
}

fn names(value: Option<&Value>) -> Read<Option<Vec<String>>> {
    let Some(value) = value else { return Ok(None) };
    let list = value.as_sequence();
    let list = list.ok_or("include and exclude are lists of names")?;
    let name = |v: &Value| v.as_str().map(str::to_owned);
    let names: Option<Vec<String>> = list.iter().map(name).collect();
    names
        .map(Some)
        .ok_or_else(|| "a placeholder's name is text".to_owned())
}

fn known_keys(map: &Mapping, known: &[&str], of: &str) -> Result<(), (String, String)> {
    for key in map.keys() {
        let key = key.as_str().unwrap_or_default();
        if !known.contains(&key) {
            let why = match key {
                "regex" | "sources" => format!("{key} is not supported"),
                key => format!("{key} is no key {of}"),
            };
            return Err((key.to_owned(), why));
        }
    }
    Ok(())
}

/// The line of a key of the document, from 1.
fn line_of(text: &str, key: &str) -> Option<u32> {
    let is_it = |line: &str| line.strip_prefix(key).is_some_and(|r| r.starts_with(':'));
    let mut lines = (1u32..).zip(text.lines());
    lines
        .find(|(_, line)| is_it(line))
        .map(|(number, _)| number)
}

/// The line at which a transformation begins, from 1, where they are written one below another.
fn line_of_item(text: &str, number: usize) -> Option<u32> {
    let first = line_of(text, "transformations")?;
    let below = (1u32..).zip(text.lines()).skip(first as usize);
    let mut items = below
        .filter(|(_, line)| line.trim_start().starts_with("- "))
        .peekable();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let depth = items.peek().map(|(_, line)| indent(line))?;
    items
        .filter(|(_, line)| indent(line) == depth)
        .nth(number)
        .map(|(line, _)| line)
}
