//! [`SocketFile`]: what a listener on a path has in the file system.
//!
//! Binding makes the file and closing the socket leaves it there, where it keeps others from binding. So it is removed
//! with its listener; and when a listener was killed, the next one takes its place.

use std::fs::{self, Metadata};
use std::io;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{self, Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use socket2::{Domain, SockAddr, Socket, Type};

#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::clock;
use crate::owner::Owner;

/// The file of a socket that is bound, removed when this is dropped, which is to be before the socket is closed. A
/// fork leaves it alone.
#[derive(Debug)]
pub(super) struct SocketFile {
    /// Absolute, for the current directory may change.
    path: PathBuf,
    inode: Inode,
    owner: Owner,
}

/// Tells a file from all others as long as it exists, and that of a socket exists as long as the socket does.
type Inode = (u64, u64);

impl SocketFile {
    /// Binds the socket to an address, which is that of the path, and listens. The file of a listener that is no more
    /// gives way.
    ///
    /// A socket that is bound and does not listen yet looks like one that is no more, and a file that has been looked at
    /// may be another's when it is removed. So only one at a time does any of that in a directory.
    pub(super) fn listen(socket: &Socket, addr: &SockAddr, path: &Path, backlog: i32) -> io::Result<Self> {
        let path = path::absolute(path)?;
        let _claim = Claim::on_directory_of(&path)?;
        match socket.bind(addr) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                match remove_stale(&path, addr) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {} // its listener has removed it
                    removed => removed?,
                }
                socket.bind(addr)?;
            }
            bound => bound?,
        }
        let inode = inode(&fs::symlink_metadata(&path)?);
        let file = Self { path, inode, owner: Owner::current() };
        socket.listen(backlog)?;
        Ok(file)
    }

    /// Whether the file is where it was made, and no other one is.
    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| inode(&found) == self.inode)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.owner.is_another() || !self.is_there() {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Removes what a listener that is no more has left behind; an error if there is anything else.
///
/// Programs that are not of ours make no [`Claim`]: one of theirs that has bound and does not listen yet is given some
/// time.
fn remove_stale(path: &Path, addr: &SockAddr) -> io::Result<()> {
    let found = find_stale(path, addr)?;
    thread::sleep(GRACE);
    if find_stale(path, addr)? != found {
        return Err(in_use());
    }
    fs::remove_file(path)
}

/// Keeps others from binding in a directory at the same time. It ends with its process, however that ends.
///
/// On Linux it is an abstract name, made of the directory's inode; there may be none in a sandbox, and those of two network
/// namespaces do not know of each other. Anybody on the machine can have it, so that after some time it does without.
/// Elsewhere it is a lock on the directory.
struct Claim {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    _name: Option<Socket>,
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    _lock: Option<fs::File>,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Claim {
    /// Waits until it is the turn of the caller.
    fn on_directory_of(path: &Path) -> io::Result<Self> {
        let (dev, ino) = inode(&fs::metadata(path.parent().unwrap_or(path))?);
        let addr = SockAddr::unix(format!("\0ferromq-{dev:x}-{ino:x}"))?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let until = clock::now() + PATIENCE;
        loop {
            match socket.bind(&addr) {
                Ok(()) => return Ok(Self { _name: Some(socket) }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && clock::now() < until => {
                    thread::sleep(PAUSE);
                }
                Err(error) => {
                    log::warn!("binding to {} with no claim on its directory: {error}", path.display());
                    return Ok(Self { _name: None });
                }
            }
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Claim {
    /// Waits until it is the turn of the caller.
    fn on_directory_of(path: &Path) -> io::Result<Self> {
        let mut options = fs::OpenOptions::new();
        options.read(true).custom_flags(EXCLUSIVE);
        let lock = options.open(path.parent().unwrap_or(path));
        if let Err(error) = &lock {
            log::debug!("binding to {} with no claim on its directory: {error}", path.display());
        }
        Ok(Self { _lock: lock.ok() })
    }
}

/// `O_EXLOCK`, the same on macOS and the BSDs, for which the standard library has no name.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const EXCLUSIVE: i32 = 0x20;

/// Looks for a socket that nobody listens on, at the address of the path, which is relative where an absolute one would be
/// too long. It is known by its inode and, since the number of an inode is given again, by its time.
fn find_stale(path: &Path, addr: &SockAddr) -> io::Result<(Inode, SystemTime)> {
    let found = fs::symlink_metadata(path)?;
    if !found.file_type().is_socket() {
        return Err(in_use());
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?; // a listener with a full backlog shall not keep us waiting
    match probe.connect(addr) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Ok((inode(&found), found.modified()?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        _ => Err(in_use()),
    }
}

fn inode(found: &Metadata) -> Inode {
    (found.dev(), found.ino())
}

fn in_use() -> io::Error {
    io::ErrorKind::AddrInUse.into()
}

/// How long binding and listening may lie apart. It is waited for only where something was left behind.
const GRACE: Duration = Duration::from_millis(100);

/// How long others may take to bind in a directory, and how often to look.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PATIENCE: Duration = Duration::from_secs(5);
#[cfg(any(target_os = "linux", target_os = "android"))]
const PAUSE: Duration = Duration::from_millis(1);
