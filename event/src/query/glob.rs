//! Patterns with `*` and `?`.

use super::tokens;

/// A pattern with `*` (any run of characters) and `?` (any one), letter case aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// The pattern, lower case.
    pub text: String,
    parts: Vec<Part>,
    /// The same for ASCII values; `None` with a `?` or letters beyond ASCII.
    pieces: Option<Pieces>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Char(char),
    One,
    Many,
}

/// What stands between the stars, lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pieces {
    /// Of a pattern that does not begin with a star.
    first: Option<Vec<u8>>,
    inner: Vec<Vec<u8>>,
    /// Of one that does not end with a star; `None` too where the first is all there is.
    last: Option<Vec<u8>>,
    /// Is there no star at all?
    whole: bool,
}

impl Glob {
    /// Reads a pattern; `\*` and `\?` are the characters themselves.
    pub fn new(pattern: &str) -> Self {
        let text = pattern.to_lowercase();
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '*' if parts.last() == Some(&Part::Many) => continue,
                '*' => Part::Many,
                '?' => Part::One,
                '\\' => Part::Char(chars.next().unwrap_or('\\')),
                c => Part::Char(c),
            });
        }
        let pieces = Pieces::of(&parts);
        Glob {
            text,
            parts,
            pieces,
        }
    }

    pub(super) fn passes(&self, value: &str, any_field: bool) -> bool {
        if let Some(pieces) = self.pieces.as_ref().filter(|_| value.is_ascii()) {
            let is_text = |b: &u8| matches!(b, b'\t'..=b'\r' | b' ');
            return pieces.are_all(value.as_bytes())
                || ((any_field || value.as_bytes().iter().any(is_text))
                    && tokens(value).any(|word| pieces.are_all(word.as_bytes())));
        }
        let lower = value.to_lowercase();
        if self.is_match(&lower) {
            return true;
        }
        let is_text = any_field || lower.contains(char::is_whitespace);
        is_text && tokens(&lower).any(|word| self.is_match(word))
    }

    /// Does the pattern match all of this lower-case text? At most text times pattern steps.
    fn is_match(&self, lower: &str) -> bool {
        let text: Vec<char> = lower.chars().collect();
        let (mut t, mut p) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match (self.parts.get(p), text.get(t)) {
                (None, None) => return true,
                (Some(Part::Many), _) => {
                    retry = Some((p, t));
                    p += 1;
                    continue;
                }
                (Some(Part::One), Some(_)) => {
                    (t, p) = (t + 1, p + 1);
                    continue;
                }
                (Some(Part::Char(c)), Some(have)) if c == have => {
                    (t, p) = (t + 1, p + 1);
                    continue;
                }
                _ => {}
            }
            match retry {
                Some((many, from)) if from < text.len() => {
                    retry = Some((many, from + 1));
                    (t, p) = (from + 1, many + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Pieces {
    fn of(parts: &[Part]) -> Option<Self> {
        let literal = |part: &[Part]| -> Option<Vec<u8>> {
            let letter = |part: &Part| match part {
                Part::Char(c) if c.is_ascii() => u8::try_from(*c).ok(),
                _ => None,
            };
            part.iter().map(letter).collect()
        };
        let all: Option<Vec<Vec<u8>>> = parts
            .split(|part| *part == Part::Many)
            .map(literal)
            .collect();
        let mut inner = all?;
        let whole = inner.len() < 2;
        let last = if whole { None } else { inner.pop() };
        let first = if inner.is_empty() {
            None
        } else {
            Some(inner.remove(0))
        };
        let there = |piece: &Vec<u8>| !piece.is_empty();
        Some(Pieces {
            first: first.filter(there),
            inner,
            last: last.filter(there),
            whole,
        })
    }

    /// Do they make up all of an ASCII value? The soonest place of each leaves the most to those
    /// that follow.
    fn are_all(&self, value: &[u8]) -> bool {
        let mut rest = value;
        if let Some(first) = &self.first {
            let Some((start, after)) = rest.split_at_checked(first.len()) else {
                return false;
            };
            if !start.eq_ignore_ascii_case(first) {
                return false;
            }
            rest = after;
        }
        if self.whole {
            return rest.is_empty();
        }
        if let Some(last) = &self.last {
            let split = rest.len().checked_sub(last.len());
            let Some((before, end)) = split.and_then(|at| rest.split_at_checked(at)) else {
                return false;
            };
            if !end.eq_ignore_ascii_case(last) {
                return false;
            }
            rest = before;
        }
        self.inner.iter().all(|piece| {
            let after = find(rest, piece).and_then(|at| rest.get(at + piece.len()..));
            after.is_some_and(|after| {
                rest = after;
                true
            })
        })
    }
}

/// Where a lower-case piece first is in an ASCII value.
fn find(value: &[u8], piece: &[u8]) -> Option<usize> {
    let first = *piece.first()?;
    let mut places = memchr::memchr2_iter(first, first.to_ascii_uppercase(), value);
    places.find(|at| {
        let found = value.get(*at..*at + piece.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(piece))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_match_what_the_pattern_matches(
            pattern in "[aAbK*\\\\?]{0,7}",
            value in "[aAbBkK \t\x0b?*é\u{212a}]{0,9}",
            any_field in any::<bool>(),
        ) {
            let glob = Glob::new(&pattern);
            let slow = Glob { pieces: None, ..glob.clone() };
            prop_assert_eq!(glob.passes(&value, any_field), slow.passes(&value, any_field));
        }
    }

    #[test]
    fn patterns_without_wildcards_beyond_stars_have_pieces() {
        for (pattern, value, passes) in [
            ("*/export", "/api/Orders/EXPORT", true),
            ("*/export", "/export/1", false),
            ("/a/*/c", "/a/c", false),
            ("/a*a/", "/a/", false),
            ("*ab*b*", "xabab", true),
            ("*", "", true),
            ("abc", "ABC", true),
            ("abc", "abcd", false),
            ("", "", true),
        ] {
            let glob = Glob::new(pattern);
            assert!(glob.pieces.is_some(), "{pattern}");
            assert_eq!(glob.passes(value, false), passes, "{pattern} {value}");
        }
        assert!(Glob::new("a?c").pieces.is_none() && Glob::new("é*").pieces.is_none());
    }
}
