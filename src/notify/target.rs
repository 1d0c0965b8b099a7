//! Which addresses a webhook may be sent to.
//!
//! Whoever may create channels chooses where the server connects to. So every address is checked,
//! when the connection is made, against the ranges that are not the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

/// IPv4 ranges that are not the public internet (IANA special-purpose registry), and the one
/// public address at which a cloud serves metadata.
const DENIED_V4: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "cloud metadata"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
];

/// IPv6 ranges within 2000::/3 that are not the public internet. Outside 2000::/3 nothing is.
const DENIED_V6: &[(&str, &str)] = &[
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("3fff::/20", "documentation"),
];

/// Where webhooks may go: the public internet, and what the operator has listed.
#[derive(Debug, Clone, Default)]
pub struct TargetPolicy {
    allowed: Vec<IpNet>,
}

impl TargetPolicy {
    /// The public internet and these networks.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        TargetPolicy { allowed }
    }

    /// Reads the operator's list: networks (`10.1.0.0/16`) or addresses, separated by commas.
    ///
    /// # Errors
    /// A text that names the entry which is neither.
    pub fn parse(list: &str) -> Result<Self, String> {
        let entries = list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        let network = |entry: &str| {
            entry
                .parse::<IpNet>()
                .or_else(|_| entry.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| format!("{entry:?} is neither a network nor an address"))
        };
        Ok(TargetPolicy {
            allowed: entries.map(network).collect::<Result<_, _>>()?,
        })
    }

    /// Checks what can be known of a URL without resolving its name. Names are checked again by
    /// their addresses whenever a connection is made.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn check_url(&self, url: &str) -> Result<(), String> {
        let url = Url::parse(url).map_err(|e| format!("not a url: {e}"))?;
        self.check(&url)
    }

    /// As [`Self::check_url`]. The parser has already read odd spellings of addresses
    /// (`0x7f.1`, `2130706433`, full-width digits) as what they are.
    pub(super) fn check(&self, url: &Url) -> Result<(), String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the scheme must be http or https".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a url with user name or password is not supported".into());
        }
        match url.host() {
            None => Err("the url has no host".into()),
            Some(Host::Ipv4(ip)) => self.check_address(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => self.check_address(IpAddr::V6(ip)),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                let local = name == "localhost" || name.ends_with(".localhost");
                match local {
                    true => self.check_address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                    false => Ok(()),
                }
            }
        }
    }

    /// May a connection go to this address?
    ///
    /// # Errors
    /// A text that says which rule forbids it.
    pub fn check_address(&self, ip: IpAddr) -> Result<(), String> {
        let ip = ip.to_canonical();
        if self.allowed.iter().any(|network| network.contains(&ip)) {
            return Ok(());
        }
        let denied = match ip {
            IpAddr::V4(ip) => range_of(IpAddr::V4(ip), DENIED_V4),
            IpAddr::V6(ip) => match embedded_v4(ip) {
                // What matters is where the translator sends the packet.
                Some(inner) => return self.check_address(IpAddr::V4(inner)),
                None if ip.segments()[0] & 0xe000 != 0x2000 => Some("not global"),
                None => range_of(IpAddr::V6(ip), DENIED_V6),
            },
        };
        match denied {
            Some(rule) => Err(format!("the address {ip} is not allowed ({rule})")),
            None => Ok(()),
        }
    }
}

fn range_of(ip: IpAddr, ranges: &[(&str, &'static str)]) -> Option<&'static str> {
    let holds = |text: &str| {
        text.parse::<IpNet>()
            .is_ok_and(|network| network.contains(&ip))
    };
    ranges
        .iter()
        .find(|(text, _)| holds(text))
        .map(|(_, rule)| *rule)
}

/// The IPv4 address inside an IPv6 address that some router or translator would unpack:
/// compatible (::/96), translated (::ffff:0:0:0/96), NAT64 (64:ff9b::/96), 6to4 (2002::/16)
/// and ISATAP (interface id 0:5efe or 200:5efe).
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, a, b]
        | [0, 0, 0, 0, 0xffff, 0, a, b]
        | [0x64, 0xff9b, 0, 0, 0, 0, a, b]
        | [0x2002, a, b, ..]
        | [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, a, b] => Some(from(a, b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn only_the_public_internet_is_open() {
        let denied = "
            http://127.0.0.1/ http://127.1/ http://2130706433/ http://0x7f000001/ http://0177.0.0.1/
            http://0/ http://0.0.0.0/ http://localhost/ http://LOCALHOST./ http://a.localhost:80/
            http://10.0.0.1/ http://172.16.0.1/ http://172.31.255.255/ http://192.168.1.1/
            http://169.254.169.254/latest/meta-data/ http://100.100.100.200/ http://100.64.0.1/
            http://168.63.129.16/ http://192.0.0.192/ http://224.0.0.1/ http://255.255.255.255/
            http://[::]/ http://[::1]/ http://[fe80::1]/ http://[fc00::1]/ http://[fd00:ec2::254]/
            http://[ff02::1]/ http://[::ffff:127.0.0.1]/
            http://[::ffff:7f00:1]/ http://[::127.0.0.1]/
            http://[::ffff:0:127.0.0.1]/ http://[64:ff9b::127.0.0.1]/ http://[64:ff9b::a9fe:a9fe]/
            http://[64:ff9b:1::1]/ http://[2002:7f00:1::]/ http://[2002:a00:1::1]/
            http://[2001::1]/ http://[2001:db8::1]/ http://[3fff::1]/ http://[fec0::1]/
            http://[2607:f8b0::5efe:10.0.0.1]/
            http://[fe80::5efe:8.8.8.8]/ http://[5f00::1]/ http://[100::1]/
            http://１２７.０.０.１/ http://①②⑦.⓪.⓪.①/ http://127。0。0。1/
            ftp://example.com/ file:///etc/passwd gopher://example.com/ javascript:1 //example.com
            http://user@example.com/ http://user:pass@example.com/ http:// http://[::1 notaurl";
        let policy = TargetPolicy::default();
        for url in denied.split_whitespace() {
            assert!(policy.check_url(url).is_err(), "{url}");
        }
        let open = "https://example.com/hook http://example.com:8080/ https://8.8.8.8/
            https://[2606:4700::1111]/ http://[::ffff:8.8.8.8]/ http://[64:ff9b::8.8.8.8]/
            http://172.32.0.1/ http://100.128.0.1/ http://11.0.0.1/ HTTPS://EXAMPLE.COM/";
        for url in open.split_whitespace() {
            assert_eq!(policy.check_url(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn the_operator_opens_what_is_needed_and_no_more() {
        let policy = TargetPolicy::parse(" 127.0.0.0/8, 10.1.0.0/16,fd00::1 ,").unwrap();
        for url in [
            "http://127.0.0.1:9/",
            "http://localhost/",
            "http://[::ffff:10.1.2.3]/",
        ] {
            assert_eq!(policy.check_url(url), Ok(()), "{url}");
        }
        for url in [
            "http://10.2.0.1/",
            "http://[fd00::2]/",
            "http://[::1]/",
            "http://0.0.0.0/",
        ] {
            assert!(policy.check_url(url).is_err(), "{url}");
        }
        assert!(TargetPolicy::parse("").unwrap().allowed.is_empty());
        for bad in ["example.com", "10.0.0.0/33", "10.0.0.0/8;::1"] {
            assert!(
                TargetPolicy::parse(bad).unwrap_err().contains("neither"),
                "{bad}"
            );
        }
    }

    #[test]
    fn every_listed_range_can_be_read() {
        for (text, _) in DENIED_V4.iter().chain(DENIED_V6) {
            assert!(text.parse::<IpNet>().is_ok(), "{text}");
        }
    }
}
