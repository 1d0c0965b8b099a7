//! The attacks of the demo: each one a function that gives the events of one incident.

use serde_json::{Value, json};

use super::random::Random;
use super::world::{self, Role, SECOND, User, World, access, asked_by, login, merge};

/// One incident: what happens, `round` numbers its repetitions so that actors differ.
pub struct Attack {
    /// What a person would call it.
    pub name: &'static str,
    /// When it starts within a round, seconds.
    pub starts: i64,
    /// Its events, in no particular order.
    pub events: fn(&mut Scene) -> Vec<(i64, Value)>,
}

/// Every attack of a round, in the order of their start.
pub const ATTACKS: &[Attack] = &[
    Attack {
        name: "brute force, then success",
        starts: 1,
        events: brute_force,
    },
    Attack {
        name: "injection probing",
        starts: 3,
        events: injection,
    },
    Attack {
        name: "vulnerability scanner",
        starts: 5,
        events: scanner,
    },
    Attack {
        name: "password spray",
        starts: 7,
        events: spray,
    },
    Attack {
        name: "metadata service through a URL parameter",
        starts: 9,
        events: ssrf,
    },
    Attack {
        name: "service calls a service it never called",
        starts: 11,
        events: new_edge,
    },
    Attack {
        name: "permission probing",
        starts: 13,
        events: permission_probing,
    },
    Attack {
        name: "catalogue scraped at speed",
        starts: 15,
        events: rate_burst,
    },
    Attack {
        name: "refresh token used twice",
        starts: 17,
        events: refresh_reuse,
    },
    Attack {
        name: "push fatigue",
        starts: 19,
        events: mfa_fatigue,
    },
    Attack {
        name: "customer is served on an administrative route",
        starts: 21,
        events: admin_route,
    },
];

/// Seconds between two rounds of attacks.
pub const ROUND_SECONDS: i64 = 600;

/// What an attack needs to know.
pub struct Scene<'a> {
    /// The company under attack.
    pub world: &'a World,
    /// Where chance comes from.
    pub random: &'a mut Random,
    /// When it starts, nanoseconds since the epoch.
    pub start_ns: i64,
    /// How many rounds went before.
    pub round: u64,
}

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

impl Scene<'_> {
    /// The attacker's address, another one for each kind of attack and each round.
    fn attacker(&self, kind: u64) -> String {
        format!("203.0.113.{}", 1 + (kind * 23 + self.round * 7) % 253)
    }

    /// A customer who becomes the victim or the offender of this round.
    fn customer(&self, kind: u64) -> User {
        let index = (kind * 31 + self.round * 13 + 1) % 300;
        self.world.users[index as usize].clone()
    }

    fn at(&self, milliseconds: i64) -> i64 {
        self.start_ns + milliseconds * SECOND / 1000
    }

    fn request(&mut self, time_ns: i64, request: &Request) -> (i64, Value) {
        let who = (request.method, request.route, request.path);
        let mut event = access(time_ns, request.service, who, request.status, self.random);
        merge(
            &mut event,
            json!({
                "source": {"ip": request.address},
                "user_agent": {"original": request.agent},
                "trace": {"id": self.random.hex(16)},
            }),
        );
        if !request.query.is_empty() {
            merge(&mut event, json!({"url": {"query": request.query}}));
        }
        (time_ns, event)
    }
}

struct Request<'a> {
    service: &'a str,
    method: &'a str,
    route: &'a str,
    path: &'a str,
    query: &'a str,
    status: u64,
    address: &'a str,
    agent: &'a str,
}

fn brute_force(scene: &mut Scene) -> Vec<(i64, Value)> {
    let address = scene.attacker(1);
    let victim = scene.customer(1).id;
    (0..24)
        .map(|n| {
            let time = scene.at(n * 400);
            (time, login(time, &victim, &address, BROWSER, n == 23))
        })
        .collect()
}

fn spray(scene: &mut Scene) -> Vec<(i64, Value)> {
    let address = scene.attacker(2);
    (0..40)
        .map(|n| {
            let time = scene.at(n * 300);
            let name = format!("u{}", 1100 + n * 3);
            (
                time,
                login(time, &name, &address, "python-requests/2.32.5", false),
            )
        })
        .collect()
}

fn injection(scene: &mut Scene) -> Vec<(i64, Value)> {
    const QUERIES: &[&str] = &[
        "q=shoes%27%20OR%20%271%27=%271",
        "q=1%20UNION%20SELECT%20username,password%20FROM%20users--",
        "q=1;WAITFOR%20DELAY%20%270:0:5%27--",
        "q=shoes%27%20AND%20SLEEP(5)--%20-",
        "q=1%27%20AND%20extractvalue(1,concat(0x7e,version()))--",
    ];
    let address = scene.attacker(3);
    (0..QUERIES.len() * 3)
        .map(|n| {
            let request = Request {
                service: "search",
                method: "GET",
                route: "/api/v1/search",
                path: "/api/v1/search",
                query: QUERIES[n % QUERIES.len()],
                status: if n % 5 == 4 { 500 } else { 400 },
                address: &address,
                agent: BROWSER,
            };
            scene.request(scene.at(n as i64 * 500), &request)
        })
        .collect()
}

fn scanner(scene: &mut Scene) -> Vec<(i64, Value)> {
    const PATHS: &[&str] = &[
        "/.git/config",
        "/.env",
        "/phpmyadmin/index.php",
        "/wp-login.php",
        "/server-status",
        "/actuator/env",
        "/console/login",
        "/backup.zip",
    ];
    let address = scene.attacker(4);
    (0..64)
        .map(|n| {
            let path = match PATHS.get(n) {
                Some(path) => (*path).to_owned(),
                None => format!("/{}/{}", scene.random.hex(3), n),
            };
            let request = Request {
                service: "gateway",
                method: "GET",
                route: "",
                path: &path,
                query: "",
                status: 404,
                address: &address,
                agent: "Mozilla/5.0 (compatible; Nuclei - Open-source project)",
            };
            scene.request(scene.at(n as i64 * 150), &request)
        })
        .collect()
}

fn ssrf(scene: &mut Scene) -> Vec<(i64, Value)> {
    const TARGETS: &[&str] = &[
        "url=http://169.254.169.254/latest/meta-data/iam/security-credentials/",
        "url=http%3A%2F%2F169.254.169.254%2Flatest%2Fapi%2Ftoken",
        "url=http://metadata.google.internal/computeMetadata/v1/",
    ];
    let user = scene.customer(5);
    let mut events = Vec::new();
    for (n, query) in TARGETS.iter().enumerate() {
        let request = Request {
            service: "media",
            method: "GET",
            route: "/api/v1/preview",
            path: "/api/v1/preview",
            query,
            status: 200,
            address: &user.address,
            agent: user.agent,
        };
        let (time, mut event) = scene.request(scene.at(n as i64 * 1500), &request);
        asked_by(&mut event, &user, &scene.random.hex(16));
        events.push((time, event));
    }
    events
}

fn new_edge(scene: &mut Scene) -> Vec<(i64, Value)> {
    const EDGES: &[(&str, &str)] = &[
        ("reviews", "payments"),
        ("media", "users"),
        ("search", "orders"),
        ("cart", "auth"),
    ];
    let edge = EDGES[scene.round as usize % EDGES.len()];
    (0..6)
        .map(|n| {
            let time = scene.at(n * 900);
            let trace = scene.random.hex(16);
            (time, world::internal_call(time, edge, &trace, scene.random))
        })
        .collect()
}

fn permission_probing(scene: &mut Scene) -> Vec<(i64, Value)> {
    let user = scene.customer(6);
    (0..24)
        .map(|n| {
            let path = format!("/admin/{}", ADMIN_PAGES[n % ADMIN_PAGES.len()]);
            let request = Request {
                service: "admin",
                method: if n % 4 == 3 { "POST" } else { "GET" },
                route: &path,
                path: &path,
                query: "",
                status: 403,
                address: &user.address,
                agent: user.agent,
            };
            let (time, mut event) = scene.request(scene.at(n as i64 * 400), &request);
            asked_by(&mut event, &user, &scene.random.hex(16));
            (time, event)
        })
        .collect()
}

fn admin_route(scene: &mut Scene) -> Vec<(i64, Value)> {
    let user = scene.customer(7);
    (0..3)
        .map(|n| {
            let request = Request {
                service: "admin",
                method: "GET",
                route: "/admin/exports",
                path: "/admin/exports",
                query: "",
                status: 200,
                address: &user.address,
                agent: user.agent,
            };
            let (time, mut event) = scene.request(scene.at(n * 4000), &request);
            asked_by(&mut event, &user, &scene.random.hex(16));
            (time, event)
        })
        .collect()
}

const ADMIN_PAGES: &[&str] = &[
    "users", "roles", "prices", "exports", "refunds", "coupons", "audit", "flags", "tokens",
    "webhooks", "payouts", "jobs",
];

fn rate_burst(scene: &mut Scene) -> Vec<(i64, Value)> {
    let user = scene.customer(8);
    (0..900)
        .map(|n| {
            let path = format!("/api/v1/products/{}", 1 + n);
            let request = Request {
                service: "catalog",
                method: "GET",
                route: "/api/v1/products/{id}",
                path: &path,
                query: "",
                status: 200,
                address: &user.address,
                agent: user.agent,
            };
            let (time, mut event) = scene.request(scene.at(n * 25), &request);
            asked_by(&mut event, &user, &scene.random.hex(16));
            (time, event)
        })
        .collect()
}

fn refresh_reuse(scene: &mut Scene) -> Vec<(i64, Value)> {
    let user = scene.customer(9);
    let address = scene.attacker(9);
    let event = |time: i64, address: &str, outcome: &str| {
        let mut event = login(time, &user.id, address, user.agent, outcome == "success");
        merge(
            &mut event,
            json!({
                "event": {"action": "token_refresh"},
                "url": {"path": "/api/v1/token"},
                "http": {"route": "/api/v1/token"},
                "message": format!("token refresh of {}: {outcome}", user.id),
            }),
        );
        if outcome != "success" {
            merge(
                &mut event,
                json!({"event": {"reason": "refresh_token_reused"}}),
            );
        }
        (time, event)
    };
    vec![
        event(scene.at(0), &user.address, "success"),
        event(scene.at(2500), &address, "failure"),
        event(scene.at(2900), &address, "failure"),
    ]
}

fn mfa_fatigue(scene: &mut Scene) -> Vec<(i64, Value)> {
    let user = scene.world.user(Role::Support, scene.random).clone();
    let address = scene.attacker(10);
    (0..9)
        .map(|n| {
            let time = scene.at(n * 1400);
            let success = n == 8;
            let mut event = login(time, &user.id, &address, BROWSER, success);
            let reason = if success {
                "push_approved"
            } else {
                "push_denied"
            };
            merge(
                &mut event,
                json!({
                    "event": {"action": "mfa", "reason": reason},
                    "url": {"path": "/api/v1/mfa"},
                    "http": {"route": "/api/v1/mfa"},
                    "message": format!("second factor of {}: {reason}", user.id),
                }),
            );
            (time, event)
        })
        .collect()
}
