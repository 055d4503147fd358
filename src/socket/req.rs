//! REQ: asks, and waits for the answer.

use std::time::Duration;

use bytes::Bytes;

use super::pattern::{Pattern, Sent, Wish};
use super::pipes::Pipes;
use super::wait::Asking;
use super::{Attended, Builder, Identifies, Kind, Receives, Sends, Socket, deadline, sealed};
use crate::error::{Received, RecvError, Refusal, RequestError};
use crate::message::Message;
use crate::options::Options;
use crate::pattern::{Pipes as _, Rotation};
use crate::random;
use crate::shield::shielded;
use crate::slots::Id;
use crate::zmtp::SocketType;

/// The asking end of request and reply: `send` asks one of its [`Rep`](super::Rep) or [`Router`](super::Router) peers,
/// which take turns, and the next `recv` has its answer. They take turns, too; out of turn they fail with `OutOfTurn`.
///
/// Only the peer that was asked can answer. When it is lost, `recv` fails with
/// [`PeerLost`](RecvError::PeerLost) at once, and the request can be sent again. A request that was not wholly sent is
/// not lost with its peer: it goes to another one, or to the same when it is back.
///
/// [`request`](Socket::request) does all of that in one call.
///
/// ```
/// use std::time::Duration;
///
/// use ferromq::{Context, Rep, Req};
///
/// let context = Context::new()?;
/// let rep = context.socket::<Rep>().build()?;
/// let at = rep.bind("tcp://127.0.0.1:0")?;
/// # let server =
/// std::thread::spawn(move || {
///     let name = rep.recv()?;
///     rep.send(["hello, ".as_bytes(), &name.into_bytes()].concat())?;
///     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
/// });
///
/// let req = context.socket::<Req>().build()?;
/// req.connect(at)?;
/// assert_eq!(req.request("world", Duration::from_secs(5))?, "hello, world");
/// # server.join().unwrap().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Req {}

impl sealed::Kind for Req {
    const TYPE: SocketType = SocketType::Req;
}

impl Kind for Req {}
impl Sends for Req {}
impl Receives for Req {}
impl Identifies for Req {}

impl Builder<Req> {
    /// Whether a new request may be sent before the last one is answered, off by default. The old one is given up then,
    /// and its answer never received: if it could be taken for that of the new request, which
    /// [`correlate`](Self::correlate) prevents, the connection is ended and made again.
    pub fn relaxed(self, relaxed: bool) -> Self {
        self.with(|options| options.relaxed = relaxed)
    }

    /// Whether requests carry a number that their answers must repeat, off by default. A REP does that by itself; a
    /// program that answers from a ROUTER has to send back all parts up to the empty one, and mostly does. Without the
    /// number, a server that answers one request twice has its second answer taken for that of the next.
    pub fn correlate(self, correlate: bool) -> Self {
        self.with(|options| options.correlate = correlate)
    }
}

impl Socket<Req> {
    /// Asks, and blocks until there is an answer, for `timeout` at the longest, whatever the timeouts of the socket are.
    ///
    /// When this fails the request is given up, and the socket is ready for the next one: a late answer is not taken
    /// for that of a later request. If the request was on its way, and answers cannot be told apart, for the socket does not
    /// [`correlate`](Builder::correlate), its connection is ended for that, and made again within a moment.
    ///
    /// # Errors
    ///
    /// When the request could not be sent, which gives the message back; or when the time is over, the peer that was
    /// asked is lost, or the socket is closed before there is an answer.
    pub fn request(&self, message: impl Into<Message>, timeout: Duration) -> Result<Message, RequestError> {
        self.core.block_on(Asking::new(&self.core, message.into()), deadline(Some(timeout)))
    }

    /// Asks, and waits until there is an answer. Runs under any executor.
    ///
    /// Dropping the future before it is done gives the request up, as a timeout of [`request`](Self::request) does.
    ///
    /// # Errors
    ///
    /// When the request could not be sent, which gives the message back; or when the peer that was asked is lost, or the
    /// socket is closed before there is an answer.
    pub fn request_async(
        &self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<Message, RequestError>> + Send + Unpin {
        Attended::new(&self.core, Asking::new(&self.core, message.into()))
    }
}

pub(super) fn pattern(options: &Options) -> Box<dyn Pattern> {
    Box::new(Requesting {
        rotation: Rotation::default(),
        lost: Vec::new(),
        state: State::Idle,
        next: random::seed() as u32,
        correlate: options.correlate,
        relaxed: options.relaxed,
        moved_on: false,
        turn: 0,
    })
}

struct Requesting {
    /// Peers with room.
    rotation: Rotation,
    /// Peers that are lost and expected back.
    lost: Vec<Id>,
    state: State,
    /// The number of the next request.
    next: u32,
    correlate: bool,
    relaxed: bool,
    /// What was asked was given up for something that was then refused.
    moved_on: bool,
    /// How many requests there were.
    turn: u64,
}

/// ```text
///            send                    reply came            recv
///      Idle ──────▶ Asked ──────────────────────▶ Answered ────▶ Idle
///       │  ▲          │ ▲
///       │  │   asked  │ │ a peer has room
///       │  │   is lost▼ │
///       │  └──── Lost   Homeless ◀── asked is lost before it had all of the request
///       │   recv          ▲
///       └─────────────────┘ send, while all peers are lost
/// ```
enum State {
    Idle,
    /// The request waits for a peer.
    Homeless(Message),
    Asked {
        peer: Id,
        number: Option<Bytes>,
    },
    /// The answer lies in the inbox of the peer.
    Answered(Id),
    /// The peer that was asked is lost.
    Lost,
}

impl Requesting {
    /// Whether it is the turn of the socket to send.
    fn may_send(&self) -> bool {
        matches!(self.state, State::Idle) || self.relaxed
    }

    /// Gives a request to the next peer in turn, or keeps it for one that is expected.
    fn place(&mut self, pipes: &mut Pipes, request: Message) {
        let Some(peer) = self.rotation.current() else {
            self.state = State::Homeless(request);
            return;
        };
        if pipes.push(peer, &request) {
            self.rotation.advance();
        } else {
            self.rotation.retire();
        }
        let number = self.correlate.then(|| request.into_parts().swap_remove(0));
        self.state = State::Asked { peer, number };
    }

    fn enclose(&mut self, message: &Message) -> Message {
        if !self.correlate {
            return message.clone().delimited();
        }
        self.next = self.next.wrapping_add(1);
        message.clone().behind(&[Bytes::copy_from_slice(&self.next.to_ne_bytes()), Bytes::new()])
    }

    /// Has done with what was asked, so that no answer to it can come any more.
    fn give_up(&mut self, pipes: &mut Pipes) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle | State::Lost => {}
            State::Homeless(_) => pipes.stats.dropped.abandoned += 1,
            // Nothing more is to come from that peer, which may be gone by now.
            State::Answered(peer) => pipes.discard(peer),
            State::Asked { peer, .. } => {
                if pipes.revoke(peer) {
                    self.rotation.join(peer);
                }
                if !self.correlate && pipes.sever(peer) {
                    self.leave(peer);
                    if pipes.is_dialled(peer) {
                        self.lost.push(peer);
                    }
                }
            }
        }
    }

    /// The body of an answer to what was asked: what follows the number, if there is one, and the empty part.
    fn open(number: Option<&Bytes>, reply: Message) -> Opened {
        let Some(number) = number else { return reply.undelimited().map_or(Opened::Malformed, Opened::Body) };
        let (other, Some(rest)) = reply.split_front() else { return Opened::Malformed };
        if rest.first().is_empty() && other != *number {
            return Opened::Stale;
        }
        rest.undelimited().map_or(Opened::Malformed, Opened::Body)
    }
}

enum Opened {
    Body(Message),
    /// It answers something else.
    Stale,
    Malformed,
}

impl Pattern for Requesting {
    fn send(&mut self, pipes: &mut Pipes, message: &Message) -> Result<Sent, Refusal> {
        if !self.may_send() {
            return Err(Refusal::OutOfTurn);
        }
        // What was asked before is given up only for something: whom it was asked may make room by that.
        let asked = matches!(self.state, State::Asked { .. });
        if asked {
            self.give_up(pipes);
        }
        if self.rotation.is_empty() && self.lost.is_empty() {
            self.moved_on = asked;
            return Err(pipes.refusal(None));
        }
        self.give_up(pipes);
        let request = self.enclose(message);
        self.place(pipes, request);
        self.turn += 1;
        Ok(Sent::Message)
    }

    fn can_send(&self, _: &Pipes) -> bool {
        self.may_send() && !(self.rotation.is_empty() && self.lost.is_empty())
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Received) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => *into = Err(RecvError::OutOfTurn),
            State::Answered(peer) if pipes.pop(peer, into) => {}
            State::Lost | State::Answered(_) => *into = Err(RecvError::PeerLost),
            waiting => self.state = waiting,
        }
    }

    fn can_recv(&self) -> bool {
        matches!(self.state, State::Answered(_) | State::Lost)
    }

    fn receives(&self) -> bool {
        true
    }

    fn takes_turns(&self) -> bool {
        true
    }

    fn turn(&self) -> u64 {
        self.turn
    }

    fn has_moved_on(&mut self) -> bool {
        std::mem::take(&mut self.moved_on)
    }

    /// Only the peer that was asked has anything to say, and only one thing.
    fn arrive(&mut self, pipes: &mut Pipes, peer: Id, messages: &mut Vec<Message>) -> usize {
        let came = messages.len();
        let mut malformed = false;
        messages.retain_mut(|message| {
            let State::Asked { peer: asked, number } = &self.state else { return false };
            if *asked != peer || malformed {
                return false;
            }
            match Self::open(number.as_ref(), std::mem::take(message)) {
                Opened::Body(body) => {
                    *message = body;
                    self.state = State::Answered(peer);
                    true
                }
                Opened::Stale => false,
                Opened::Malformed => {
                    malformed = true;
                    false
                }
            }
        });
        if malformed {
            // Its answer cannot be told from nonsense any more. The loss of the connection ends the wait.
            pipes.sever(peer);
        }
        came - messages.len()
    }

    fn writable(&mut self, pipes: &mut Pipes, peer: Id) {
        self.lost.retain(|lost| *lost != peer);
        self.rotation.join(peer);
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Homeless(request) => {
                self.place(pipes, request.clone());
                shielded(|| drop(request));
            }
            other => self.state = other,
        }
    }

    fn lost(&mut self, pipes: &mut Pipes, peer: Id, mut unsent: Vec<Message>, expected: bool) -> usize {
        self.leave(peer);
        if expected {
            self.lost.push(peer);
        }
        let asked = matches!(self.state, State::Asked { peer: asked, .. } if asked == peer);
        if !asked {
            return 0;
        }
        // What was asked before is given up; the last one is what is being asked.
        match unsent.pop() {
            Some(request) => {
                self.place(pipes, request);
                1
            }
            None => {
                self.state = State::Lost;
                0
            }
        }
    }

    fn keeps(&self, peer: Id) -> bool {
        matches!(self.state, State::Asked { peer: asked, .. } if asked == peer)
    }

    fn leave(&mut self, peer: Id) {
        self.rotation.leave(peer);
        self.lost.retain(|lost| *lost != peer);
    }

    fn homeless(&self) -> usize {
        usize::from(matches!(self.state, State::Homeless(_)))
    }

    fn homeless_octets(&self) -> usize {
        match &self.state {
            State::Homeless(request) => request.weight(),
            _ => 0,
        }
    }

    fn drain(&mut self) -> Vec<Message> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Homeless(request) => vec![request],
            other => {
                self.state = other;
                Vec::new()
            }
        }
    }

    fn obey(&mut self, pipes: &mut Pipes, wish: Wish) {
        if let Wish::Abandon(turn) = wish {
            if turn == self.turn {
                self.give_up(pipes);
            }
        }
    }
}
