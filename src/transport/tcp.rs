//! TCP, through `socket2`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use super::set_buffers;
use crate::endpoint::{Host, Tcp};
use crate::options::Options;

/// The addresses to bind to, in the order in which to try them. A name is looked up, which blocks.
pub(crate) fn bind_addresses(endpoint: &Tcp, options: &Options) -> io::Result<Vec<SocketAddr>> {
    match &endpoint.host {
        Host::Any if options.ipv6 => Ok(vec![(Ipv6Addr::UNSPECIFIED, endpoint.port).into()]),
        Host::Any => Ok(vec![(Ipv4Addr::UNSPECIFIED, endpoint.port).into()]),
        _ => addresses(endpoint, options.ipv6),
    }
}

/// The addresses of an endpoint. A name is looked up, which blocks.
pub(super) fn addresses(endpoint: &Tcp, ipv6: bool) -> io::Result<Vec<SocketAddr>> {
    if let Some(addr) = endpoint.addr() {
        return Ok(vec![addr]);
    }
    let Host::Name(name) = &endpoint.host else { return Err(io::ErrorKind::InvalidInput.into()) };
    let source = endpoint.source;
    let found: Vec<SocketAddr> = (&**name, endpoint.port)
        .to_socket_addrs()?
        .filter(|addr| match source {
            Some(source) => addr.is_ipv4() == source.is_ipv4(),
            None => ipv6 || addr.is_ipv4(),
        })
        .collect();
    if found.is_empty() {
        Err(io::Error::new(io::ErrorKind::NotFound, "the name has no suitable address"))
    } else {
        Ok(found)
    }
}

/// Listens on the first of the addresses that can be listened on.
pub(crate) fn listen_on_any(addresses: &[SocketAddr], options: &Options) -> io::Result<TcpListener> {
    let mut refused = io::ErrorKind::NotFound.into();
    for &addr in addresses {
        match listen(addr, options) {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Listens on the address.
fn listen(addr: SocketAddr, options: &Options) -> io::Result<TcpListener> {
    let socket = socket(addr)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // On Unix this allows the address of connections that are still being wound up, and not a second listener.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    set_buffers(&socket, options)?;
    socket.bind(&addr.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Accepts a connection.
pub(super) fn accept(listener: &TcpListener, options: &Options) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, addr) = listener.accept()?;
    let configured = stream.set_nonblocking(true).and_then(|()| configure(&SockRef::from(&stream), options));
    // This fails when the peer has gone already, and says nothing of the next connection.
    configured.map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
    Ok((stream, addr))
}

/// Begins to connect: see [`super::Target::dial`].
pub(super) fn dial(addr: SocketAddr, source: Option<SocketAddr>, options: &Options) -> io::Result<TcpStream> {
    let socket = socket(addr)?;
    set_buffers(&socket, options)?;
    configure(&SockRef::from(&socket), options)?;
    if let Some(source) = source {
        // So that one source port can serve several destinations.
        socket.set_reuse_address(true)?;
        socket.bind(&source.into())?;
    }
    match socket.connect(&SockAddr::from(addr)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        #[cfg(unix)]
        Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

/// Whether a stream that was being connected is, or why not.
pub(super) fn connected(stream: &TcpStream) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    let peer = stream.peer_addr()?;
    if stream.local_addr()? == peer {
        // Dialling a free ephemeral port of this machine, the system may pick the very same port for our own side and
        // connect the socket with itself.
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "connected to itself"));
    }
    Ok(())
}

fn socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn configure(socket: &SockRef<'_>, options: &Options) -> io::Result<()> {
    // What should be gathered is gathered by us; what we write is meant to leave.
    socket.set_tcp_nodelay(true)?;
    let keepalive = &options.keepalive;
    if keepalive.enabled {
        let times = TcpKeepalive::new().with_time(keepalive.idle).with_interval(keepalive.interval);
        socket.set_tcp_keepalive(&times.with_retries(keepalive.retries))?;
    }
    #[cfg(target_os = "linux")]
    if options.tcp_user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.tcp_user_timeout)?;
    }
    Ok(())
}

/// `EINPROGRESS`, for which the standard library has no stable name on the oldest compiler we support.
#[cfg(any(target_os = "linux", target_os = "android"))]
const IN_PROGRESS: i32 = 115;
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const IN_PROGRESS: i32 = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_is_told_how_long_to_try() {
        use std::time::Duration;

        let set = Some(Duration::from_millis(1234));
        for (given, expected) in [(set, set), (None, None)] {
            let options = Options { tcp_user_timeout: given, ..Options::default() };
            let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), &options).expect("loopback is there");
            let addr = listener.local_addr().expect("it is bound");
            let dialled = dial(addr, None, &options).expect("loopback is there");
            let accepted = loop {
                match accept(&listener, &options) {
                    Ok((stream, _)) => break stream,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            };
            for stream in [dialled, accepted] {
                let timeout = SockRef::from(&stream).tcp_user_timeout().expect("it is a socket");
                assert_eq!(timeout, expected);
            }
        }
    }

    #[test]
    fn listens_and_connects_on_both_families() {
        let options = Options { ipv6: true, ..Options::default() };
        for addr in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = listen(addr.parse().expect("a literal address"), &options) else {
                assert!(addr.starts_with('['), "IPv4 is always there");
                continue;
            };
            let stream =
                dial(listener.local_addr().expect("it is bound"), None, &options).expect("loopback is there");
            assert!(stream.nodelay().expect("it is a socket"));
        }
    }
}
