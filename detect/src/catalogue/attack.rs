//! The words that the tags of the pack may use: MITRE ATT&CK and the OWASP API Security Top 10.

/// Tactics in the order of an attack: the tag's word, the name, and what is said where no rule of
/// the pack stands.
pub(super) const TACTICS: &[(&str, &str, &str)] = &[
    ("reconnaissance", "Reconnaissance", ""),
    (
        "resource-development",
        "Resource Development",
        "nothing: it happens where no log of yours is written",
    ),
    ("initial-access", "Initial Access", ""),
    ("execution", "Execution", ""),
    ("persistence", "Persistence", ""),
    ("privilege-escalation", "Privilege Escalation", ""),
    ("defense-evasion", "Defense Evasion (v18)", ""),
    ("stealth", "Stealth (v19)", ""),
    ("defense-impairment", "Defense Impairment (v19)", ""),
    ("credential-access", "Credential Access", ""),
    (
        "discovery",
        "Discovery",
        "nothing of its own: looking around inside shows as new edges and as probing",
    ),
    ("lateral-movement", "Lateral Movement", ""),
    ("collection", "Collection", ""),
    ("command-and-control", "Command and Control", ""),
    ("exfiltration", "Exfiltration", ""),
    ("impact", "Impact", ""),
];

/// A technique: its tag's word, its name, and its tactics as far as the pack speaks of them.
pub(super) type Technique = (&'static str, &'static str, &'static [&'static str]);

/// Techniques that rules of the pack may name; the ids hold in ATT&CK v18 and v19 unless
/// [`RENUMBERED`] says otherwise.
pub(super) const TECHNIQUES: &[Technique] = &[
    ("t1021", "Remote Services", &["lateral-movement"]),
    ("t1036", "Masquerading", &["defense-evasion", "stealth"]),
    ("t1071.001", "Web Protocols", &["command-and-control"]),
    (
        "t1072",
        "Software Deployment Tools",
        &["execution", "lateral-movement"],
    ),
    (
        "t1078",
        "Valid Accounts",
        &["initial-access", "persistence", "privilege-escalation"],
    ),
    (
        "t1098.001",
        "Additional Cloud Credentials",
        &["persistence", "privilege-escalation"],
    ),
    (
        "t1098.003",
        "Additional Cloud Roles",
        &["persistence", "privilege-escalation"],
    ),
    (
        "t1098.005",
        "Device Registration",
        &["persistence", "privilege-escalation"],
    ),
    (
        "t1098.006",
        "Additional Container Cluster Roles",
        &["persistence", "privilege-escalation"],
    ),
    ("t1110", "Brute Force", &["credential-access"]),
    ("t1110.001", "Password Guessing", &["credential-access"]),
    ("t1110.003", "Password Spraying", &["credential-access"]),
    ("t1110.004", "Credential Stuffing", &["credential-access"]),
    ("t1136", "Create Account", &["persistence"]),
    (
        "t1190",
        "Exploit Public-Facing Application",
        &["initial-access"],
    ),
    (
        "t1210",
        "Exploitation of Remote Services",
        &["lateral-movement"],
    ),
    (
        "t1213",
        "Data from Information Repositories",
        &["collection"],
    ),
    ("t1485", "Data Destruction", &["impact"]),
    ("t1499.003", "Application Exhaustion Flood", &["impact"]),
    (
        "t1528",
        "Steal Application Access Token",
        &["credential-access"],
    ),
    (
        "t1550.001",
        "Application Access Token",
        &["lateral-movement"],
    ),
    ("t1552.001", "Credentials In Files", &["credential-access"]),
    (
        "t1552.005",
        "Cloud Instance Metadata API",
        &["credential-access"],
    ),
    ("t1552.007", "Container API", &["credential-access"]),
    (
        "t1555",
        "Credentials from Password Stores",
        &["credential-access"],
    ),
    (
        "t1556.006",
        "Multi-Factor Authentication",
        &["credential-access", "persistence"],
    ),
    ("t1562.001", "Disable or Modify Tools", &["defense-evasion"]),
    (
        "t1562.008",
        "Disable or Modify Cloud Logs",
        &["defense-evasion"],
    ),
    ("t1565.001", "Stored Data Manipulation", &["impact"]),
    ("t1030", "Data Transfer Size Limits", &["exfiltration"]),
    ("t1567", "Exfiltration Over Web Service", &["exfiltration"]),
    ("t1595.002", "Vulnerability Scanning", &["reconnaissance"]),
    ("t1595.003", "Wordlist Scanning", &["reconnaissance"]),
    ("t1606", "Forge Web Credentials", &["credential-access"]),
    ("t1609", "Container Administration Command", &["execution"]),
    ("t1611", "Escape to Host", &["privilege-escalation"]),
    (
        "t1621",
        "Multi-Factor Authentication Request Generation",
        &["credential-access"],
    ),
    ("t1657", "Financial Theft", &["impact"]),
    ("t1685", "Disable or Modify Tools", &["defense-impairment"]),
    (
        "t1685.002",
        "Disable or Modify Cloud Log",
        &["defense-impairment"],
    ),
];

/// Techniques that got another id: in v18, in v19. A rule names both.
pub(super) const RENUMBERED: &[(&str, &str)] =
    &[("t1562.001", "t1685"), ("t1562.008", "t1685.002")];

/// The OWASP API Security Top 10 of 2023: number, name, and what the pack does not see of it.
pub(super) const OWASP: &[(u8, &str, &str)] = &[
    (
        1,
        "Broken Object Level Authorization",
        "A walk over objects that are all served, and few objects over a long time",
    ),
    (
        2,
        "Broken Authentication",
        "Impossible journeys within one country; guessing so slow that no rate changes",
    ),
    (
        3,
        "Broken Object Property Level Authorization",
        "Properties that a service gives away; writes where nobody logs the names of properties",
    ),
    (
        4,
        "Unrestricted Resource Consumption",
        "Few costly requests: cost and size of requests are not weighed",
    ),
    (
        5,
        "Broken Function Level Authorization",
        "Routes that no name shows to be administrative, where `http.route` is not logged",
    ),
    (
        6,
        "Unrestricted Access to Sensitive Business Flows",
        "Flows whose actions have other names than those listed; buying up goods",
    ),
    (
        7,
        "Server Side Request Forgery",
        "Targets in the body of a request, unless the new destination shows",
    ),
    (
        8,
        "Security Misconfiguration",
        "Settings that nobody logs the change of; attacks in the body of a request",
    ),
    (
        9,
        "Improper Inventory Management",
        "A comparison with your API description",
    ),
    (
        10,
        "Unsafe Consumption of APIs",
        "What a partner's API answers",
    ),
];
