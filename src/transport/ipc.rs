//! Unix domain sockets, through `socket2`.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{self, Path, PathBuf};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::set_buffers;
use super::socket_file::SocketFile;
use crate::endpoint::{Endpoint, Ipc};
use crate::options::Options;
use crate::owner::Owner;
use crate::random;

/// A listener with its place in the file system, which it leaves when it is dropped.
///
/// The file goes before the socket: for as long as the socket is there nobody else's file can pass for its own.
#[derive(Debug)]
pub(crate) struct Listener {
    _file: Option<SocketFile>,
    _dir: Option<TempDir>,
    pub(super) socket: UnixListener,
    at: Ipc,
}

impl Listener {
    /// Where it listens: a path or an abstract name.
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::from_ipc(self.at.clone())
    }
}

/// Listens there. That takes a while if a listener has left its file behind.
pub(crate) fn listen(at: &Ipc, options: &Options) -> io::Result<Listener> {
    if *at != Ipc::Any {
        return listen_at(at.clone(), options);
    }
    let dir = TempDir::new()?;
    let mut listener = listen_at(dir.socket()?, options)?;
    listener._dir = Some(dir);
    Ok(listener)
}

fn listen_at(at: Ipc, options: &Options) -> io::Result<Listener> {
    let addr = address(&at)?;
    let socket = socket(options)?;
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    let file = match &at {
        Ipc::Path(path) => Some(SocketFile::listen(&socket, &addr, Path::new(&**path), backlog)?),
        Ipc::Abstract(_) | Ipc::Any => {
            socket.bind(&addr)?;
            socket.listen(backlog)?;
            None
        }
    };
    Ok(Listener { _file: file, _dir: None, socket: socket.into(), at })
}

/// Accepts a connection.
pub(super) fn accept(listener: &Listener, options: &Options) -> io::Result<UnixStream> {
    let (stream, _) = listener.socket.accept()?;
    // Unlike those of TCP, they do not come with the buffer sizes of the listener.
    let configured =
        stream.set_nonblocking(true).and_then(|()| set_buffers(&SockRef::from(&stream), options));
    configured.map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
    Ok(stream)
}

/// Connects, or fails, at once. A listener whose backlog is full counts as a failure, with the error `WouldBlock`: the
/// system does not go on with it by itself.
pub(super) fn dial(at: &Ipc, options: &Options) -> io::Result<UnixStream> {
    let socket = socket(options)?;
    socket.connect(&address(at)?)?;
    Ok(socket.into())
}

fn socket(options: &Options) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    set_buffers(&socket, options)?;
    Ok(socket)
}

fn address(at: &Ipc) -> io::Result<SockAddr> {
    match at {
        Ipc::Path(path) => SockAddr::unix(&**path),
        Ipc::Abstract(name) => SockAddr::unix(format!("\0{name}")),
        Ipc::Any => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// A new directory that nobody else may look into, removed when this is dropped.
#[derive(Debug)]
struct TempDir(PathBuf, Owner);

impl TempDir {
    fn new() -> io::Result<Self> {
        let path = path::absolute(env::temp_dir())?.join(format!("ferromq-{:016x}", random::seed()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path, Owner::current()))
    }

    /// Where a socket in it is.
    fn socket(&self) -> io::Result<Ipc> {
        let path = self.0.join("socket");
        let path = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        path.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if self.1.is_another() {
            return;
        }
        if let Err(error) = fs::remove_dir(&self.0) {
            log::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_as_large_as_was_asked_for_on_both_sides() {
        let options = Options { send_buffer: Some(20_000), recv_buffer: Some(30_000), ..Options::default() };
        let listener = listen(&Ipc::Any, &options).unwrap();
        let dialled = dial(&listener.at, &options).unwrap();
        let accepted = accept(&listener, &options).unwrap();
        for stream in [&dialled, &accepted] {
            let stream = SockRef::from(stream);
            // Linux doubles what it is asked for.
            let [send, recv] = [stream.send_buffer_size().unwrap(), stream.recv_buffer_size().unwrap()];
            assert!([20_000, 40_000].contains(&send) && [30_000, 60_000].contains(&recv), "{send}, {recv}");
        }
    }

    #[test]
    fn a_full_backlog_is_a_failure() {
        let options = Options { backlog: 1, ..Options::default() };
        let listener = listen(&Ipc::Any, &options).unwrap();
        let (mut waiting, mut refused) = (Vec::new(), None);
        while refused.is_none() {
            assert!(waiting.len() < 10, "the backlog has no end");
            match dial(&listener.at, &options) {
                Ok(stream) => waiting.push(stream),
                Err(error) => refused = Some(error.kind()),
            }
        }
        assert!(matches!(refused, Some(io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused)));
        for _ in waiting {
            accept(&listener, &options).unwrap();
        }
        dial(&listener.at, &options).unwrap();
    }
}
