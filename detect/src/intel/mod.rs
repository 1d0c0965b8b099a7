//! Threat lists: addresses, networks, domains, hashes and URLs that others have seen do harm.
//!
//! A list is a file of indicators, known by the file's name. Rules and queries ask whether a value
//! is on a list; a list of a million entries stays a list and is never spelled out in a rule.
//!
//! This module makes lists out of text. Reading files, and again when they change or an entry
//! runs out, is the caller's business.

mod csv;
mod indicator;
mod list;
mod stix;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use watchfire_event::query::{Ask, Lists, Question};

pub use list::{IntelList, KindCounts};

use crate::ruleset::{RuleFault, RuleFile};

/// A file of indicators as text.
#[derive(Debug, Clone, Copy)]
pub struct IntelFile<'a> {
    /// Where it came from, for people. The name of the list is that of the file without its
    /// extension.
    pub path: &'a str,
    /// Its content: one indicator a line, CSV with a header, or a STIX 2.1 bundle.
    pub text: &'a str,
}

/// All lists, by name. Immutable; shared by rules and queries.
#[derive(Debug, Clone, Default)]
pub struct IntelSet {
    lists: BTreeMap<String, Arc<IntelList>>,
}

/// A value that is on a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The list's name.
    pub list: String,
    /// The entry that the value is, or belongs to: a network, a domain above it.
    pub indicator: String,
}

impl IntelSet {
    /// No lists.
    pub fn new() -> Self {
        IntelSet::default()
    }

    /// Reads a file, leaving out what has run out at `now_ns`, and adds it. What is wrong with it
    /// comes back: entries that are no indicators (`invalid_indicator`, the others live), a file
    /// that is no list at all (`invalid_list`) or has the name of another (`duplicate_id`).
    pub fn add(&mut self, file: &IntelFile<'_>, now_ns: i64) -> Vec<RuleFault> {
        match IntelList::read(file, now_ns) {
            Ok((list, mut faults)) => {
                faults.extend(self.insert(Arc::new(list)).err());
                faults
            }
            Err(fault) => vec![fault],
        }
    }

    /// Empty lists of the names that rules ask for, as they are written in the files: for rules
    /// that are looked at where their lists are not.
    pub fn assumed_by(files: &[RuleFile]) -> Self {
        let mut set = IntelSet::new();
        let asks = files.iter().flat_map(|f| f.text.split("%intel.").skip(1));
        let names = asks
            .filter_map(|rest| rest.split_once('%'))
            .map(|(name, _)| name);
        let is_name = |name: &&str| {
            name.chars()
                .all(|c| c.is_alphanumeric() || "._-".contains(c))
        };
        for name in names.filter(is_name) {
            let path = &format!("{name}.txt");
            // A name asked for twice is there already.
            let _ = set.add(&IntelFile { path, text: "" }, 0);
        }
        set
    }

    /// Adds a list.
    ///
    /// # Errors
    /// When another has its name (`duplicate_id`).
    pub fn insert(&mut self, list: Arc<IntelList>) -> Result<(), RuleFault> {
        if let Some(other) = self.lists.get(&list.name) {
            return Err(RuleFault {
                path: list.path.clone(),
                line: None,
                code: "duplicate_id",
                message: format!("{} is also called {}", other.path, list.name),
            });
        }
        self.lists.insert(list.name.clone(), list);
        Ok(())
    }

    /// The lists in the order of their names.
    pub fn lists(&self) -> impl Iterator<Item = &Arc<IntelList>> {
        self.lists.values()
    }

    /// The list of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<IntelList>> {
        self.lists.get(name)
    }

    /// When the next entry of any list runs out, nanoseconds since the epoch.
    pub fn next_expiry_ns(&self) -> Option<i64> {
        self.lists().filter_map(|l| l.next_expiry_ns).min()
    }

    /// The entry of a list that a value is or belongs to; `*` asks all lists in the order of their
    /// names.
    pub fn find(&self, list: &str, value: &str) -> Option<Listed> {
        let found = |list: &IntelList| {
            Some(Listed {
                list: list.name.clone(),
                indicator: list.find(value)?,
            })
        };
        match list {
            "*" => self.lists().find_map(|list| found(list)),
            name => found(self.lists.get(name)?),
        }
    }
}

impl Lists for IntelSet {
    fn list(&self, name: &str) -> Option<Question> {
        let list = self.lists.get(name)?;
        let question = format!("@{name} {}", list.digest);
        Some(Question::new(question, Arc::clone(list) as Arc<dyn Ask>))
    }
}

#[cfg(test)]
mod tests;
