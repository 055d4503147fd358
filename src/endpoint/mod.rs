//! [`Endpoint`]: where a socket binds or connects, and how that is written.

mod inproc;
mod ipc;
mod tcp;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

pub(crate) use self::inproc::Inproc;
pub(crate) use self::ipc::Ipc;
pub(crate) use self::tcp::{Host, Tcp};

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
/// | `ipc:///run/app/jobs` | on this file, which is made for it and removed when the socket is unbound or closed | to the socket that is bound there |
/// | `ipc://jobs`, `ipc://./jobs` | the same in the current directory | the same |
/// | `ipc://@jobs` | on this abstract name, which is in no directory; on Linux only | to it |
/// | `ipc://*` | on a file in a new directory of its own; both are removed in the end | refused |
/// | `inproc://jobs` | on this name, within the context | to the socket that is bound to it, now or later |
///
/// `ipc` is for processes of one machine, by Unix domain sockets. A path has at most 107 octets (103 where the system
/// has no room for more). A file that a listener has left behind when it was killed is taken over; the file of one that
/// listens is not, and nothing that is not a socket is touched.
///
/// `inproc` is for sockets of one [`Context`](crate::Context): messages pass from thread to thread as they are. A name has
/// up to 256 octets and belongs to one socket at a time. Who connects to a name that nobody is bound to waits, and does so
/// again when the other has left.
///
/// Interfaces have no names here: `tcp://eth0:5555`, which libzmq binds to the interface, is a host of that name.
///
/// Parsing is strict. What is allowed only for `bind` or only for `connect` is checked there; everything else that is
/// wrong is refused here, by an [`EndpointError`] that names the fault.
///
/// Printing gives the canonical form, which parses to an equal endpoint: names are in lower case, addresses in their
/// shortest spelling, an IPv4-mapped IPv6 address is the IPv4 address it stands for, and a free port is `0`. Paths and the
/// names of `ipc` and `inproc` stay as they are.
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
pub struct Endpoint(Address);

/// What an endpoint is on its transport.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    Tcp(Tcp),
    Ipc(Ipc),
    Inproc(Inproc),
}

impl Endpoint {
    /// The address, if this is one of TCP with a number for its host: nothing that is yet to be looked up.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match &self.0 {
            Address::Tcp(tcp) => tcp.addr(),
            Address::Ipc(_) | Address::Inproc(_) => None,
        }
    }

    /// The endpoint of an address that is already known, such as that of a listener.
    pub(crate) fn from_addr(addr: SocketAddr) -> Self {
        Self(Address::Tcp(Tcp::from_addr(addr)))
    }

    /// The endpoint of a Unix domain socket.
    pub(crate) fn from_ipc(at: Ipc) -> Self {
        Self(Address::Ipc(at))
    }

    /// The endpoint of a name within a context.
    pub(crate) fn from_inproc(name: Inproc) -> Self {
        Self(Address::Inproc(name))
    }

    /// What the endpoint is on its transport.
    pub(crate) fn address(&self) -> &Address {
        &self.0
    }

    /// The name, if it is one within the context.
    pub(crate) fn inproc(&self) -> Option<&Inproc> {
        match &self.0 {
            Address::Inproc(name) => Some(name),
            Address::Tcp(_) | Address::Ipc(_) => None,
        }
    }

    /// Whether a socket can bind here.
    pub(crate) fn check_bind(&self) -> Result<(), EndpointError> {
        match &self.0 {
            Address::Tcp(tcp) => tcp.check_bind(),
            Address::Ipc(ipc) => ipc.check_bind(),
            Address::Inproc(_) => Ok(()),
        }
    }

    /// Whether a socket can connect here.
    pub(crate) fn check_connect(&self) -> Result<(), EndpointError> {
        match &self.0 {
            Address::Tcp(tcp) => tcp.check_connect(),
            Address::Ipc(ipc) => ipc.check_connect(),
            Address::Inproc(_) => Ok(()),
        }
    }
}

/// The endpoint of TCP at this address, such as one that another listener has told.
impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self::from_addr(addr)
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
            Some(("tcp", address)) => Ok(Self(Address::Tcp(address.parse()?))),
            Some(("ipc", _)) if cfg!(not(unix)) => Err(EndpointError::UnsupportedTransport("ipc")),
            Some(("ipc", path)) => Ok(Self(Address::Ipc(path.parse()?))),
            Some(("inproc", name)) => Ok(Self(Address::Inproc(name.parse()?))),
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
        match &self.0 {
            Address::Tcp(tcp) => write!(f, "tcp://{tcp}"),
            Address::Ipc(ipc) => write!(f, "ipc://{ipc}"),
            Address::Inproc(name) => write!(f, "inproc://{name}"),
        }
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
    #[error("unknown transport: endpoints begin with tcp://, ipc:// or inproc://, in lower case")]
    UnknownTransport,
    /// The transport, named here, is one that this version cannot carry, or not on this system.
    #[error("the transport {0}:// is not supported here: use tcp://")]
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
    /// There is no path, or no abstract name behind the `@`.
    #[error("the path is missing: it follows ipc://, as in ipc:///run/app/jobs, or * to bind to a new one")]
    MissingPath,
    /// The path, or the abstract name with its `@`, is longer than the address of a socket can be.
    #[error("a path has at most {max} octets, and so has an abstract name with its @", max = ipc::MAX_PATH)]
    PathTooLong,
    /// `connect` was given the path `*`.
    #[error("* as the path is for bind only: connect to the path that bind returned")]
    ConnectToAnyPath,
    /// `bind` or `connect` was given an abstract name on a system that knows none.
    #[error("abstract names, which begin with @, are known to Linux only: give a path")]
    AbstractName,
    /// There is no name behind `inproc://`.
    #[error("the name is missing: it follows inproc://, as in inproc://jobs")]
    MissingInprocName,
    /// The name behind `inproc://` is longer than 256 octets.
    #[error("a name behind inproc:// has at most 256 octets")]
    InprocNameTooLong,
}

/// Never called: it lets one bound take all that converts to an endpoint, whether or not the conversion can fail.
impl From<Infallible> for EndpointError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use EndpointError::*;
    use quickcheck::{Arbitrary, Gen, quickcheck};

    use super::*;

    pub(super) fn refused(table: &[(&str, EndpointError)]) {
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
            ("IPC://a", UnknownTransport),
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
    fn a_mebibyte_of_anything_is_refused_in_few_words() {
        for unit in ["a", "a.", "[", ":", ";", "0", "*", "%", "://", "\u{fc}", " "] {
            let junk = unit.repeat((1 << 20) / unit.len());
            for text in [
                format!("tcp://{junk}:1"),
                format!("tcp://[{junk}]:1"),
                format!("ipc://{junk}"),
                format!("inproc://{junk}"),
                format!("{junk}://h:1"),
                junk,
            ] {
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
            ("ipc://a", Ok(()), Ok(())),
            ("ipc://*", Ok(()), Err(ConnectToAnyPath)),
            ("inproc://a", Ok(()), Ok(())),
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

    /// Text that gets past the first checks more often than arbitrary text does.
    #[derive(Clone, Debug)]
    struct Likely(String);

    impl Arbitrary for Likely {
        fn arbitrary(g: &mut Gen) -> Self {
            let tokens = [
                "tcp://", "[", "]", "::1", "%", ":", ";", "*", "0", "65535", "10.0.0.1", "h", ".", "-", "\0",
                "@", "/",
            ];
            let transport = *g.choose(&["tcp://", "ipc://", "inproc://"]).unwrap();
            let picks = u8::arbitrary(g) % 12;
            Self(
                (0..picks)
                    .map(|_| *g.choose(&tokens).unwrap())
                    .fold(transport.to_owned(), |text, token| text + token),
            )
        }
    }

    fn prints_what_it_parses(text: &str) -> bool {
        text.parse::<Endpoint>().map_or(true, |endpoint| endpoint.to_string().parse() == Ok(endpoint))
    }

    quickcheck! {
        fn any_text_is_refused_or_printed_back(text: String) -> bool {
            let with = |transport| prints_what_it_parses(&format!("{transport}://{text}"));
            prints_what_it_parses(&text) && ["tcp", "ipc", "inproc"].into_iter().all(with)
        }

        fn likely_text_is_refused_or_printed_back(text: Likely) -> bool {
            prints_what_it_parses(&text.0)
        }
    }
}
