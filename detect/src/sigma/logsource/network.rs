//! Signatures of network devices and sensors, and of applications' own logs.

use super::{Facts, LogClass};
use crate::sigma::taxonomy::Family;

pub(super) const VALUES: &[&str] = &[
    "event.category",
    "event.type",
    "service.language.name",
    "telemetry.sdk.language",
    "process.runtime.name",
    "_path",
    "type",
];

pub(super) const PRESENCE: &[&str] = &[
    "id.orig_h",
    "logtype",
    "node_id",
    "logdata.",
    "logid",
    "devid",
    "devname",
    "cfgpath",
    "interfaceuuid",
    "http.request.",
    "http.response.",
    "url.",
    "cs-method",
    "cs-uri",
    "cs-uri-stem",
    "cs-uri-query",
    "c-uri",
    "sc-status",
    "c-useragent",
    "cs-user-agent",
    "clientrequestmethod",
    "request_method",
    "request_uri",
    "dns.question.name",
    "query_name",
    "db.statement",
    "db.query.text",
    "threat.indicator.",
    "virus.name",
    "destination.port",
    "dst_port",
    "signature",
    "query",
    "record_type",
];

/// Recognises devices and sensors.
pub(super) fn device(facts: &Facts) -> Option<LogClass> {
    let vendor = facts
        .first(&["observer.vendor", "event.module"])
        .unwrap_or_default();
    match vendor {
        "zeek" | "corelight" => return Some(zeek(facts.dataset().unwrap_or_default())),
        "cisco" | "cisco_ios" | "cisco_ise" => {
            let all = ["aaa", "bgp", "ldp"];
            return Some(all.iter().fold(LogClass::of("cisco"), |c, s| c.service(s)));
        }
        "huawei" | "juniper" => return Some(LogClass::of(vendor).service("bgp")),
        "fortinet" | "fortinet_fortigate" | "fortigate" => {
            return Some(
                LogClass::of("fortigate")
                    .service("event")
                    .category("firewall"),
            );
        }
        "opencanary" => return Some(canary()),
        _ => {}
    }
    if facts.has("_path") && facts.has_any(&["id.orig_h"]) {
        return Some(zeek(facts.first(&["_path"]).unwrap_or_default()));
    }
    if facts.has("logtype") && facts.has_any(&["node_id", "logdata."]) {
        return Some(canary());
    }
    if facts.has("cfgpath") || facts.has_any(&["devid", "devname"]) && facts.has("logid") {
        return Some(
            LogClass::of("fortigate")
                .service("event")
                .category("firewall"),
        );
    }
    facts.has("interfaceuuid").then(|| {
        LogClass::of("rpc_firewall")
            .category("application")
            .product("windows")
    })
}

fn zeek(log: &str) -> LogClass {
    LogClass::of("zeek").service(log)
}

fn canary() -> LogClass {
    LogClass::of("opencanary").category("application")
}

/// Products of application rules by the language an application says it is written in.
const LANGUAGES: &[(&[&str], &[&str])] = &[
    (
        &["java", "kotlin", "scala", "openjdk", "jvm"],
        &["jvm", "spring", "velocity"],
    ),
    (&["python", "cpython", "pypy"], &["python", "django"]),
    (&["ruby"], &["ruby_on_rails"]),
    (&["nodejs", "javascript", "typescript", "node"], &["nodejs"]),
    (
        &[
            "go", "rust", "dotnet", "csharp", "php", "erlang", "swift", "cpp",
        ],
        &[],
    ),
];

const WEB: &[&str] = &[
    "http.request.",
    "http.response.",
    "url.",
    "cs-method",
    "cs-uri",
    "cs-uri-stem",
    "cs-uri-query",
    "c-uri",
    "sc-status",
    "c-useragent",
    "cs-user-agent",
    "clientrequestmethod",
    "request_method",
    "request_uri",
];

/// An application's own log, as what its fields show it to be.
pub(super) fn application(facts: &Facts) -> LogClass {
    let mut class = LogClass {
        family: Family::Generic,
        ..LogClass::default()
    };
    class = class.category("application").product("sql");
    let languages = [
        "service.language.name",
        "telemetry.sdk.language",
        "process.runtime.name",
    ];
    let said = facts.first(&languages);
    let spoken = said.and_then(|l| LANGUAGES.iter().find(|(names, _)| names.contains(&l)));
    match spoken {
        Some((_, products)) => class = products.iter().fold(class, |c, p| c.product(p)),
        None => {
            let all = LANGUAGES.iter().flat_map(|(_, products)| products.iter());
            class = all.fold(class, |c, p| c.product(p));
        }
    }
    let category = |name: &str| facts.is("event.category", &[name]);
    // A request log does not say on which side of the proxy it was written.
    if facts.has_any(WEB) || category("web") {
        class = class.category("webserver").category("proxy");
    }
    if facts.has_any(&["dns.question.name", "query_name"])
        || facts.has("query") && facts.has("record_type")
    {
        class = class.category("dns");
    }
    if category("database") || facts.has_any(&["db.statement", "db.query.text"]) {
        class = class.category("database");
    }
    if category("malware") || facts.has_any(&["virus.name", "threat.indicator.", "signature"]) {
        class = class.category("antivirus");
    }
    if facts.has("dst_port")
        || facts.has("destination.port") && (category("network") || category("firewall"))
    {
        class = class.category("firewall");
    }
    for server in ["apache", "nginx"] {
        if facts.module() == Some(server) || facts.is("service.type", &[server]) {
            class = class.service(server).category("webserver");
        }
    }
    class
}
