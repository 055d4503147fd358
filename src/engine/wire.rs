//! A connection with its stream: [`Wire`] is the half that any thread may write with, [`Link`] the whole as the reactor
//! keeps it.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mio::{Interest, Token};

use super::linger::Lingering;
use super::{Command, Setup, Shared};
use crate::endpoint::Endpoint;
use crate::limit::Limit;
use crate::lock::lock;
use crate::monitor::{Event, Remote};
use crate::peer::{Carrier, Host, Rejection};
use crate::pipe::Wakes;
use crate::session::{End, Outgoing, Progress, Scratch, Session};
use crate::slots::Id;
use crate::transport::{News, Stream, rewatch};
use crate::zmtp::{Config, SocketType};

/// A stream and what is to be written to it.
pub(crate) struct Wire {
    stream: Stream,
    writing: Mutex<Writing>,
    host: Arc<dyn Host>,
    /// Where the other end is.
    address: Endpoint,
    /// Where it was accepted, if it was.
    listener: Option<Endpoint>,
    /// The link this is the writing half of.
    link: Id,
    shared: Arc<Shared>,
}

/// The writing half of a connection.
#[derive(Default)]
struct Writing {
    outgoing: Outgoing,
    /// The poll tells when the stream takes octets again. It is asked to only once the stream has refused some: a Unix
    /// socket has such news whenever its peer reads, which wakes whoever waits for an answer, for nothing.
    awaits_room: bool,
}

impl Wire {
    /// Runs `change` on the writing half, then writes what can be written, of what the protocol has to say, too.
    fn speak_after(&self, session: &mut Session, change: impl FnOnce(&mut Outgoing)) {
        self.pump_after(|outgoing| {
            change(outgoing);
            outgoing.offer(session)
        });
        // What arose while earlier words were stuck comes after them.
        while session.has_output() && self.pump_after(|outgoing| outgoing.offer(session)) {}
    }

    /// Runs `change` on the writing half, then writes what can be written.
    fn pump_after<T>(&self, change: impl FnOnce(&mut Outgoing) -> T) -> T {
        let mut wakes = Wakes::default();
        let mut writing = lock(&self.writing);
        let Writing { outgoing, awaits_room } = &mut *writing;
        let changed = change(outgoing);
        let mut result =
            outgoing.pump(&*self.host, &mut |slices| self.stream.write_vectored(slices), &mut wakes);
        if outgoing.is_blocked() {
            result = self.await_room(awaits_room, true).and(result);
        }
        if result.is_err() {
            wakes.append(outgoing.lose(&*self.host));
        }
        drop(writing);
        wakes.wake();
        match result {
            Ok(false) => {}
            Ok(true) => self.shared.command(Command::Pump(self.link)),
            Err(error) => self.shared.command(Command::Broken(self.link, error)),
        }
        changed
    }

    /// Has the poll tell when the stream takes octets, also if it does so by now; or has it no longer do so.
    fn await_room(&self, awaits: &mut bool, wanted: bool) -> io::Result<()> {
        if *awaits != wanted {
            let interests = if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            rewatch(&self.shared.registry, &self.stream, Token(self.link.to_bits()), interests)?;
            *awaits = wanted;
        }
        Ok(())
    }

    /// Nothing waits for room, and the poll need not tell of any.
    fn need_no_room(&self) {
        let Writing { outgoing, awaits_room } = &mut *lock(&self.writing);
        if !outgoing.is_blocked() {
            // At worst it goes on telling.
            let _ = self.await_room(awaits_room, false);
        }
    }
}

impl Carrier for Wire {
    /// The one way in which a caller's thread writes. Octets from a fork would end up amidst those of its parent.
    fn pump(&self) {
        if !self.shared.owner.is_another() {
            self.pump_after(|_| {});
        }
    }

    fn trim(&self) {
        lock(&self.writing).outgoing.trim();
    }

    fn resume(&self) {
        self.shared.resume(self.link);
    }

    fn hang_up(&self) {
        self.shared.command(Command::HangUp(self.link));
    }

    fn address(&self) -> Endpoint {
        self.address.clone()
    }

    fn local(&self) -> Option<Endpoint> {
        self.stream.local()
    }

    fn listener(&self) -> Option<Endpoint> {
        self.listener.clone()
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    Dialer(Id),
    Listener(Id),
}

impl Origin {
    pub(crate) fn id(self) -> Id {
        let (Self::Dialer(id) | Self::Listener(id)) = self;
        id
    }
}

/// One connection, as the reactor keeps it.
pub(crate) struct Link {
    pub(crate) origin: Origin,
    /// Whether the link stands in the reactor's list of those to be read.
    pub(crate) listed: bool,
    /// What `connect` was given, if it asked for this.
    endpoint: Option<Endpoint>,
    wire: Arc<Wire>,
    carrier: Arc<dyn Carrier>,
    stage: Stage,
    inflow: Inflow,
}

#[expect(clippy::large_enum_variant, reason = "the link is boxed, and talks for nearly all of its life")]
enum Stage {
    Talking(Session),
    /// Everything is written and the peer was told so; whatever it still sends is thrown away until it hangs up, too.
    Leaving {
        until: Option<Instant>,
        _lingering: Lingering,
    },
}

/// What is known of the octets on their way in.
#[derive(Default)]
struct Inflow {
    /// There may be something to read. The poll reports only changes, so this must be remembered.
    readable: bool,
    /// The peer sends no more, or an error lies in wait: a short read does not mean that all is read.
    hung_up: bool,
    /// Writing has failed. What has come in is still read.
    broken: Option<io::Error>,
    /// The socket has taken messages out of its full inbox.
    resumed: bool,
}

/// What came of reading a link once.
#[derive(Default)]
pub(crate) struct Seen {
    /// There may be more to read at once.
    pub(crate) again: bool,
    /// The handshake has just been completed.
    pub(crate) attached: bool,
}

impl Link {
    /// A link for a stream that has just been connected.
    pub(crate) fn new(stream: Stream, link: Id, from: Source<'_>, now: Instant) -> Self {
        let Source { origin, dialled, listener, address, setup, shared } = from;
        let (peer, endpoint) = dialled.unzip();
        let host = setup.host.clone();
        // A PAIR has its one peer, and a ROUTER none other of the same routing id: both may have to turn it away.
        let turns_away = matches!(setup.config.socket_type, SocketType::Pair | SocketType::Router);
        let answers = turns_away && peer.is_none();
        let config = Config { answers, ..setup.config.clone() };
        let session = Session::new(&config, host.clone(), peer, now);
        let (writing, shared) = (Mutex::default(), shared.clone());
        let wire = Arc::new(Wire { stream, writing, host, address, listener, link, shared });
        Self {
            origin,
            listed: false,
            endpoint,
            carrier: wire.clone(),
            wire,
            stage: Stage::Talking(session),
            inflow: Inflow::default(),
        }
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.wire.stream
    }

    /// Where the other end is.
    pub(crate) fn address(&self) -> &Endpoint {
        &self.wire.address
    }

    /// Takes note of what the poll reported, and goes on writing. True if there may be something to read.
    pub(crate) fn note(&mut self, news: News) -> bool {
        self.inflow.hung_up |= news.over;
        self.inflow.readable |= news.readable || self.inflow.hung_up;
        if news.writable && self.is_held_up() {
            self.unblock();
        } else if news.writable {
            self.wire.need_no_room();
        }
        self.inflow.readable
    }

    /// The socket has made room in its inbox.
    pub(crate) fn resume(&mut self) {
        self.inflow.resumed = true;
    }

    /// Writing has failed.
    pub(crate) fn break_off(&mut self, error: io::Error) {
        self.inflow.broken = Some(error);
        self.inflow.readable = true;
    }

    /// Reads once, if there is something to read and somebody to take it.
    pub(crate) fn read(&mut self, scratch: &mut Scratch, now: Instant) -> Result<Seen, End> {
        let Stage::Talking(session) = &mut self.stage else {
            self.inflow.discard(&self.wire.stream, scratch)?;
            return Ok(Seen { again: self.inflow.readable, attached: false });
        };
        let before = session.peer();
        let result = self.inflow.read(session, &self.wire.stream, (scratch, &self.carrier), now);
        let newcomer = session.peer().filter(|_| before.is_none());
        let (paused, reached) = (session.is_paused(), session.poll_limit());
        // Also when reading has failed: a peer that is refused is told why, if only the stream takes it.
        if newcomer.is_some() || session.has_output() {
            let minor = session.minor();
            self.wire.speak_after(session, |outgoing| {
                newcomer.into_iter().for_each(|peer| outgoing.attach(peer, minor));
            });
        }
        if let Some(limit) = reached {
            self.wire.host.limit_reached(limit, &|| self.remote()).wake();
        }
        result?;
        Ok(Seen { again: self.inflow.readable && !paused, attached: newcomer.is_some() })
    }

    /// Writes on, now that the stream takes octets: at first the greeting.
    pub(crate) fn unblock(&mut self) {
        match &mut self.stage {
            Stage::Talking(session) => self.wire.speak_after(session, Outgoing::unblock),
            Stage::Leaving { .. } => {}
        }
    }

    /// Whether something waits for the stream to take octets. The poll says that it takes some whenever it says anything
    /// else, until nothing has waited for it.
    fn is_held_up(&self) -> bool {
        match &self.stage {
            Stage::Talking(session) => session.has_output() || lock(&self.wire.writing).outgoing.is_blocked(),
            Stage::Leaving { .. } => false,
        }
    }

    /// When [`Link::expire`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Talking(session) => session.poll_timeout(),
            Stage::Leaving { until, .. } => *until,
        }
    }

    pub(crate) fn expire(&mut self, now: Instant) -> Result<(), End> {
        let Stage::Talking(session) = &mut self.stage else { return Err(End::Closed) };
        let spoken = lock(&self.wire.writing).outgoing.spoken();
        session.handle_timeout(now, spoken)?;
        if session.has_output() {
            self.wire.speak_after(session, |_| {});
        }
        Ok(())
    }

    /// Whether the socket has a peer in it.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(&self.stage, Stage::Talking(session) if session.peer().is_some())
    }

    /// Says farewell: the socket has nothing more to send, and wants nothing more. A peer that was still in its
    /// handshake is owed none.
    pub(crate) fn leave(&mut self, lingering: Lingering, now: Instant) -> Result<(), End> {
        if !self.is_ready() {
            return Err(End::HungUp);
        }
        self.over(&End::HungUp).wake();
        self.stage = Stage::Leaving { until: now.checked_add(FAREWELL), _lingering: lingering };
        self.inflow.readable = true;
        Ok(self.wire.stream.finish()?)
    }

    /// The link is over: its socket is told, and has back what was not written.
    pub(crate) fn over(&mut self, why: &End) -> Wakes {
        let host = &*self.wire.host;
        let mut wakes = lock(&self.wire.writing).outgoing.lose(host);
        let Stage::Talking(session) = &self.stage else { return wakes };
        let limit = match why {
            End::Violation(violation) => Limit::overstepped_by(violation),
            End::Refused(Rejection::Displaced) => Some(Limit::Handshakes),
            _ => None,
        };
        limit.into_iter().for_each(|limit| wakes.append(host.limit_reached(limit, &|| self.remote())));
        wakes.append(match session.peer() {
            Some(peer) => host.part(peer, why),
            None => host.report(&|| Event::HandshakeFailed { peer: self.remote(), why: why.clone() }),
        });
        wakes
    }

    /// Who is at the other end, as far as it is known before the handshake.
    fn remote(&self) -> Remote {
        let (endpoint, address) = (self.endpoint.clone(), Some(self.wire.address.clone()));
        Remote { endpoint, address, ..Remote::default() }
    }
}

impl Inflow {
    fn read(
        &mut self,
        session: &mut Session,
        mut stream: &Stream,
        (scratch, carrier): (&mut Scratch, &Arc<dyn Carrier>),
        now: Instant,
    ) -> Result<(), End> {
        if std::mem::take(&mut self.resumed) {
            session.resume(scratch, carrier, now)?;
        }
        if session.is_paused() || !self.readable {
            return Ok(());
        }
        let progress = session.read(&mut stream, scratch, carrier, now)?;
        self.note(progress)
    }

    /// Reads and forgets.
    fn discard(&mut self, mut stream: &Stream, scratch: &mut Scratch) -> Result<(), End> {
        let progress = scratch.discard(&mut stream)?;
        self.note(progress)
    }

    fn note(&mut self, progress: Progress) -> Result<(), End> {
        match (progress, self.broken.take()) {
            (Progress::Blocked, Some(error)) => Err(error.into()),
            (Progress::Blocked, None) => {
                (self.readable, self.hung_up) = (false, false);
                Ok(())
            }
            (Progress::Short, broken) => {
                self.readable = self.hung_up || broken.is_some();
                self.broken = broken;
                Ok(())
            }
            (Progress::Full, broken) => {
                self.broken = broken;
                Ok(())
            }
        }
    }
}

/// What a new link belongs to.
pub(crate) struct Source<'a> {
    pub(crate) origin: Origin,
    /// The peer that `connect` made, and what it was given, if it did.
    pub(crate) dialled: Option<(Id, Endpoint)>,
    /// Where it was accepted, if it was.
    pub(crate) listener: Option<Endpoint>,
    /// Where the other end is.
    pub(crate) address: Endpoint,
    pub(crate) setup: &'a Setup,
    pub(crate) shared: &'a Arc<Shared>,
}

/// How long a peer has to read the last of what it was sent, once all of it is written.
const FAREWELL: Duration = Duration::from_millis(500);
