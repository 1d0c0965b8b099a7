//! Which log source an event comes from, and which rules may therefore see it.
//!
//! An event is described by [`Facts`]: the few fields of [`DECIDING`] that tell log sources apart.
//! [`classify`] is a pure function from facts to a [`LogClass`]: the products, categories and
//! services the event can claim. [`admits`] says whether a rule's log source fits:
//!
//! - A dimension that the rule names must be claimed by the event. So a rule for Windows never
//!   sees a web request, nor a rule for Okta a CloudTrail event.
//! - A rule that names nothing sees everything.
//! - A category that no known log source has (`category: checkout`) is the user's own word: without
//!   a product such a rule sees everything, and its selection decides.
//! - A product that no known log source has (`product: acme`), or a service without a product, is
//!   claimed by events that say so themselves, in `event.module`, `event.dataset`,
//!   `event.provider`, `observer.product`,
//!   `observer.vendor`, `service.type` or `service.name`.
//!
//! An event that no signature recognises is an application's own log: it can claim the categories
//! `application`, and by its fields `webserver`, `proxy`, `dns` and so on, and, as nothing tells in
//! which language the application is written, the products of all application rules unless it says.

mod cloud;
mod host;
mod network;

use std::collections::{BTreeSet, HashMap};

use rsigma_parser::LogSource;

use super::taxonomy::Family;

/// How a deciding field decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decides {
    /// By its value.
    Value,
    /// By being there; a name that ends in `.` stands for anything below it.
    Presence,
}

/// The fields that decide, lower case. [`classify`] sees nothing else of an event.
pub(crate) fn deciding() -> impl Iterator<Item = (&'static str, Decides)> {
    let value = [TAGS, host::VALUES, cloud::VALUES, network::VALUES];
    let presence = [host::PRESENCE, cloud::PRESENCE, network::PRESENCE];
    let value = value.into_iter().flatten().map(|f| (*f, Decides::Value));
    value.chain(
        presence
            .into_iter()
            .flatten()
            .map(|f| (*f, Decides::Presence)),
    )
}

/// Where events say themselves what they are.
const TAGS: &[&str] = &[
    "event.module",
    "event.dataset",
    "event.provider",
    "observer.product",
    "observer.vendor",
    "service.type",
    "service.name",
    "data_stream.dataset",
    "fileset.name",
];

/// What the deciding fields of an event are.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    values: HashMap<&'static str, Vec<String>>,
}

impl Facts {
    /// Notes a value of a deciding field, or with an empty text its presence.
    pub(crate) fn add(&mut self, field: &'static str, value: &str) {
        self.values
            .entry(field)
            .or_default()
            .push(value.to_lowercase());
    }

    fn has(&self, field: &str) -> bool {
        self.values.contains_key(field)
    }

    fn has_any(&self, fields: &[&str]) -> bool {
        fields.iter().any(|f| self.has(f))
    }

    /// First value of the first of these fields that is there.
    fn first(&self, fields: &[&str]) -> Option<&str> {
        fields
            .iter()
            .find_map(|f| self.values.get(*f)?.first())
            .map(String::as_str)
    }

    fn is(&self, field: &str, values: &[&str]) -> bool {
        self.values
            .get(field)
            .is_some_and(|v| v.iter().any(|v| values.contains(&v.as_str())))
    }

    /// `event.module` or the part of a dataset before the dot.
    fn module(&self) -> Option<&str> {
        let dataset = || self.first(&["event.dataset", "data_stream.dataset"]);
        self.first(&["event.module"])
            .or_else(|| dataset()?.split('.').next())
    }

    /// The part of a dataset after the dot.
    fn dataset(&self) -> Option<&str> {
        let dataset = self.first(&["event.dataset", "data_stream.dataset"])?;
        Some(dataset.split_once('.').map_or(dataset, |(_, rest)| rest))
    }
}

/// What an event can claim to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct LogClass {
    products: BTreeSet<String>,
    categories: BTreeSet<String>,
    services: BTreeSet<String>,
    /// How it names its fields.
    pub(crate) family: Family,
}

impl LogClass {
    fn of(product: &str) -> Self {
        LogClass {
            products: BTreeSet::from([product.to_owned()]),
            family: Family::of_product(product),
            ..LogClass::default()
        }
    }

    /// What the event claims to be, for people.
    pub(crate) fn words(&self) -> String {
        let all = self.products.iter().chain(&self.categories);
        let all: Vec<&str> = all.chain(&self.services).map(String::as_str).collect();
        all.join(", ")
    }

    fn product(mut self, product: &str) -> Self {
        self.products.insert(product.to_owned());
        self
    }

    fn category(mut self, category: &str) -> Self {
        self.categories.insert(category.to_owned());
        self
    }

    fn service(mut self, service: &str) -> Self {
        self.services.insert(service.to_owned());
        self
    }
}

/// The log source of an event. `extra` are the products and services that loaded rules name and
/// this table does not know.
pub(crate) fn classify(facts: &Facts, extra: &BTreeSet<String>) -> LogClass {
    let known = cloud::classify(facts).or_else(|| network::device(facts));
    let known = known.or_else(|| host::classify(facts));
    let mut class = known.unwrap_or_else(|| network::application(facts));
    for tag in TAGS.iter().filter_map(|f| facts.values.get(f)).flatten() {
        let parts = std::iter::once(tag.as_str()).chain(tag.split('.'));
        for name in parts.filter(|p| extra.contains(*p)) {
            class.products.insert(name.to_owned());
            class.services.insert(name.to_owned());
        }
    }
    class
}

/// May a rule of this log source see events of `class`?
pub(crate) fn admits(rule: &LogSource, class: &LogClass) -> bool {
    let claimed = |wanted: &Option<String>, claims: &BTreeSet<String>| match wanted {
        None => true,
        Some(name) => claims.contains(&name.to_lowercase()),
    };
    let own_word = |category: &str| {
        rule.product.is_none() && !CATEGORIES.contains(&category.to_lowercase().as_str())
    };
    // Who names a product of their own has said enough: its services are theirs to tell apart.
    let own_product = rule.product.as_deref().is_some_and(|p| !known_product(p));
    claimed(&rule.product, &class.products)
        && (own_product || claimed(&rule.service, &class.services))
        && (claimed(&rule.category, &class.categories)
            || own_product
            || rule.category.as_deref().is_some_and(own_word))
}

fn known_product(name: &str) -> bool {
    PRODUCTS.contains(&name.to_lowercase().as_str())
}

/// The products and services that `rules` name and the table does not know, lower case.
pub(crate) fn unknown_names<'a>(rules: impl Iterator<Item = &'a LogSource>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rule in rules {
        match (&rule.product, &rule.service) {
            (Some(product), _) if known_product(product) => {}
            (Some(name), _) | (None, Some(name)) => {
                names.insert(name.to_lowercase());
            }
            (None, None) => {}
        }
    }
    names
}

/// Products whose events the table recognises; no event can claim them by a tag alone.
const PRODUCTS: &[&str] = &[
    "aws",
    "azure",
    "bitbucket",
    "cisco",
    "django",
    "fortigate",
    "gcp",
    "github",
    "huawei",
    "juniper",
    "jvm",
    "kubernetes",
    "linux",
    "m365",
    "macos",
    "nodejs",
    "okta",
    "onelogin",
    "opencanary",
    "python",
    "rpc_firewall",
    "ruby_on_rails",
    "spring",
    "sql",
    "velocity",
    "windows",
    "zeek",
];

/// Categories of the Sigma taxonomy; any other is a user's own word.
const CATEGORIES: &[&str] = &[
    "antivirus",
    "application",
    "clipboard_capture",
    "create_remote_thread",
    "create_stream_hash",
    "database",
    "dns",
    "dns_query",
    "driver_load",
    "edr",
    "file_access",
    "file_change",
    "file_delete",
    "file_event",
    "file_executable_detected",
    "file_rename",
    "firewall",
    "image_load",
    "network_connection",
    "pipe_created",
    "process_access",
    "process_creation",
    "process_tampering",
    "process_termination",
    "proxy",
    "ps_classic_provider_start",
    "ps_classic_script",
    "ps_classic_start",
    "ps_module",
    "ps_script",
    "raw_access_thread",
    "registry_add",
    "registry_delete",
    "registry_event",
    "registry_rename",
    "registry_set",
    "sysmon_error",
    "sysmon_status",
    "webserver",
    "wmi_event",
];

#[cfg(test)]
mod tests;
