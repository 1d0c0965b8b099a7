//! One indicator from text, as people and feeds write it.

use std::net::IpAddr;

/// What an entry of a list is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Indicator {
    /// A network; an address is one without free bits. Version 4 as mapped into version 6.
    Network { base: u128, prefix: u8 },
    /// A domain with all below it, lower case.
    Domain(String),
    /// MD5, SHA-1 or SHA-256: how many bytes it has, and these with zeros behind.
    Hash { length: usize, bytes: [u8; 32] },
    /// A URL, as written.
    Url(String),
}

/// The longest domain or URL that is taken.
const MAX_TEXT: usize = 2_048;

impl Indicator {
    /// Reads an indicator; brackets that keep it from being clicked are taken out.
    pub(super) fn read(text: &str) -> Option<Indicator> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_TEXT {
            return None;
        }
        if text.contains("[.]") || text.starts_with("hxxp") {
            let plain = text.replace("[.]", ".").replacen("hxxp", "http", 1);
            return Indicator::of(&plain);
        }
        Indicator::of(text)
    }

    fn of(text: &str) -> Option<Indicator> {
        if let Some(base) = address(text) {
            return Some(Indicator::Network { base, prefix: 128 });
        }
        if let Some((base, prefix)) = network(text) {
            return Some(Indicator::Network { base, prefix });
        }
        if let Some((length, bytes)) = hash(text) {
            return Some(Indicator::Hash { length, bytes });
        }
        if text.contains("://") {
            return (!text.contains(char::is_whitespace)).then(|| Indicator::Url(text.to_owned()));
        }
        if let Some((host, port)) = text.rsplit_once(':')
            && port.parse::<u16>().is_ok()
        {
            return Indicator::of(host);
        }
        domain(text).map(Indicator::Domain)
    }
}

/// An address as a number, version 4 as mapped into version 6.
pub(super) fn address(text: &str) -> Option<u128> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(text).parse().ok()?;
    Some(match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    })
}

/// A network as its first address and the length of its prefix in version 6.
fn network(text: &str) -> Option<(u128, u8)> {
    let (base, bits) = text.split_once('/')?;
    let is_v4 = base.contains('.') && !base.contains(':');
    let (base, bits) = (address(base)?, bits.parse::<u8>().ok()?);
    let prefix = match is_v4 {
        true => 96 + Some(bits).filter(|b| *b <= 32)?,
        false => Some(bits).filter(|b| *b <= 128)?,
    };
    Some((masked(base, prefix), prefix))
}

/// The first address of the network with this prefix that holds the address.
pub(super) fn masked(address: u128, prefix: u8) -> u128 {
    let free = 128 - u32::from(prefix);
    let kept = u128::MAX.checked_shl(free).unwrap_or(0);
    address & kept
}

/// A network as people write it.
pub(super) fn words(base: u128, prefix: u8) -> String {
    let v6 = std::net::Ipv6Addr::from_bits(base);
    match (v6.to_ipv4_mapped(), prefix) {
        (Some(v4), 128) => v4.to_string(),
        (Some(v4), 96..) => format!("{v4}/{}", prefix - 96),
        (_, 128) => v6.to_string(),
        _ => format!("{v6}/{prefix}"),
    }
}

/// The bytes of an MD5, SHA-1 or SHA-256 in hexadecimal digits: how many, and they themselves.
pub(super) fn hash(text: &str) -> Option<(usize, [u8; 32])> {
    if !matches!(text.len(), 32 | 40 | 64) {
        return None;
    }
    let digit = |b: &u8| char::from(*b).to_digit(16).map(|d| d as u8);
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair.first()?)? << 4 | digit(pair.get(1)?)?;
    }
    Some((text.len() / 2, bytes))
}

/// A domain in lower case, without `*.` before it and the dot after it. It has two parts at least.
pub(super) fn domain(text: &str) -> Option<String> {
    let text = text.strip_prefix("*.").unwrap_or(text);
    let text = text.trim_matches('.').to_lowercase();
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_domain = text.contains('.')
        && text.len() <= 253
        && text.chars().all(fine)
        && text.split('.').all(|part| !part.is_empty())
        && text
            .rsplit('.')
            .next()?
            .contains(|c: char| !c.is_ascii_digit());
    is_domain.then_some(text)
}
