//! Lists as STIX 2.1 bundles: indicators whose patterns are values joined by OR.

use serde::Deserialize;

use super::list::{Entries, until};

#[derive(Deserialize)]
struct Bundle {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    pattern: String,
    pattern_type: Option<String>,
    valid_until: Option<String>,
    #[serde(default)]
    revoked: bool,
}

/// Object paths whose values are indicators, as far as they tell.
const PATHS: &[&str] = &[
    "ipv4-addr:value",
    "ipv6-addr:value",
    "domain-name:value",
    "url:value",
    "file:hashes.",
    "artifact:hashes.",
    "network-traffic:dst_ref.value",
    "network-traffic:src_ref.value",
];

/// Reads a bundle.
///
/// # Errors
/// A text that is none.
pub(super) fn read(text: &str, entries: &mut Entries) -> Result<(), String> {
    let bundle: Bundle =
        serde_json::from_str(text).map_err(|e| format!("not a STIX bundle: {e}"))?;
    if bundle.kind != "bundle" {
        return Err("not a STIX bundle: its type is another".to_owned());
    }
    for object in bundle.objects {
        if object.kind != "indicator" || object.revoked {
            continue;
        }
        if object.pattern_type.as_deref().is_some_and(|t| t != "stix") {
            entries.skip(None, format!("{}: the pattern is not STIX", object.id));
            continue;
        }
        let until_ns = match until(object.valid_until.as_deref().unwrap_or_default()) {
            Ok(until_ns) => until_ns,
            Err(why) => {
                entries.skip(None, format!("{}: {why}", object.id));
                continue;
            }
        };
        match values(&object.pattern) {
            Some(values) => values.iter().for_each(|v| entries.take(v, None, until_ns)),
            None => {
                let why = format!("{}: only values joined by OR are taken", object.id);
                entries.skip(None, why);
            }
        }
    }
    Ok(())
}

/// The values of a pattern such as `[ipv4-addr:value = '192.0.2.1' OR ipv4-addr:value IN ('a')]`;
/// none where it says more than that one of them was seen.
fn values(pattern: &str) -> Option<Vec<String>> {
    let mut rest = pattern.trim();
    let mut found = Vec::new();
    loop {
        rest = rest.strip_prefix('[')?.trim_start();
        loop {
            rest = comparison(rest, &mut found)?.trim_start();
            match rest.strip_prefix("OR ") {
                Some(more) => rest = more.trim_start(),
                None => break,
            }
        }
        rest = rest.strip_prefix(']')?.trim_start();
        if rest.is_empty() {
            return Some(found);
        }
        rest = rest.strip_prefix("OR")?.trim_start();
    }
}

/// Reads `path = 'value'` or `path IN ('a', 'b')`; gives what follows.
fn comparison<'a>(text: &'a str, found: &mut Vec<String>) -> Option<&'a str> {
    let end = text.find(|c: char| c.is_whitespace() || c == '=')?;
    let (path, rest) = text.split_at(end);
    if !PATHS.iter().any(|known| path.starts_with(known)) {
        return None;
    }
    let rest = rest.trim_start();
    if let Some(rest) = rest.strip_prefix('=') {
        return quoted(rest.trim_start(), found);
    }
    let mut rest = rest.strip_prefix("IN")?.trim_start().strip_prefix('(')?;
    loop {
        rest = quoted(rest.trim_start(), found)?.trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.strip_prefix(')'),
        }
    }
}

/// Reads `'value'`, in which a backslash makes the next character one of the value.
fn quoted<'a>(text: &'a str, found: &mut Vec<String>) -> Option<&'a str> {
    let inside = text.strip_prefix('\'')?;
    let mut value = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            '\'' => {
                found.push(value);
                return inside.get(at + 1..);
            }
            c => value.push(c),
        }
    }
    None
}
