//! The simulated company: a shop of microservices, its routes, its people and their habits.

use serde_json::{Map, Value, json};

use super::random::Random;

/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Buys things.
    Customer,
    /// Helps customers.
    Support,
    /// Runs the shop.
    Admin,
}

impl Role {
    /// The word in `user.roles`.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Customer => "customer",
            Role::Support => "support",
            Role::Admin => "admin",
        }
    }
}

/// A person, with the address, the program and the token they always use.
#[derive(Debug, Clone)]
pub struct User {
    /// The account.
    pub id: String,
    /// What the account may do.
    pub role: Role,
    /// Where it comes from; offices and providers share one address between several people.
    pub address: String,
    /// Its `User-Agent`.
    pub agent: &'static str,
    /// Hash of its access token.
    pub token: String,
}

/// A route of a service and the services that it calls in turn.
#[derive(Debug)]
pub struct Route {
    /// Who serves it.
    pub service: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// Path with `{id}` (a number) and `{uuid}` slots.
    pub template: &'static str,
    /// Services called to answer, in order, each with its own log line.
    pub calls: &'static [&'static str],
    /// How often, relative to the other routes of the same role.
    pub weight: u64,
}

const fn route(
    service: &'static str,
    method: &'static str,
    template: &'static str,
    calls: &'static [&'static str],
    weight: u64,
) -> Route {
    Route {
        service,
        method,
        template,
        calls,
        weight,
    }
}

/// What customers do.
pub const CUSTOMER_ROUTES: &[Route] = &[
    route(
        "catalog",
        "GET",
        "/api/v1/products",
        &["pricing", "inventory"],
        22,
    ),
    route(
        "catalog",
        "GET",
        "/api/v1/products/{id}",
        &["pricing", "reviews"],
        26,
    ),
    route("search", "GET", "/api/v1/search", &["catalog"], 16),
    route("cart", "GET", "/api/v1/cart", &["pricing"], 10),
    route("cart", "POST", "/api/v1/cart/items", &["inventory"], 6),
    route("orders", "GET", "/api/v1/orders/{uuid}", &["shipping"], 6),
    route(
        "orders",
        "POST",
        "/api/v1/orders",
        &["payments", "inventory", "notifications"],
        2,
    ),
    route("users", "GET", "/api/v1/users/me", &[], 8),
    route(
        "reviews",
        "GET",
        "/api/v1/products/{id}/reviews",
        &["users"],
        5,
    ),
    route("media", "GET", "/media/albums/{uuid}", &[], 9),
];

/// What the support desk does.
pub const SUPPORT_ROUTES: &[Route] = &[
    route("support", "GET", "/api/v1/tickets", &["users"], 10),
    route("support", "GET", "/api/v1/tickets/{id}", &["orders"], 10),
    route("users", "GET", "/api/v1/users/{id}", &[], 6),
    route("orders", "GET", "/api/v1/orders/{uuid}", &["shipping"], 8),
];

/// What administrators do.
pub const ADMIN_ROUTES: &[Route] = &[
    route("admin", "GET", "/admin/dashboard", &["reports"], 10),
    route("admin", "GET", "/admin/users", &["users"], 5),
    route("admin", "POST", "/admin/prices", &["pricing"], 3),
    route("reports", "GET", "/api/v1/reports/daily", &["orders"], 4),
];

const AGENTS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 Version/18.0 Safari/605.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "ShopApp/5.12.1 (iPhone; iOS 19.1)",
    "ShopApp/5.12.0 (Android 16; Pixel 9)",
];

const CUSTOMERS: u64 = 360;
const SUPPORTERS: u64 = 9;
const ADMINS: u64 = 3;

/// Everything that stays the same while the demo runs.
#[derive(Debug)]
pub struct World {
    /// Customers first, then support, then administrators.
    pub users: Vec<User>,
}

impl World {
    /// The company that follows from the generator's state.
    pub fn new(random: &mut Random) -> Self {
        let users = (0..CUSTOMERS + SUPPORTERS + ADMINS)
            .map(|n| User::new(n, random))
            .collect();
        World { users }
    }

    /// A person of this role; the same few customers are busier than the rest.
    pub fn user(&self, role: Role, random: &mut Random) -> &User {
        let (first, count) = match role {
            Role::Customer => (0, CUSTOMERS),
            Role::Support => (CUSTOMERS, SUPPORTERS),
            Role::Admin => (CUSTOMERS + SUPPORTERS, ADMINS),
        };
        let spread = random.below(count) + 1;
        let chosen = first + random.below(spread);
        &self.users[chosen as usize]
    }
}

impl User {
    fn new(number: u64, random: &mut Random) -> Self {
        let role = match number {
            n if n < CUSTOMERS => Role::Customer,
            n if n < CUSTOMERS + SUPPORTERS => Role::Support,
            _ => Role::Admin,
        };
        // 192.0.2.0/24 and 198.51.100.0/24 are reserved for documentation (RFC 5737), as is
        // 203.0.113.0/24, which the attackers use. Every ninth customer shares an address.
        let address = match role {
            Role::Customer if number.is_multiple_of(9) => "198.51.100.250".to_owned(),
            Role::Customer if number < 200 => format!("192.0.2.{}", 20 + number),
            Role::Customer => format!("198.51.100.{}", number - 180),
            Role::Support | Role::Admin => "192.0.2.10".to_owned(),
        };
        let name = match role {
            Role::Customer => format!("u{}", 1000 + number),
            Role::Support => format!("support-{}", number - CUSTOMERS + 1),
            Role::Admin => format!("admin-{}", number - CUSTOMERS - SUPPORTERS + 1),
        };
        let agent = AGENTS[random.below(AGENTS.len() as u64) as usize];
        User {
            id: name,
            role,
            address,
            agent,
            token: random.hex(8),
        }
    }
}

/// The path of a template with its slots filled.
pub fn fill(template: &str, random: &mut Random) -> String {
    let number = random.between(1, 4000).to_string();
    let uuid = uuid(random);
    template.replace("{id}", &number).replace("{uuid}", &uuid)
}

fn uuid(random: &mut Random) -> String {
    let h = random.hex(16);
    format!(
        "{}-{}-4{}-a{}-{}",
        &h[..8],
        &h[8..12],
        &h[13..16],
        &h[17..20],
        &h[20..32]
    )
}

/// An access log line of a service: the fields that every such line has.
pub fn access(
    time_ns: i64,
    service: &str,
    request: (&str, &str, &str),
    status: u64,
    random: &mut Random,
) -> Value {
    let (method, template, path) = request;
    let outcome = if status < 400 { "success" } else { "failure" };
    json!({
        "@timestamp": timestamp(time_ns),
        "event": {
            "category": ["web"], "action": "http_request", "outcome": outcome,
            "duration": random.between(2, 60) * 1_000_000,
        },
        "service": {"name": service, "version": "2.14.0"},
        "host": {"name": format!("{service}-{}", random.between(1, 3))},
        "http": {
            "route": template,
            "request": {"method": method},
            "response": {"status_code": status, "body": {"bytes": random.between(180, 9000)}},
        },
        "url": {"path": path},
        "log": {"level": if status >= 500 { "error" } else { "info" }},
        "message": format!("{method} {path} answered {status}"),
    })
}

/// Adds who asked, from where and with what, to an access line.
pub fn asked_by(event: &mut Value, user: &User, trace: &str) {
    merge(
        event,
        json!({
            "source": {"ip": user.address},
            "user": {"id": user.id, "roles": [user.role.as_str()]},
            "token": {"hash": user.token},
            "client": {"id": if user.agent.starts_with("Shop") { "app" } else { "web" }},
            "user_agent": {"original": user.agent},
            "trace": {"id": trace},
        }),
    );
}

/// A call from one service to another, as the called service logs it.
pub fn internal_call(time_ns: i64, edge: (&str, &str), trace: &str, random: &mut Random) -> Value {
    let (caller, callee) = edge;
    let template = format!("/internal/{callee}/query");
    let mut event = access(time_ns, callee, ("POST", &template, &template), 200, random);
    let address = format!("10.20.{}.{}", callee.len(), random.between(2, 40));
    merge(
        &mut event,
        json!({
            "source": {"ip": address, "service": {"name": caller}},
            "tls": {"client": {"x509": {"subject": {"common_name": caller}}}},
            "trace": {"id": trace},
        }),
    );
    event
}

/// A login attempt, as the auth service logs it.
pub fn login(time_ns: i64, user: &str, address: &str, agent: &str, success: bool) -> Value {
    let (outcome, status) = if success {
        ("success", 200)
    } else {
        ("failure", 401)
    };
    let mut event = json!({
        "@timestamp": timestamp(time_ns),
        "event": {"category": ["authentication"], "action": "login", "outcome": outcome},
        "service": {"name": "auth"},
        "source": {"ip": address},
        "user": {"id": user},
        "user_agent": {"original": agent},
        "http": {
            "route": "/api/v1/login",
            "request": {"method": "POST"},
            "response": {"status_code": status},
        },
        "url": {"path": "/api/v1/login"},
        "message": format!("login of {user}: {outcome}"),
    });
    if !success {
        merge(
            &mut event,
            json!({"event": {"reason": "invalid_credentials"}}),
        );
    }
    event
}

/// Puts the members of `extra` into `event`, object by object.
pub fn merge(event: &mut Value, extra: Value) {
    match (event, extra) {
        (Value::Object(target), Value::Object(members)) => {
            for (name, value) in members {
                merge(
                    target.entry(name).or_insert(Value::Object(Map::new())),
                    value,
                );
            }
        }
        (target, value) => *target = value,
    }
}

/// RFC 3339 with milliseconds.
pub fn timestamp(time_ns: i64) -> String {
    chrono::DateTime::from_timestamp_nanos(time_ns)
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
