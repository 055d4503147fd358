//! What follows `tcp://` in an endpoint.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

use super::EndpointError;

/// What follows `tcp://`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tcp {
    pub(crate) host: Host,
    /// Zero stands for a free port.
    pub(crate) port: u16,
    /// The local address to connect from; its port may be zero, too.
    pub(crate) source: Option<SocketAddr>,
}

/// The host of a [`Tcp`] endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// All interfaces.
    Any,
    V4(Ipv4Addr),
    V6 {
        ip: Ipv6Addr,
        /// The interface a link-local address belongs to, or zero.
        scope: u32,
    },
    /// A name to be looked up, in lower case.
    Name(Box<str>),
}

impl Tcp {
    pub(super) fn from_addr(addr: SocketAddr) -> Self {
        let host = match addr {
            SocketAddr::V4(v4) => Host::V4(*v4.ip()),
            SocketAddr::V6(v6) => Host::v6(*v6.ip(), v6.scope_id()),
        };
        Self { host, port: addr.port(), source: None }
    }

    pub(super) fn check_bind(&self) -> Result<(), EndpointError> {
        match self.source {
            Some(_) => Err(EndpointError::SourceOnBind),
            None => Ok(()),
        }
    }

    pub(super) fn check_connect(&self) -> Result<(), EndpointError> {
        match self {
            Self { host: Host::Any, .. } => Err(EndpointError::ConnectToAnyHost),
            Self { port: 0, .. } => Err(EndpointError::ConnectToAnyPort),
            _ => Ok(()),
        }
    }

    /// The address, unless it takes a look at the options or at the name service to know it.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        match self.host {
            Host::V4(ip) => Some(SocketAddrV4::new(ip, self.port).into()),
            Host::V6 { ip, scope } => Some(SocketAddrV6::new(ip, self.port, 0, scope).into()),
            Host::Any | Host::Name(_) => None,
        }
    }
}

impl FromStr for Tcp {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (source, destination) = match text.split_once(';') {
            None => return parse_pair(text).map(|(host, port)| Self { host, port, source: None }),
            Some((_, rest)) if rest.contains(';') => return Err(EndpointError::InvalidCharacter(';')),
            Some(parts) => parts,
        };
        let (host, port) = parse_pair(source)?;
        let source = Self { host, port, source: None }.addr().ok_or(EndpointError::InvalidSource)?;
        let (host, port) = parse_pair(destination)?;
        match host {
            Host::V4(_) if source.is_ipv6() => Err(EndpointError::MixedFamilies),
            Host::V6 { .. } if source.is_ipv4() => Err(EndpointError::MixedFamilies),
            _ => Ok(Self { host, port, source: Some(source) }),
        }
    }
}

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = self.source {
            write!(f, "{source};")?;
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Host {
    /// An IPv6 address, or the IPv4 address that it maps.
    fn v6(ip: Ipv6Addr, scope: u32) -> Self {
        match ip.to_ipv4_mapped() {
            Some(ip) => Self::V4(ip),
            None => Self::V6 { ip, scope },
        }
    }

    /// What stands between brackets.
    fn parse_v6(text: &str) -> Result<Self, EndpointError> {
        let (ip, scope) = match text.split_once('%') {
            Some((ip, zone)) => (ip, parse_digits(zone).ok_or(EndpointError::InvalidZone)?),
            None => (text, 0),
        };
        match ip.parse() {
            Ok(ip) => Ok(Self::v6(ip, scope)),
            Err(_) => Err(EndpointError::InvalidIpv6),
        }
    }

    /// What stands before the colon without brackets.
    fn parse_bare(text: &str) -> Result<Self, EndpointError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Ok(ip) = text.parse() {
            return Ok(Self::V4(ip));
        }
        check_name(text)?;
        Ok(Self::Name(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::V4(ip) => write!(f, "{ip}"),
            Self::V6 { ip, scope: 0 } => write!(f, "[{ip}]"),
            Self::V6 { ip, scope } => write!(f, "[{ip}%{scope}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Parses `host:port`.
fn parse_pair(text: &str) -> Result<(Host, u16), EndpointError> {
    if let Some(text) = text.strip_prefix('[') {
        let (ip, rest) = text.split_once(']').ok_or(EndpointError::UnclosedBracket)?;
        let host = Host::parse_v6(ip)?;
        let port = rest.strip_prefix(':').ok_or(EndpointError::MissingPort)?;
        return Ok((host, parse_port(port)?));
    }
    match text.split_once(':') {
        None if text.is_empty() => Err(EndpointError::MissingHost),
        None => Err(EndpointError::MissingPort),
        Some((_, port)) if port.contains(':') => Err(EndpointError::MissingBrackets),
        Some(("", _)) => Err(EndpointError::MissingHost),
        Some((host, port)) => Ok((Host::parse_bare(host)?, parse_port(port)?)),
    }
}

/// Parses a port: `*` is zero.
fn parse_port(text: &str) -> Result<u16, EndpointError> {
    match text {
        "" => Err(EndpointError::MissingPort),
        "*" => Ok(0),
        digits => parse_digits(digits).ok_or(EndpointError::InvalidPort),
    }
}

/// Parses a number of nothing but digits: the standard parser would take a sign as well.
fn parse_digits<N: FromStr>(text: &str) -> Option<N> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// Checks that the name service can be asked for a name.
fn check_name(name: &str) -> Result<(), EndpointError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if let Some(illegal) = name.chars().find(|&c| !legal(c)) {
        return Err(EndpointError::InvalidCharacter(illegal));
    }
    let name = name.strip_suffix('.').unwrap_or(name); // the root, to which a full name may point
    if name.len() > MAX_NAME {
        return Err(EndpointError::NameTooLong);
    }
    if name.split('.').any(|label| label.is_empty() || label.len() > MAX_LABEL) {
        return Err(EndpointError::InvalidLabel);
    }
    if ends_in_number(name) {
        return Err(EndpointError::InvalidIpv4);
    }
    Ok(())
}

/// Whether a name would be read as an odd spelling of an IPv4 address by most systems: `127.1`, `0x7f000001`.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    match last.strip_prefix("0x").or(last.strip_prefix("0X")) {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// The longest host name, in octets, without the dot of the root (RFC 1035, 2.3.4, in its textual form).
const MAX_NAME: usize = 253;
/// The longest label of a host name, in octets (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;
#[cfg(test)]
mod tests {
    use EndpointError::*;
    use quickcheck::quickcheck;

    use super::*;
    use crate::endpoint::Endpoint;
    use crate::endpoint::tests::refused;

    #[test]
    fn every_form_prints_canonically() {
        let same = [
            "tcp://127.0.0.1:5555",
            "tcp://0.0.0.0:65535",
            "tcp://[::1]:5555",
            "tcp://[::]:0",
            "tcp://[fe80::1%2]:5555",
            "tcp://localhost:5555",
            "tcp://a-b.c_d.example.org.:1",
            "tcp://7.up:7",
            "tcp://0xyz:7",
            "tcp://*:0",
            "tcp://10.0.0.1:0;10.0.0.9:5555",
            "tcp://[fe80::1%2]:7;[::1]:5555",
            "tcp://[::1]:7;example.org:5555",
        ];
        let others = [
            ("tcp://*:*", "tcp://*:0"),
            ("tcp://127.0.0.1:*", "tcp://127.0.0.1:0"),
            ("tcp://127.0.0.1:0080", "tcp://127.0.0.1:80"),
            ("tcp://Example.ORG:80", "tcp://example.org:80"),
            ("tcp://[0:0:0:0:0:0:0:1]:80", "tcp://[::1]:80"),
            ("tcp://[FE80::A%02]:80", "tcp://[fe80::a%2]:80"),
            ("tcp://[::1%0]:80", "tcp://[::1]:80"),
            ("tcp://[::ffff:10.0.0.1]:80", "tcp://10.0.0.1:80"),
            ("tcp://[::ffff:10.0.0.1]:*;10.0.0.2:80", "tcp://10.0.0.1:0;10.0.0.2:80"),
        ];
        for (text, canonical) in same.map(|text| (text, text)).into_iter().chain(others) {
            let endpoint: Endpoint = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(endpoint.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse(), Ok(endpoint), "{text}");
        }
    }

    #[test]
    fn ports_are_plain_numbers() {
        refused(&[
            ("tcp://h:65536", InvalidPort),
            ("tcp://h:99999", InvalidPort),
            ("tcp://h:-1", InvalidPort),
            ("tcp://h:+1", InvalidPort),
            ("tcp://h: 1", InvalidPort),
            ("tcp://h:1 ", InvalidPort),
            ("tcp://h:80x", InvalidPort),
            ("tcp://h:80/", InvalidPort),
            ("tcp://h:**", InvalidPort),
            ("tcp://h:\u{661}", InvalidPort),
        ]);
    }

    #[test]
    fn addresses_have_their_usual_spelling() {
        refused(&[
            ("tcp://256.0.0.1:1", InvalidIpv4),
            ("tcp://127.0.0.01:1", InvalidIpv4),
            ("tcp://127.1:1", InvalidIpv4),
            ("tcp://2130706433:1", InvalidIpv4),
            ("tcp://0X7f000001:1", InvalidIpv4),
            ("tcp://127.0.0.1.:1", InvalidIpv4),
            ("tcp://[]:1", InvalidIpv6),
            ("tcp://[1.2.3.4]:1", InvalidIpv6),
            ("tcp://[::1::]:1", InvalidIpv6),
            ("tcp://[[::1]]:1", InvalidIpv6),
            ("tcp://[localhost]:1", InvalidIpv6),
            ("tcp://[::1", UnclosedBracket),
            ("tcp://[::1:1", UnclosedBracket),
            ("tcp://::1:1", MissingBrackets),
            ("tcp://::", MissingBrackets),
            ("tcp://h:1:1", MissingBrackets),
            ("tcp://[fe80::1%]:1", InvalidZone),
            ("tcp://[fe80::1%eth0]:1", InvalidZone),
            ("tcp://[fe80::1%+2]:1", InvalidZone),
            ("tcp://[fe80::1%4294967296]:1", InvalidZone),
            ("tcp://::1]:1", MissingBrackets),
        ]);
    }

    #[test]
    fn names_are_such_as_can_be_looked_up() {
        let label = "x".repeat(64);
        let name = ["x".repeat(63), "x".repeat(63), "x".repeat(63), "x".repeat(61)].join(".");
        refused(&[
            ("tcp:// h:1", InvalidCharacter(' ')),
            ("tcp://*.h:1", InvalidCharacter('*')),
            ("tcp://me@h:1", InvalidCharacter('@')),
            ("tcp://b\u{fc}cher.example:1", InvalidCharacter('\u{fc}')),
            ("tcp://a..b:1", InvalidLabel),
            ("tcp://.:1", InvalidLabel),
            ("tcp://.a:1", InvalidLabel),
            (&format!("tcp://{label}:1"), InvalidLabel),
            (&format!("tcp://{name}x:1"), NameTooLong),
        ]);
        assert!(format!("tcp://{name}:1").parse::<Endpoint>().is_ok());
        assert!(format!("tcp://{name}.:1").parse::<Endpoint>().is_ok());
    }

    #[test]
    fn source_addresses_are_literal() {
        refused(&[
            ("tcp://;h:1", MissingHost),
            ("tcp://10.0.0.1:1;", MissingHost),
            ("tcp://a;b:1", MissingPort),
            ("tcp://10.0.0.1:1;b", MissingPort),
            ("tcp://10.0.0.1:x;h:1", InvalidPort),
            ("tcp://*:0;h:1", InvalidSource),
            ("tcp://localhost:0;h:1", InvalidSource),
            ("tcp://127.0.0.1:0;[::1]:1", MixedFamilies),
            ("tcp://[::1]:0;127.0.0.1:1", MixedFamilies),
            ("tcp://10.0.0.1:1;h:1;h:1", InvalidCharacter(';')),
            ("tcp://;", MissingHost),
        ]);
    }

    #[test]
    fn addresses_come_back_as_they_went_in() {
        for text in ["127.0.0.1:5555", "0.0.0.0:0", "[::1]:5555", "[fe80::1%3]:5555"] {
            let addr: SocketAddr = text.parse().unwrap();
            let endpoint = Endpoint::from(addr);
            assert_eq!(endpoint.to_string(), format!("tcp://{text}"));
            assert_eq!(Tcp::from_addr(addr).addr(), Some(addr));
        }
        let mapped = Endpoint::from_addr("[::ffff:10.0.0.1]:5555".parse().unwrap());
        assert_eq!(mapped.to_string(), "tcp://10.0.0.1:5555");
        for text in ["*:1", "localhost:1"] {
            assert_eq!(text.parse::<Tcp>().unwrap().addr(), None, "{text}");
        }
    }

    quickcheck! {
        fn any_address_is_printed_back(ip: std::net::IpAddr, port: u16, scope: u32) -> bool {
            let addr = match ip {
                std::net::IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
                std::net::IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
            };
            let endpoint = Endpoint::from_addr(addr);
            endpoint.to_string().parse() == Ok(endpoint)
        }
    }
}
