//! Lists as CSV with a header, as feeds publish them.

use super::list::{Entries, until};

/// Columns that hold indicators, lower case.
const INDICATORS: &[&str] = &[
    "indicator",
    "ioc",
    "ioc_value",
    "value",
    "ip",
    "ip_address",
    "ipaddress",
    "dst_ip",
    "src_ip",
    "address",
    "cidr",
    "network",
    "range",
    "domain",
    "domain_name",
    "hostname",
    "host",
    "fqdn",
    "url",
    "hash",
    "md5",
    "md5_hash",
    "sha1",
    "sha1_hash",
    "sha256",
    "sha256_hash",
];
/// Columns that say until when, lower case.
const EXPIRIES: &[&str] = &[
    "valid_until",
    "expires",
    "expires_at",
    "expiry",
    "expiration",
    "expiration_date",
    "valid_to",
];

/// The places of the columns that count.
struct Header {
    indicators: Vec<usize>,
    expiry: Option<usize>,
}

impl Header {
    fn of(line: &str) -> Option<Header> {
        let names: Vec<String> = cells(line)
            .into_iter()
            .map(|name| name.trim().to_lowercase().replace([' ', '-'], "_"))
            .collect();
        let place = |wanted: &[&str]| -> Vec<usize> {
            let all = names.iter().enumerate();
            let found = all.filter(|(_, name)| wanted.contains(&name.as_str()));
            found.map(|(place, _)| place).collect()
        };
        let indicators = place(INDICATORS);
        (!indicators.is_empty()).then(|| Header {
            indicators,
            expiry: place(EXPIRIES).first().copied(),
        })
    }
}

/// Reads the rows of a text.
///
/// # Errors
/// A text whose header names no column of indicators.
pub(super) fn read(text: &str, entries: &mut Entries) -> Result<(), String> {
    let mut header: Option<Header> = None;
    let mut told = None;
    for (number, line) in (1u32..).zip(text.lines()) {
        if let Some(remark) = line.trim_start().strip_prefix('#') {
            // Some feeds hide their header in a remark.
            told = Header::of(remark).or(told);
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        let Some(header) = &header else {
            let own = Header::of(line);
            let is_header = own.is_some();
            let found = own.or(told.take());
            let found = found.ok_or(
                "the header names no column of indicators, such as indicator, ip, domain or sha256",
            )?;
            if !is_header {
                row(line, number, &found, entries);
            }
            header = Some(found);
            continue;
        };
        row(line, number, header, entries);
    }
    Ok(())
}

fn row(line: &str, number: u32, header: &Header, entries: &mut Entries) {
    let cells = cells(line);
    let cell = |place: usize| cells.get(place).map_or("", |cell| cell.trim());
    let until_ns = match until(header.expiry.map_or("", cell)) {
        Ok(until_ns) => until_ns,
        Err(why) => return entries.skip(Some(number), why),
    };
    for place in &header.indicators {
        if !cell(*place).is_empty() {
            entries.take(cell(*place), Some(number), until_ns);
        }
    }
}

/// The cells of a line; quotes may hold commas, and two of them are one.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let (mut quoted, mut chars) = (false, line.chars().peekable());
    while let Some(c) = chars.next() {
        let Some(cell) = cells.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quoted || cell.trim().is_empty() => {
                quoted = !quoted;
                if quoted {
                    cell.clear();
                }
            }
            ',' if !quoted => cells.push(String::new()),
            c => cell.push(c),
        }
    }
    cells
}
