//! What adds up to strange, and what does not.

use super::counts::YOUNG_NS;
use super::*;

#[test]
fn strange_hours_alone_add_up_to_little_and_strange_work_to_much() {
    let (mut account, mut common) = (Account::default(), Common::default());
    for _ in 0..60 {
        for aspect in [ROUTES, 4] {
            account.habits[aspect].add(1, 1.0, MAX_VALUES, MOST_HOURS);
        }
        common.add(1, 0);
        common.add(2, 0);
    }
    for _ in 0..200 {
        for aspect in [ROUTES, 4] {
            account.weigh(aspect, &[2], &common, 10 * YOUNG_NS);
        }
    }
    assert_eq!(account.parts[4], MOST_OF_OTHERS);
    assert!(account.parts[ROUTES] > 50.0, "{:?}", account.parts);
}

/// An hour of ten requests; how many of them are of the first of two routes.
fn hour(account: &mut Account, role: &mut Counts, common: &mut [Common; KINDS], first: u64) {
    (0..10).for_each(|i| account.count_request(if i < first { 11 } else { 22 }, role));
    account.end_hour(common, HOUR_NS);
}

#[test]
fn a_colleague_who_uses_the_same_routes_shows_in_their_shares() {
    let (mut owner, mut other) = (Account::default(), Account::default());
    owner.habits[0].total = LEAST_HOURS;
    let (mut role, mut common) = (Counts::default(), <[Common; KINDS]>::default());
    for _ in 0..50 {
        hour(&mut owner, &mut role, &mut common, 8);
        hour(&mut other, &mut role, &mut common, 2);
    }
    assert!(owner.mix < 0.5, "{}", owner.mix);
    (0..6).for_each(|_| hour(&mut owner, &mut role, &mut common, 2));
    assert!(owner.mix > 2.0, "{}", owner.mix);
}

const DAY_NS: i64 = 24 * HOUR_NS;

/// Accounts that used three routes each, of two kinds of work in turn; all with this role.
fn accounts(role: u64) -> (Groups, Recent<Account>) {
    let (groups, mut accounts) = (Groups::default(), Recent::new(1_000));
    for user in 0..200 {
        let account = accounts.entry(user, Account::default);
        for request in 0..30 {
            let route = 10 * (user % 2) + request % 3;
            account.count_request(route, &mut Counts::default());
        }
        groups.group_of(account, role);
    }
    (groups, accounts)
}

#[test]
fn accounts_without_a_role_are_compared_with_those_who_do_the_same_work() {
    let (mut groups, mut accounts) = accounts(0);
    let mut of = |groups: &Groups, user: u64, role: u64| {
        let account = accounts.entry(user, Account::default);
        groups.group_of(account, role)
    };
    assert_eq!(of(&groups, 0, 0), 0, "nothing is known on the first day");
    let (_, asked) = self::accounts(0);
    groups.advance(DAY_NS, &asked);
    let [even, odd] = [0, 1].map(|user| of(&groups, user, 0));
    assert!(even != odd && even != 0 && odd != 0);
    assert!((0..200).all(|user| of(&groups, user, 0) == [even, odd][user as usize % 2]));
    assert_eq!(of(&groups, 0, 77), 77, "a role that is named counts");
    assert_eq!(of(&groups, 999, 0), 0, "who has done little is like nobody");
    // Later that day nothing moves, whoever comes.
    groups.advance(2 * DAY_NS - 1, &Recent::new(10));
    assert_eq!(of(&groups, 1, 0), odd);
}

#[test]
fn roles_that_the_log_names_are_no_sample_for_groups() {
    let (mut groups, mut accounts) = accounts(77);
    let (_, asked) = self::accounts(77);
    groups.advance(DAY_NS, &asked);
    let account = accounts.entry(0, Account::default);
    assert_eq!(groups.group_of(account, 0), 0);
}
