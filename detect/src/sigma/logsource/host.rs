//! Signatures of operating systems: the Windows event log and Sysmon, Linux and macOS.

use super::{Facts, LogClass};

pub(super) const VALUES: &[&str] = &[
    // Windows event log: nested as exported from EVTX, by Winlogbeat, or flat.
    "event.system.channel",
    "system.channel",
    "winlog.channel",
    "channel",
    "log_name",
    "event.system.provider.#attributes.name",
    "event.system.provider.@name",
    "event.system.provider.name",
    "system.provider.#attributes.name",
    "system.provider.@name",
    "system.provider.name",
    "winlog.provider_name",
    "providername",
    "sourcename",
    "provider_name",
    "event.system.eventid",
    "event.system.eventid.#text",
    "system.eventid",
    "system.eventid.#text",
    "winlog.event_id",
    "eventid",
    "event_id",
    "event.code",
    "eventlog",
    // Who wrote a syslog line.
    "process.name",
    "log.syslog.appname",
    "program",
    "appname",
    "syslog_identifier",
    "ident",
    // ECS.
    "host.os.type",
    "host.os.family",
    "host.os.platform",
];

pub(super) const PRESENCE: &[&str] = &[
    "image",
    "commandline",
    "process.command_line",
    "process.executable",
    "log.syslog.",
    "facility",
    "syscall",
    "a0",
    "auid",
    "auditd.",
    "scriptblocktext",
    "newprocessname",
    "event.eventdata.",
    "winlog.",
];

const CHANNEL: &[&str] = &[
    "event.system.channel",
    "system.channel",
    "winlog.channel",
    "channel",
    "log_name",
    "eventlog",
];
const PROVIDER: &[&str] = &[
    "event.system.provider.#attributes.name",
    "event.system.provider.@name",
    "event.system.provider.name",
    "system.provider.#attributes.name",
    "system.provider.@name",
    "system.provider.name",
    "winlog.provider_name",
    "providername",
    "sourcename",
    "provider_name",
];
const EVENT_ID: &[&str] = &[
    "event.system.eventid",
    "event.system.eventid.#text",
    "system.eventid",
    "system.eventid.#text",
    "winlog.event_id",
    "eventid",
    "event_id",
    "event.code",
];

/// Recognises events of an operating system.
pub(super) fn classify(facts: &Facts) -> Option<LogClass> {
    windows(facts)
        .or_else(|| audit(facts))
        .or_else(|| syslog(facts))
        .or_else(|| endpoint(facts))
}

/// Channels and the Sigma service each is, by the start of the channel's name, after
/// `microsoft-windows-` where it starts so. Source: the log source list of pySigma and SigmaHQ.
const CHANNELS: &[(&str, &str)] = &[
    ("security-mitigations", "security-mitigations"),
    ("security", "security"),
    ("system", "system"),
    ("application", "application"),
    ("sysmon", "sysmon"),
    ("powershellcore", "powershell"),
    ("powershell", "powershell"),
    ("windows powershell", "powershell-classic"),
    ("taskscheduler", "taskscheduler"),
    ("wmi-activity", "wmi"),
    ("windows defender", "windefend"),
    ("dns-server", "dns-server"),
    ("dns server", "dns-server"),
    ("dns-client", "dns-client"),
    ("ntlm", "ntlm"),
    ("driverframeworks-usermode", "driver-framework"),
    ("applocker", "applocker"),
    ("msexchange management", "msexchange-management"),
    ("codeintegrity", "codeintegrity-operational"),
    ("windows firewall with advanced security", "firewall-as"),
    ("bits-client", "bits-client"),
    ("smbclient/security", "smbclient-security"),
    ("smbclient/connectivity", "smbclient-connectivity"),
    ("smbserver/connectivity", "smbserver-connectivity"),
    ("appxdeploymentserver", "appxdeployment-server"),
    ("appxpackagingom", "appxpackaging-om"),
    ("appmodel-runtime", "appmodel-runtime"),
    ("iis-configuration", "iis-configuration"),
    ("capi2", "capi2"),
    (
        "certificateservicesclient-lifecycle-system",
        "certificateservicesclient-lifecycle-system",
    ),
    ("lsa/", "lsa-server"),
    ("ldap-client", "ldap"),
    ("openssh", "openssh"),
    ("servicebus-client", "microsoft-servicebus-client"),
    (
        "terminalservices-localsessionmanager",
        "terminalservices-localsessionmanager",
    ),
    ("shell-core", "shell-core"),
    ("diagnosis-scripted", "diagnosis-scripted"),
    ("printservice", "printservice-operational"),
    ("vhdmp", "vhdmp"),
];

fn short(channel: &str) -> &str {
    channel
        .strip_prefix("microsoft-windows-")
        .unwrap_or(channel)
}

fn channel_service(channel: &str) -> Option<&'static str> {
    let name = short(channel);
    CHANNELS
        .iter()
        .find(|(start, _)| name.starts_with(start))
        .map(|(_, service)| *service)
}

/// What endpoint agents report, as `event.category`.
const AGENT: &[&str] = &[
    "process", "file", "registry", "library", "driver", "network",
];

fn windows(facts: &Facts) -> Option<LogClass> {
    let channel = facts.first(CHANNEL).unwrap_or_default();
    let provider = facts.first(PROVIDER).unwrap_or_default();
    let id = facts.first(EVENT_ID).and_then(|id| id.parse::<u32>().ok());
    if channel.starts_with("linux-sysmon") || provider == "linux-sysmon" {
        return Some(sysmon(LogClass::of("linux").service("sysmon"), id));
    }
    let os = facts.is("host.os.type", &["windows"]) || facts.is("host.os.family", &["windows"]);
    // A service that runs on Windows is still a service: what an agent sees has a category.
    let agent = os && facts.is("event.category", AGENT) || facts.module() == Some("windows");
    let nested = facts.has("event.eventdata.") || facts.has("winlog.");
    let known = channel.contains('/') || channel_service(channel).is_some();
    let flat = id.is_some() && (known || !provider.is_empty());
    // Sysmon without its envelope: the fields are telling enough.
    let bare = id.is_some() && facts.has_any(&["image", "scriptblocktext", "newprocessname"]);
    if !(agent || nested || flat || bare) {
        return None;
    }
    let mut class = LogClass::of("windows");
    let name = short(if channel.is_empty() {
        provider
    } else {
        channel
    });
    if let Some(service) = channel_service(name) {
        class = class.service(service);
    }
    if provider == "microsoft-windows-security-auditing" {
        class = class.service("security");
    }
    if name.starts_with("sysmon") || channel.is_empty() && provider.is_empty() && bare {
        class = sysmon(class.service("sysmon"), id);
    }
    Some(other_channels(class, name, id, facts))
}

/// Categories of Sysmon's event ids.
fn sysmon(class: LogClass, id: Option<u32>) -> LogClass {
    let categories: &[&str] = match id.unwrap_or_default() {
        1 => &["process_creation"],
        2 => &["file_change"],
        3 => &["network_connection"],
        4 | 16 => &["sysmon_status"],
        5 => &["process_termination"],
        6 => &["driver_load"],
        7 => &["image_load"],
        8 => &["create_remote_thread"],
        9 => &["raw_access_thread"],
        10 => &["process_access"],
        11 => &["file_event"],
        12 => &["registry_event", "registry_add", "registry_delete"],
        13 => &["registry_event", "registry_set"],
        14 => &["registry_event", "registry_rename"],
        15 => &["create_stream_hash"],
        17 | 18 => &["pipe_created"],
        19..=21 => &["wmi_event"],
        22 => &["dns_query"],
        23 | 26 => &["file_delete"],
        24 => &["clipboard_capture"],
        25 => &["process_tampering"],
        29 => &["file_executable_detected"],
        255 => &["sysmon_error"],
        _ => &[],
    };
    categories
        .iter()
        .fold(class, |c, category| c.category(category))
}

/// Categories that other channels than Sysmon's have, and endpoint agents' ECS events.
fn other_channels(class: LogClass, name: &str, id: Option<u32>, facts: &Facts) -> LogClass {
    match (name, id) {
        (n, Some(4688)) if n.starts_with("security") => class.category("process_creation"),
        ("", Some(4688)) => class.service("security").category("process_creation"),
        (n, Some(4657)) if n.starts_with("security") => {
            class.category("registry_set").category("registry_event")
        }
        (_, Some(4104)) => class.category("ps_script"),
        (_, Some(4103)) => class.category("ps_module"),
        (n, Some(400)) if n.starts_with("windows powershell") => class.category("ps_classic_start"),
        (n, Some(600)) if n.starts_with("windows powershell") => {
            class.category("ps_classic_provider_start")
        }
        (n, Some(800)) if n.starts_with("windows powershell") => {
            class.category("ps_classic_script")
        }
        _ => by_ecs(class, facts),
    }
}

/// Categories by `event.category`, as endpoint agents set it.
fn by_ecs(class: LogClass, facts: &Facts) -> LogClass {
    let is = |name: &str| facts.is("event.category", &[name]);
    let started = facts.is("event.type", &["start", "process_started"]) || !facts.has("event.type");
    match () {
        () if is("process") && started => class.category("process_creation"),
        () if is("file") && facts.is("event.type", &["deletion"]) => class.category("file_delete"),
        () if is("file") => class.category("file_event"),
        () if is("registry") => class.category("registry_event").category("registry_set"),
        () if is("library") => class.category("image_load"),
        () if is("driver") => class.category("driver_load"),
        () if is("network") && facts.has("dns.question.name") => class.category("dns_query"),
        () if is("network") => class.category("network_connection"),
        () => class,
    }
}

/// Record types of the Linux audit daemon that rules ask for.
const RECORDS: &[&str] = &[
    "syscall",
    "execve",
    "path",
    "cwd",
    "proctitle",
    "user_cmd",
    "user_auth",
    "user_login",
    "user_start",
    "user_end",
    "user_acct",
    "cred_acq",
    "cred_disp",
    "add_user",
    "add_group",
    "del_user",
    "del_group",
    "service_start",
    "service_stop",
    "sockaddr",
    "config_change",
    "daemon_abort",
    "daemon_end",
    "user_and_cred",
    "anom_promiscuous",
    "tty",
    "kern_module",
    "bprm_fcaps",
    "avc",
    "selinux_err",
    "user_err",
    "user_chauthtok",
    "crypto_key_user",
];

fn audit(facts: &Facts) -> Option<LogClass> {
    let record = facts.is("type", RECORDS) && facts.has_any(&["syscall", "a0", "auid"]);
    let shipped = facts.has("auditd.") || facts.module() == Some("auditd");
    let bare = facts.first(&["type"]).is_some_and(|t| RECORDS.contains(&t))
        && facts.has_any(&["process.executable", "process.name", "host.os.type"]);
    (record || shipped || bare).then(|| by_ecs(LogClass::of("linux").service("auditd"), facts))
}

/// Programs whose syslog lines rules are about, and the Sigma service of each.
const PROGRAMS: &[(&str, &str)] = &[
    ("sshd", "sshd"),
    ("sshd-session", "sshd"),
    ("cron", "cron"),
    ("crond", "cron"),
    ("sudo", "sudo"),
    ("su", "auth"),
    ("vsftpd", "vsftpd"),
    ("clamd", "clamav"),
    ("clamav", "clamav"),
    ("freshclam", "clamav"),
    ("guacd", "guacamole"),
    ("guacamole", "guacamole"),
    ("auditd", "auditd"),
    ("systemd", "syslog"),
    ("kernel", "syslog"),
];

fn syslog(facts: &Facts) -> Option<LogClass> {
    let names = [
        "log.syslog.appname",
        "program",
        "appname",
        "syslog_identifier",
        "ident",
        "process.name",
    ];
    let program = facts.first(&names).unwrap_or_default();
    let service = PROGRAMS
        .iter()
        .find(|(name, _)| *name == program)
        .map(|(_, s)| *s);
    let dataset =
        facts.module() == Some("system") && matches!(facts.dataset(), Some("auth" | "syslog"));
    let line = facts.has_any(&["log.syslog.", "facility"]);
    let macos = facts.is("host.os.type", &["macos"]);
    if macos || !(line || dataset || service.is_some()) {
        return None;
    }
    let mut class = LogClass::of("linux").service("syslog");
    if dataset && facts.dataset() == Some("auth") {
        class = class.service("auth");
    }
    if let Some(service) = service {
        class = class.service(service);
    }
    Some(by_ecs(class, facts))
}

/// Process, file and network events of an endpoint agent.
fn endpoint(facts: &Facts) -> Option<LogClass> {
    let os = facts.first(&["host.os.type", "host.os.platform", "host.os.family"])?;
    let product = match os {
        "linux" | "debian" | "ubuntu" | "redhat" | "centos" | "alpine" => "linux",
        "macos" | "darwin" => "macos",
        _ => return None,
    };
    let touched = facts.is("event.category", AGENT)
        && facts.has_any(&[
            "process.command_line",
            "process.executable",
            "commandline",
            "image",
        ]);
    touched.then(|| by_ecs(LogClass::of(product), facts))
}
