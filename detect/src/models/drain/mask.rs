//! What differs from line to line, cut out before lines are compared.

/// Stands for what differs.
pub const HOLE: &str = "<*>";

/// Names that stand for a time as digits do.
const TIMES: [&str; 19] = [
    "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun",
    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Holes on both sides of these are one: times, addresses with ports, lists of numbers.
const JOINTS: [char; 2] = [':', ','];

/// The line with [`HOLE`] for each part that holds a digit, and for names of days and months. So
/// numbers, addresses, identifiers and times become holes without a pattern for each. A part ends
/// at a space or at punctuation other than dots, dashes, slashes and underscores, which are inside
/// of paths and names. Runs of spaces become one.
pub fn mask(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for word in line.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        mask_word(word, &mut out);
    }
    out
}

fn mask_word(word: &str, out: &mut String) {
    let begin = out.len();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if parts(first) {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let end = rest.find(parts).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        if !varies(part) {
            out.push_str(part);
            continue;
        }
        // `10.0.0.1:80`, `fe80::1` and `10:02:11` are one hole each.
        let before = out[begin..].trim_end_matches(JOINTS);
        if before.ends_with(HOLE) {
            out.truncate(begin + before.len());
        } else {
            out.push_str(HOLE);
        }
    }
}

/// Whether the character ends a part of a word.
fn parts(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '.' | '-' | '_' | '/' | '+' | '%' | '$' | '\\' | '~')
}

fn varies(part: &str) -> bool {
    part.bytes().any(|b| b.is_ascii_digit()) || TIMES.contains(&part)
}
