//! Who an event is about: the entities named by its ECS fields, or by the names that audit logs
//! use where no mapping has added ECS fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sigma::event::BatchFields;

/// Entity kinds and the fields that name them, best first, lower case.
const KINDS: &[(&str, &[&str])] = &[
    (
        "user",
        &[
            "user.id",
            "user.name",
            "user.email",
            "useridentity.username",
            "useridentity.arn",
            "actor.alternateid",
            "user.username",
            "identity.claims.name",
            "properties.userprincipalname",
            "userprincipalname",
            "protopayload.authenticationinfo.principalemail",
            "actor.email",
            "userid",
            "actor",
            "event.eventdata.subjectusername",
            "event.eventdata.user",
            "event.eventdata.targetusername",
            "winlog.event_data.subjectusername",
            "winlog.event_data.user",
            "subjectusername",
            "user",
            "cs-username",
        ],
    ),
    (
        "ip",
        &[
            "source.ip",
            "client.ip",
            "sourceipaddress",
            "client.ipaddress",
            "calleripaddress",
            "sourceips",
            "protopayload.requestmetadata.callerip",
            "actor_ip",
            "clientip",
            "c-ip",
            "event.eventdata.ipaddress",
            "event.eventdata.sourceip",
            "ipaddress",
            "source.address",
            "src_ip",
        ],
    ),
    ("token", &["token.hash", "token.id", "session.id"]),
    (
        "host",
        &[
            "host.name",
            "host.hostname",
            "host.id",
            "event.system.computer",
            "winlog.computer_name",
            "computer",
            "computername",
            // Proxies name the host that answered by its address.
            "host.ip",
        ],
    ),
    ("service", &["service.name"]),
    ("route", &["http.route", "url.path"]),
    ("client", &["client.id", "oauth.client.id"]),
    (
        "tenant",
        &[
            "organization.id",
            "tenant.id",
            "recipientaccountid",
            "tenantid",
        ],
    ),
    ("asn", &["source.as.number", "client.as.number"]),
];

/// Kinds an alert of a rule is about, in order: the first that the event names.
const ABOUT: &[&str] = &["user", "ip", "token", "host", "service"];

/// The kind of caller and callee together.
const EDGE: &str = "edge";
/// Caller of an east-west call, with the callee an edge.
const CALLER: &str = "source.service.name";
/// What a call that leaves the company says itself to be, in [`ACTION`] or [`DIRECTION`].
const OUTWARD: &[&str] = &["egress", "outbound", "external"];
const ACTION: &str = "event.action";
const DIRECTION: &str = "network.direction";
/// Where such a call goes.
const DOMAIN: &str = "destination.domain";

/// The kind of entity that `field` names, if any.
pub(crate) fn kind_of(field: &str) -> Option<&'static str> {
    let lower = field.to_lowercase();
    if lower == CALLER {
        return Some("service");
    }
    KINDS
        .iter()
        .find(|(_, fields)| fields.contains(&lower.as_str()))
        .map(|(kind, _)| *kind)
}

/// A number for a kind of entity; `None` for a word that is none.
pub(crate) fn number_of(kind: &str) -> Option<u8> {
    let place = KINDS.iter().position(|(name, _)| *name == kind);
    let place = place.or((kind == EDGE).then_some(KINDS.len()))?;
    u8::try_from(place).ok()
}

/// The kind of entity with this number.
pub(crate) fn kind_at(number: u8) -> &'static str {
    KINDS
        .get(usize::from(number))
        .map_or(EDGE, |(kind, _)| kind)
}

/// The fields that name entities of `kind`, best first, lower case.
pub(crate) fn fields_of(kind: &str) -> &'static [&'static str] {
    let named = KINDS.iter().find(|(name, _)| *name == kind);
    named.map_or(&[], |(_, fields)| fields)
}

/// Every field that can name an entity, lower case.
pub(crate) fn fields() -> impl Iterator<Item = &'static str> {
    let named = KINDS.iter().flat_map(|(_, fields)| fields.iter().copied());
    named.chain([CALLER])
}

/// What an alert is deduplicated by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Entity {
    /// Its kind; empty for "everything".
    pub(crate) kind: String,
    /// Its value; of several, in the order of the kinds.
    pub(crate) value: String,
}

impl Entity {
    /// An entity of one kind.
    pub(crate) fn new(kind: &str, value: &str) -> Self {
        Entity {
            kind: kind.to_owned(),
            value: value.to_owned(),
        }
    }

    /// No entity in particular.
    pub(crate) fn everything() -> Self {
        Entity::new("", "")
    }

    /// As part of an alert's identity.
    pub(crate) fn key(&self) -> String {
        format!("{}:{}", self.kind, self.value)
    }

    /// As people read it, `None` for everything.
    pub(crate) fn words(&self) -> Option<String> {
        (!self.kind.is_empty()).then(|| format!("{} {}", self.kind, self.value))
    }
}

/// Reads entities from the rows of a batch; columns are looked up once.
pub(crate) struct EntityReader {
    kinds: Vec<(&'static str, Vec<usize>)>,
    caller: Vec<usize>,
    outward: Vec<usize>,
    domain: Vec<usize>,
}

impl EntityReader {
    /// Finds the columns that name entities.
    pub(crate) fn new(fields: &BatchFields<'_>) -> Self {
        let columns = |names: &[&str]| -> Vec<usize> {
            names
                .iter()
                .flat_map(|n| fields.named(n))
                .copied()
                .collect()
        };
        let kinds = KINDS.iter().map(|(kind, names)| (*kind, columns(names)));
        EntityReader {
            kinds: kinds.filter(|(_, columns)| !columns.is_empty()).collect(),
            caller: columns(&[CALLER]),
            outward: columns(&[ACTION, DIRECTION]),
            domain: columns(&[DOMAIN]),
        }
    }

    /// The entities of the row by kind.
    pub(crate) fn all(&self, fields: &BatchFields<'_>, row: usize) -> BTreeMap<String, String> {
        let first = |columns: &[usize]| {
            let texts = columns
                .iter()
                .filter_map(|i| fields.cells_at(*i, row)?.text(row));
            texts.filter(|t| !t.is_empty()).map(|t| clip(&t)).next()
        };
        let mut found = BTreeMap::new();
        for (kind, columns) in &self.kinds {
            if let Some(value) = first(columns) {
                found.insert((*kind).to_owned(), value);
            }
        }
        let Some(caller) = first(&self.caller) else {
            return found;
        };
        // A proxy writes the log of what goes out: the way leads past it to the domain.
        let domain = first(&self.domain).filter(|_| self.is_outward(fields, row));
        if let Some(callee) = domain.as_ref().or(found.get("service")) {
            found.insert(EDGE.to_owned(), format!("{caller}>{callee}"));
        }
        found
    }

    /// Name of the field in which the row has its entity of `kind`.
    pub(crate) fn field_of(
        &self,
        fields: &BatchFields<'_>,
        kind: &str,
        row: usize,
    ) -> Option<Arc<str>> {
        let (_, columns) = self.kinds.iter().find(|(k, _)| *k == kind)?;
        first_with_text(fields, columns, row)
    }

    fn is_outward(&self, fields: &BatchFields<'_>, row: usize) -> bool {
        let mut said = self
            .outward
            .iter()
            .filter_map(|i| fields.cells_at(*i, row)?.text(row));
        said.any(|word| OUTWARD.iter().any(|o| word.eq_ignore_ascii_case(o)))
    }
}

/// The entity that an alert of a rule is about.
pub(crate) fn about(entities: &BTreeMap<String, String>) -> Entity {
    let named = ABOUT
        .iter()
        .find_map(|kind| Some((*kind, entities.get(*kind)?)));
    named.map_or_else(Entity::everything, |(kind, value)| Entity::new(kind, value))
}

/// Name of the field in which the row has its entity of `kind`; for one question,
/// [`EntityReader::field_of`] for many.
pub(crate) fn field_of(fields: &BatchFields<'_>, kind: &str, row: usize) -> Option<Arc<str>> {
    let columns = fields_of(kind).iter().flat_map(|name| fields.named(name));
    first_with_text(fields, columns, row)
}

/// Name of the first of these columns that has a text in the row.
fn first_with_text<'c>(
    fields: &BatchFields<'_>,
    columns: impl IntoIterator<Item = &'c usize>,
    row: usize,
) -> Option<Arc<str>> {
    let mut columns = columns.into_iter();
    let column = columns.find(|column| {
        let cells = fields.cells_at(**column, row);
        cells.is_some_and(|c| c.text(row).is_some_and(|text| !text.is_empty()))
    })?;
    let column = fields.batch().columns().get(*column)?;
    Some(Arc::clone(&column.name))
}

/// Values are kept up to 256 characters.
fn clip(text: &str) -> String {
    const MOST: usize = 256;
    match text.len() <= MOST {
        true => text.to_owned(),
        false => text.chars().take(MOST).collect(),
    }
}
