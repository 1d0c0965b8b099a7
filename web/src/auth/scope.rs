//! What a principal may do: four scopes; the roles of people stand for sets of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use watchfire_store::meta::Role;

/// One permission. A route asks for exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Ship events, nothing else.
    Ingest,
    /// See events, alerts, rules.
    Read,
    /// Work on alerts: status, assignee, comments. Implies `read`.
    Triage,
    /// Everything.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 4] = [Scope::Ingest, Scope::Read, Scope::Triage, Scope::Admin];

    /// The word used in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::Read => "read",
            Scope::Triage => "triage",
            Scope::Admin => "admin",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|s| s.as_str() == word)
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Nothing.
    pub const NONE: Scopes = Scopes(0);

    /// Is `scope` in the set, by itself or implied by another?
    pub fn allows(self, scope: Scope) -> bool {
        let has = |s: Scope| self.0 & (1 << s as u8) != 0;
        has(scope) || has(Scope::Admin) || (scope == Scope::Read && has(Scope::Triage))
    }

    /// May somebody with these scopes give `other` to somebody else?
    pub fn covers(self, other: Scopes) -> bool {
        Scope::ALL
            .into_iter()
            .all(|s| self.allows(s) || !other.allows(s))
    }

    /// The scopes given explicitly, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |s| self.0 & (1 << *s as u8) != 0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Scopes(scopes.into_iter().fold(0, |set, s| set | 1 << s as u8))
    }
}

/// What a person's role lets them do.
pub fn scopes_of(role: Role) -> Scopes {
    let scope = match role {
        Role::Viewer => Scope::Read,
        Role::Analyst => Scope::Triage,
        Role::Admin => Scope::Admin,
    };
    [scope].into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_scope_allows() {
        // rows: what is held; columns: ingest, read, triage, admin
        let table = [
            (Scope::Ingest, [true, false, false, false]),
            (Scope::Read, [false, true, false, false]),
            (Scope::Triage, [false, true, true, false]),
            (Scope::Admin, [true, true, true, true]),
        ];
        for (held, allowed) in table {
            let scopes: Scopes = [held].into_iter().collect();
            for (asked, expected) in Scope::ALL.into_iter().zip(allowed) {
                assert_eq!(
                    scopes.allows(asked),
                    expected,
                    "{held:?} asked for {asked:?}"
                );
            }
        }
        assert!(!Scopes::NONE.allows(Scope::Read));
    }

    #[test]
    fn nobody_can_give_what_they_do_not_have() {
        let admin = scopes_of(Role::Admin);
        let analyst = scopes_of(Role::Analyst);
        let read: Scopes = [Scope::Read].into_iter().collect();
        assert!(admin.covers(analyst) && admin.covers(admin) && analyst.covers(read));
        assert!(!analyst.covers(admin) && !read.covers(analyst));
    }
}
