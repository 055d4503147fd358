//! ROUTER: sends to the peer that a message names, and names the peer that a message came from.

use std::collections::HashMap;

use bytes::Bytes;

use super::pattern::{Pattern, Sent};
use super::pipes::Pipes;
use super::{Builder, Identifies, Kind, Receives, Sends, Socket, sealed};
use crate::endpoint::{Endpoint, EndpointError};
use crate::error::{ConnectError, Refusal};
use crate::message::Message;
use crate::options::{Options, check_routing_id};
use crate::pattern::{FairQueue, Pipes as _};
use crate::peer::Rejection;
use crate::random;
use crate::slots::Id;
use crate::zmtp::{PeerInfo, SocketType};

/// Talks to many [`Req`](super::Req), [`Dealer`](super::Dealer) and [`Router`] peers, each of which has a routing id.
///
/// A received message begins with the routing id of its peer, as a part of its own; a message to be sent begins with the
/// routing id of the peer it is for, which does not see it. The other parts are as they were sent: from and to a REQ
/// these are an empty part and the body.
///
/// A peer chooses its id with [`routing_id`](Builder::routing_id), and has it on every connection. Else the router makes
/// one for each connection, five bytes of which the first is zero. A second peer of the same id is turned away, unless
/// the router is built with [`handover`](Builder::handover); it keeps what it has to send, and tries again.
///
/// A message that is the routing id of a peer and nothing else says nothing: it is dropped, and counted as
/// [`unroutable`](crate::Dropped::unroutable).
///
/// ```
/// use ferromq::{Context, Dealer, Message, Router};
///
/// let context = Context::new()?;
/// let router = context.socket::<Router>().build()?;
/// let dealer = context.socket::<Dealer>().routing_id("worker").build()?;
/// dealer.connect(router.bind("tcp://127.0.0.1:0")?)?;
///
/// dealer.send("ready")?;
/// assert_eq!(router.recv()?, Message::from(["worker", "ready"]));
/// router.send(["worker", "job"])?;
/// assert_eq!(dealer.recv()?, "job");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Router {}

impl sealed::Kind for Router {
    const TYPE: SocketType = SocketType::Router;
}

impl Kind for Router {}
impl Sends for Router {}
impl Receives for Router {}
impl Identifies for Router {}

impl Builder<Router> {
    /// Whether a message for a routing id that nobody has is refused, on by default: `send` fails with
    /// [`Unroutable`](Refusal::Unroutable) and gives it back; and while the queue of its peer is full, `send` waits.
    ///
    /// Without it both are dropped, as libzmq does unless told otherwise, and counted in
    /// [`Dropped`](crate::Dropped).
    pub fn mandatory(self, mandatory: bool) -> Self {
        self.with(|options| options.mandatory = mandatory)
    }

    /// Whether a new peer takes the routing id over from one that is still connected, off by default. It helps a peer
    /// that comes back before the loss of its old connection is noticed, and lets any peer push out any other.
    pub fn handover(self, handover: bool) -> Self {
        self.with(|options| options.handover = handover)
    }
}

impl Socket<Router> {
    /// Connects to an endpoint, as [`connect`](Self::connect) does, and gives the peer there a routing id for this
    /// socket, whatever it calls itself. It can be sent to at once, before there is a connection.
    ///
    /// # Errors
    ///
    /// When the endpoint makes no sense, the id is not one of 1 to 255 bytes of which the first is not zero, or another
    /// peer has it.
    pub fn connect_as<E>(&self, endpoint: E, routing_id: impl AsRef<[u8]>) -> Result<(), ConnectError>
    where
        E: TryInto<Endpoint>,
        EndpointError: From<E::Error>,
    {
        let id = Bytes::copy_from_slice(routing_id.as_ref());
        check_routing_id(&id)?;
        self.core.connect(&super::parse(endpoint)?, Some(id))
    }
}

pub(super) fn pattern(options: &Options) -> Box<dyn Pattern> {
    Box::new(Routing {
        routes: HashMap::new(),
        names: HashMap::new(),
        incoming: FairQueue::default(),
        next: random::seed() as u32,
        mandatory: options.mandatory,
        handover: options.handover,
    })
}

struct Routing {
    routes: HashMap<Bytes, Id>,
    names: HashMap<Id, Name>,
    incoming: FairQueue,
    /// The number in the next routing id to be made.
    next: u32,
    mandatory: bool,
    handover: bool,
}

/// The routing id of a peer.
struct Name {
    id: Bytes,
    /// Given to it by `connect_as`: it has it also while it is away.
    given: bool,
}

impl Routing {
    /// The routing id for a new connection: the one the peer asks for, or one that nobody can ask for (28/REQREP).
    fn choose(&mut self, info: &PeerInfo) -> Bytes {
        if !info.identity.is_empty() {
            return info.identity.clone();
        }
        let mut id = [0; 5];
        id[1..].copy_from_slice(&self.next.to_be_bytes());
        self.next = self.next.wrapping_add(1);
        Bytes::copy_from_slice(&id)
    }

    /// Whether `connect_as` has given the peer its routing id.
    fn is_named(&self, peer: Id) -> bool {
        self.names.get(&peer).is_some_and(|name| name.given)
    }

    fn assign(&mut self, peer: Id, id: Bytes, given: bool) {
        self.routes.insert(id.clone(), peer);
        self.names.insert(peer, Name { id, given });
    }

    /// The peer cannot be sent to any more. What still comes from it comes under its name, which others may have by now.
    fn close_route(&mut self, peer: Id) {
        if let Some(name) = self.names.get(&peer) {
            if self.routes.get(&name.id) == Some(&peer) {
                self.routes.remove(&name.id);
            }
        }
    }

    fn forget(&mut self, peer: Id) {
        self.close_route(peer);
        self.names.remove(&peer);
    }
}

impl Pattern for Routing {
    fn send(&mut self, pipes: &mut Pipes, message: &Message) -> Result<Sent, Refusal> {
        let route = self.routes.get(message.first()).copied();
        let Some(peer) = route.filter(|_| message.len() > 1) else {
            // A routing id and nothing else is no message for anybody; libzmq drops it, too.
            if self.mandatory && route.is_none() {
                return Err(Refusal::Unroutable);
            }
            pipes.stats.dropped.unroutable += 1;
            return Ok(Sent::Message);
        };
        if pipes.has_room(peer) {
            if let (_, Some(body)) = message.clone().split_front() {
                pipes.push(peer, &body);
            }
        } else if self.mandatory {
            return Err(pipes.refusal(Some(peer)));
        } else {
            pipes.stats.dropped.overflowed += 1;
        }
        Ok(Sent::Message)
    }

    fn can_send(&self, pipes: &Pipes) -> bool {
        !self.mandatory || self.routes.values().any(|peer| pipes.has_room(*peer))
    }

    fn incoming(&self) -> Option<&FairQueue> {
        Some(&self.incoming)
    }

    fn incoming_mut(&mut self) -> Option<&mut FairQueue> {
        Some(&mut self.incoming)
    }

    fn claim(&mut self, peer: Id, name: Option<Bytes>) -> Result<(), ConnectError> {
        let Some(id) = name else { return Ok(()) };
        if self.routes.contains_key(&id) {
            return Err(ConnectError::RoutingIdTaken);
        }
        self.assign(peer, id, true);
        Ok(())
    }

    fn attach(&mut self, pipes: &mut Pipes, peer: Id, info: &PeerInfo) -> Result<(), Rejection> {
        if !self.is_named(peer) {
            let id = self.choose(info);
            if let Some(&holder) = self.routes.get(&id) {
                if !self.handover || self.is_named(holder) {
                    return Err(Rejection::RoutingIdTaken);
                }
                pipes.sever(holder);
                self.forget(holder);
            }
            self.assign(peer, id, false);
        }
        Ok(())
    }

    fn name(&self, peer: Id) -> Option<Bytes> {
        self.names.get(&peer).map(|name| name.id.clone())
    }

    fn arrive(&mut self, _: &mut Pipes, peer: Id, messages: &mut Vec<Message>) -> usize {
        let Some(name) = self.names.get(&peer) else { return messages.drain(..).count() };
        let front = [name.id.clone()];
        messages.iter_mut().for_each(|message| *message = std::mem::take(message).behind(&front));
        0
    }

    /// Nobody else can have them; but a peer that keeps its name while it is away has them when it is back.
    /// That is so also if others get nothing before they are there: who has been given a name can always be sent to.
    fn lost(&mut self, pipes: &mut Pipes, peer: Id, unsent: Vec<Message>, _expected: bool) -> usize {
        let given = self.is_named(peer);
        if given && pipes.is_dialled(peer) {
            unsent.iter().for_each(|message| _ = pipes.push(peer, message));
            return unsent.len();
        }
        if !given {
            self.close_route(peer);
        }
        0
    }

    fn keeps(&self, peer: Id) -> bool {
        self.is_named(peer)
    }

    /// It has its name for as long as it is there: what comes from it comes under that.
    fn leave(&mut self, peer: Id) {
        self.close_route(peer);
    }

    fn gone(&mut self, peer: Id) {
        self.forget(peer);
    }
}
