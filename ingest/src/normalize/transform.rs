//! What a mapping can do with a single value.

use serde::Deserialize;

/// A value before or after a transform.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(std::borrow::Cow<'a, str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<String>),
}

/// What to take of a value. Without a `take`, the value as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Take {
    /// The value as it is.
    #[default]
    All,
    /// Text as it is; nothing else.
    Text,
    /// Text in lower case.
    Lower,
    /// Text in upper case.
    Upper,
    /// Decimal text (or a whole float) as an integer.
    Integer,
    /// The host of `host:port` or `[v6]:port`.
    Host,
    /// The port of `host:port`, an integer.
    Port,
    /// The path of a URL, or of a path with a query.
    UrlPath,
    /// What the last word of a path, or of the path in a request line, is known to do: `login` of
    /// `/auth/sign-in`.
    PathAct,
    /// The query of a URL, without the question mark.
    UrlQuery,
    /// The host of a URL.
    UrlDomain,
    /// `GET` of `GET /p?q HTTP/1.1`.
    RequestMethod,
    /// `/p` of it.
    RequestPath,
    /// `q` of it.
    RequestQuery,
    /// `1.1` of it, or of `HTTP/1.1`.
    HttpVersion,
    /// Seconds to nanoseconds.
    Seconds,
    /// Milliseconds to nanoseconds.
    Milliseconds,
    /// Microseconds to nanoseconds.
    Microseconds,
    /// Nanoseconds, or text with a unit (`12ms`, `1.5s`, `1m30s`) to nanoseconds.
    Nanoseconds,
    /// `failure` for an HTTP status of 400 and more, else `success`.
    HttpOutcome,
    /// The level of an OpenTelemetry severity number.
    SeverityLevel,
    /// The members of comma-separated text.
    Words,
    /// The first member of comma-separated text (`X-Forwarded-For`).
    FirstWord,
    /// The first member of a list; text as it is.
    First,
    /// Text with a unit (`12ms`) to nanoseconds; a bare number says too little.
    Duration,
}

impl Take {
    /// The transformed value; `None` where there is nothing to take.
    pub(super) fn of<'a>(self, value: Scalar<'a>) -> Option<Scalar<'a>> {
        let value = match value {
            Scalar::Text(text) => return self.of_text(text),
            value => value,
        };
        match self {
            Take::All => Some(value),
            Take::Integer => whole(&value).map(Scalar::Int),
            Take::Seconds => nanoseconds(&value, 1e9),
            Take::Milliseconds => nanoseconds(&value, 1e6),
            Take::Microseconds => nanoseconds(&value, 1e3),
            Take::Nanoseconds => nanoseconds(&value, 1.0),
            Take::HttpOutcome => whole(&value).and_then(http_outcome),
            Take::SeverityLevel => whole(&value).and_then(severity_level),
            Take::First | Take::FirstWord => match value {
                Scalar::List(list) => Some(text(list.into_iter().next()?)),
                _ => None,
            },
            Take::Words => matches!(value, Scalar::List(_)).then_some(value),
            _ => None,
        }
    }

    fn of_text(self, value: std::borrow::Cow<'_, str>) -> Option<Scalar<'_>> {
        if value.is_empty() || value == "-" {
            return None;
        }
        let number = || value.trim().parse::<f64>().ok().map(Scalar::Float);
        let out = match self {
            Take::All | Take::First | Take::Text => return Some(Scalar::Text(value)),
            Take::Duration if value.ends_with(|c: char| c.is_ascii_digit()) => return None,
            Take::Duration => return duration_text(&value).map(Scalar::Int),
            Take::Lower => value.to_lowercase(),
            Take::Upper => value.to_uppercase(),
            Take::Integer => return value.trim().parse().ok().map(Scalar::Int),
            Take::Host => host_port(&value).0.to_owned(),
            Take::Port => return host_port(&value).1?.parse().ok().map(Scalar::Int),
            Take::UrlPath => url(&value).path.to_owned(),
            Take::PathAct => path_act(&value)?.to_owned(),
            Take::UrlQuery => url(&value).query?.to_owned(),
            Take::UrlDomain => host_port(url(&value).authority?).0.to_owned(),
            Take::RequestMethod => request(&value)?.0.to_owned(),
            Take::RequestPath => url(request(&value)?.1).path.to_owned(),
            Take::RequestQuery => url(request(&value)?.1).query?.to_owned(),
            Take::HttpVersion => value.rsplit_once("HTTP/")?.1.trim().to_owned(),
            Take::Seconds => return number().and_then(|n| nanoseconds(&n, 1e9)),
            Take::Milliseconds => return number().and_then(|n| nanoseconds(&n, 1e6)),
            Take::Microseconds => return number().and_then(|n| nanoseconds(&n, 1e3)),
            Take::Nanoseconds => return duration_text(&value).map(Scalar::Int),
            Take::HttpOutcome => return value.trim().parse().ok().and_then(http_outcome),
            Take::SeverityLevel => return value.trim().parse().ok().and_then(severity_level),
            Take::Words => {
                let words = value.split(',').map(str::trim).filter(|w| !w.is_empty());
                return Some(Scalar::List(words.map(str::to_owned).collect()));
            }
            Take::FirstWord => value.split(',').next()?.trim().to_owned(),
        };
        (!out.is_empty() && out != "-").then(|| text(out))
    }
}

fn text<'a>(value: String) -> Scalar<'a> {
    Scalar::Text(value.into())
}

fn whole(value: &Scalar<'_>) -> Option<i64> {
    match value {
        Scalar::Int(n) => Some(*n),
        Scalar::Float(n) if n.fract() == 0.0 && n.abs() < 9.0e15 => Some(*n as i64),
        _ => None,
    }
}

fn nanoseconds<'a>(value: &Scalar<'a>, unit_ns: f64) -> Option<Scalar<'a>> {
    let ns = match value {
        Scalar::Int(n) => *n as f64 * unit_ns,
        Scalar::Float(n) => n * unit_ns,
        _ => return None,
    };
    (ns.is_finite() && (0.0..9.2e18).contains(&ns)).then(|| Scalar::Int(ns.round() as i64))
}

fn http_outcome<'a>(status: i64) -> Option<Scalar<'a>> {
    match status {
        100..=399 => Some(Scalar::Text("success".into())),
        400..=599 => Some(Scalar::Text("failure".into())),
        _ => None,
    }
}

/// OpenTelemetry log data model, "Severity Fields".
fn severity_level<'a>(number: i64) -> Option<Scalar<'a>> {
    let level = match number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => return None,
    };
    Some(Scalar::Text(level.into()))
}

fn host_port(text: &str) -> (&str, Option<&str>) {
    if let Some(rest) = text.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => (text, None),
        };
    }
    match text.split_once(':') {
        // A bare IPv6 address has colons, but no port.
        Some((_, rest)) if rest.contains(':') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

struct Url<'a> {
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

/// Cuts a URL or a path where RFC 3986 does, without decoding anything.
fn url(text: &str) -> Url<'_> {
    let text = text.split('#').next().unwrap_or(text);
    let (before, query) = match text.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (text, None),
    };
    let Some((scheme, rest)) = before.split_once("://") else {
        return Url {
            authority: None,
            path: before,
            query,
        };
    };
    if scheme.is_empty()
        || !scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    {
        return Url {
            authority: None,
            path: before,
            query,
        };
    }
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.rsplit('@').next();
    Url {
        authority,
        path: if path.is_empty() { "/" } else { path },
        query,
    }
}

/// Method and target of a request line. Binary junk that scanners send is not one.
fn request(line: &str) -> Option<(&str, &str)> {
    let (method, rest) = line.split_once(' ')?;
    let method_like = !method.is_empty() && method.chars().all(|c| c.is_ascii_uppercase());
    let target = rest
        .rsplit_once(" HTTP/")
        .map_or(rest, |(target, _)| target);
    (method_like && !target.is_empty()).then_some((method, target))
}

/// Access logs name no action, but paths of sessions are called alike everywhere.
fn path_act(text: &str) -> Option<&'static str> {
    let target = request(text).map_or(text, |(_, target)| target);
    let path = url(target).path.trim_end_matches('/');
    let word = path.rsplit('/').next()?.to_ascii_lowercase();
    match word.as_str() {
        "login" | "logon" | "signin" | "sign-in" | "sign_in" => Some("login"),
        "logout" | "logoff" | "signout" | "sign-out" | "sign_out" => Some("logout"),
        _ => None,
    }
}

/// Nanoseconds of `1.5s`, `12ms`, `1m30s` (Go's notation), or of a bare number.
fn duration_text(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(ns) = text.parse::<f64>() {
        return (ns.is_finite() && (0.0..9.2e18).contains(&ns)).then(|| ns.round() as i64);
    }
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit_ns = match unit {
            "h" => 3.6e12,
            "m" => 6e10,
            "s" => 1e9,
            "ms" => 1e6,
            "us" | "µs" | "μs" => 1e3,
            "ns" => 1.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit_ns;
        rest = after;
    }
    (total < 9.2e18).then(|| total.round() as i64)
}
