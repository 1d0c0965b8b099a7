//! Field taxonomy: under which names the field that a Sigma rule asks for can be found.
//!
//! Rules name fields as their log source does (`CommandLine`, `cs-uri-query`, `eventName`); events
//! carry them under that name, below a shipper's prefix (`Event.EventData.`, `winlog.event_data.`,
//! `aws.cloudtrail.`) or under the ECS name. [`candidates`] lists the names to try; the first that
//! has a value in the row is taken. Letter case never counts.
//!
//! Sources: the Sigma taxonomy appendix, the ECS pipelines of pySigma, the exported-fields pages
//! of the Elastic integrations.

use std::borrow::Cow;

/// Log sources that share a way of naming fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Family {
    /// Web, application, DNS and everything else: ECS and W3C names.
    #[default]
    Generic,
    /// Windows event log, Sysmon; process events of any system.
    Host,
    /// AWS CloudTrail.
    Aws,
    /// Azure activity, audit and sign-in logs.
    Azure,
    /// Google Cloud and Workspace audit logs.
    Google,
    /// Okta system log.
    Okta,
    /// Microsoft 365 audit.
    M365,
    /// Kubernetes audit.
    Kubernetes,
    /// GitHub, Bitbucket, OneLogin, Duo, Zeek and others whose names are used as they come.
    Plain,
}

impl Family {
    /// How many families there are.
    pub(crate) const COUNT: usize = Family::Plain as usize + 1;

    /// All of them.
    pub(crate) const ALL: [Family; Family::COUNT] = [
        Family::Generic,
        Family::Host,
        Family::Aws,
        Family::Azure,
        Family::Google,
        Family::Okta,
        Family::M365,
        Family::Kubernetes,
        Family::Plain,
    ];

    /// The family of a Sigma product.
    pub(crate) fn of_product(product: &str) -> Family {
        match product {
            "windows" | "linux" | "macos" | "rpc_firewall" => Family::Host,
            "aws" => Family::Aws,
            "azure" => Family::Azure,
            "gcp" => Family::Google,
            "okta" => Family::Okta,
            "m365" => Family::M365,
            "kubernetes" => Family::Kubernetes,
            "github" | "bitbucket" | "onelogin" | "cisco" | "zeek" | "opencanary" | "fortigate"
            | "huawei" | "juniper" => Family::Plain,
            _ => Family::Generic,
        }
    }

    /// Prefixes below which shippers put the fields of this family.
    fn prefixes(self) -> &'static [&'static str] {
        match self {
            Family::Generic => &[],
            Family::Host => &[
                "Event.EventData.",
                "Event.System.",
                "Event.UserData.*.",
                "EventData.",
                "System.",
                "UserData.*.",
                "winlog.event_data.",
                "winlog.user_data.",
                "winlog.",
                "ExtraEventData.",
                "event_data.",
                "auditd.log.",
                "auditd.data.",
                "auditd.summary.",
            ],
            Family::Aws => &["aws.cloudtrail.", "detail."],
            Family::Azure => &[
                "properties.",
                "azure.activitylogs.",
                "azure.activitylogs.properties.",
                "azure.auditlogs.",
                "azure.auditlogs.properties.",
                "azure.signinlogs.",
                "azure.signinlogs.properties.",
            ],
            Family::Google => &["data.", "gcp.audit.", "google_workspace.", "events.", "id."],
            Family::Okta => &["okta."],
            Family::M365 => &["o365.audit.", "AuditData."],
            Family::Kubernetes => &["kubernetes.audit.", "requestObject."],
            Family::Plain => &[
                "github.",
                "bitbucket.",
                "onelogin.",
                "cisco_duo.",
                "zeek.*.",
            ],
        }
    }

    /// Does ECS spell the fields of this family in snake case?
    fn snake(self) -> bool {
        matches!(self, Family::Aws | Family::Azure | Family::Okta)
    }
}

/// A request target however it was logged: `cs-uri-query` of many rules holds path and query.
const TARGET: &[&str] = &[
    "url.original|url.path?url.query|url.query|url.full",
    "cs-uri-stem?cs-uri-query|cs-uri-query|cs-uri",
    "ClientRequestURI",
    "request_uri",
    "uri",
    "path",
];
const USER_AGENT: &[&str] = &[
    "user_agent.original",
    "cs-user-agent",
    "c-useragent",
    "cs(User-Agent)",
    "user_agent",
    "http_user_agent",
    "ClientRequestUserAgent",
    "userAgent",
];
const HOST: &[&str] = &[
    "cs-host",
    "url.domain",
    "destination.domain",
    "ClientRequestHost",
    "host",
    "http_host",
];
const METHOD: &[&str] = &[
    "http.request.method",
    "cs-method",
    "request_method",
    "ClientRequestMethod",
    "method",
];
const CLIENT: &[&str] = &[
    "source.ip",
    "client.ip",
    "source.address",
    "c-ip",
    "ClientIP",
    "remote_addr",
];
const STATUS: &[&str] = &[
    "http.response.status_code",
    "sc-status",
    "EdgeResponseStatus",
    "status",
];
const REFERER: &[&str] = &[
    "http.request.referrer",
    "cs-referer",
    "cs-referrer",
    "http_referer",
    "referer",
];

/// Other names of a field in the generic family.
fn generic(field: &str) -> &'static [&'static str] {
    match field {
        "cs-method" | "c-method" => METHOD,
        "c-uri" | "cs-uri" | "cs-uri-query" | "c-uri-query" => TARGET,
        "cs-uri-stem" | "c-uri-stem" => &["url.path", "url.original", "ClientRequestPath", "path"],
        "c-uri-extension" => &["url.extension", "file.extension"],
        "sc-status" => STATUS,
        "c-ip" | "src_ip" => CLIENT,
        "c-useragent" | "cs-user-agent" | "cs(user-agent)" => USER_AGENT,
        "cs-host" | "r-dns" => HOST,
        "cs-referer" | "cs-referrer" | "cs(referer)" => REFERER,
        "cs-cookie" | "cs(cookie)" => &["http.request.headers.cookie", "cookie"],
        "cs-username" => &["user.name", "user.id", "remote_user"],
        "cs-bytes" => &["http.request.bytes", "http.request.body.bytes"],
        "sc-bytes" => &["http.response.bytes", "http.response.body.bytes"],
        "cs-version" => &["http.version"],
        "dst_ip" => &["destination.ip", "server.ip"],
        "dst_port" => &["destination.port", "server.port"],
        "src_port" => &["source.port", "client.port"],
        "query" => &["dns.question.name", "query_name"],
        "record_type" => &["dns.question.type", "query_type", "qtype_name"],
        "answer" => &["dns.answers.data", "dns.resolved_ip", "answers"],
        "action" => &["event.action"],
        "signature" => &["threat.indicator.name", "virus.name", "rule.name"],
        "filename" => &["file.path", "file.name"],
        _ => &[],
    }
}

/// Other names of a field of Windows, Linux and macOS events.
fn host(field: &str) -> &'static [&'static str] {
    match field {
        "eventid" => &[
            "Event.System.EventID.#text",
            "System.EventID.#text",
            "winlog.event_id",
            "event.code",
            "EventId",
            "event_id",
        ],
        "provider_name" => &[
            "Event.System.Provider.#attributes.Name",
            "Event.System.Provider.@Name",
            "System.Provider.#attributes.Name",
            "winlog.provider_name",
            "event.provider",
            "ProviderName",
            "SourceName",
        ],
        "channel" => &["winlog.channel"],
        "computer" | "computername" => &["winlog.computer_name", "host.name"],
        "data" => &[
            "Event.EventData.Data.#text",
            "EventData.Data.#text",
            "winlog.event_data.param1|winlog.event_data.param2|winlog.event_data.param3",
        ],
        "image" => &[
            "process.executable",
            "NewProcessName",
            "Event.EventData.NewProcessName",
            "winlog.event_data.NewProcessName",
            "ExtraEventData.NewProcessName",
        ],
        "parentimage" => &[
            "process.parent.executable",
            "ParentProcessName",
            "Event.EventData.ParentProcessName",
            "winlog.event_data.ParentProcessName",
            "ExtraEventData.ParentProcessName",
        ],
        "commandline" => &["process.command_line", "ProcessCommandLine"],
        "parentcommandline" => &["process.parent.command_line"],
        "originalfilename" => &[
            "process.pe.original_file_name",
            "file.pe.original_file_name",
        ],
        "description" => &["process.pe.description", "file.pe.description"],
        "product" => &["process.pe.product", "file.pe.product"],
        "company" => &["process.pe.company", "file.pe.company"],
        "hashes" => &[
            "process.hash.md5|process.hash.sha1|process.hash.sha256|process.pe.imphash",
            "file.hash.md5|file.hash.sha1|file.hash.sha256|file.pe.imphash",
        ],
        "currentdirectory" => &["process.working_directory"],
        "processid" => &["process.pid"],
        "parentprocessid" => &["process.parent.pid"],
        "user" => &[
            "user.name",
            "SubjectUserName",
            "Event.EventData.SubjectUserName",
        ],
        "targetfilename" | "filename" => &["file.path"],
        "imageloaded" => &["dll.path", "file.path"],
        "signed" => &["dll.code_signature.exists", "file.code_signature.exists"],
        "signature" => &[
            "dll.code_signature.subject_name",
            "file.code_signature.subject_name",
        ],
        "signaturestatus" => &["dll.code_signature.status", "file.code_signature.status"],
        "targetobject" => &["registry.path", "Event.EventData.ObjectName"],
        "details" => &["registry.data.strings", "Event.EventData.NewValue"],
        "destinationip" => &["destination.ip"],
        "destinationport" => &["destination.port"],
        "destinationhostname" => &["destination.domain", "destination.address"],
        "sourceip" => &["source.ip"],
        "sourceport" => &["source.port"],
        "sourcehostname" => &["source.domain", "source.address"],
        "protocol" => &["network.transport"],
        "queryname" => &["dns.question.name"],
        "pipename" => &["file.name"],
        "scriptblocktext" => &["powershell.file.script_block_text"],
        "sourceimage" => &["process.executable"],
        "subjectusername" | "targetusername" => &["user.name"],
        "ipaddress" => &["source.ip"],
        "type" => &["auditd.log.record_type", "auditd.message_type"],
        "exe" => &["process.executable"],
        "comm" => &["process.name"],
        "syscall" => &["auditd.log.syscall", "auditd.data.syscall"],
        _ => &[],
    }
}

/// Other names of a field of the cloud, identity and cluster families.
fn audit(family: Family, field: &str) -> &'static [&'static str] {
    match (family, field) {
        (Family::Aws, "eventname") => &["event.action"],
        (Family::Aws, "eventsource") => &["event.provider"],
        (Family::Aws, "useragent") => &["user_agent.original"],
        (Family::Aws, "sourceipaddress") => &["source.address", "source.ip"],
        (Family::Azure, "properties.message") => &[
            "properties.activityDisplayName",
            "activityDisplayName",
            "operationName",
            "azure.auditlogs.operation_name",
            "event.action",
        ],
        (Family::Azure, "activitydisplayname" | "activitydetails") => &["operationName"],
        (Family::Azure, "operationnamevalue") => &["operationName", "event.action"],
        (Family::Azure, "operationname") => &["event.action", "OperationNameValue"],
        (Family::Azure, "categoryvalue") => &["category"],
        (Family::Azure, "resourceprovidervalue") => &["resourceProvider", "resourceId"],
        (Family::Azure, "initiatedby") => &["callerIpAddress", "identity"],
        (Family::Azure, "resulttype") => &["properties.status.errorCode", "status.errorCode"],
        (Family::Azure, "resultdescription") => {
            &["properties.status.failureReason", "status.failureReason"]
        }
        (Family::Azure, "useragent") => &["user_agent.original"],
        (Family::Google, "gcp.audit.method_name") => &[
            "protoPayload.methodName",
            "data.protoPayload.methodName",
            "event.action",
        ],
        (Family::Google, "eventservice") => &["protoPayload.serviceName", "event.provider"],
        (Family::Google, "eventname") => &[
            "protoPayload.metadata.event.eventName",
            "events.name",
            "name",
            "event.action",
        ],
        (Family::Okta, "eventtype") => &["event.action"],
        (Family::Okta, "debugcontext.debugdata.behaviors") => {
            &["okta.debug_context.debug_data.risk_behaviors"]
        }
        (Family::M365, "operation" | "eventname") => &["event.action", "Name"],
        (Family::M365, "eventsource") => &["event.provider", "Source", "Workload"],
        (Family::Kubernetes, "apigroup") => &["objectRef.apiGroup"],
        (Family::Kubernetes, "hostpath") => &[
            "requestObject.spec.volumes.hostPath.path",
            "requestObject.spec.template.spec.volumes.hostPath.path",
        ],
        (Family::Kubernetes, "capabilities") => &[
            "requestObject.spec.containers.securityContext.capabilities.add",
            "requestObject.spec.template.spec.containers.securityContext.capabilities.add",
        ],
        (Family::Plain, "action") => &["event.action"],
        (Family::Plain, "query") => &["dns.question.name"],
        (Family::Plain, "c-uri") => &["uri"],
        (Family::Plain, "c-useragent") => &["user_agent"],
        _ => &[],
    }
}

/// [`candidates`] of every family: which one a row follows is known when it is read.
pub(crate) fn candidates_of_all(field: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let families = Family::ALL.into_iter();
    families.flat_map(move |family| candidates(family, field))
}

/// Names under which `field` can be found, most telling first. Three forms stand for more than a
/// name: `a?b` is the path `a` with the query `b`, `a|b` is the values of both, `a.*.b` is any
/// field below `a` that ends in `.b`.
pub(crate) fn candidates(family: Family, field: &str) -> Vec<Cow<'_, str>> {
    let lower = field.to_lowercase();
    let mut all: Vec<Cow<'_, str>> = Vec::with_capacity(12);
    // Of a web request every form of the target counts, also when the field itself is there.
    if family != Family::Generic || !matches!(&*lower, "cs-uri-query" | "c-uri-query" | "c-uri") {
        all.push(Cow::Borrowed(field));
    }
    if family == Family::Google {
        // Exports to a bucket lack the `data.` of those through a queue, and the reverse.
        all.extend(field.strip_prefix("data.").map(Cow::Borrowed));
    }
    all.extend(
        family
            .prefixes()
            .iter()
            .map(|prefix| Cow::Owned(format!("{prefix}{field}"))),
    );
    if family.snake() {
        let snake = snake_case(field);
        all.extend(
            family
                .prefixes()
                .iter()
                .map(|p| Cow::Owned(format!("{p}{snake}"))),
        );
        if family == Family::Aws {
            all.push(Cow::Owned(format!("aws.cloudtrail.flattened.{snake}")));
        }
    }
    let aliases = match family {
        Family::Generic => generic(&lower),
        Family::Host => host(&lower),
        other => audit(other, &lower),
    };
    all.extend(aliases.iter().copied().map(Cow::Borrowed));
    if family == Family::Generic && !all.iter().any(|c| c == field) {
        all.push(Cow::Borrowed(field));
    }
    all
}

/// `userIdentity.sessionContext` to `user_identity.session_context`, as ECS spells it.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    let mut after_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && after_lower {
            out.push('_');
        }
        after_lower = c.is_lowercase() || c.is_ascii_digit();
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_shippers_put_them() {
        let cases = [
            (Family::Host, "CommandLine", "Event.EventData.CommandLine"),
            (Family::Host, "CommandLine", "process.command_line"),
            (Family::Host, "EventID", "Event.System.EventID"),
            (Family::Host, "Operation", "Event.UserData.*.Operation"),
            (
                Family::Aws,
                "userIdentity.sessionContext.sessionIssuer.type",
                "aws.cloudtrail.user_identity.session_context.session_issuer.type",
            ),
            (
                Family::Azure,
                "properties.message",
                "properties.activityDisplayName",
            ),
            (Family::Azure, "ResultType", "properties.ResultType"),
            (
                Family::Google,
                "data.protoPayload.serviceName",
                "protoPayload.serviceName",
            ),
            (
                Family::Google,
                "protoPayload.methodName",
                "data.protoPayload.methodName",
            ),
            (Family::Kubernetes, "verb", "kubernetes.audit.verb"),
            (Family::Generic, "cs-method", "http.request.method"),
            (
                Family::Generic,
                "cs-uri-query",
                "url.original|url.path?url.query|url.query|url.full",
            ),
            (Family::Generic, "user.name", "user.name"),
        ];
        for (family, field, name) in cases {
            let all = candidates(family, field);
            assert!(
                all.iter().any(|c| c == name),
                "{field} in {family:?}: {all:?}"
            );
        }
    }

    #[test]
    fn snake_case_is_that_of_ecs() {
        assert_eq!(
            snake_case("userIdentity.sessionContext"),
            "user_identity.session_context"
        );
        assert_eq!(snake_case("isProxy"), "is_proxy");
        assert_eq!(snake_case("errorCode"), "error_code");
    }
}
