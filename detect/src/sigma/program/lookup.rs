//! Which of a field's tests hold for a value: one look at the value for all of them.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::HashMap;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use rsigma_eval::EventValue;

use super::literals::{Literal, fold, need};
use super::test::Test;
use crate::intel::IntelSet;

/// Parts up to this many bytes together can be searched by a table, which is faster and larger.
const MAX_TABLE_BYTES: usize = 48 << 10;
/// An automaton is made once so many bytes were searched: until then each part is looked for by
/// itself.
const WORTH_AN_AUTOMATON: usize = 1 << 10;
/// A table is made once so many bytes were searched: most fields of most log sources never see
/// as many.
const WORTH_A_TABLE: usize = 256 << 10;

/// A test to be asked about a value.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// Place in the set.
    test: u32,
    /// In a text of ASCII the literal is the answer.
    enough: bool,
}

/// The tests of one field.
#[derive(Debug, Default)]
pub(crate) struct TestSet {
    /// With the number each has in the program, rising.
    tests: Vec<(u32, Test)>,
    exact: HashMap<String, Vec<Asked>>,
    /// Lengths of the shortest and the longest exact text, bytes.
    exact_span: (usize, usize),
    parts: Option<Parts>,
    /// Rising.
    numbers: Vec<(f64, u32)>,
    /// Tests that no literal announces.
    always: Vec<u32>,
}

#[derive(Debug)]
struct Parts {
    texts: Vec<String>,
    /// Made when it is worth it: most fields of a log source's rules hardly come, or never. `None`
    /// where there are too many parts for one.
    automaton: OnceLock<Option<AhoCorasick>>,
    /// Bytes searched so far, and the table that was then made; `None` where none can be.
    searched: AtomicUsize,
    table: OnceLock<Option<AhoCorasick>>,
    asked: Vec<Vec<Asked>>,
    /// Is one of them made of what identifiers are made of?
    in_identifiers: bool,
    shortest: usize,
}

/// Room that every look needs, kept.
#[derive(Debug, Default)]
pub(crate) struct Room {
    asked: Vec<Asked>,
    /// Numbers of the tests that held, rising.
    pub(crate) hits: Vec<u32>,
}

impl TestSet {
    /// A set of tests, each with its number in the program.
    pub(crate) fn new(mut tests: Vec<(u32, Test)>) -> Self {
        tests.sort_by_key(|(id, _)| *id);
        let mut set = TestSet {
            exact_span: (usize::MAX, 0),
            ..TestSet::default()
        };
        let mut parts: HashMap<String, Vec<Asked>> = HashMap::default();
        for (test, (_, what)) in (0u32..).zip(&tests) {
            let need = match what {
                Test::Matches(matcher) => need(matcher),
                _ => None,
            };
            let Some(need) = need else {
                set.always.push(test);
                continue;
            };
            let asked = Asked {
                test,
                enough: need.enough,
            };
            for literal in need.literals {
                match literal {
                    Literal::Exact(text) => {
                        let (least, most) = set.exact_span;
                        set.exact_span = (least.min(text.len()), most.max(text.len()));
                        set.exact.entry(text).or_default().push(asked);
                    }
                    Literal::Part(text) => parts.entry(text).or_default().push(asked),
                    Literal::Number(number) => set.numbers.push((number, test)),
                }
            }
        }
        set.numbers.sort_by(|a, b| a.0.total_cmp(&b.0));
        set.tests = tests;
        set.search_for(parts);
        set
    }

    fn search_for(&mut self, parts: HashMap<String, Vec<Asked>>) {
        if parts.is_empty() {
            return;
        }
        let mut parts: Vec<(String, Vec<Asked>)> = parts.into_iter().collect();
        parts.sort_by(|a, b| a.0.cmp(&b.0));
        let parts = parts.into_iter();
        let parts = parts.map(|(text, asked)| (text.to_ascii_lowercase(), asked));
        let (texts, asked): (Vec<String>, Vec<Vec<Asked>>) = parts.unzip();
        self.parts = Some(Parts {
            shortest: texts.iter().map(String::len).min().unwrap_or(0),
            in_identifiers: texts.iter().any(|text| is_identifier(text)),
            texts,
            automaton: OnceLock::new(),
            searched: AtomicUsize::new(0),
            table: OnceLock::new(),
            asked,
        });
    }

    /// The numbers of the tests that hold without a value.
    pub(crate) fn without_value(&self) -> Vec<u32> {
        let held = self.tests.iter().filter(|(_, t)| t.holds_without_value());
        held.map(|(id, _)| *id).collect()
    }

    /// Finds the tests that hold for a text.
    pub(crate) fn of_text(&self, text: &str, lists: &IntelSet, room: &mut Room) {
        room.asked.clear();
        self.look(text, &mut room.asked);
        if room.asked.is_empty() && self.always.is_empty() {
            room.hits.clear();
            return;
        }
        let value = EventValue::Str(Cow::Borrowed(text));
        self.ask(room, |test| test.holds(&value, lists));
    }

    /// Finds the tests that hold for a text as keywords.
    pub(crate) fn of_keyword_text(&self, text: &str, room: &mut Room) {
        room.asked.clear();
        self.look(text, &mut room.asked);
        self.ask(room, |test| test.holds_for_text(text));
    }

    /// Finds the tests that hold for a value of any kind.
    pub(crate) fn of_value(&self, value: &EventValue<'_>, lists: &IntelSet, room: &mut Room) {
        room.asked.clear();
        self.look_into(value, &mut room.asked);
        self.ask(room, |test| test.holds(value, lists));
    }

    /// Finds the tests that hold for a list of texts, which is only made when one of them has
    /// something that a test needs.
    pub(crate) fn of_texts<'v>(
        &self,
        texts: &[Cow<'_, str>],
        value: impl FnOnce() -> Option<EventValue<'v>>,
        lists: &IntelSet,
        room: &mut Room,
    ) {
        room.asked.clear();
        room.hits.clear();
        texts
            .iter()
            .for_each(|text| self.look(text, &mut room.asked));
        if room.asked.is_empty() && self.always.is_empty() {
            return;
        }
        if let Some(value) = value() {
            self.ask(room, |test| test.holds(&value, lists));
        }
    }

    fn ask(&self, room: &mut Room, holds: impl Fn(&Test) -> bool) {
        room.hits.clear();
        room.asked.sort_unstable_by_key(|a| (a.test, !a.enough));
        room.asked.dedup_by_key(|a| a.test);
        let always = self.always.iter().map(|test| Asked {
            test: *test,
            enough: false,
        });
        for asked in room.asked.iter().copied().chain(always) {
            if let Some((id, test)) = self.tests.get(asked.test as usize)
                && (asked.enough || holds(test))
            {
                room.hits.push(*id);
            }
        }
        room.hits.sort_unstable();
        room.hits.dedup();
    }

    /// Looks into every text and number of the value, as rsigma's matchers do.
    fn look_into(&self, value: &EventValue<'_>, found: &mut Vec<Asked>) {
        match value {
            EventValue::Str(text) => self.look(text, found),
            EventValue::Int(n) => {
                self.look_number(*n as f64, found);
                self.look_text(&n.to_string(), found);
            }
            EventValue::Float(n) => {
                self.look_number(*n, found);
                self.look_text(&n.to_string(), found);
            }
            EventValue::Bool(b) => self.look_text(if *b { "true" } else { "false" }, found),
            EventValue::Array(members) => members.iter().for_each(|m| self.look_into(m, found)),
            EventValue::Null | EventValue::Map(_) => {}
        }
    }

    fn look(&self, text: &str, found: &mut Vec<Asked>) {
        let numeric = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.');
        if !self.numbers.is_empty()
            && text.bytes().next().is_some_and(numeric)
            && let Ok(number) = text.parse::<f64>()
        {
            self.look_number(number, found);
        }
        self.look_text(text, found);
    }

    fn look_number(&self, number: f64, found: &mut Vec<Asked>) {
        let from = self
            .numbers
            .partition_point(|(n, _)| *n < number - f64::EPSILON);
        let rest = self.numbers.get(from..).unwrap_or_default();
        let near = rest
            .iter()
            .take_while(|(n, _)| *n <= number + f64::EPSILON)
            .map(|(_, test)| Asked {
                test: *test,
                enough: false,
            });
        found.extend(near);
    }

    fn look_text(&self, text: &str, found: &mut Vec<Asked>) {
        let ascii = text.is_ascii();
        let (least, most) = self.exact_span;
        let of_length = (least..=most).contains(&text.len());
        let folded = (!ascii || of_length).then(|| fold(text));
        let keep = |asked: &Asked| Asked {
            enough: asked.enough && ascii,
            ..*asked
        };
        if let Some(folded) = &folded
            && let Some(asked) = self.exact.get(&**folded)
        {
            found.extend(asked.iter().map(keep));
        }
        if let Some(parts) = &self.parts {
            // The automaton takes letters of ASCII as they come.
            let searched = folded.as_deref().filter(|_| !ascii).unwrap_or(text);
            // Traces, sessions and hashes: many, all different, and never what a rule means.
            if searched.len() < parts.shortest || !parts.in_identifiers && is_identifier(text) {
                return;
            }
            parts.search(searched, &mut |part| {
                let asked = parts.asked.get(part);
                found.extend(asked.into_iter().flatten().map(keep));
            });
        }
    }
}

impl Parts {
    /// Tells the places of the parts that the text has, letter case of ASCII aside.
    fn search(&self, text: &str, found: &mut dyn FnMut(usize)) {
        if let Some(automaton) = self.automaton(text.len()) {
            let hits = automaton.find_overlapping_iter(text);
            hits.for_each(|hit| found(hit.pattern().as_usize()));
            return;
        }
        let text = text.to_ascii_lowercase();
        for (place, part) in self.texts.iter().enumerate() {
            if text.contains(part.as_str()) {
                found(place);
            }
        }
    }

    /// What to search so many bytes more with; `None` while it is not worth an automaton, and
    /// where none can be made.
    fn automaton(&self, bytes: usize) -> Option<&AhoCorasick> {
        let make = || automaton(&self.texts, AhoCorasickKind::ContiguousNFA);
        let small = || self.automaton.get_or_init(make).as_ref();
        if let Some(table) = self.table.get() {
            return table.as_ref().or_else(small);
        }
        let searched = self.searched.fetch_add(bytes, Ordering::Relaxed);
        if searched < WORTH_AN_AUTOMATON {
            return None;
        }
        if searched < WORTH_A_TABLE {
            return small();
        }
        let table = self.table.get_or_init(|| {
            let all: usize = self.texts.iter().map(String::len).sum();
            (all <= MAX_TABLE_BYTES).then(|| automaton(&self.texts, AhoCorasickKind::DFA))?
        });
        table.as_ref().or_else(small)
    }
}

fn automaton(texts: &[String], kind: AhoCorasickKind) -> Option<AhoCorasick> {
    let automaton = AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .ascii_case_insensitive(true)
        .kind(Some(kind))
        .build(texts);
    automaton.ok()
}

/// Is the text made of hexadecimal digits and dashes alone?
fn is_identifier(text: &str) -> bool {
    let of_identifiers = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    text.bytes().all(of_identifiers)
}
