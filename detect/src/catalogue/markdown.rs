//! The page as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::attack;
use super::document::Entry;

/// What stands before and after what is made of the rules.
const HEAD: &str = include_str!("head.md");
const TAIL: &str = include_str!("tail.md");

pub(super) fn page(entries: &[Entry]) -> String {
    let mut out = HEAD.to_owned();
    // Detections of one file share its tests.
    let files: BTreeMap<&str, &Entry> = entries.iter().map(|e| (e.path.as_str(), e)).collect();
    let alerting: usize = files.values().map(|e| e.alerts.len()).sum();
    let silent: usize = files.values().map(|e| e.silences.len()).sum();
    let _ = write!(
        out,
        "\n## The pack\n\n{} detections; their tests hold {alerting} stories that must alert and \
         {silent} that must not.\n\n| Area | Detection | Kind | Level |\n|---|---|---|---|\n",
        entries.len()
    );
    for entry in entries {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            entry.area,
            link(entry),
            entry.kind,
            entry.level
        );
    }
    out.push_str("\n## Coverage\n\n");
    techniques(&mut out, entries);
    owasp(&mut out, entries);
    let mut area = "";
    for entry in entries {
        if entry.area != area {
            area = &entry.area;
            let _ = write!(out, "\n## {}\n", capital(area));
        }
        detection(&mut out, entry);
    }
    out.push('\n');
    out.push_str(TAIL);
    out
}

/// One detection, in full.
fn detection(out: &mut String, entry: &Entry) {
    let file = entry.path.rsplit('/').next().unwrap_or_default();
    let sources: Vec<&str> = entry.sources.iter().map(String::as_str).collect();
    let log = match sources.as_slice() {
        [] => "any event with these fields".to_owned(),
        some => format!("log source {}", some.join(" and ")),
    };
    let fields: Vec<String> = entry.fields.iter().map(|f| format!("`{f}`")).collect();
    let _ = write!(
        out,
        "\n### {}\n\n{} ({}), level {}. `{}`, id `{}`.\n\n{}\n\n",
        entry.title,
        capital(&entry.kind),
        tags(entry),
        entry.level,
        file,
        entry.id,
        entry.description
    );
    let _ = write!(
        out,
        "- **Reads:** {}; {log}.\n- **Known false positives:** {}.\n- **What to do:** {}\n\
         - **Tested:** alerts on: {}. It stays silent on: {}.\n",
        fields.join(", "),
        entry.falsepositives.join("; "),
        entry.runbook,
        entry.alerts.join("; "),
        entry.silences.join("; ")
    );
}

/// Tactics with their techniques.
fn techniques(out: &mut String, entries: &[Entry]) {
    out.push_str(
        "### MITRE ATT&CK\n\nA technique stands under a tactic when a rule names both. Where v19 \
         gave a technique another id, rules carry both.\n\n\
         | Tactic | Technique | Detections |\n|---|---|---|\n",
    );
    for (tactic, name, gap) in attack::TACTICS {
        let tag = format!("attack.{tactic}");
        let of_tactic: Vec<&Entry> = entries.iter().filter(|e| e.tags.contains(&tag)).collect();
        let mut found: BTreeMap<&str, (&str, Vec<String>)> = BTreeMap::new();
        for (id, title, tactics) in attack::TECHNIQUES {
            let tag = format!("attack.{id}");
            let named = of_tactic.iter().filter(|e| e.tags.contains(&tag));
            let links: Vec<String> = named.map(|e| link(e)).collect();
            if tactics.contains(tactic) && !links.is_empty() {
                found.insert(id, (title, links));
            }
        }
        if found.is_empty() {
            let _ = writeln!(out, "| {name} | - | {gap} |");
        }
        for (id, (title, links)) in found {
            let _ = writeln!(
                out,
                "| {name} | {} {title} | {} |",
                technique_link(id),
                links.join(", ")
            );
        }
    }
    out.push_str(
        "\nA technique that is not in the table has no detection in the pack. Rules for operating \
         systems and clouds are SigmaHQ's; load them with `--rules`.\n",
    );
}

fn owasp(out: &mut String, entries: &[Entry]) {
    out.push_str(
        "\n### OWASP API Security Top 10, 2023\n\n\
         | Risk | Detections | Not seen |\n|---|---|---|\n",
    );
    for (number, name, gap) in attack::OWASP {
        let tag = format!("owasp.api{number}");
        let named = entries.iter().filter(|e| e.tags.contains(&tag));
        let links: BTreeSet<String> = named.map(link).collect();
        let links: Vec<String> = links.into_iter().collect();
        let detections = match links.as_slice() {
            [] => "-".to_owned(),
            some => some.join(", "),
        };
        let _ = writeln!(out, "| API{number} {name} | {detections} | {gap} |");
    }
}

fn tags(entry: &Entry) -> String {
    let word = |tag: &String| {
        let technique = tag.strip_prefix("attack.t").map(|id| format!("T{id}"));
        technique
            .or_else(|| Some(tag.strip_prefix("owasp.")?.to_uppercase()))
            .or_else(|| tag.strip_prefix("cve.").map(|id| format!("CVE-{id}")))
    };
    entry
        .tags
        .iter()
        .filter_map(word)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A link to the detection's own section, as forges make anchors of titles.
fn link(entry: &Entry) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let anchor: String = entry.title.to_lowercase().chars().filter(kept).collect();
    format!("[{}](#{})", entry.title, anchor.replace(' ', "-"))
}

fn technique_link(id: &str) -> String {
    let id = id.to_uppercase();
    let path = id.replace('.', "/");
    format!("[{id}](https://attack.mitre.org/techniques/{path}/)")
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}", first.unwrap_or_default(), letters.as_str())
}
