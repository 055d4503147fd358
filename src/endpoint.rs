//! [`Endpoint`]: where a socket binds or connects, and how that is written.

use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

/// Where a socket binds or connects.
///
/// | form | bind | connect |
/// |---|---|---|
/// | `tcp://127.0.0.1:5555` | on this address | to this address |
/// | `tcp://[::1]:5555` | the same for IPv6, always in brackets | the same |
/// | `tcp://[fe80::1%2]:5555` | with the number of the interface the link-local address belongs to | the same |
/// | `tcp://example.org:5555` | on the address the name stands for | to it; looked up anew at each attempt |
/// | `tcp://*:5555` | on all interfaces | refused |
/// | `tcp://127.0.0.1:0`, `tcp://127.0.0.1:*` | on a free port that the system chooses | refused |
/// | `tcp://10.0.0.1:0;10.0.0.9:5555` | refused | from the address before the `;`, port 0 being any, to the one behind it |
///
/// Parsing is strict. What is allowed only for `bind` or only for `connect` is checked there; everything else that is
/// wrong is refused here, by an [`EndpointError`] that names the fault.
///
/// Printing gives the canonical form, which parses to an equal endpoint: names are in lower case, addresses in their
/// shortest spelling, an IPv4-mapped IPv6 address is the IPv4 address it stands for, and a free port is `0`.
///
/// ```
/// use ferromq::{Endpoint, EndpointError};
///
/// let endpoint: Endpoint = "tcp://Example.org:5555".parse()?;
/// assert_eq!(endpoint.to_string(), "tcp://example.org:5555");
/// assert_eq!("tcp://example.org".parse::<Endpoint>(), Err(EndpointError::MissingPort));
/// # Ok::<(), EndpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(Tcp);

impl Endpoint {
    /// The endpoint of an address that is already known, such as that of a listener.
    pub(crate) fn from_addr(addr: SocketAddr) -> Self {
        let host = match addr {
            SocketAddr::V4(v4) => Host::V4(*v4.ip()),
            SocketAddr::V6(v6) => Host::v6(*v6.ip(), v6.scope_id()),
        };
        Self(Tcp { host, port: addr.port(), source: None })
    }

    /// The parts of the endpoint. TCP is the only transport so far.
    pub(crate) fn tcp(&self) -> &Tcp {
        &self.0
    }

    /// Whether a socket can bind here.
    pub(crate) fn check_bind(&self) -> Result<(), EndpointError> {
        match self.0.source {
            Some(_) => Err(EndpointError::SourceOnBind),
            None => Ok(()),
        }
    }

    /// Whether a socket can connect here.
    pub(crate) fn check_connect(&self) -> Result<(), EndpointError> {
        match &self.0 {
            Tcp { host: Host::Any, .. } => Err(EndpointError::ConnectToAnyHost),
            Tcp { port: 0, .. } => Err(EndpointError::ConnectToAnyPort),
            _ => Ok(()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text.contains('\0') {
            return Err(EndpointError::Nul);
        }
        match text.split_once("://") {
            None | Some(("", _)) => Err(EndpointError::MissingTransport),
            Some(("tcp", address)) => address.parse().map(Self),
            Some(("ipc", _)) => Err(EndpointError::UnsupportedTransport("ipc")),
            Some(("inproc", _)) => Err(EndpointError::UnsupportedTransport("inproc")),
            Some(_) => Err(EndpointError::UnknownTransport),
        }
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: &str) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl TryFrom<&String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: &String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

/// Clones, so that whatever takes an endpoint takes a borrowed one too.
impl From<&Self> for Endpoint {
    fn from(endpoint: &Self) -> Self {
        endpoint.clone()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp://{}", self.0)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// Why an endpoint was refused. All of these are mistakes of the caller, and trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// There is no `transport://` at the beginning.
    #[error("an endpoint begins with its transport, as in tcp://127.0.0.1:5555")]
    MissingTransport,
    /// What stands before `://` is not the name of a transport.
    #[error("unknown transport: endpoints begin with tcp://, in lower case")]
    UnknownTransport,
    /// The transport, named here, is one that this version cannot carry yet.
    #[error("the transport {0}:// is not supported yet: use tcp://")]
    UnsupportedTransport(&'static str),
    /// There is a NUL character in the text.
    #[error("an endpoint cannot contain a NUL character")]
    Nul,
    /// There is nothing where the host belongs.
    #[error("the host is missing: give an address, a name, or * to bind to all interfaces")]
    MissingHost,
    /// There is no `:port` behind the host.
    #[error("the port is missing: it follows the host, as in tcp://127.0.0.1:5555")]
    MissingPort,
    /// The port is not a plain number up to 65535, nor `*`.
    #[error("the port is not a number from 0 to 65535, nor *")]
    InvalidPort,
    /// The host is made like an IPv4 address but is none.
    #[error("the host ends in a number but is not an IPv4 address of four numbers from 0 to 255")]
    InvalidIpv4,
    /// What stands between the brackets is not an IPv6 address.
    #[error("there is no IPv6 address between the brackets")]
    InvalidIpv6,
    /// An opening bracket has no closing one.
    #[error("the bracket before the IPv6 address is not closed")]
    UnclosedBracket,
    /// There is more than one colon in what stands outside brackets.
    #[error("too many colons: an IPv6 address is put in brackets, as in tcp://[::1]:5555")]
    MissingBrackets,
    /// The zone of an IPv6 address is not the number of an interface.
    #[error(
        "the zone behind the % is not the number of an interface, which the system lists beside its name"
    )]
    InvalidZone,
    /// The host name holds a character that no host name can.
    #[error("a host name has letters, digits, '-', '_' and '.', but not {0:?}")]
    InvalidCharacter(char),
    /// A label, which is what stands between the dots of a host name, is empty or longer than 63 characters.
    #[error("between the dots of a host name there are 1 to 63 characters")]
    InvalidLabel,
    /// The host name is longer than 253 characters.
    #[error("a host name has at most 253 characters")]
    NameTooLong,
    /// The source address before the `;` is not a literal address.
    #[error("the source address before the ; is not a literal IP address")]
    InvalidSource,
    /// One side of the `;` is an IPv4 address, the other an IPv6 address.
    #[error("the addresses before and behind the ; are not both IPv4 or both IPv6")]
    MixedFamilies,
    /// `bind` was given a source address.
    #[error("a source address before a ; is for connect only: bind to what follows the ;")]
    SourceOnBind,
    /// `connect` was given the host `*`.
    #[error("* as the host is for bind only: connect to an address or a name")]
    ConnectToAnyHost,
    /// `connect` was given the port `*` or `0`.
    #[error("* or 0 as the port is for bind only: connect to the port the other side is bound to")]
    ConnectToAnyPort,
}

/// Never called: it lets one bound take all that converts to an endpoint, whether or not the conversion can fail.
impl From<Infallible> for EndpointError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// What follows `tcp://`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Tcp {
    pub(crate) host: Host,
    /// Zero stands for a free port.
    pub(crate) port: u16,
    /// The local address to connect from; its port may be zero, too.
    pub(crate) source: Option<SocketAddr>,
}

/// The host of a [`Tcp`] endpoint.
#[derive(Clone, PartialEq, Eq, Hash)]
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
    use quickcheck::{Arbitrary, Gen, quickcheck};

    use super::*;

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

    fn refused(table: &[(&str, EndpointError)]) {
        for (text, fault) in table {
            assert_eq!(text.parse::<Endpoint>().as_ref(), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn missing_parts_are_named() {
        refused(&[
            ("", MissingTransport),
            ("tcp", MissingTransport),
            ("tcp:", MissingTransport),
            ("tcp:/127.0.0.1:1", MissingTransport),
            ("://127.0.0.1:1", MissingTransport),
            ("127.0.0.1:1", MissingTransport),
            ("udp://127.0.0.1:1", UnknownTransport),
            ("TCP://127.0.0.1:1", UnknownTransport),
            (" tcp://127.0.0.1:1", UnknownTransport),
            ("ipc://", UnsupportedTransport("ipc")),
            ("ipc://@", UnsupportedTransport("ipc")),
            ("inproc://", UnsupportedTransport("inproc")),
            ("tcp://local\0host:1", Nul),
            ("\0", Nul),
            ("tcp://", MissingHost),
            ("tcp://:", MissingHost),
            ("tcp://:1", MissingHost),
            ("tcp://h", MissingPort),
            ("tcp://h:", MissingPort),
            ("tcp://*", MissingPort),
            ("tcp://[::1]", MissingPort),
            ("tcp://[::1]:", MissingPort),
            ("tcp://[::1]1", MissingPort),
        ]);
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
    fn a_mebibyte_of_anything_is_refused_in_few_words() {
        for unit in ["a", "a.", "[", ":", ";", "0", "*", "%", "://", "\u{fc}", " "] {
            let junk = unit.repeat((1 << 20) / unit.len());
            for text in
                [format!("tcp://{junk}:1"), format!("tcp://[{junk}]:1"), format!("{junk}://h:1"), junk]
            {
                let error = text.parse::<Endpoint>().unwrap_err();
                assert!(error.to_string().len() < 120, "{unit:?}: {error}");
            }
        }
    }

    #[test]
    fn what_bind_and_connect_accept_differs() {
        let table = [
            ("tcp://127.0.0.1:1", Ok(()), Ok(())),
            ("tcp://localhost:1", Ok(()), Ok(())),
            ("tcp://*:1", Ok(()), Err(ConnectToAnyHost)),
            ("tcp://127.0.0.1:*", Ok(()), Err(ConnectToAnyPort)),
            ("tcp://[::1]:0", Ok(()), Err(ConnectToAnyPort)),
            ("tcp://127.0.0.1:0;h:1", Err(SourceOnBind), Ok(())),
            ("tcp://127.0.0.1:0;h:0", Err(SourceOnBind), Err(ConnectToAnyPort)),
            ("tcp://127.0.0.1:0;*:1", Err(SourceOnBind), Err(ConnectToAnyHost)),
        ];
        for (text, bind, connect) in table {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.check_bind(), bind, "{text}");
            assert_eq!(endpoint.check_connect(), connect, "{text}");
        }
    }

    #[test]
    fn converts_from_all_that_bind_takes() {
        fn convert<E: TryInto<Endpoint, Error: Into<EndpointError>>>(
            endpoint: E,
        ) -> Result<Endpoint, EndpointError> {
            endpoint.try_into().map_err(Into::into)
        }
        let text = "tcp://localhost:1";
        let string = text.to_owned();
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(convert(text).as_ref(), Ok(&endpoint));
        assert_eq!(convert(&string).as_ref(), Ok(&endpoint));
        assert_eq!(convert(string).as_ref(), Ok(&endpoint));
        assert_eq!(convert(&endpoint).as_ref(), Ok(&endpoint));
        assert_eq!(convert(endpoint.clone()), Ok(endpoint));
        assert_eq!(convert("tcp:"), Err(MissingTransport));
    }

    #[test]
    fn addresses_come_back_as_they_went_in() {
        for text in ["127.0.0.1:5555", "0.0.0.0:0", "[::1]:5555", "[fe80::1%3]:5555"] {
            let addr: SocketAddr = text.parse().unwrap();
            let endpoint = Endpoint::from_addr(addr);
            assert_eq!(endpoint.to_string(), format!("tcp://{text}"));
            assert_eq!(endpoint.tcp().addr(), Some(addr));
        }
        let mapped = Endpoint::from_addr("[::ffff:10.0.0.1]:5555".parse().unwrap());
        assert_eq!(mapped.to_string(), "tcp://10.0.0.1:5555");
        for text in ["tcp://*:1", "tcp://localhost:1"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().tcp().addr(), None, "{text}");
        }
    }

    /// Text that gets past the first checks more often than arbitrary text does.
    #[derive(Clone, Debug)]
    struct Likely(String);

    impl Arbitrary for Likely {
        fn arbitrary(g: &mut Gen) -> Self {
            let tokens = [
                "tcp://", "[", "]", "::1", "%", ":", ";", "*", "0", "65535", "10.0.0.1", "h", ".", "-", "\0",
            ];
            let picks = u8::arbitrary(g) % 12;
            Self(
                (0..picks)
                    .map(|_| *g.choose(&tokens).unwrap())
                    .fold("tcp://".to_owned(), |text, token| text + token),
            )
        }
    }

    fn prints_what_it_parses(text: &str) -> bool {
        text.parse::<Endpoint>().map_or(true, |endpoint| endpoint.to_string().parse() == Ok(endpoint))
    }

    quickcheck! {
        fn any_text_is_refused_or_printed_back(text: String) -> bool {
            prints_what_it_parses(&text) && prints_what_it_parses(&format!("tcp://{text}"))
        }

        fn likely_text_is_refused_or_printed_back(text: Likely) -> bool {
            prints_what_it_parses(&text.0)
        }

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
