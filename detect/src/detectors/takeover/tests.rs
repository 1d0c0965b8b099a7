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
