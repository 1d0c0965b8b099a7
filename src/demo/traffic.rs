//! The ordinary day of the shop: who asks for what, and which services call each other for it.

use serde_json::{Value, json};

use super::attacks::{ATTACKS, ROUND_SECONDS, Scene};
use super::random::Random;
use super::world::{
    ADMIN_ROUTES, CUSTOMER_ROUTES, Role, Route, SECOND, SUPPORT_ROUTES, User, World, access,
    asked_by, fill, internal_call, login, merge,
};

/// Lines that one request of a person leaves behind, on average: its own and those of the calls.
const LINES_PER_ACTION: f64 = 2.3;

/// The generator's state: it is asked for one second of event time after the other.
pub struct Traffic {
    world: World,
    random: Random,
    lines_per_second: u32,
    /// Attacks start here, nanoseconds since the epoch; `None` for a quiet day.
    attacks_from_ns: Option<i64>,
    /// Events of attacks that are still to come, latest first.
    pending: Vec<(i64, Value)>,
    started: u64,
}

impl Traffic {
    /// A shop whose every line follows from `seed`.
    pub fn new(seed: u64, lines_per_second: u32, attacks_from_ns: Option<i64>) -> Self {
        let mut random = Random::new(seed);
        let world = World::new(&mut random);
        Traffic {
            world,
            random,
            lines_per_second,
            attacks_from_ns,
            pending: Vec::new(),
            started: 0,
        }
    }

    /// The events of the second that starts at `from_ns`, in the order of their times.
    pub fn second(&mut self, from_ns: i64) -> Vec<Value> {
        let mut events = Vec::new();
        let expected = f64::from(self.lines_per_second) / LINES_PER_ACTION;
        let low = (expected * 0.8) as u64;
        let high = (expected * 1.2).ceil() as u64;
        for _ in 0..self.random.between(low, high) {
            let time_ns = from_ns + self.random.below(SECOND as u64) as i64;
            self.action(time_ns, &mut events);
        }
        self.start_attacks(from_ns);
        while self
            .pending
            .last()
            .is_some_and(|(time_ns, _)| *time_ns < from_ns + SECOND)
        {
            events.extend(self.pending.pop());
        }
        events.sort_by_key(|(time_ns, _)| *time_ns);
        events.into_iter().map(|(_, event)| event).collect()
    }

    fn start_attacks(&mut self, from_ns: i64) {
        let Some(first_ns) = self.attacks_from_ns else {
            return;
        };
        loop {
            let round = self.started / ATTACKS.len() as u64;
            let attack = &ATTACKS[(self.started % ATTACKS.len() as u64) as usize];
            let seconds = round as i64 * ROUND_SECONDS + attack.starts;
            let start_ns = first_ns + seconds * SECOND;
            if start_ns >= from_ns + SECOND {
                break;
            }
            self.started += 1;
            tracing::info!(attack = attack.name, round, "demo attack starts");
            let mut scene = Scene {
                world: &self.world,
                random: &mut self.random,
                start_ns,
                round,
            };
            self.pending.extend((attack.events)(&mut scene));
            self.pending
                .sort_by_key(|(time_ns, _)| std::cmp::Reverse(*time_ns));
        }
    }

    fn action(&mut self, time_ns: i64, events: &mut Vec<(i64, Value)>) {
        let random = &mut self.random;
        let (role, routes) = match random.below(100) {
            0..=1 => (Role::Admin, ADMIN_ROUTES),
            2..=7 => (Role::Support, SUPPORT_ROUTES),
            _ => (Role::Customer, CUSTOMER_ROUTES),
        };
        let user = self.world.user(role, random).clone();
        if random.chance(25) {
            sign_in(time_ns, &user, random, events);
        } else if let Some(route) = choose(routes, random) {
            request(time_ns, &user, route, random, events);
        }
    }
}

fn choose<'a>(routes: &'a [Route], random: &mut Random) -> Option<&'a Route> {
    let mut left = random.below(routes.iter().map(|route| route.weight).sum());
    routes.iter().find(|route| {
        let found = left < route.weight;
        left = left.saturating_sub(route.weight);
        found
    })
}

/// A login; one in twelve starts with a mistyped password.
fn sign_in(time_ns: i64, user: &User, random: &mut Random, events: &mut Vec<(i64, Value)>) {
    if random.below(12) == 0 {
        let earlier = time_ns - 700_000_000;
        events.push((
            earlier,
            login(earlier, &user.id, &user.address, user.agent, false),
        ));
    }
    events.push((
        time_ns,
        login(time_ns, &user.id, &user.address, user.agent, true),
    ));
}

fn request(
    time_ns: i64,
    user: &User,
    route: &Route,
    random: &mut Random,
    events: &mut Vec<(i64, Value)>,
) {
    let trace = random.hex(16);
    let path = fill(route.template, random);
    // Now and then a stale link, a refused action or a failing service: no day is without.
    let status = match random.below(1000) {
        0..=14 if route.template.contains('{') => 404,
        15..=16 => 403,
        17..=18 => 503,
        _ if route.method == "POST" => 201,
        _ => 200,
    };
    let line = (route.method, route.template, path.as_str());
    let mut event = access(time_ns, route.service, line, status, random);
    asked_by(&mut event, user, &trace);
    if route.service == "search" {
        const WORDS: &[&str] = &[
            "shoes",
            "lamp",
            "union%20jack%20mug",
            "select%20wine",
            "o'neill",
        ];
        let word = random.pick(WORDS).copied().unwrap_or_default();
        merge(&mut event, json!({"url": {"query": format!("q={word}")}}));
    }
    events.push((time_ns, event));
    if status >= 400 {
        return;
    }
    for (step, callee) in route.calls.iter().enumerate() {
        let later = time_ns + (step as i64 + 1) * 3_000_000;
        events.push((
            later,
            internal_call(later, (route.service, callee), &trace, random),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_770_000_000 * SECOND;

    fn run(seed: u64, seconds: i64, attacks: bool) -> Vec<Value> {
        let mut traffic = Traffic::new(seed, 60, attacks.then_some(START));
        (0..seconds)
            .flat_map(|n| traffic.second(START + n * SECOND))
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_lines() {
        assert_eq!(run(1, 30, true), run(1, 30, true));
        assert_ne!(run(1, 30, true), run(2, 30, true));
    }

    #[test]
    fn the_rate_is_about_what_was_asked_for() {
        let lines = run(3, 120, false).len();
        assert!(
            (60 * 120 * 7 / 10..60 * 120 * 13 / 10).contains(&lines),
            "{lines} lines"
        );
    }

    #[test]
    fn every_attack_of_a_round_comes_to_its_end() {
        let quiet = run(4, 60, false).len();
        let mut traffic = Traffic::new(4, 60, Some(START));
        let lines: usize = (0..60)
            .map(|n| traffic.second(START + n * SECOND).len())
            .sum();
        assert!(lines > quiet + 900);
        assert!(traffic.pending.is_empty());
        assert_eq!(traffic.started, ATTACKS.len() as u64);
    }

    #[test]
    fn a_quiet_day_holds_no_address_of_an_attacker() {
        let lines = run(5, 60, false);
        assert!(!lines.is_empty());
        assert!(
            lines
                .iter()
                .all(|line| !line.to_string().contains("203.0.113."))
        );
    }
}
