//! With whom an account is compared: its role, else its peers, else everybody.

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::{Account, State};
use crate::cells::mix;
use crate::facts::recent::Recent;
use crate::models::peers::{Peers, Used};
use crate::tail::Tail;

/// The group that everybody belongs to.
pub(super) const EVERYBODY: u64 = 1;
pub(super) const MAX_GROUPS: usize = 200;
/// Keys of groups of peers are made with it.
const PEERS: u64 = 2;
/// Requests of an account before it says what it uses.
const LEAST_REQUESTS: f64 = 20.0;
/// Accounts that groups are found among: a fit takes some milliseconds.
const SAMPLE: usize = 1_000;
const DAY_NS: i64 = 24 * super::HOUR_NS;

/// Groups of accounts whose log names no role, found anew once a day.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Groups {
    day: i64,
    /// Accounts that groups were found for.
    accounts: usize,
    found: Peers,
}

/// Where an account without a role was put.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Place {
    /// By which fit.
    fit: u32,
    group: Option<u8>,
}

impl State {
    /// About how many accounts there are in the group that an account is compared with, itself
    /// included; `None` if it has a role, or is compared with everybody.
    pub(super) fn peers_of(&self, account: &Account) -> Option<u64> {
        let group = account.place?.group?;
        let tail = self.groups.peek(mix(PEERS, group.into()));
        let share = self.peers.found.share(group.into());
        let members = (share * self.peers.accounts as f64).round() as u64;
        (members > 0 && tail.is_some_and(Tail::is_known)).then_some(members)
    }
}

impl Groups {
    /// Finds the groups anew when a day begins. Of many accounts always about the same are asked,
    /// so that groups move little.
    pub(super) fn advance(&mut self, now_ns: i64, accounts: &Recent<Account>) {
        let day = now_ns.div_euclid(DAY_NS);
        if day <= self.day {
            return;
        }
        self.day = day;
        let asked = |(_, account): &(u64, &Account)| account.place.is_some() && account.is_busy();
        let all = accounts.iter().filter(asked);
        let mut drawn: Vec<_> = all.map(|(user, a)| (mix(user, PEERS), a)).collect();
        self.accounts = drawn.len();
        drawn.sort_unstable_by_key(|(order, _)| *order);
        drawn.truncate(SAMPLE);
        let sample: Vec<Used> = drawn.iter().map(|(_, a)| a.used()).collect();
        self.found.fit(&sample);
    }

    /// The group that an account is compared with, 0 while none is known.
    pub(super) fn group_of(&self, account: &mut Account, role: u64) -> u64 {
        if role != 0 {
            account.place = None;
            return role;
        }
        let fit = self.found.fits();
        let place = account.place.unwrap_or_default();
        account.place = Some(place);
        if place.fit != fit && account.is_busy() {
            let group = self.found.group(&account.used());
            let group = group.and_then(|group| u8::try_from(group).ok());
            account.place = Some(Place { fit, group });
        }
        let group = account.place.and_then(|place| place.group);
        group.map_or(0, |group| mix(PEERS, group.into()))
    }

    pub(super) fn bytes(&self) -> usize {
        self.found.bytes()
    }
}

impl Account {
    /// Has it sent enough to say what it uses?
    fn is_busy(&self) -> bool {
        self.requests.total >= LEAST_REQUESTS
    }

    fn used(&self) -> Used {
        let counts = self.requests.by_value.iter();
        counts.map(|(route, n)| (*route, *n)).collect()
    }
}

pub(super) fn new_roles() -> Recent<Counts> {
    Recent::new(MAX_GROUPS)
}

fn new_tail() -> Tail {
    Tail::new(0.4)
}

/// Takes in the greatest sum of an account's day.
pub(super) fn learn(groups: &mut Recent<Tail>, group: u64, most: f64) {
    for group in [group, EVERYBODY] {
        groups.entry(group, new_tail).add(most);
    }
}

/// How rare a sum is in its group, or among all while too little is known of the group.
pub(super) fn rarity(groups: &mut Recent<Tail>, group: u64, sum: f64) -> f64 {
    let own = groups.entry(group, new_tail);
    match own.is_known() {
        true => own.rarity(sum),
        false => groups.entry(EVERYBODY, new_tail).rarity(sum),
    }
}

/// See [`Tail::chances`], of the group that [`rarity`] reads.
pub(super) fn chances(groups: &mut Recent<Tail>, group: u64, sum: f64) -> Option<(f64, f64)> {
    let own = groups.entry(group, new_tail);
    match own.is_known() {
        true => own.chances(sum),
        false => groups.entry(EVERYBODY, new_tail).chances(sum),
    }
}
