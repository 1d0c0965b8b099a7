//! Signatures of cloud, identity, code hosting and cluster audit logs.

use super::{Facts, LogClass};

pub(super) const VALUES: &[&str] = &[
    "eventsource",
    "category",
    "workload",
    "protopayload.servicename",
    "data.protopayload.servicename",
    "eventservice",
    "id.applicationname",
    "kind",
    "apiversion",
    "action",
];

pub(super) const PRESENCE: &[&str] = &[
    "eventname",
    "eventversion",
    "awsregion",
    "useridentity.",
    "operationname",
    "resourceid",
    "operationnamevalue",
    "resourceprovidervalue",
    "categoryvalue",
    "properties.",
    "tenantid",
    "loggedbyservice",
    "activitydisplayname",
    "riskeventtype",
    "conditionalaccessstatus",
    "userprincipalname",
    "operation",
    "recordtype",
    "protopayload.",
    "data.protopayload.",
    "gcp.audit.method_name",
    "eventtype",
    "displaymessage",
    "securitycontext.",
    "published",
    "outcome.result",
    "legacyeventtype",
    "actor",
    "actor.alternateid",
    "org",
    "repo",
    "business",
    "repository",
    "_document_id",
    "verb",
    "objectref.",
    "requesturi",
    "kubernetes.audit.",
    "event_type_id",
    "actor_user_id",
    "actor_user_name",
    "access_device.",
    "auth_device.",
    "isotimestamp",
    "audittype.category",
    "aws.cloudtrail.",
    "okta.",
    "github.",
];

/// Recognises cloud and identity audit logs by what only they have.
pub(super) fn classify(facts: &Facts) -> Option<LogClass> {
    by_module(facts)
        .or_else(|| aws(facts))
        .or_else(|| m365(facts))
        .or_else(|| google(facts))
        .or_else(|| kubernetes(facts))
        .or_else(|| azure(facts))
        .or_else(|| identity(facts))
        .or_else(|| code(facts))
}

/// ECS events name the integration they came through.
fn by_module(facts: &Facts) -> Option<LogClass> {
    let class = match facts.module()? {
        "aws" => LogClass::of("aws").service(facts.dataset().unwrap_or("cloudtrail")),
        "azure" => {
            let dataset = facts.dataset().unwrap_or("activitylogs");
            let service = if dataset == "identity_protection" {
                "riskdetection"
            } else {
                dataset
            };
            LogClass::of("azure").service(service)
        }
        "gcp" => LogClass::of("gcp").service("gcp.audit"),
        "google_workspace" => workspace(facts.dataset().unwrap_or("admin")),
        "okta" => LogClass::of("okta").service("okta"),
        "o365" | "m365_defender" => office(facts),
        "kubernetes" if facts.has("kubernetes.audit.") || facts.has("verb") => cluster(),
        "github" => LogClass::of("github").service("audit"),
        "bitbucket" => LogClass::of("bitbucket").service("audit"),
        "onelogin" => LogClass::of("onelogin").service("onelogin.events"),
        "cisco_duo" | "duo" => LogClass::of("cisco").service("duo"),
        _ => return None,
    };
    Some(class)
}

fn aws(facts: &Facts) -> Option<LogClass> {
    let source = facts.first(&["eventsource"]).unwrap_or_default();
    let trail = facts.has("eventname")
        && (source.ends_with(".amazonaws.com")
            || facts.has("eventversion")
            || facts.has("awsregion")
            || facts.has("useridentity."));
    (trail || facts.has("aws.cloudtrail.")).then(|| LogClass::of("aws").service("cloudtrail"))
}

fn office(facts: &Facts) -> LogClass {
    let class = LogClass::of("m365").service("audit");
    // Alerts of the compliance centre are what the threat rules are about; they name no service.
    let threats = !facts.is(
        "workload",
        &["sharepoint", "onedrive", "azureactivedirectory"],
    );
    let class = if facts.is("workload", &["exchange"]) || threats {
        class.service("exchange")
    } else {
        class
    };
    if threats {
        class
            .service("threat_management")
            .service("threat_detection")
    } else {
        class
    }
}

fn m365(facts: &Facts) -> Option<LogClass> {
    let compliance = facts.is("eventsource", &["securitycompliancecenter", "exchange"]);
    let unified = facts.has("workload") && facts.has("operation");
    (compliance || unified || (facts.has("recordtype") && facts.has("operation")))
        .then(|| office(facts))
}

fn workspace(application: &str) -> LogClass {
    LogClass::of("gcp").service(&format!("google_workspace.{application}"))
}

fn google(facts: &Facts) -> Option<LogClass> {
    let services = [
        "protopayload.servicename",
        "data.protopayload.servicename",
        "eventservice",
    ];
    let service = facts.first(&services).unwrap_or_default();
    for application in ["admin", "login"] {
        if service == format!("{application}.googleapis.com") {
            return Some(workspace(application).service("gcp.audit"));
        }
    }
    if facts.has_any(&[
        "protopayload.",
        "data.protopayload.",
        "gcp.audit.method_name",
    ]) {
        return Some(LogClass::of("gcp").service("gcp.audit"));
    }
    if facts.is("kind", &["admin#reports#activity"]) || facts.has("id.applicationname") {
        return Some(workspace(
            facts.first(&["id.applicationname"]).unwrap_or("admin"),
        ));
    }
    None
}

fn cluster() -> LogClass {
    LogClass::of("kubernetes")
        .category("application")
        .service("audit")
}

fn kubernetes(facts: &Facts) -> Option<LogClass> {
    let audit = facts.has("verb") && facts.has_any(&["objectref.", "requesturi"])
        || facts
            .first(&["apiversion"])
            .is_some_and(|v| v.starts_with("audit.k8s.io"))
        || facts.has("kubernetes.audit.");
    audit.then(cluster)
}

/// Log categories of Azure Monitor, and the Sigma service each belongs to.
const AZURE: &[(&str, &str)] = &[
    ("administrative", "activitylogs"),
    ("policy", "activitylogs"),
    ("security", "activitylogs"),
    ("servicehealth", "activitylogs"),
    ("resourcehealth", "activitylogs"),
    ("alert", "activitylogs"),
    ("autoscale", "activitylogs"),
    ("recommendation", "activitylogs"),
    ("auditlogs", "auditlogs"),
    ("signinlogs", "signinlogs"),
    ("noninteractiveusersigninlogs", "signinlogs"),
    ("serviceprincipalsigninlogs", "signinlogs"),
    ("managedidentitysigninlogs", "signinlogs"),
    ("userriskevents", "riskdetection"),
    ("riskyusers", "riskdetection"),
];

fn azure(facts: &Facts) -> Option<LogClass> {
    let class = LogClass::of("azure");
    if facts.has("riskeventtype") {
        return Some(class.service("riskdetection").service("pim"));
    }
    let category = facts.first(&["category"]).unwrap_or_default();
    let service = AZURE
        .iter()
        .find(|(name, _)| *name == category)
        .map(|(_, s)| *s);
    let operation = facts.has_any(&["operationname", "operationnamevalue"]);
    let resource = facts.has_any(&["resourceid", "resourceprovidervalue", "tenantid"]);
    if operation && facts.has("loggedbyservice") || facts.has("activitydisplayname") {
        return Some(class.service("auditlogs"));
    }
    if facts.has("conditionalaccessstatus") && facts.has("userprincipalname") {
        return Some(class.service("signinlogs"));
    }
    match service {
        Some("activitylogs") if operation || facts.has("categoryvalue") => {
            Some(class.service("activitylogs"))
        }
        Some(service) if operation || resource => Some(class.service(service)),
        _ if facts.has("operationnamevalue") => Some(class.service("activitylogs")),
        _ if operation && (resource || facts.has("properties.")) => {
            // A resource's own log, or an export that lost its category.
            let all = ["activitylogs", "auditlogs", "signinlogs"];
            let guess = if category.is_empty() { &all[..] } else { &[] };
            Some(guess.iter().fold(class, |c, s| c.service(s)))
        }
        _ => None,
    }
}

fn identity(facts: &Facts) -> Option<LogClass> {
    let okta = facts.has("eventtype")
        && facts.has_any(&[
            "displaymessage",
            "securitycontext.",
            "legacyeventtype",
            "published",
            "actor.alternateid",
        ]);
    if okta || facts.has("okta.") {
        return Some(LogClass::of("okta").service("okta"));
    }
    if facts.has("event_type_id") {
        return Some(LogClass::of("onelogin").service("onelogin.events"));
    }
    if facts.has_any(&["access_device.", "auth_device."])
        || facts.has("isotimestamp") && facts.has("action")
    {
        return Some(LogClass::of("cisco").service("duo"));
    }
    None
}

fn code(facts: &Facts) -> Option<LogClass> {
    if facts.has("audittype.category") {
        return Some(LogClass::of("bitbucket").service("audit"));
    }
    let dotted = facts.first(&["action"]).is_some_and(|a| a.contains('.'));
    let place = facts.has_any(&["org", "repo", "business", "repository", "_document_id"]);
    (dotted && facts.has("actor") && place || facts.has("github."))
        .then(|| LogClass::of("github").service("audit"))
}
