//! What was found out about values, kept for the next batch.
//!
//! Most values come again and again: a user agent, a route, a process image. What their field's
//! tests say of them is looked up then, and not found out anew. Values that hardly repeat are not
//! remembered. Nothing that is found depends on what is remembered.

use ahash::HashMap;

use super::program::Program;

/// The list without tests.
pub(crate) const NOTHING: u32 = 0;
/// Different lists remembered; beyond, everything is forgotten.
const MAX_LISTS: usize = 65_536;
/// After so many values of a group it is seen whether remembering them is of use.
const TRIAL: u32 = 16_384;
/// Of the values of a trial, one in so many must have been known.
const USEFUL: u32 = 4;
/// Values that pass unremembered after a trial that was of no use.
const REST: u32 = 131_072;
/// Texts longer than this are not remembered, bytes.
const MAX_TEXT: usize = 1_024;
/// What an entry takes besides its text, bytes, about.
const ENTRY: usize = 64;

/// Tests that hold for a value, and the rules that they anchor.
#[derive(Debug, Default)]
struct List {
    tests: Box<[u32]>,
    rules: Box<[u32]>,
}

/// Answers to values by the groups of a program. A list of tests is known by a number.
#[derive(Debug)]
pub(crate) struct Memory {
    lists: Vec<List>,
    by_tests: HashMap<Box<[u32]>, u32>,
    groups: Vec<Known>,
    bytes: usize,
}

/// Values of a group that are known.
#[derive(Debug, Default)]
struct Known {
    texts: HashMap<Box<str>, u32>,
    numbers: HashMap<i64, u32>,
    asked: u32,
    found: u32,
    rest: u32,
}

impl Memory {
    /// A memory for a program with so many groups.
    pub(crate) fn new(groups: usize) -> Self {
        let mut known = Vec::new();
        known.resize_with(groups, Known::default);
        Memory {
            lists: vec![List::default()],
            by_tests: HashMap::default(),
            groups: known,
            bytes: 0,
        }
    }

    /// What it takes, bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets all values if there are too many lists. Numbers of lists given before are void.
    pub(crate) fn tidy(&mut self) {
        if self.lists.len() > MAX_LISTS {
            self.forget();
        }
    }

    /// Forgets all values. Numbers of lists given before are void.
    pub(crate) fn forget(&mut self) {
        *self = Memory::new(self.groups.len());
    }

    /// The number of a list of tests, given in rising order.
    pub(crate) fn list(&mut self, tests: &[u32], program: &Program) -> u32 {
        if tests.is_empty() {
            return NOTHING;
        }
        if let Some(list) = self.by_tests.get(tests) {
            return *list;
        }
        let number = u32::try_from(self.lists.len()).unwrap_or(NOTHING);
        let rules = program.anchored_by(tests).into_boxed_slice();
        self.bytes += ENTRY + 8 * tests.len() + 4 * rules.len();
        self.lists.push(List {
            tests: tests.into(),
            rules,
        });
        self.by_tests.insert(tests.into(), number);
        number
    }

    /// Is the test in the list?
    pub(crate) fn has(&self, list: u32, test: u32) -> bool {
        let list = self.lists.get(list as usize);
        list.is_some_and(|list| list.tests.binary_search(&test).is_ok())
    }

    /// Rules that the tests of the list anchor, rising.
    pub(crate) fn rules(&self, list: u32) -> &[u32] {
        let list = self.lists.get(list as usize);
        list.map_or(&[], |list| &list.rules)
    }

    /// The list of a text, if the group remembers it.
    pub(crate) fn of_text(&mut self, group: usize, text: &str) -> Option<u32> {
        let known = self.groups.get_mut(group)?;
        if !known.asks(&mut self.bytes) {
            return None;
        }
        let found = known.texts.get(text).copied();
        known.found += u32::from(found.is_some());
        found
    }

    /// The list of a number, if the group remembers it.
    pub(crate) fn of_number(&mut self, group: usize, number: i64) -> Option<u32> {
        let known = self.groups.get_mut(group)?;
        if !known.asks(&mut self.bytes) {
            return None;
        }
        let found = known.numbers.get(&number).copied();
        known.found += u32::from(found.is_some());
        found
    }

    /// Remembers the list of a text.
    pub(crate) fn keep_text(&mut self, group: usize, text: &str, list: u32) {
        if let Some(known) = self.groups.get_mut(group)
            && known.rest == 0
            && text.len() <= MAX_TEXT
        {
            known.texts.insert(text.into(), list);
            self.bytes += text.len() + ENTRY;
        }
    }

    /// Remembers the list of a number.
    pub(crate) fn keep_number(&mut self, group: usize, number: i64, list: u32) {
        if let Some(known) = self.groups.get_mut(group)
            && known.rest == 0
        {
            known.numbers.insert(number, list);
            self.bytes += ENTRY;
        }
    }
}

impl Known {
    /// Counts a question; false while the group's values are not remembered.
    fn asks(&mut self, bytes: &mut usize) -> bool {
        if self.rest > 0 {
            self.rest -= 1;
            return false;
        }
        self.asked += 1;
        if self.asked < TRIAL {
            return true;
        }
        let useful = self.found >= self.asked / USEFUL;
        (self.asked, self.found) = (0, 0);
        if !useful {
            self.rest = REST;
            let texts: usize = self.texts.keys().map(|text| text.len() + ENTRY).sum();
            let all = texts + self.numbers.len() * ENTRY;
            *bytes = bytes.saturating_sub(all);
            self.texts = HashMap::default();
            self.numbers = HashMap::default();
        }
        useful
    }
}
