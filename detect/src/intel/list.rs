//! A list in memory: sorted, without hash tables, so that a million entries take little more room
//! than their bytes.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};
use watchfire_event::query::Ask;
use watchfire_event::time::{parse_date, parse_timestamp};

use super::indicator::{Indicator, address, domain, hash, masked, words};
use super::{IntelFile, csv, stix};
use crate::ruleset::RuleFault;

/// Entries of one list.
const MAX_ENTRIES: usize = 5_000_000;
/// Faults of one list that are named; of the others only the number.
const MAX_FAULTS: usize = 5;

/// How many entries of each kind a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct KindCounts {
    /// Single addresses.
    pub addresses: u64,
    /// Networks.
    pub networks: u64,
    /// Domains.
    pub domains: u64,
    /// Hashes of files.
    pub hashes: u64,
    /// URLs.
    pub urls: u64,
}

/// Texts in order, one after the other in one buffer.
#[derive(Debug, Default)]
struct Texts {
    buffer: String,
    /// Where each begins, and the end.
    starts: Vec<u32>,
}

impl Texts {
    /// Of texts in order.
    fn of(sorted: &[String]) -> Texts {
        let mut texts = Texts {
            buffer: String::with_capacity(sorted.iter().map(String::len).sum()),
            starts: Vec::with_capacity(sorted.len() + 1),
        };
        for text in sorted {
            texts.starts.push(texts.buffer.len() as u32);
            texts.buffer.push_str(text);
        }
        texts.starts.push(texts.buffer.len() as u32);
        texts
    }

    fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    fn get(&self, place: usize) -> &str {
        let at = |i: usize| self.starts.get(i).map_or(0, |s| *s as usize);
        self.buffer
            .get(at(place)..at(place + 1))
            .unwrap_or_default()
    }

    fn holds(&self, text: &str) -> bool {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).cmp(text) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }
}

/// A list of indicators.
#[derive(Debug)]
pub struct IntelList {
    /// Its name, by which rules and queries know it.
    pub name: String,
    /// The file.
    pub path: String,
    /// Changes with the entries.
    pub digest: String,
    /// When its next entry runs out, nanoseconds since the epoch.
    pub next_expiry_ns: Option<i64>,
    /// Entries that had run out when it was read.
    pub expired: u64,
    /// Entries that could not be read.
    pub skipped: u64,
    /// First addresses of networks, by the length of the prefix.
    networks: BTreeMap<u8, Vec<u128>>,
    domains: Texts,
    urls: Texts,
    /// MD5, SHA-1 and SHA-256, by their length; zeros fill what is shorter.
    hashes: BTreeMap<usize, Vec<[u8; 32]>>,
}

/// Entries as a file gives them.
#[derive(Debug, Default)]
pub(super) struct Entries {
    now_ns: i64,
    networks: BTreeMap<u8, Vec<u128>>,
    domains: Vec<String>,
    urls: Vec<String>,
    hashes: BTreeMap<usize, Vec<[u8; 32]>>,
    count: usize,
    next_expiry_ns: Option<i64>,
    expired: u64,
    skipped: u64,
    /// Lines and what is wrong there, the first few.
    faults: Vec<(Option<u32>, String)>,
}

impl Entries {
    /// Takes an entry that is good until `until_ns`.
    pub(super) fn take(&mut self, text: &str, line: Option<u32>, until_ns: Option<i64>) {
        let Some(indicator) = Indicator::read(text) else {
            let shown: String = text.chars().take(80).collect();
            return self.skip(line, format!("{shown:?} is no indicator"));
        };
        if until_ns.is_some_and(|until| until <= self.now_ns) {
            self.expired += 1;
            return;
        }
        if self.count >= MAX_ENTRIES {
            return self.skip(line, format!("a list has at most {MAX_ENTRIES} entries"));
        }
        self.count += 1;
        let earlier = [self.next_expiry_ns, until_ns];
        self.next_expiry_ns = earlier.into_iter().flatten().min();
        match indicator {
            Indicator::Network { base, prefix } => {
                self.networks.entry(prefix).or_default().push(base);
            }
            Indicator::Domain(name) => self.domains.push(name),
            Indicator::Hash { length, bytes } => {
                self.hashes.entry(length).or_default().push(bytes);
            }
            Indicator::Url(url) => self.urls.push(url),
        }
    }

    /// Notes what cannot be an entry.
    pub(super) fn skip(&mut self, line: Option<u32>, why: String) {
        self.skipped += 1;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push((line, why));
        }
    }
}

/// Until when an entry is good, nanoseconds since the epoch; none for ever, which an empty text
/// says and a year that nanoseconds cannot count.
///
/// # Errors
/// A text that is no time.
pub(super) fn until(text: &str) -> Result<Option<i64>, String> {
    let year = text.get(..4).and_then(|year| year.parse::<u32>().ok());
    if text.is_empty() || year.is_some_and(|year| (2_262..=9_999).contains(&year)) {
        return Ok(None);
    }
    let at = parse_timestamp(text).or_else(|| parse_date(text));
    at.map(Some).ok_or_else(|| format!("{text:?} is no time"))
}

/// One entry a line; what follows `#` or `;` is a remark.
fn plain(text: &str, entries: &mut Entries) {
    for (number, line) in (1u32..).zip(text.lines()) {
        let remark = |(at, c): &(usize, char)| {
            let before = at.checked_sub(1).and_then(|i| line.as_bytes().get(i));
            matches!(c, '#' | ';') && before.is_none_or(u8::is_ascii_whitespace)
        };
        let end = line
            .char_indices()
            .find(remark)
            .map_or(line.len(), |(at, _)| at);
        let entry = line.get(..end).unwrap_or_default().trim();
        if !entry.is_empty() {
            entries.take(entry, Some(number), None);
        }
    }
}

impl IntelList {
    /// Reads a file, leaving out what has run out at `now_ns`, with the entries that could not
    /// be read (`invalid_indicator`).
    ///
    /// # Errors
    /// A file that is no list (`invalid_list`).
    pub fn read(
        file: &IntelFile<'_>,
        now_ns: i64,
    ) -> Result<(IntelList, Vec<RuleFault>), RuleFault> {
        let fault = |line, code, message| RuleFault {
            path: file.path.to_owned(),
            line,
            code,
            message,
        };
        let name = name_of(file.path);
        let Some(name) = name else {
            let message = "the name of the file begins with no letter";
            return Err(fault(None, "invalid_list", message.to_owned()));
        };
        let mut entries = Entries {
            now_ns,
            ..Entries::default()
        };
        let text = file.text.trim_start_matches('\u{feff}');
        let read = if text.trim_start().starts_with('{') {
            stix::read(text, &mut entries)
        } else if file.path.to_lowercase().ends_with(".csv") {
            csv::read(text, &mut entries)
        } else {
            plain(text, &mut entries);
            Ok(())
        };
        read.map_err(|message| fault(None, "invalid_list", message))?;
        let named = entries.faults.len() as u64;
        let all = std::mem::take(&mut entries.faults).into_iter();
        let mut faults: Vec<RuleFault> = all
            .map(|(line, why)| fault(line, "invalid_indicator", why))
            .collect();
        if entries.skipped > named {
            let message = format!("and {} more entries", entries.skipped - named);
            faults.push(fault(None, "invalid_indicator", message));
        }
        Ok((IntelList::of(name, file, entries), faults))
    }

    fn of(name: String, file: &IntelFile<'_>, mut entries: Entries) -> IntelList {
        let sort = |texts: &mut Vec<String>| {
            texts.sort_unstable();
            texts.dedup();
            Texts::of(texts)
        };
        let (domains, urls) = (sort(&mut entries.domains), sort(&mut entries.urls));
        for bases in entries.networks.values_mut() {
            bases.sort_unstable();
            bases.dedup();
            bases.shrink_to_fit();
        }
        for hashes in entries.hashes.values_mut() {
            hashes.sort_unstable();
            hashes.dedup();
            hashes.shrink_to_fit();
        }
        let mut digest = Sha256::new();
        digest.update(file.text);
        digest.update(entries.expired.to_be_bytes());
        let digest = digest.finalize();
        IntelList {
            name,
            path: file.path.to_owned(),
            digest: digest.iter().take(16).map(|b| format!("{b:02x}")).collect(),
            next_expiry_ns: entries.next_expiry_ns,
            expired: entries.expired,
            skipped: entries.skipped,
            networks: entries.networks,
            domains,
            urls,
            hashes: entries.hashes,
        }
    }

    /// How many entries it has.
    pub fn counts(&self) -> KindCounts {
        let of = |prefix: &u8| self.networks.get(prefix).map_or(0, Vec::len) as u64;
        let networks: u64 = self.networks.keys().map(of).sum();
        let addresses = of(&128);
        KindCounts {
            addresses,
            networks: networks - addresses,
            domains: self.domains.len() as u64,
            hashes: self.hashes.values().map(|h| h.len() as u64).sum(),
            urls: self.urls.len() as u64,
        }
    }

    /// The entry that a value is, or belongs to. Of several networks the narrowest, of domains the
    /// longest.
    pub fn find(&self, value: &str) -> Option<String> {
        let value = value.trim();
        if let Some(address) = address(value) {
            return self.network_of(address);
        }
        if let Some((length, bytes)) = hash(value) {
            let known = self.hashes.get(&length)?;
            return known
                .binary_search(&bytes)
                .is_ok()
                .then(|| value.to_lowercase());
        }
        if value.contains("://") {
            return self.urls.holds(value).then(|| value.to_owned());
        }
        if let Some((host, port)) = value.rsplit_once(':')
            && !port.is_empty()
            && port.bytes().all(|b| b.is_ascii_digit())
        {
            return self.find(host);
        }
        if self.domains.len() == 0 || !value.contains('.') {
            return None;
        }
        let mut rest = domain(value)?;
        loop {
            if self.domains.holds(&rest) {
                return Some(rest);
            }
            rest = rest.split_once('.')?.1.to_owned();
        }
    }

    fn network_of(&self, address: u128) -> Option<String> {
        self.networks.iter().rev().find_map(|(prefix, bases)| {
            let base = masked(address, *prefix);
            let found = bases.binary_search(&base).is_ok();
            found.then(|| words(base, *prefix))
        })
    }
}

impl Ask for IntelList {
    fn takes_text(&self, value: &str) -> bool {
        self.find(value).is_some()
    }

    fn takes_int(&self, _value: i64) -> bool {
        false
    }

    fn takes_float(&self, _value: f64) -> bool {
        false
    }

    fn takes_bool(&self, _value: bool) -> bool {
        false
    }
}

/// The name of the list in a file: the file's own without its extension, in letters, digits, `_`
/// and `-`. None where it does not begin with a letter.
fn name_of(path: &str) -> Option<String> {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let stem = file.split_once('.').map_or(file, |(stem, _)| stem);
    let part = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '-' => c,
        _ => '_',
    };
    let name: String = stem.chars().map(part).collect();
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        .then_some(name)
}
