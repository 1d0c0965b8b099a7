//! Log sources by example: fields of an event on the left, what it may claim on the right.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn source(text: &str) -> LogSource {
    let mut parts = text.split('/').map(|p| (p != "*").then(|| p.to_owned()));
    LogSource {
        product: parts.next().flatten(),
        category: parts.next().flatten(),
        service: parts.next().flatten(),
        ..LogSource::default()
    }
}

fn facts(fields: &[(&str, &str)]) -> Facts {
    let mut facts = Facts::default();
    for (name, decides) in deciding() {
        for (field, value) in fields {
            let field = field.to_lowercase();
            match decides {
                Decides::Value if field == name => facts.add(name, value),
                Decides::Presence if field == name => facts.add(name, ""),
                Decides::Presence if name.ends_with('.') && field.starts_with(name) => {
                    facts.add(name, "");
                }
                _ => {}
            }
        }
    }
    facts
}

/// Fields, log sources whose rules must see the event, log sources whose rules must not.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a [&'a str]);

const CASES: &[Case] = &[
    (
        &[
            ("http.request.method", "GET"),
            ("url.path", "/"),
            ("service.name", "auth"),
            ("event.category", "web"),
            ("message", "hello"),
        ],
        &[
            "*/webserver/*",
            "*/proxy/*",
            "jvm/application/*",
            "django/application/*",
            "*/*/*",
            "*/authentication/*",
        ],
        &[
            "windows/process_creation/*",
            "windows/*/*",
            "okta/*/okta",
            "aws/*/cloudtrail",
            "linux/*/*",
            "*/dns/*",
            "*/*/nginx",
            "kubernetes/application/audit",
            "acme/*/*",
        ],
    ),
    (
        &[("message", "boom"), ("service.language.name", "python")],
        &[
            "python/application/*",
            "django/application/*",
            "sql/application/*",
        ],
        &["jvm/application/*", "*/webserver/*"],
    ),
    (
        &[
            ("message", "x"),
            ("host.os.type", "windows"),
            ("service.name", "billing"),
        ],
        &["jvm/application/*"],
        &["windows/*/*"],
    ),
    (
        &[
            (
                "Event.System.Channel",
                "Microsoft-Windows-Sysmon/Operational",
            ),
            ("Event.System.EventID", "1"),
            ("Event.EventData.Image", "C:\\a.exe"),
        ],
        &[
            "windows/process_creation/*",
            "windows/*/sysmon",
            "windows/*/*",
        ],
        &[
            "windows/file_event/*",
            "windows/*/security",
            "linux/process_creation/*",
            "jvm/application/*",
        ],
    ),
    (
        &[
            ("winlog.channel", "Security"),
            ("winlog.event_id", "4688"),
            ("winlog.event_data.NewProcessName", "C:\\a.exe"),
        ],
        &["windows/*/security", "windows/process_creation/*"],
        &["windows/*/system", "windows/registry_set/*"],
    ),
    (
        &[
            ("EventID", "4104"),
            ("Channel", "Microsoft-Windows-PowerShell/Operational"),
            ("ScriptBlockText", "x"),
        ],
        &["windows/ps_script/*"],
        &["windows/ps_module/*", "windows/*/powershell-classic"],
    ),
    (
        &[("EventID", "13"), ("Image", "x"), ("TargetObject", "HKLM")],
        &["windows/registry_set/*", "windows/registry_event/*"],
        &["windows/registry_delete/*"],
    ),
    (
        &[("channel", "web"), ("event_id", "17"), ("message", "m")],
        &["jvm/application/*"],
        &["windows/*/*"],
    ),
    (
        &[
            ("host.os.type", "linux"),
            ("event.category", "process"),
            ("event.type", "start"),
            ("process.command_line", "id"),
        ],
        &["linux/process_creation/*", "linux/*/*"],
        &[
            "windows/process_creation/*",
            "macos/process_creation/*",
            "linux/*/auditd",
        ],
    ),
    (
        &[("type", "EXECVE"), ("a0", "cat"), ("a1", "/etc/shadow")],
        &["linux/*/auditd"],
        &["linux/*/sshd", "linux/process_creation/*"],
    ),
    (
        &[
            ("log.syslog.appname", "sshd"),
            ("message", "Failed password"),
        ],
        &["linux/*/sshd", "linux/*/*", "linux/*/syslog"],
        &["linux/*/cron", "macos/*/*"],
    ),
    (
        &[
            ("eventSource", "iam.amazonaws.com"),
            ("eventName", "CreateUser"),
            ("userIdentity.type", "Root"),
        ],
        &["aws/*/cloudtrail"],
        &[
            "m365/*/threat_management",
            "okta/*/okta",
            "*/webserver/*",
            "gcp/*/gcp.audit",
        ],
    ),
    (
        &[
            ("eventSource", "SecurityComplianceCenter"),
            ("eventName", "Mass download"),
            ("status", "success"),
        ],
        &["m365/*/threat_management", "m365/*/audit"],
        &["aws/*/cloudtrail"],
    ),
    (
        &[
            ("eventType", "user.session.start"),
            ("displayMessage", "x"),
            ("published", "2026"),
        ],
        &["okta/*/okta"],
        &["aws/*/cloudtrail", "github/*/audit"],
    ),
    (
        &[
            ("protoPayload.methodName", "x"),
            ("protoPayload.serviceName", "login.googleapis.com"),
        ],
        &["gcp/*/gcp.audit", "gcp/*/google_workspace.login"],
        &["gcp/*/google_workspace.admin"],
    ),
    (
        &[
            ("kind", "Event"),
            ("apiVersion", "audit.k8s.io/v1"),
            ("verb", "create"),
            ("objectRef.resource", "pods"),
        ],
        &["kubernetes/application/audit", "kubernetes/*/audit"],
        &["github/*/audit", "jvm/application/*"],
    ),
    (
        &[
            ("category", "Administrative"),
            ("operationName", "x"),
            ("resourceId", "/s"),
        ],
        &["azure/*/activitylogs"],
        &["azure/*/signinlogs", "azure/*/pim"],
    ),
    (
        &[
            ("category", "SignInLogs"),
            ("operationName", "Sign-in activity"),
            ("tenantId", "t"),
        ],
        &["azure/*/signinlogs"],
        &["azure/*/auditlogs"],
    ),
    (
        &[("action", "org.add_member"), ("actor", "a"), ("org", "o")],
        &["github/*/audit"],
        &["bitbucket/*/audit", "kubernetes/*/audit"],
    ),
    (
        &[("event.dataset", "acme.orders"), ("message", "m")],
        &["acme/*/*", "acme/anything/orders", "*/*/acme"],
        &["other/*/*"],
    ),
    (
        &[("event.module", "nginx"), ("url.path", "/")],
        &["*/*/nginx", "*/webserver/*"],
        &["*/*/apache"],
    ),
    (
        &[("event.module", "zeek"), ("event.dataset", "zeek.dns")],
        &["zeek/*/dns"],
        &["zeek/*/http", "*/dns/*"],
    ),
];

#[test]
fn an_event_is_seen_by_the_rules_of_its_log_source_and_by_no_other() {
    for (fields, seen, unseen) in CASES {
        let rules: Vec<_> = seen
            .iter()
            .chain(unseen.iter())
            .map(|s| source(s))
            .collect();
        let class = classify(&facts(fields), &unknown_names(rules.iter()));
        for text in *seen {
            assert!(
                admits(&source(text), &class),
                "{text} must see {fields:?}: {class:?}"
            );
        }
        for text in *unseen {
            assert!(
                !admits(&source(text), &class),
                "{text} must not see {fields:?}: {class:?}"
            );
        }
    }
}

#[test]
fn everything_asked_for_is_a_deciding_field() {
    // `classify` is cached by the deciding fields; a field asked for but not listed would be
    // missed without a sound.
    let listed: std::collections::HashSet<_> = deciding().map(|(name, _)| name).collect();
    let sources = [
        include_str!("cloud.rs"),
        include_str!("host.rs"),
        include_str!("network.rs"),
    ]
    .concat();
    let asked = regex::Regex::new(r#"facts\s*\.(?:has|is|first)\(\s*&?\[?"([^"]+)""#).unwrap();
    let found: Vec<_> = asked
        .captures_iter(&sources)
        .map(|c| c.get(1).unwrap().as_str().to_owned())
        .collect();
    assert!(found.len() > 40);
    for name in found {
        assert!(
            listed.contains(name.as_str()),
            "{name} is not a deciding field"
        );
    }
}
