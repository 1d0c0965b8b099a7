//! Questions about values that only those who ask can answer: is it on a list, does a matcher
//! of a rule take it.

use std::fmt::Debug;
use std::sync::Arc;

/// Answers about single values. The same value must always get the same answer.
pub trait Ask: Debug + Send + Sync {
    /// Does it take a string?
    fn takes_text(&self, value: &str) -> bool;

    /// Does it take an integer?
    fn takes_int(&self, value: i64) -> bool {
        self.takes_text(&value.to_string())
    }

    /// Does it take another number?
    fn takes_float(&self, value: f64) -> bool {
        self.takes_text(&value.to_string())
    }

    /// Does it take a truth value?
    fn takes_bool(&self, value: bool) -> bool {
        self.takes_text(if value { "true" } else { "false" })
    }
}

/// A question with a name. Questions of one name give the same answers: answers are remembered
/// by it.
#[derive(Debug, Clone)]
pub struct Question {
    name: Arc<str>,
    ask: Arc<dyn Ask>,
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Question {
    /// Names a question.
    pub fn new(name: impl Into<Arc<str>>, ask: Arc<dyn Ask>) -> Self {
        Question {
            name: name.into(),
            ask,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who answers.
    pub fn ask(&self) -> &dyn Ask {
        self.ask.as_ref()
    }
}

/// Lists that a query can name, as in `source.ip:@tor_exits`.
pub trait Lists {
    /// Is the value on the list of this name? None where there is no such list. The name of the
    /// question must change with the content of the list.
    fn list(&self, name: &str) -> Option<Question>;
}

/// Where there are no lists.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLists;

impl Lists for NoLists {
    fn list(&self, _name: &str) -> Option<Question> {
        None
    }
}

/// Where any list is taken to be there, with nothing on it: for queries that are only checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyLists;

#[derive(Debug)]
struct Empty;

impl Ask for Empty {
    fn takes_text(&self, _value: &str) -> bool {
        false
    }
}

impl Lists for AnyLists {
    fn list(&self, name: &str) -> Option<Question> {
        Some(Question::new(format!("any {name}"), Arc::new(Empty)))
    }
}
