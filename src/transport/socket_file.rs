//! [`SocketFile`]: what a listener on a path has in the file system.
//!
//! Binding makes the file and closing the socket leaves it there, where it keeps others from binding. So it is removed
//! with its listener; and when a listener was killed, the next one takes its place.

use std::collections::hash_map::RandomState;
use std::fs::{self, Metadata};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{self, Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use socket2::{Domain, SockAddr, Socket, Type};

/// The file of a socket that is bound, removed when this is dropped, which is to be before the socket is closed.
#[derive(Debug)]
pub(super) struct SocketFile {
    /// Absolute, for the current directory may change.
    path: PathBuf,
    inode: Inode,
}

/// Tells a file from all others as long as it exists, and that of a socket exists as long as the socket does.
type Inode = (u64, u64);

impl SocketFile {
    /// Binds the socket to an address, which is that of the path. The file of a listener that is no more gives way.
    pub(super) fn bind(socket: &Socket, addr: &SockAddr, path: &Path) -> io::Result<Self> {
        let absolute = path::absolute(path)?;
        match socket.bind(addr) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                match remove_stale(path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {} // somebody else has removed it
                    removed => removed?,
                }
                socket.bind(addr)?;
            }
            bound => bound?,
        }
        let inode = inode(&fs::symlink_metadata(&absolute)?);
        Ok(Self { path: absolute, inode })
    }

    /// Whether the file is still there, now that the socket listens. Somebody may just have moved it aside and, having
    /// seen what it is, be about to put it back.
    pub(super) fn stays(&self) -> bool {
        let until = Instant::now() + GRACE;
        while !self.is_there() {
            if Instant::now() > until {
                return false;
            }
            thread::sleep(GRACE / 100);
        }
        true
    }

    /// Whether the file is where it was made, and no other one is.
    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| inode(&found) == self.inode)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_there() {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Removes what a listener that is no more has left behind; an error if there is anything else.
///
/// Others may be about the same. One that has bound and does not listen yet looks as if it were no more, and is given
/// some time. One that was faster may have its own file there meanwhile, so the file is moved to where nobody else looks
/// for it, and only there it is certain which one it is.
fn remove_stale(path: &Path) -> io::Result<()> {
    let aside = path.with_file_name(format!(".{:08x}", random() as u32));
    let found = find_stale(path)?;
    SockAddr::unix(&aside)?; // where it could not be looked at again it is not moved
    thread::sleep(GRACE);
    if find_stale(path)? != found {
        return Err(in_use());
    }
    fs::rename(path, &aside)?;
    if find_stale(&aside).is_ok_and(|moved| moved == found) {
        return fs::remove_file(&aside);
    }
    put_back(&aside, path);
    Err(in_use())
}

/// Looks for a socket that nobody listens on. It is known by its inode and, since the number of an inode is given again,
/// by its time.
fn find_stale(path: &Path) -> io::Result<(Inode, SystemTime)> {
    let found = fs::symlink_metadata(path)?;
    if !found.file_type().is_socket() {
        return Err(in_use());
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?; // a listener with a full backlog shall not keep us waiting
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Ok((inode(&found), found.modified()?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        _ => Err(in_use()),
    }
}

/// Undoes a move, unless there is something new by now. A link, unlike a move, does not replace that.
fn put_back(aside: &Path, path: &Path) {
    let restored = match fs::hard_link(aside, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => fs::rename(aside, path), // there are no links
        _ => fs::remove_file(aside),
    };
    if let Err(error) = restored {
        log::warn!("cannot move {} back to {}: {error}", aside.display(), path.display());
    }
}

fn inode(found: &Metadata) -> Inode {
    (found.dev(), found.ino())
}

pub(super) fn in_use() -> io::Error {
    io::ErrorKind::AddrInUse.into()
}

/// A number for a name that nobody else has.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// How long binding and listening may lie apart, or moving a file and putting it back. It is waited for only where
/// something was left behind.
const GRACE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_was_moved_goes_back_where_nothing_is() {
        let dir = std::env::temp_dir().join(format!("ferromq-test-{:016x}", random()));
        fs::create_dir(&dir).unwrap();
        let (path, aside) = (dir.join("socket"), dir.join("aside"));
        let listener = UnixListener::bind(&aside).unwrap();
        put_back(&aside, &path);
        assert!(path.exists() && !aside.exists());
        assert_eq!(find_stale(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse, "it listens");

        drop(listener);
        let left = find_stale(&path).unwrap();
        let _listener = UnixListener::bind(&aside).unwrap();
        put_back(&aside, &path);
        assert_eq!(find_stale(&path).unwrap(), left, "what was there has stayed");
        assert!(!aside.exists());
        fs::remove_dir_all(&dir).unwrap();
    }
}
