//! The page of detections: what every document of a pack says about itself, and what is covered.
//!
//! The page is made of the rules alone, so it cannot say what they do not. What people need at
//! night has to be there: a document that raises alerts without a description, a runbook line,
//! known false positives, tags or tests makes a fault instead of a page.

mod attack;
mod document;
mod markdown;

use crate::ruleset::{RuleFault, RuleFile};

/// The page of the documents in `files`, Markdown.
///
/// # Errors
/// What is missing or unknown in which file; without any of it there is a page.
pub fn page(files: &[RuleFile]) -> Result<String, Vec<RuleFault>> {
    let (entries, mut faults) = document::read(files);
    for entry in &entries {
        let missing = entry.missing().into_iter().chain(unknown_tags(&entry.tags));
        faults.extend(missing.map(|message| RuleFault {
            path: entry.path.clone(),
            line: None,
            code: "incomplete",
            message: format!("{}: {message}", entry.title),
        }));
    }
    if faults.is_empty() {
        Ok(markdown::page(&entries))
    } else {
        Err(faults)
    }
}

/// What is wrong with the tags of one document.
fn unknown_tags(tags: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let has = |technique: &str| {
        tags.iter()
            .any(|t| t.strip_prefix("attack.") == Some(technique))
    };
    for tag in tags {
        if let Some(number) = tag.strip_prefix("owasp.api") {
            let known = attack::OWASP.iter().any(|(n, ..)| n.to_string() == number);
            if !known {
                wrong.push(format!("there is no {tag}"));
            }
        } else if let Some(word) = tag.strip_prefix("attack.") {
            let technique = attack::TECHNIQUES.iter().any(|(id, ..)| *id == word);
            let tactic = attack::TACTICS.iter().any(|(id, ..)| *id == word);
            if !technique && !tactic {
                wrong.push(format!(
                    "{tag} is not among the known tactics and techniques"
                ));
            }
            let told = |(_, _, tactics): &&attack::Technique| tactics.contains(&word);
            let mut of_tactic = attack::TECHNIQUES.iter().filter(told);
            if tactic && !of_tactic.any(|(id, ..)| has(id)) {
                wrong.push(format!("{tag} has no technique beside it"));
            }
        } else if !tag.starts_with("cve.") {
            wrong.push(format!("{tag} is neither ATT&CK, OWASP nor a CVE"));
        }
    }
    for (old, new) in attack::RENUMBERED {
        if has(old) != has(new) {
            wrong.push(format!(
                "attack.{old} and attack.{new} are one technique: name both"
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> RuleFile {
        RuleFile {
            path: path.into(),
            text: text.into(),
        }
    }

    const BASE: &str = "
title: Refused
name: base
logsource: { category: webserver }
detection:
    selection: { http.response.status_code: 403 }
    health: { url.path: /health }
    own: { source.ip|cidr: 10.0.0.0/8 }
    condition: selection and not health and not (own or 1 of own*)
level: informational
---
title: Refused often
description: It is refused again and again.
correlation:
    type: value_count
    rules: [base]
    group-by: [who]
    aliases: { who: { base: user.id } }
    timespan: 5m
    condition: { field: url.path, gte: 20 }
tags: [attack.impact, attack.t1657, owasp.api6]
references: [https://example.org]
falsepositives: [A test]
level: high
runbook: Look.
";
    const TESTS: &str = "
- { name: often, expect: alert, events: [] }
- { name: once, expect: silent, events: [] }
- { name: never, expect: silent, events: [] }
";

    #[test]
    fn a_page_says_what_a_document_says_and_reads() {
        let files = [
            file("rules/web/a.yml", BASE),
            file("rules/web/a.tests.yml", TESTS),
        ];
        let page = page(&files).unwrap_or_default();
        for part in [
            "### Refused often",
            "`http.response.status_code`, `url.path`, `user.id`",
            "It is refused again and again.",
            "alerts on: often",
            "silent on: once; never",
            "| Impact | [T1657](https://attack.mitre.org/techniques/T1657/) Financial Theft |",
            "| API6 Unrestricted Access to Sensitive Business Flows | [Refused often](#refused-often) |",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(
            !page.contains("### Refused\n"),
            "what raises no alert is no detection"
        );
        assert!(
            !page.contains("`source.ip`"),
            "an exception is not what a rule needs"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases = [
            (BASE.replace("runbook: Look.", ""), TESTS, "runbook"),
            (
                BASE.replace("falsepositives: [A test]", ""),
                TESTS,
                "false positive",
            ),
            (
                BASE.replace("owasp.api6", "owasp.api11"),
                TESTS,
                "owasp.api11",
            ),
            (BASE.replace("t1657", "t9999"), TESTS, "t9999"),
            (BASE.replace("attack.t1657, ", ""), TESTS, "no technique"),
            (BASE.replace("t1657", "t1685"), TESTS, "name both"),
            (
                BASE.to_owned(),
                "- { name: x, expect: alert, events: [] }",
                "silent",
            ),
            (
                BASE.replace("title: Refused often", "title: ["),
                TESTS,
                "line",
            ),
        ];
        for (text, tests, wanted) in cases {
            let files = [file("a.yml", &text), file("a.tests.yml", tests)];
            let faults = page(&files).err().unwrap_or_default();
            let said = faults.iter().any(|f| f.message.contains(wanted));
            assert!(said, "{wanted}: {faults:?}");
        }
    }
}
