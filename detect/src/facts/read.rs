//! Reading facts from a batch.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::columns::Field;
use super::recent::Recent;
use super::routes::Routes;
use super::{Act, Fact, Facts, Names, Outcome};
use crate::cells::{hash_text, mix};
use crate::entity;
use crate::sigma::event::BatchFields;

/// Event times further ahead of receipt do not move the watermark.
const TRUST_NS: i64 = 600 * 1_000_000_000;
/// Addresses and accounts of a generation.
const KNOWN: usize = 100_000;
/// Understood paths of a generation.
const PATHS: usize = 65_536;

/// Words that say what was done; of an action or of a fixed part of a path.
const LOGIN: &[&str] = &[
    "login",
    "logon",
    "signin",
    "sign-in",
    "sign_in",
    "authenticate",
    "user_login",
    "logged-in",
    "user-login",
    "consolelogin",
    "userloggedin",
    "userloginfailed",
    "authentication",
];
const EXPORT: &[&str] = &["export", "download", "dump", "backup", "extract"];
const CONSENT: &[&str] = &[
    "consent",
    "consents",
    "consent_grant",
    "consent_granted",
    "grant_consent",
    "oauth_consent",
];
const DEPLOY: &[&str] = &["deploy", "deployment", "rollout", "release", "deployed"];
/// Words of agents that say themselves to be crawlers.
const CRAWLERS: &[&str] = &["bot", "crawler", "spider", "slurp"];
/// Agents that people browse with begin so.
const BROWSERS: &[&str] = &["mozilla/", "opera/"];
/// Ways to ask that change nothing.
const READS: &[&str] = &["GET", "HEAD", "OPTIONS", "TRACE"];

/// What is learned while reading facts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FactReader {
    names: Names,
    routes: Routes,
    /// Network and country of an address, as a log named them last.
    places: Recent<(u64, u64)>,
    /// Roles of an account, as a log named them last.
    roles: Recent<u64>,
    watermark_ns: i64,
    #[serde(skip, default = "paths")]
    paths: Recent<Path>,
}

#[derive(Debug, Clone, Copy)]
struct Path {
    template: u64,
    object: u64,
    number: Option<i64>,
    act: Act,
}

fn paths() -> Recent<Path> {
    Recent::new(PATHS)
}

impl Default for FactReader {
    fn default() -> Self {
        FactReader {
            names: Names::default(),
            routes: Routes::default(),
            places: Recent::new(KNOWN),
            roles: Recent::new(KNOWN),
            watermark_ns: i64::MIN,
            paths: paths(),
        }
    }
}

/// An agent, understood.
#[derive(Clone, Copy, Default)]
struct Agent {
    family: u64,
    crawler: bool,
    tool: bool,
}

const CALLER: &[&str] = &["source.service.name"];
const DOMAIN: &[&str] = &["destination.domain"];
const COUNTRY: &[&str] = &["source.geo.country_iso_code", "client.geo.country_iso_code"];
const ROLE: &[&str] = &["user.roles"];
const AGENT: &[&str] = &["user_agent.original"];
const METHOD: &[&str] = &["http.request.method"];
const ROUTE: &[&str] = &["http.route"];
const PATH: &[&str] = &["url.path"];
const STATUS: &[&str] = &["http.response.status_code"];
const OUTCOME: &[&str] = &["event.outcome"];
const ACTION: &[&str] = &["event.action"];
const BYTES: &[&str] = &[
    "http.response.body.bytes",
    "http.response.bytes",
    "network.bytes",
    "source.bytes",
];

/// Every field that facts are read from, besides those that name entities; lower case.
pub(crate) fn fields() -> impl Iterator<Item = &'static str> {
    let all = [
        CALLER, DOMAIN, COUNTRY, ROLE, AGENT, METHOD, ROUTE, PATH, STATUS, OUTCOME, ACTION, BYTES,
    ];
    all.into_iter().flatten().copied()
}

/// The columns that facts are read from.
struct Columns<'a> {
    user: Field<'a>,
    role: Field<'a>,
    token: Field<'a>,
    ip: Field<'a>,
    asn: Field<'a>,
    country: Field<'a>,
    agent: Field<'a>,
    client: Field<'a>,
    tenant: Field<'a>,
    service: Field<'a>,
    host: Field<'a>,
    caller: Field<'a>,
    domain: Field<'a>,
    method: Field<'a>,
    route: Field<'a>,
    path: Field<'a>,
    status: Field<'a>,
    outcome: Field<'a>,
    action: Field<'a>,
    bytes: Field<'a>,
}

impl<'a> Columns<'a> {
    fn new(fields: &BatchFields<'a>, names: &mut Names) -> Self {
        let of = |names: &[&str]| Field::new(fields, names);
        let mut kind = |kind: &str| of(entity::fields_of(kind)).noted(names);
        Columns {
            user: kind("user"),
            token: kind("token"),
            ip: kind("ip"),
            asn: kind("asn"),
            client: kind("client"),
            tenant: kind("tenant"),
            service: kind("service"),
            host: kind("host"),
            caller: of(CALLER).noted(names),
            domain: of(DOMAIN).noted(names),
            country: of(COUNTRY).noted(names),
            role: of(ROLE),
            agent: of(AGENT),
            method: of(METHOD),
            route: of(ROUTE),
            path: of(PATH),
            status: of(STATUS),
            outcome: of(OUTCOME),
            action: of(ACTION),
            bytes: of(BYTES),
        }
    }
}

impl FactReader {
    /// Reads the rows of a batch, and learns from them.
    pub(crate) fn read(&mut self, fields: &BatchFields<'_>) -> Facts {
        let columns = Columns::new(fields, &mut self.names);
        let batch = fields.batch();
        let (times, seqs, received) = (batch.time(), batch.seq(), batch.received());
        let mut agents = ahash::HashMap::<u64, Agent>::default();
        let mut nets = ahash::HashMap::<u64, u64>::default();
        let mut acts = ahash::HashMap::<u64, Act>::default();
        let mut rows = Vec::with_capacity(batch.rows());
        for row in 0..batch.rows() {
            let time_ns = times.value(row);
            self.advance(time_ns, received.value(row));
            let mut fact = Fact {
                row: u32::try_from(row).unwrap_or(u32::MAX),
                seq: seqs.value(row),
                time_ns,
                now_ns: self.watermark_ns,
                ..Fact::default()
            };
            self.who(&columns, row, &mut fact);
            fact.net = match fact.ip {
                0 => 0,
                ip => *nets.entry(ip).or_insert_with(|| {
                    let net = columns.ip.text(row, net_of).flatten();
                    net.map_or(ip, |net| {
                        let hash = hash_text(&net);
                        self.names.note(hash, &net);
                        hash
                    })
                }),
            };
            let agent = columns.agent.hash(row);
            fact.exact_agent = agent;
            if agent != 0 {
                let read = || columns.agent.text(row, agent_of).unwrap_or_default();
                let agent = *agents.entry(agent).or_insert_with(read);
                (fact.agent, fact.crawler, fact.tool) = (agent.family, agent.crawler, agent.tool);
            }
            self.what(&columns, row, &mut acts, &mut fact);
            rows.push(fact);
        }
        Facts { rows }
    }

    /// What hashes stand for.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Forgets words that name what `query` asks for.
    pub(crate) fn forget(&mut self, query: &watchfire_event::Query) {
        self.names.forget(query);
        self.paths.clear();
    }

    /// Bytes that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.names.bytes()
            + self.routes.bytes()
            + self.places.bytes()
            + self.roles.bytes()
            + self.paths.bytes()
    }

    fn advance(&mut self, time_ns: i64, received_ns: i64) {
        let trusted = match received_ns > 0 {
            true => time_ns.min(received_ns.saturating_add(TRUST_NS)),
            false => time_ns,
        };
        self.watermark_ns = self.watermark_ns.max(trusted);
    }

    fn who(&mut self, columns: &Columns<'_>, row: usize, fact: &mut Fact) {
        fact.user = columns.user.hash(row);
        fact.token = columns.token.hash(row);
        fact.ip = columns.ip.hash(row);
        fact.client = columns.client.hash(row);
        fact.tenant = columns.tenant.hash(row);
        fact.service = columns.service.hash(row);
        fact.host = columns.host.hash(row);
        fact.caller = columns.caller.hash(row);
        fact.domain = columns.domain.hash(row);
        let asn = columns.asn.hash_noting(row, &mut self.names);
        let country = columns.country.hash(row);
        if fact.ip != 0 {
            if asn != 0 || country != 0 {
                self.places.set(fact.ip, (asn, country));
            }
            let known = self.places.peek(fact.ip).copied();
            (fact.asn, fact.country) = known.unwrap_or((asn, country));
        }
        fact.role = columns.role.hash(row);
        if fact.user != 0 {
            if fact.role != 0 {
                self.roles.set(fact.user, fact.role);
            } else {
                fact.role = self.roles.peek(fact.user).copied().unwrap_or(0);
            }
        }
    }

    fn what(
        &mut self,
        columns: &Columns<'_>,
        row: usize,
        acts: &mut ahash::HashMap<u64, Act>,
        fact: &mut Fact,
    ) {
        let status = columns.status.number(row);
        fact.status = status.and_then(|s| u16::try_from(s).ok()).unwrap_or(0);
        let said = columns.outcome.text(row, |text| match text {
            "success" => Outcome::Success,
            "failure" => Outcome::Failure,
            _ => Outcome::Unknown,
        });
        fact.outcome = match (said.unwrap_or_default(), fact.status) {
            (Outcome::Unknown, 1..400) => Outcome::Success,
            (Outcome::Unknown, 400..) => Outcome::Failure,
            (outcome, _) => outcome,
        };
        let bytes = columns.bytes.number(row);
        fact.bytes = bytes.and_then(|b| u64::try_from(b).ok()).unwrap_or(0);
        let method = columns.method.hash(row);
        if method != 0 {
            let reads = columns.method.text(row, |text| READS.contains(&text));
            fact.writes = !reads.unwrap_or(true);
        }
        if let Some(path) = self.path(columns, row, fact.service, method) {
            (fact.route, fact.object, fact.number) = (path.template, path.object, path.number);
            fact.act = path.act;
        }
        let action = columns.action.hash(row);
        if action != 0 {
            let read = || columns.action.text(row, act_of).unwrap_or_default();
            let act = *acts.entry(action).or_insert_with(read);
            if act != Act::Other {
                fact.act = act;
            }
        }
    }

    /// The row's path, understood: by the template that the log gives, or by what was learned.
    fn path(
        &mut self,
        columns: &Columns<'_>,
        row: usize,
        service: u64,
        method: u64,
    ) -> Option<Path> {
        let hash = columns.path.hash(row);
        // An empty template is what gateways say of a path that they do not know.
        let is_template = columns.route.text(row, |text| !text.is_empty());
        let given = match is_template.unwrap_or(false) {
            true => columns.route.hash(row),
            false => 0,
        };
        if hash == 0 && given == 0 {
            return None;
        }
        let key = mix(mix(service, method), mix(hash, given));
        if let Some(path) = self.paths.peek(key) {
            return Some(*path);
        }
        let places = self.routes.variable_places();
        let text = columns
            .path
            .text(row, |text| self.routes.read(service, text));
        let mut route = text.unwrap_or_default();
        let template = columns.route.text(row, str::to_owned);
        if let Some(template) = template.filter(|template| !template.is_empty()) {
            route.template = mix(service, hash_text(&template));
            route.text = template;
        }
        let method_text = columns.method.text(row, str::to_owned).unwrap_or_default();
        let template = mix(route.template, method);
        let text = format!("{method_text} {}", route.text);
        self.names.note(template, text.trim_start());
        let path = Path {
            template,
            object: route.object,
            number: route.number,
            act: route_act(&route.text, &method_text),
        };
        // A place that varies from now on changes the templates of paths read before.
        if self.routes.variable_places() != places {
            self.paths.clear();
        }
        self.paths.set(key, path);
        Some(path)
    }
}

/// What the last fixed part of a path says is done.
fn route_act(template: &str, method: &str) -> Act {
    let parts = template
        .rsplit('/')
        .filter(|part| !part.starts_with(['{', ':', '<']));
    match parts.map(act_of).next() {
        Some(Act::Login) if READS.contains(&method) => Act::Other,
        Some(act) => act,
        None => Act::Other,
    }
}

fn act_of(text: &str) -> Act {
    let lower = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.contains(&lower.as_str());
    let starts = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
    match () {
        () if says(LOGIN) => Act::Login,
        () if says(DEPLOY) => Act::Deploy,
        () if starts(EXPORT) => Act::Export,
        () if says(CONSENT) => Act::Consent,
        () => Act::Other,
    }
}

/// The network of an address as people write it.
fn net_of(text: &str) -> Option<String> {
    match text.parse().ok()? {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Some(format!("{a}.{b}.{c}.0/24"))
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            Some(format!("{a:x}:{b:x}:{c:x}::/48"))
        }
    }
}

/// An agent without its version numbers.
fn agent_of(text: &str) -> Agent {
    let lower = text.to_ascii_lowercase();
    let plain: String = lower.chars().filter(|c| c.is_ascii_alphabetic()).collect();
    Agent {
        family: hash_text(&plain),
        crawler: CRAWLERS.iter().any(|word| lower.contains(word)),
        tool: !BROWSERS.iter().any(|word| lower.starts_with(word)),
    }
}
