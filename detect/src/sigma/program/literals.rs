//! Texts and numbers without which a matcher cannot match: what a value must have before the
//! matcher is asked at all.
//!
//! Everything here may only be too wide. A value is compared after [`fold`], which lowers letters
//! as rsigma does and also takes the long s for an s, as regular expressions without regard to
//! case do.

use std::borrow::Cow;

use regex_syntax::hir::{Class, Hir, HirKind};
use rsigma_eval::CompiledMatcher;
use rsigma_eval::matcher::GroupMode;

/// Parts of regular expressions shorter than this select nothing, bytes.
const MIN_PART: usize = 2;
/// A literal from here on is taken to be rare, bytes.
const LONG: usize = 8;
/// Alternatives of one regular expression that are worth searching for.
const MAX_ALTERNATIVES: usize = 256;

/// Something that a value, or a member of a list, must have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    /// It is this text.
    Exact(String),
    /// It contains this text.
    Part(String),
    /// It is this number, or a text that says it.
    Number(f64),
}

/// At least one of these is there when the matcher matches.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    pub(crate) literals: Vec<Literal>,
    /// In a text of ASCII each of them is also enough.
    pub(crate) enough: bool,
}

impl Need {
    fn of(literal: Literal, enough: bool) -> Self {
        Need {
            literals: vec![literal],
            enough,
        }
    }

    /// How little this selects: the worst of the literals, then their number. Lower is better.
    pub(crate) fn width(&self) -> (u8, usize) {
        let widths = self.literals.iter().map(|literal| match literal {
            Literal::Exact(text) if text.len() >= LONG => 0,
            Literal::Part(text) if text.len() >= LONG => 1,
            Literal::Exact(text) if text.len() > LONG / 2 => 2,
            Literal::Part(text) if text.len() >= LONG / 2 => 3,
            // Methods, statuses, numbers of events: every event has one of a few.
            Literal::Exact(_) | Literal::Number(_) => 5,
            Literal::Part(_) => 6,
        });
        (widths.max().unwrap_or(0), self.literals.len())
    }
}

/// The text as literals are compared.
pub(crate) fn fold(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() {
        return Cow::Owned(text.to_lowercase().replace('ſ', "s"));
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Borrowed(text)
}

/// What a value needs for `matcher`; `None` when nothing can be said.
pub(crate) fn need(matcher: &CompiledMatcher) -> Option<Need> {
    match matcher {
        CompiledMatcher::Exact {
            value,
            case_insensitive,
        } => {
            let literal = Literal::Exact(fold(value).into_owned());
            Some(Need::of(literal, *case_insensitive && value.is_ascii()))
        }
        CompiledMatcher::Contains {
            value,
            case_insensitive,
        } => part(value, *case_insensitive, *case_insensitive),
        CompiledMatcher::StartsWith {
            value,
            case_insensitive,
        }
        | CompiledMatcher::EndsWith {
            value,
            case_insensitive,
        } => part(value, *case_insensitive, false),
        CompiledMatcher::AhoCorasickSet {
            needles,
            case_insensitive,
            ..
        } => any(needles
            .iter()
            .map(|n| part(n, *case_insensitive, *case_insensitive))),
        CompiledMatcher::Regex(regex) => in_regex(regex.as_str()),
        CompiledMatcher::RegexSetMatch { set, mode } => {
            group(*mode, set.patterns().iter().map(|p| in_regex(p)))
        }
        CompiledMatcher::NumericEq(n) if n.is_finite() => {
            Some(Need::of(Literal::Number(*n), false))
        }
        CompiledMatcher::BoolEq(wanted) => {
            let said: &[&str] = if *wanted {
                &["true", "1", "yes"]
            } else {
                &["false", "0", "no"]
            };
            let exact = |text: &&str| Literal::Exact((*text).to_owned());
            Some(Need {
                literals: said.iter().map(exact).collect(),
                enough: false,
            })
        }
        CompiledMatcher::AnyOf(children) => any(children.iter().map(need)),
        CompiledMatcher::AllOf(children) => best(children.iter().map(need)),
        CompiledMatcher::CaseInsensitiveGroup { children, mode } => {
            group(*mode, children.iter().map(need))
        }
        _ => None,
    }
}

fn group(mode: GroupMode, parts: impl Iterator<Item = Option<Need>>) -> Option<Need> {
    match mode {
        GroupMode::Any => any(parts),
        GroupMode::All => best(parts),
    }
}

/// One of the parts is enough, so all must say what they need.
fn any(parts: impl Iterator<Item = Option<Need>>) -> Option<Need> {
    let parts: Vec<Need> = parts.collect::<Option<_>>()?;
    Some(Need {
        enough: parts.iter().all(|p| p.enough),
        literals: parts.into_iter().flat_map(|p| p.literals).collect(),
    })
}

/// All parts are needed: what selects most.
fn best(parts: impl Iterator<Item = Option<Need>>) -> Option<Need> {
    let best = parts.flatten().min_by_key(Need::width)?;
    Some(Need {
        enough: false,
        ..best
    })
}

fn part(value: &str, folded: bool, enough: bool) -> Option<Need> {
    let literal = if folded || value.is_ascii() {
        fold(value).into_owned()
    } else {
        // How a letter that is not ASCII is lowered can depend on its neighbours.
        let runs = value.split(|c: char| !c.is_ascii());
        runs.max_by_key(|run| run.len())?.to_ascii_lowercase()
    };
    let enough = enough && value.is_ascii();
    (!literal.is_empty()).then(|| Need::of(Literal::Part(literal), enough))
}

fn in_regex(pattern: &str) -> Option<Need> {
    let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
    let parts = mandatory(&parser.parse(pattern).ok()?)?;
    if parts.iter().any(|p| p.len() < MIN_PART) {
        return None;
    }
    Some(Need {
        literals: parts.into_iter().map(Literal::Part).collect(),
        enough: false,
    })
}

/// Texts of which every match contains at least one.
fn mandatory(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            let runs = literal.0.split(|b| !b.is_ascii());
            let longest = runs.max_by_key(|run| run.len())?;
            let text = String::from_utf8_lossy(longest).to_ascii_lowercase();
            (!text.is_empty()).then(|| vec![text])
        }
        HirKind::Class(_) => said(hir).map(|text| vec![text]),
        HirKind::Capture(capture) => mandatory(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min >= 1 => mandatory(&repetition.sub),
        HirKind::Alternation(branches) => {
            let branches: Option<Vec<_>> = branches.iter().map(mandatory).collect();
            let all: Vec<String> = branches?.into_iter().flatten().collect();
            (all.len() <= MAX_ALTERNATIVES).then_some(all)
        }
        HirKind::Concat(parts) => {
            let mut found: Vec<Vec<String>> = Vec::new();
            let mut run = String::new();
            for part in parts {
                match said(part) {
                    Some(text) => run.push_str(&text),
                    None => {
                        found.push(vec![std::mem::take(&mut run)]);
                        found.extend(mandatory(part));
                    }
                }
            }
            found.push(vec![run]);
            let shortest = |texts: &[String]| texts.iter().map(String::len).min().unwrap_or(0);
            found.retain(|texts| shortest(texts) > 0);
            found
                .into_iter()
                .max_by_key(|texts| (shortest(texts), std::cmp::Reverse(texts.len())))
        }
        _ => None,
    }
}

/// The one text, folded, that this part of a regular expression stands for.
fn said(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(String::new()),
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok()?;
            text.is_ascii().then(|| text.to_ascii_lowercase())
        }
        HirKind::Class(class) => letter(class).map(String::from),
        HirKind::Capture(capture) => said(&capture.sub),
        HirKind::Concat(parts) => parts.iter().map(said).collect(),
        _ => None,
    }
}

/// The letter whose forms the class holds and nothing else.
fn letter(class: &Class) -> Option<char> {
    let chars: Vec<char> = match class {
        Class::Unicode(class) => {
            let ranges = class.ranges();
            if ranges.len() > 4 || ranges.iter().any(|r| r.len() > 2) {
                return None;
            }
            ranges.iter().flat_map(|r| r.start()..=r.end()).collect()
        }
        Class::Bytes(class) => {
            let ranges = class.ranges();
            if ranges.len() > 4 || ranges.iter().any(|r| r.len() > 2) {
                return None;
            }
            let bytes = ranges.iter().flat_map(|r| r.start()..=r.end());
            bytes.map(char::from).collect()
        }
    };
    let mut folded = chars
        .iter()
        .map(|c| fold(c.encode_utf8(&mut [0; 4])).into_owned());
    let first = folded.next()?;
    let one = first.is_ascii() && first.len() == 1 && folded.all(|other| other == first);
    if one { first.chars().next() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_every_match_has_are_found_in_patterns() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("(?i)^.*whoami.*$", Some(&["whoami"])),
            ("(?i)^.*passw.rd$", Some(&["passw"])),
            ("certutil.*(urlcache|verifyctl)", Some(&["certutil"])),
            ("(foo|barbar)x?", Some(&["foo", "barbar"])),
            ("(?i)(Kernel|ss)", Some(&["kernel", "ss"])),
            ("a(bc)+", Some(&["bc"])),
            (r"\bnet\s+user", Some(&["user"])),
            ("x?", None),
            (".{200}", None),
            ("[0-9]+", None),
            ("(?i)ΣΑ", None),
        ];
        for (pattern, expected) in cases {
            let found = in_regex(pattern).map(|need| need.literals);
            let expected = expected.map(|parts| {
                let part = |text: &&str| Literal::Part((*text).to_owned());
                parts.iter().map(part).collect::<Vec<_>>()
            });
            assert_eq!(found, expected, "{pattern}");
        }
    }

    #[test]
    fn what_folds_to_a_letter_is_found_wherever_a_pattern_takes_it() {
        let regex = regex::Regex::new("(?i)task").expect("a pattern");
        for text in ["TASK", "tas\u{212a}", "taſk"] {
            assert!(regex.is_match(text), "{text}");
            assert_eq!(fold(text), "task");
        }
    }
}
