//! Which stored rows a rule could match, as a query: a backtest reads only those.
//!
//! The query never leaves out a row that the rule matches. What cannot be said of single values
//! of single columns (negations, comparisons of fields, members of lists of objects) is taken as
//! matching, and the rule itself decides about the rows that are left.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rsigma_eval::matcher::{CompiledMatcher, GroupMode};
use rsigma_eval::{CompiledDetection, CompiledDetectionItem, CompiledRule, Event, EventValue};
use rsigma_parser::{ConditionExpr, Quantifier};
use serde_json::Value;
use watchfire_event::query::{Ask, Node, Question, Test};
use watchfire_event::{ColumnShape, Kind, Origin};

use super::SigmaRules;
use super::listed::list_of;
use super::taxonomy::candidates_of_all;
use crate::intel::IntelSet;

/// A matcher of a rule, asked about single values.
#[derive(Debug)]
struct Matcher {
    matcher: CompiledMatcher,
    /// Keywords see every value as text.
    keyword: bool,
}

impl Ask for Matcher {
    fn takes_text(&self, value: &str) -> bool {
        match self.keyword {
            true => self.matcher.matches_keyword(&Text(value)),
            false => self.takes(&EventValue::Str(value.into())),
        }
    }

    fn takes_int(&self, value: i64) -> bool {
        self.takes(&EventValue::Int(value))
    }

    fn takes_float(&self, value: f64) -> bool {
        self.takes(&EventValue::Float(value))
    }

    fn takes_bool(&self, value: bool) -> bool {
        self.takes(&EventValue::Bool(value))
    }
}

impl Matcher {
    fn takes(&self, value: &EventValue<'_>) -> bool {
        !self.keyword && self.matcher.matches(value, &Text(""))
    }
}

/// Is the value on a list?
#[derive(Debug)]
struct OnList {
    lists: Arc<IntelSet>,
    list: String,
}

impl Ask for OnList {
    fn takes_text(&self, value: &str) -> bool {
        self.lists.find(&self.list, value).is_some()
    }
}

/// An event that is nothing but a text.
struct Text<'a>(&'a str);

impl Event for Text<'_> {
    fn get_field(&self, _: &str) -> Option<EventValue<'_>> {
        None
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        pred(self.0)
    }

    fn all_string_values(&self) -> Vec<std::borrow::Cow<'_, str>> {
        vec![self.0.into()]
    }

    fn to_json(&self) -> Value {
        Value::Null
    }
}

/// The columns in which a field of a rule can have its value.
#[derive(Debug, Clone, Default)]
struct Found {
    /// Names of columns that hold values.
    columns: BTreeSet<Arc<str>>,
    /// Names whose presence is all that can be asked: mixed values, and objects as text.
    present: BTreeSet<Arc<str>>,
    /// Paths to which a query string is put, and query strings.
    paths: BTreeSet<Arc<str>>,
    queries: BTreeSet<Arc<str>>,
}

/// What is asked of the columns that are stored.
pub(crate) struct Asking<'a> {
    /// Stands before the numbers of questions.
    name: &'a str,
    by_name: HashMap<String, Vec<&'a ColumnShape>>,
    found: HashMap<String, Found>,
    questions: usize,
    lists: Arc<IntelSet>,
}

impl<'a> Asking<'a> {
    /// About columns of these shapes.
    pub(crate) fn new(name: &'a str, shapes: &'a [ColumnShape], lists: &Arc<IntelSet>) -> Self {
        let mut by_name: HashMap<String, Vec<&ColumnShape>> = HashMap::new();
        for shape in shapes.iter().filter(|s| s.origin != Origin::Meta) {
            by_name
                .entry(shape.name.to_lowercase())
                .or_default()
                .push(shape);
        }
        Asking {
            name,
            by_name,
            found: HashMap::new(),
            questions: 0,
            lists: Arc::clone(lists),
        }
    }

    fn found(&mut self, name: &str) -> Found {
        if let Some(found) = self.found.get(name) {
            return found.clone();
        }
        let mut found = Found::default();
        let names = candidates_of_all(name);
        let names: BTreeSet<String> = names.map(|n| n.to_lowercase()).collect();
        for part in names.iter().flat_map(|n| n.split('|')) {
            if let Some((path, query)) = part.split_once('?') {
                found.paths.extend(self.names(path));
                found.queries.extend(self.names(query));
                self.add(path, &mut found);
                self.add(query, &mut found);
            } else if let Some((above, leaf)) = part.split_once(".*.") {
                for below in self.below(above) {
                    if below.ends_with(&format!(".{leaf}")) {
                        self.add(&below, &mut found);
                    }
                }
            } else {
                self.add(part, &mut found);
            }
        }
        // The text of an object is put together of all that is below.
        for below in self.below(&name.to_lowercase()) {
            found.present.extend(self.names(&below));
        }
        self.found.insert(name.to_owned(), found.clone());
        found
    }

    fn names(&self, lower: &str) -> BTreeSet<Arc<str>> {
        let shapes = self.by_name.get(lower).into_iter().flatten();
        shapes.map(|s| s.name.clone()).collect()
    }

    fn add(&self, lower: &str, found: &mut Found) {
        for shape in self.by_name.get(lower).into_iter().flatten() {
            let names = match shape.kind {
                Kind::Json => &mut found.present,
                _ => &mut found.columns,
            };
            names.insert(shape.name.clone());
        }
    }

    fn below(&self, above: &str) -> Vec<String> {
        let prefix = format!("{above}.");
        let names = self.by_name.keys();
        names.filter(|n| n.starts_with(&prefix)).cloned().collect()
    }

    /// Rows in which one of these columns has a value.
    pub(crate) fn present(&self, lower: &str) -> Node {
        any(self.names(lower).into_iter().map(Node::Exists).collect())
    }

    /// Rows that can match the rule.
    fn rule(&mut self, rule: &CompiledRule) -> Node {
        let conditions = rule.conditions.iter();
        any(conditions
            .map(|c| self.condition(c, &rule.detections))
            .collect())
    }

    fn condition(
        &mut self,
        condition: &ConditionExpr,
        named: &HashMap<String, CompiledDetection>,
    ) -> Node {
        match condition {
            ConditionExpr::Identifier(name) => match named.get(name) {
                Some(detection) => self.detection(detection),
                None => Node::Never,
            },
            ConditionExpr::And(parts) => {
                all(parts.iter().map(|p| self.condition(p, named)).collect())
            }
            ConditionExpr::Or(parts) => {
                any(parts.iter().map(|p| self.condition(p, named)).collect())
            }
            ConditionExpr::Not(_) => Node::All,
            ConditionExpr::Selector {
                quantifier,
                pattern,
            } => {
                let mut chosen: Vec<_> = named
                    .iter()
                    .filter(|(name, _)| pattern.matches_detection_name(name))
                    .collect();
                // The map's own order differs from run to run.
                chosen.sort_by_key(|(name, _)| *name);
                let parts = chosen.into_iter().map(|(_, d)| self.detection(d)).collect();
                match quantifier {
                    Quantifier::All => all(parts),
                    Quantifier::Count(0) => Node::All,
                    Quantifier::Any | Quantifier::Count(_) => any(parts),
                }
            }
        }
    }

    fn detection(&mut self, detection: &CompiledDetection) -> Node {
        match detection {
            CompiledDetection::AllOf(items) => all(items.iter().map(|i| self.item(i)).collect()),
            CompiledDetection::AnyOf(parts) => {
                any(parts.iter().map(|p| self.detection(p)).collect())
            }
            CompiledDetection::And(parts) => all(parts.iter().map(|p| self.detection(p)).collect()),
            CompiledDetection::Keywords(matcher) => self.keyword(matcher),
            CompiledDetection::ArrayMatch { .. } | CompiledDetection::Conditional { .. } => {
                Node::All
            }
        }
    }

    fn item(&mut self, item: &CompiledDetectionItem) -> Node {
        match (&item.field, item.exists) {
            (None, Some(wanted)) => match wanted {
                true => Node::Never,
                false => Node::All,
            },
            (None, None) => self.keyword(&item.matcher),
            (Some(_), Some(false)) => Node::All,
            (Some(name), Some(true)) => {
                let found = self.found(name);
                let names = found.columns.into_iter().chain(found.present);
                any(names.map(Node::Exists).collect())
            }
            (Some(name), None) => {
                let found = self.found(name);
                self.matcher(&item.matcher, &found)
            }
        }
    }

    /// Rows in which a value can be what the matcher takes. Of a list each member is asked alone,
    /// so parts that different members can satisfy are asked apart.
    fn matcher(&mut self, matcher: &CompiledMatcher, found: &Found) -> Node {
        match matcher {
            CompiledMatcher::AllOf(parts) => {
                all(parts.iter().map(|p| self.matcher(p, found)).collect())
            }
            CompiledMatcher::AnyOf(parts) if !parts.iter().all(of_one_value) => {
                any(parts.iter().map(|p| self.matcher(p, found)).collect())
            }
            matcher if list_of(matcher).is_none() && !of_one_value(matcher) => Node::All,
            matcher => {
                let question = self.question(matcher, false);
                let columns = found.columns.iter().map(|name| Node::Test {
                    field: Some(name.clone()),
                    test: Test::Ask(question.clone()),
                });
                let mut parts: Vec<Node> = columns.collect();
                parts.extend(found.present.iter().cloned().map(Node::Exists));
                parts.extend(self.across(matcher, found));
                any(parts)
            }
        }
    }

    /// Rows in which the matcher can find what goes across the `?` between a path and its query.
    fn across(&mut self, matcher: &CompiledMatcher, found: &Found) -> Vec<Node> {
        if found.paths.is_empty() {
            return Vec::new();
        }
        let Some(texts) = across(matcher) else {
            return found.paths.iter().cloned().map(Node::Exists).collect();
        };
        let mut asked = |names: &BTreeSet<Arc<str>>, matcher: &CompiledMatcher| {
            let question = self.question(matcher, false);
            let test = |name: &Arc<str>| Node::Test {
                field: Some(name.clone()),
                test: Test::Ask(question.clone()),
            };
            any(names.iter().map(test).collect())
        };
        let nodes = texts.into_iter().map(|(path, query, case_insensitive)| {
            let ends = CompiledMatcher::EndsWith {
                value: path,
                case_insensitive,
            };
            let begins = CompiledMatcher::StartsWith {
                value: query,
                case_insensitive,
            };
            all(vec![
                asked(&found.paths, &ends),
                asked(&found.queries, &begins),
            ])
        });
        nodes.collect()
    }

    fn keyword(&mut self, matcher: &CompiledMatcher) -> Node {
        match matcher {
            CompiledMatcher::Not(_) => Node::All,
            matcher => Node::Test {
                field: None,
                test: Test::Ask(self.question(matcher, true)),
            },
        }
    }

    fn question(&mut self, matcher: &CompiledMatcher, keyword: bool) -> Question {
        self.questions += 1;
        let name = format!("{} {}", self.name, self.questions);
        if let Some(list) = list_of(matcher) {
            let (lists, list) = (Arc::clone(&self.lists), list.to_owned());
            return Question::new(name, Arc::new(OnList { lists, list }));
        }
        let matcher = matcher.clone();
        Question::new(name, Arc::new(Matcher { matcher, keyword }))
    }
}

/// Is the answer about a list that about one of its members, and does no value mean no match?
fn of_one_value(matcher: &CompiledMatcher) -> bool {
    match matcher {
        CompiledMatcher::Not(_)
        | CompiledMatcher::AllOf(_)
        | CompiledMatcher::Null
        | CompiledMatcher::Exists(_)
        | CompiledMatcher::FieldRef { .. }
        | CompiledMatcher::Expand { .. } => false,
        CompiledMatcher::AnyOf(parts) => parts.iter().all(of_one_value),
        CompiledMatcher::TimestampPart { inner, .. } => of_one_value(inner),
        _ => true,
    }
}

/// The texts that end a path and begin its query where a matcher finds one that goes across the
/// `?` between them, with whether letter case counts; none where that cannot be told.
fn across(matcher: &CompiledMatcher) -> Option<Vec<(String, String, bool)>> {
    let cut = |text: &String, case_insensitive: bool| {
        let cuts = text.match_indices('?').map(|(at, _)| {
            let (path, query) = text.split_at(at);
            let query = query.chars().skip(1).collect();
            (path.to_owned(), query, case_insensitive)
        });
        cuts.collect::<Vec<_>>()
    };
    match matcher {
        CompiledMatcher::Contains {
            value,
            case_insensitive,
        }
        | CompiledMatcher::StartsWith {
            value,
            case_insensitive,
        }
        | CompiledMatcher::EndsWith {
            value,
            case_insensitive,
        }
        | CompiledMatcher::Exact {
            value,
            case_insensitive,
        } => Some(cut(value, *case_insensitive)),
        CompiledMatcher::AhoCorasickSet {
            needles,
            case_insensitive,
            ..
        } => Some(
            needles
                .iter()
                .flat_map(|n| cut(n, *case_insensitive))
                .collect(),
        ),
        CompiledMatcher::AnyOf(parts)
        | CompiledMatcher::CaseInsensitiveGroup {
            children: parts,
            mode: GroupMode::Any,
        } => {
            let parts: Option<Vec<_>> = parts.iter().map(across).collect();
            Some(parts?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

pub(crate) fn all(parts: Vec<Node>) -> Node {
    let mut kept: Vec<Node> = parts.into_iter().filter(|p| *p != Node::All).collect();
    if kept.contains(&Node::Never) {
        return Node::Never;
    }
    match kept.len() {
        0 => Node::All,
        1 => kept.remove(0),
        _ => Node::And(kept),
    }
}

pub(crate) fn any(parts: Vec<Node>) -> Node {
    let mut kept: Vec<Node> = parts.into_iter().filter(|p| *p != Node::Never).collect();
    if kept.contains(&Node::All) {
        return Node::All;
    }
    match kept.len() {
        0 => Node::Never,
        1 => kept.remove(0),
        _ => Node::Or(kept),
    }
}

impl SigmaRules {
    /// Rows that a rule can match.
    pub(crate) fn prefilter(&self, asking: &mut Asking<'_>) -> Node {
        any(self.compiled.iter().map(|r| asking.rule(r)).collect())
    }
}
