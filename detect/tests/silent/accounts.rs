//! Counterfactuals of what is told of an account and of its tokens.

use serde_json::{Value, json};

use super::{DAY, HOUR, MINUTE, event, flips};

/// Address and autonomous system.
type Network = (&'static str, u32);
const HOME: Network = ("192.0.2.20", 64_500);
const AWAY: Network = ("203.0.113.9", 64_510);
const BROWSER: &str = "Mozilla/5.0 Firefox/131.0";
const SCRIPT: &str = "python-requests/2.32";

/// A request of one account that is served.
fn request(seconds: i64, (ip, asn): Network, agent: &str) -> Value {
    let said = json!({"service": {"name": "web"}, "user": {"id": "u1"},
        "source": {"ip": ip, "as": {"number": asn}}, "user_agent": {"original": agent},
        "url": {"path": "/home"}, "http": {"response": {"status_code": 200}}});
    event(seconds, said)
}

/// The same with a token.
fn used(seconds: i64, token: &str, network: Network, agent: &str) -> Value {
    let mut event = request(seconds, network, agent);
    event["token"] = json!({ "hash": token });
    event
}

#[test]
fn minutes_between_two_hands() {
    let token_use = "
detector: token_use
id: token_use.hands
title: Token
";
    let found = flips("token_use", token_use, 30, |minutes: u64| {
        let usual = (0..400).map(|i| used(i, &format!("t{i}"), HOME, BROWSER));
        let owner = used(500, "stolen", HOME, BROWSER);
        let thief = used(500 + minutes as i64 * MINUTE, "stolen", AWAY, SCRIPT);
        usual.chain([owner, thief]).collect()
    });
    assert_eq!(found, 12 * 60);
}

#[test]
fn requests_of_the_owner_from_where_a_token_began() {
    let unissued = "
detector: unissued
id: unissued.token
title: Token without a login
";
    let found = flips("unissued", unissued, 0, |n: u64| {
        let usual = (0..400).map(|i| used(i * MINUTE, &format!("t{i}"), HOME, BROWSER));
        // The owner goes on with a session of home on the road.
        let before = (0..n as i64).map(|i| used(DAY + i, "t399", AWAY, BROWSER));
        let strange = (0..10).map(|i| used(2 * DAY + i * 20, "stolen", AWAY, SCRIPT));
        usual.chain(before).chain(strange).collect()
    });
    assert_eq!(found, 1);
}

#[test]
fn objects_that_are_new_to_an_account() {
    let reach = "
detector: reach
id: reach.objects
title: Objects
window: 8h
thresholds: { min_count: 20 }
";
    let read = |seconds: i64, user: &str, object: u64| {
        let said = json!({"service": {"name": "shop"}, "user": {"id": user},
            "source": {"ip": "192.0.2.20"}, "url": {"path": format!("/orders/{object}")},
            "http": {"request": {"method": "GET"}, "response": {"status_code": 200}}});
        event(seconds, said)
    };
    // Of a week, everybody reads the orders of the day before again, and `new` others.
    let week = |user: &str, base: u64, new: u64| {
        let mut all = Vec::new();
        for (day, at) in (0..7).map(|day| (day, day as i64 * DAY)) {
            let ours = |i: u64| base + (day * new + i) * 37;
            all.extend((0..2 * new).map(|i| read(at + i as i64 * 60, user, ours(i))));
        }
        all
    };
    let scenario = |others: u64| {
        move |n: u64| {
            let mut all = week("u1", 1_000_000, 2);
            all.extend(week("u2", 2_000_000, others));
            all.extend((0..n).map(|i| read(7 * DAY + i as i64 * 90, "u1", 9_000_000 + i * 53)));
            all.sort_by_key(|event| event["@timestamp"].to_string());
            all
        }
    };
    assert_eq!(flips("reach", reach, 60, scenario(2)), 19);
    // Where a colleague reads that many every day it takes more.
    let found = flips("reach beside a busy colleague", reach, 90, scenario(12));
    assert_eq!(found, 23);
}

#[test]
fn hours_that_a_network_is_known() {
    let new_place = "
detector: new_place
id: new_place.account
title: Place
thresholds: { min_score: 4 }
";
    let found = flips("new_place", new_place, 1, |hours: u64| {
        let usual = (0..300).map(|hour| request(hour * HOUR, HOME, BROWSER));
        let mut all: Vec<Value> = usual.collect();
        all.push(request((300 - hours as i64) * HOUR, AWAY, BROWSER));
        all.sort_by_key(|event| event["@timestamp"].to_string());
        all.push(request(300 * HOUR, AWAY, "Mozilla/5.0 Safari/18.1"));
        all
    });
    assert_eq!(found, 24);
}
