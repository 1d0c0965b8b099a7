//! Cuts a body into JSON texts: NDJSON lines, elements of arrays, or one pretty-printed object.
//!
//! A broken line or element never takes its neighbours with it, as far as quotes and brackets
//! allow. No text of a JSON value is changed, but raw line ends between tokens become spaces,
//! because lines are joined by `\n` in the log.

use serde::de::IgnoredAny;
use watchfire_event::Key;

use crate::error::Refusal;

/// Where one line is in its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// First byte after it.
    pub end: u32,
    /// Line of the body or element of the array, from 1: what an answer calls it.
    pub number: u32,
}

/// The lines of a request, each supposed to be one JSON object.
#[derive(Debug, Default)]
pub struct Lines {
    /// The decoded body.
    pub body: Vec<u8>,
    /// The lines, in order; blank ones are not among them.
    pub spans: Vec<Span>,
    /// Members to put in front of the members of a line (`"_index":"logs",`); by span, may be
    /// shorter than `spans`, then the rest has none.
    pub prefixes: Vec<Prefix>,
    /// Ids of lines that carry one, by span; may be shorter than `spans`.
    pub keys: Vec<Option<Key>>,
}

/// JSON members with a trailing comma, shared by many lines.
pub type Prefix = Option<std::sync::Arc<[u8]>>;

impl Lines {
    /// The bytes of line `index` as they came.
    pub fn raw(&self, index: usize) -> &[u8] {
        self.spans
            .get(index)
            .and_then(|span| self.body.get(span.start as usize..span.end as usize))
            .unwrap_or_default()
    }

    /// Appends line `index` to `out`, with its prefix.
    pub fn write(&self, index: usize, out: &mut Vec<u8>) {
        let raw = self.raw(index);
        match (self.prefixes.get(index), raw.strip_prefix(b"{")) {
            (Some(Some(prefix)), Some(members)) => {
                let empty = members.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'}');
                let prefix = if empty {
                    prefix.strip_suffix(b",").unwrap_or(prefix)
                } else {
                    prefix
                };
                out.push(b'{');
                out.extend_from_slice(prefix);
                out.extend_from_slice(members);
            }
            _ => out.extend_from_slice(raw),
        }
    }

    /// The id of line `index`.
    pub fn key(&self, index: usize) -> Option<Key> {
        self.keys.get(index).copied().flatten()
    }
}

/// Cuts `body` into lines; at most `max_lines`.
///
/// # Errors
/// [`Refusal::BodyTooLarge`] when there are more lines.
pub fn split(mut body: Vec<u8>, max_lines: usize) -> Result<Lines, Refusal> {
    let mut splitter = Splitter {
        spans: Vec::new(),
        max_lines,
    };
    let start = if body.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    if !splitter.whole_values(&mut body, start)? {
        splitter.lines(&mut body, start)?;
    }
    Ok(Lines {
        spans: splitter.spans,
        body,
        ..Lines::default()
    })
}

struct Splitter {
    spans: Vec<Span>,
    max_lines: usize,
}

impl Splitter {
    fn add(&mut self, body: &[u8], start: usize, end: usize, number: usize) -> Result<(), Refusal> {
        let text = body.get(start..end).unwrap_or_default();
        let lead = text.iter().take_while(|b| is_space(**b)).count();
        let tail = text.iter().rev().take_while(|b| is_space(**b)).count();
        let (start, end) = if lead == text.len() {
            (end, end)
        } else {
            (start + lead, end - tail)
        };
        if self.spans.len() >= self.max_lines {
            return Err(Refusal::BodyTooLarge(format!(
                "more than {} lines",
                self.max_lines
            )));
        }
        self.spans.push(Span {
            start: start as u32,
            end: end as u32,
            number: number as u32,
        });
        Ok(())
    }

    /// Takes a body of whole values that spread over several lines (a pretty-printed object, or
    /// several of them). `false` when that is not what the body is.
    fn whole_values(&mut self, body: &mut [u8], start: usize) -> Result<bool, Refusal> {
        let rest = body.get(start..).unwrap_or_default();
        let Some(first) = rest.split(|b| *b == b'\n').find(|line| !is_blank(line)) else {
            return Ok(true);
        };
        let object = first.iter().find(|b| !is_space(**b)) == Some(&b'{');
        if !object || serde_json::from_slice::<IgnoredAny>(first).is_ok() {
            return Ok(false);
        }
        let mut ends = Vec::new();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        while let Some(value) = values.next() {
            if value.is_err() {
                return Ok(false);
            }
            ends.push(start + values.byte_offset());
        }
        let mut from = start;
        for (i, end) in ends.into_iter().enumerate() {
            blank_line_ends(body, from, end);
            self.add(body, from, end, i + 1)?;
            from = end;
        }
        Ok(true)
    }

    /// One array that is the whole body gives its elements; anything else goes line by line, so
    /// that an array among other lines is one line, refused as such.
    fn lines(&mut self, body: &mut [u8], start: usize) -> Result<(), Refusal> {
        if self.whole_array(body, start)? {
            return Ok(());
        }
        let (mut at, mut number) = (start, 1);
        while at < body.len() {
            let rest = body.get(at..).unwrap_or_default();
            let end = rest
                .iter()
                .position(|b| *b == b'\n')
                .map_or(body.len(), |i| at + i);
            if !is_blank(body.get(at..end).unwrap_or_default()) {
                self.add(body, at, end, number)?;
            }
            at = end + 1;
            number += 1;
        }
        Ok(())
    }

    /// Takes a body that is one array, or one line with an array that was cut off. `false`, with
    /// nothing taken, when it is something else.
    fn whole_array(&mut self, body: &mut [u8], start: usize) -> Result<bool, Refusal> {
        let rest = body.get(start..).unwrap_or_default();
        let lead = rest.iter().take_while(|b| is_space(**b)).count();
        if rest.get(lead) != Some(&b'[') {
            return Ok(false);
        }
        let open = start + lead;
        let array = self.array(body, open + 1)?;
        let after = body.get(array.end..).unwrap_or_default();
        if (array.closed && is_blank(after)) || array.line_ends == 0 && !array.closed {
            blank_between_tokens(body, open, array.end, array.line_ends);
            return Ok(true);
        }
        self.spans.clear();
        Ok(false)
    }

    /// The elements of the array whose bracket ends before `start`; the last one is whatever is
    /// left when the array does not close.
    fn array(&mut self, body: &[u8], start: usize) -> Result<Array, Refusal> {
        let first = self.spans.len();
        let (mut depth, mut in_string, mut from, mut at) = (0_usize, false, start, start);
        let mut line_ends = 0;
        while let Some(&byte) = body.get(at) {
            match byte {
                b'\n' => line_ends += 1,
                b'\\' if in_string => at += 1,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'{' | b'[' => depth += 1,
                b']' if depth == 0 => {
                    let last = body.get(from..at).unwrap_or_default();
                    if self.spans.len() > first || !is_blank(last) {
                        self.add(body, from, at, self.spans.len() + 1)?;
                    }
                    return Ok(Array {
                        end: at + 1,
                        closed: true,
                        line_ends,
                    });
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' if depth == 0 => {
                    self.add(body, from, at, self.spans.len() + 1)?;
                    from = at + 1;
                }
                _ => {}
            }
            at += 1;
        }
        self.add(body, from.min(body.len()), body.len(), self.spans.len() + 1)?;
        Ok(Array {
            end: body.len(),
            closed: false,
            line_ends,
        })
    }
}

/// What [`Splitter::array`] found.
struct Array {
    end: usize,
    closed: bool,
    line_ends: usize,
}

/// Turns line ends outside strings into spaces. One inside a string is an error that must stay.
fn blank_between_tokens(body: &mut [u8], start: usize, end: usize, line_ends: usize) {
    if line_ends == 0 {
        return;
    }
    let (mut in_string, mut escaped) = (false, false);
    for byte in body.get_mut(start..end).into_iter().flatten() {
        match *byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'\n' if !in_string => *byte = b' ',
            _ => {}
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(|b| is_space(*b))
}

fn blank_line_ends(body: &mut [u8], start: usize, end: usize) {
    for byte in body.get_mut(start..end).into_iter().flatten() {
        if *byte == b'\n' {
            *byte = b' ';
        }
    }
}
