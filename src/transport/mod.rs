//! Byte streams and where they come from. Nothing here knows what the octets mean.

pub(crate) mod ipc;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod memory;
mod socket_file;
pub(crate) mod tcp;

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::Socket;

use crate::endpoint::{Address, Endpoint, Ipc};
use crate::error::BindError;
use crate::options::Options;

/// Where streams come from.
#[derive(Clone, Debug, Default)]
pub(crate) enum Network {
    /// The operating system.
    #[default]
    System,
    /// A simulation.
    #[cfg(any(test, feature = "fuzzing"))]
    Memory(memory::Node),
}

impl Network {
    /// Listens on an endpoint, and tells which one that is when there was a choice.
    pub(crate) fn listen(
        &self,
        endpoint: &Endpoint,
        options: &Options,
    ) -> Result<(Listener, Endpoint), BindError> {
        let resolve = |source| BindError::Resolve { endpoint: endpoint.clone(), source };
        let listen = |source| BindError::Listen { endpoint: endpoint.clone(), source };
        let listener = match (self, endpoint.address()) {
            (Self::System, Address::Tcp(tcp)) => {
                let addresses = tcp::bind_addresses(tcp, options).map_err(resolve)?;
                tcp::listen_on_any(&addresses, options).map(Listener::Tcp)
            }
            (Self::System, Address::Ipc(at)) => ipc::listen(at, options).map(Listener::Ipc),
            #[cfg(any(test, feature = "fuzzing"))]
            (Self::Memory(node), Address::Tcp(tcp)) => {
                let addr = tcp.addr().ok_or_else(|| io::ErrorKind::Unsupported.into());
                addr.and_then(|addr| node.listen(addr)).map(Listener::Memory)
            }
            #[cfg(any(test, feature = "fuzzing"))]
            (Self::Memory(_), Address::Ipc(_)) => Err(io::ErrorKind::Unsupported.into()),
            (_, Address::Inproc(_)) => Err(io::ErrorKind::Unsupported.into()),
        };
        let listener = listener.map_err(listen)?;
        let bound = listener.endpoint().map_err(listen)?;
        Ok((listener, bound))
    }

    /// The target of an endpoint, unless a name has to be looked up to know it.
    pub(crate) fn target(&self, endpoint: &Endpoint) -> Option<Target> {
        match self {
            Self::System => Target::of(endpoint),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Memory(node) => {
                let Address::Tcp(tcp) = endpoint.address() else { return None };
                tcp.addr().map(|addr| Target::Memory { addr, source: tcp.source, node: node.clone() })
            }
        }
    }
}

/// What the poll reports of a stream or a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer sends no more, or there is an error to be read.
    pub(crate) over: bool,
}

impl From<&Event> for News {
    #[inline]
    fn from(event: &Event) -> Self {
        let over = event.is_read_closed() || event.is_error();
        Self { readable: event.is_readable(), writable: event.is_writable(), over }
    }
}

/// What one attempt to connect is made to.
#[derive(Debug)]
pub(crate) enum Target {
    Tcp {
        addr: SocketAddr,
        source: Option<SocketAddr>,
    },
    Ipc(Ipc),
    #[cfg(any(test, feature = "fuzzing"))]
    Memory {
        addr: SocketAddr,
        source: Option<SocketAddr>,
        node: memory::Node,
    },
}

/// A connected stream, or one that is about to be. It never blocks.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Ipc(UnixStream),
    #[cfg(any(test, feature = "fuzzing"))]
    Memory(memory::Stream),
}

/// Something that accepts streams. It never blocks.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Ipc(ipc::Listener),
    #[cfg(any(test, feature = "fuzzing"))]
    Memory(memory::Listener),
}

impl Target {
    /// The target of an endpoint, unless a name has to be looked up to know it.
    fn of(endpoint: &Endpoint) -> Option<Self> {
        match endpoint.address() {
            Address::Tcp(tcp) => tcp.addr().map(|addr| Self::Tcp { addr, source: tcp.source }),
            Address::Ipc(at) => Some(Self::Ipc(at.clone())),
            Address::Inproc(_) => None,
        }
    }

    /// The targets of an endpoint, in the order in which to try them. A name is looked up, which blocks.
    pub(crate) fn look_up(endpoint: &Endpoint, ipv6: bool) -> io::Result<Vec<Self>> {
        let Address::Tcp(tcp) = endpoint.address() else {
            return Ok(Self::of(endpoint).into_iter().collect());
        };
        let found = tcp::addresses(tcp, ipv6)?;
        Ok(found.into_iter().map(|addr| Self::Tcp { addr, source: tcp.source }).collect())
    }

    /// Where that is.
    pub(crate) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Tcp { addr, .. } => Endpoint::from_addr(*addr),
            Self::Ipc(at) => Endpoint::from_ipc(at.clone()),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Memory { addr, .. } => Endpoint::from_addr(*addr),
        }
    }

    /// Begins to connect. The outcome shows when the stream becomes writable.
    pub(crate) fn dial(&self, options: &Options) -> io::Result<Stream> {
        match self {
            Self::Tcp { addr, source } => tcp::dial(*addr, *source, options).map(Stream::Tcp),
            Self::Ipc(at) => ipc::dial(at, options).map(Stream::Ipc),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Memory { addr, source, node } => node.dial(*addr, *source).map(Stream::Memory),
        }
    }
}

impl Stream {
    pub(crate) fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match (self, slices) {
            // One plain buffer is by far the commonest, and the plain call is the cheaper one.
            (Self::Tcp(stream), [slice]) => (&*stream).write(slice),
            (Self::Tcp(stream), slices) => (&*stream).write_vectored(slices),
            (Self::Ipc(stream), [slice]) => (&*stream).write(slice),
            (Self::Ipc(stream), slices) => (&*stream).write_vectored(slices),
            #[cfg(any(test, feature = "fuzzing"))]
            (Self::Memory(stream), slices) => stream.write(slices),
        };
        // A stream that takes nothing without saying why would be tried for ever.
        match written {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            written => written,
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Ipc(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Memory(stream) => stream.finish(),
        }
    }

    /// Where our end is; none if it has no name.
    pub(crate) fn local(&self) -> Option<Endpoint> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok().map(Endpoint::from_addr),
            Self::Ipc(_) => None,
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Memory(_) => None,
        }
    }

    /// Whether a connection that was being made has come about, or why not.
    pub(crate) fn connected(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => tcp::connected(stream),
            Self::Ipc(_) => Ok(()), // or it would not be there
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Memory(stream) => stream.connected(),
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).read(buffer),
            Stream::Ipc(stream) => (&*stream).read(buffer),
            #[cfg(any(test, feature = "fuzzing"))]
            Stream::Memory(stream) => stream.read(buffer),
        }
    }
}

impl Listener {
    /// The endpoint it listens on, with nothing left open.
    pub(crate) fn endpoint(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Endpoint::from_addr),
            Self::Ipc(listener) => Ok(listener.endpoint()),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Memory(listener) => Ok(Endpoint::from_addr(listener.addr())),
        }
    }

    /// Accepts one connection, ready for use, and tells where it comes from.
    pub(crate) fn accept(&self, options: &Options) -> io::Result<(Stream, Endpoint)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, addr) = tcp::accept(listener, options)?;
                Ok((Stream::Tcp(stream), Endpoint::from_addr(addr)))
            }
            // Who dials has no name, as a rule.
            Self::Ipc(listener) => Ok((Stream::Ipc(ipc::accept(listener, options)?), listener.endpoint())),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Memory(listener) => {
                let (stream, addr) = listener.accept()?;
                Ok((Stream::Memory(stream), Endpoint::from_addr(addr)))
            }
        }
    }
}

/// What the poll can report on.
pub(crate) trait Watched {
    /// The descriptor by which the system knows it; a simulated one has none, and takes note of the token by itself.
    fn watched(&self, token: Token) -> Option<RawFd>;
}

impl Watched for Stream {
    fn watched(&self, _token: Token) -> Option<RawFd> {
        match self {
            Self::Tcp(stream) => Some(stream.as_raw_fd()),
            Self::Ipc(stream) => Some(stream.as_raw_fd()),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Memory(stream) => stream.watch(_token),
        }
    }
}

impl Watched for Listener {
    fn watched(&self, _token: Token) -> Option<RawFd> {
        match self {
            Self::Tcp(listener) => Some(listener.as_raw_fd()),
            Self::Ipc(listener) => Some(listener.socket.as_raw_fd()),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Memory(listener) => listener.watch(_token),
        }
    }
}

/// Buffer sizes count for a connection of TCP only when they are set before it is made, on the listener for accepted
/// ones.
fn set_buffers(socket: &Socket, options: &Options) -> io::Result<()> {
    if let Some(octets) = options.send_buffer {
        socket.set_send_buffer_size(octets)?;
    }
    if let Some(octets) = options.recv_buffer {
        socket.set_recv_buffer_size(octets)?;
    }
    Ok(())
}

/// Has the poll report on a stream or a listener, edge-triggered, until its descriptor is closed.
///
/// Closing ends the watch by itself, since no descriptor here is ever duplicated.
pub(crate) fn watch(
    registry: &Registry,
    source: &impl Watched,
    token: Token,
    interests: Interest,
) -> io::Result<()> {
    match source.watched(token) {
        Some(fd) => registry.register(&mut SourceFd(&fd), token, interests),
        None => Ok(()),
    }
}

/// Changes what the poll reports, and under which token.
pub(crate) fn rewatch(
    registry: &Registry,
    source: &impl Watched,
    token: Token,
    interests: Interest,
) -> io::Result<()> {
    match source.watched(token) {
        Some(fd) => registry.reregister(&mut SourceFd(&fd), token, interests),
        None => Ok(()),
    }
}
