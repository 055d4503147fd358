//! A relay of TCP connections that can stand for a network gone bad: it holds everything up without a word to anybody, or
//! is lost to one side only.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Forwards what comes in at one port to another address, and back.
pub struct Relay {
    at: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stalled: AtomicBool,
    over: AtomicBool,
    links: Mutex<Vec<Arc<Link>>>,
    accepted: AtomicUsize,
}

/// The two halves of a connection.
struct Link {
    near: TcpStream,
    far: TcpStream,
    /// The relay is lost to the near side, which is not told.
    vanished: AtomicBool,
}

impl Relay {
    /// Whoever connects to it is connected to `to`.
    pub fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (at, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let own = shared.clone();
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                if own.over.load(SeqCst) {
                    return;
                }
                if let Ok(far) = TcpStream::connect(to) {
                    own.join(near, far);
                }
            }
        });
        Self { at, shared }
    }

    pub fn endpoint(&self) -> String {
        format!("tcp://{}", self.at)
    }

    /// Forwards nothing any more, neither of the connections there are nor of those that come. Nobody is told, and what is
    /// sent fills the buffers on its way.
    pub fn stall(&self) {
        self.shared.stalled.store(true, SeqCst);
    }

    /// Forwards again, from where it stopped.
    pub fn heal(&self) {
        self.shared.stalled.store(false, SeqCst);
    }

    /// Forwards nothing more of the connections there are, and hangs up on `to`. Who dialled hears nothing of it: half of
    /// the connection is still open.
    pub fn vanish_from_far_side(&self) {
        for link in self.shared.links.lock().unwrap().iter() {
            link.vanished.store(true, SeqCst);
            let _gone_already = link.far.shutdown(Shutdown::Both);
        }
    }

    /// How many connections have come so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, SeqCst);
        drop(TcpStream::connect(self.at)); // so that it is noticed
    }
}

impl Shared {
    fn join(self: &Arc<Self>, near: TcpStream, far: TcpStream) {
        for stream in [&near, &far] {
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(TICK)).unwrap();
            stream.set_write_timeout(Some(TICK)).unwrap();
        }
        let link = Arc::new(Link { near, far, vanished: AtomicBool::new(false) });
        self.links.lock().unwrap().push(link.clone());
        self.accepted.fetch_add(1, SeqCst);
        for back in [false, true] {
            let (own, link) = (self.clone(), link.clone());
            thread::spawn(move || {
                let (from, to) = if back { (&link.far, &link.near) } else { (&link.near, &link.far) };
                let _ended = own.forward(from, to);
                if !link.vanished.load(SeqCst) {
                    let _gone_already = to.shutdown(Shutdown::Both);
                }
            });
        }
    }

    fn forward(&self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            self.wait()?;
            let mut piece = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => &buffer[..len],
                Err(error) if is_tick(&error) => continue,
                Err(error) => return Err(error),
            };
            while !piece.is_empty() {
                self.wait()?;
                match to.write(piece) {
                    Ok(len) => piece = &piece[len..],
                    Err(error) if is_tick(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Waits while the relay is stalled.
    fn wait(&self) -> io::Result<()> {
        while self.stalled.load(SeqCst) && !self.over.load(SeqCst) {
            thread::sleep(TICK);
        }
        if self.over.load(SeqCst) { Err(ErrorKind::NotConnected.into()) } else { Ok(()) }
    }
}

fn is_tick(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// How soon a change is noticed.
const TICK: Duration = Duration::from_millis(5);
