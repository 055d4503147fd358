//! Where a [`Core`] is bound and connected to, and how it gets there and leaves again.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::closing::Detaching;
use super::core::Core;
use super::state::{Phase, State};
use crate::context::{self, Caller, Setup};
use crate::endpoint::{Endpoint, Inproc};
use crate::error::{BindError, ConnectError, DetachError};
use crate::inproc;
use crate::monitor::{Event, Remote};
use crate::peer::{Ending, Host};
use crate::pipe::Wakes;
use crate::slots::Id;
use crate::zmtp::{self, SocketType};

/// What became of `bind` or `connect`.
pub(super) struct Attachment {
    pub(super) endpoint: Endpoint,
    pub(super) key: Key,
    /// The peer that `connect` made; none for `bind`.
    pub(super) peer: Option<Id>,
    /// Nobody is expected to come here any more.
    pub(super) deserted: bool,
}

/// Who looks after an attachment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key {
    Engine(context::Key),
    Inproc(inproc::Key),
}

impl Attachment {
    /// The name, if it is one within the context.
    pub(super) fn inproc(&self) -> Option<&Inproc> {
        self.endpoint.inproc()
    }

    /// Whether this is a `connect` to the endpoint.
    fn leads_to(&self, endpoint: &Endpoint) -> bool {
        self.peer.is_some() && self.endpoint == *endpoint
    }
}

impl Core {
    pub(crate) fn bind(&self, endpoint: &Endpoint) -> Result<Endpoint, BindError> {
        endpoint.check_bind()?;
        if self.engine.is_forked() {
            return Err(BindError::Forked);
        }
        if !self.is_open() {
            return Err(BindError::Closed);
        }
        if let Some(name) = endpoint.inproc() {
            self.bound(endpoint, || {
                let key = self.hub.bind(name, self.caller());
                key.map(Key::Inproc).ok_or_else(|| BindError::Listen {
                    endpoint: endpoint.clone(),
                    source: io::ErrorKind::AddrInUse.into(),
                })
            })?;
            self.hub.meet(name);
            return Ok(endpoint.clone());
        }
        let (listener, bound) = self.engine.open_listener(endpoint, &self.options)?;
        self.bound(&bound, || Ok(Key::Engine(self.engine.listen(listener, bound.clone(), self.setup()))))?;
        Ok(bound)
    }

    /// Has somebody look after a place that is now ours, unless the socket was closed meanwhile.
    fn bound(&self, at: &Endpoint, listen: impl FnOnce() -> Result<Key, BindError>) -> Result<(), BindError> {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(BindError::Closed);
        }
        let attachment = Attachment { endpoint: at.clone(), key: listen()?, peer: None, deserted: false };
        state.attachments.push(attachment);
        state.feeds.tell(|| Event::Listening { endpoint: at.clone() }, &mut wakes);
        drop(state);
        wakes.wake();
        Ok(())
    }

    pub(crate) fn connect(&self, endpoint: &Endpoint, name: Option<Bytes>) -> Result<(), ConnectError> {
        endpoint.check_connect()?;
        if self.engine.is_forked() {
            return Err(ConnectError::Forked);
        }
        let dead = self.lock().take_dead(endpoint);
        dead.into_iter().for_each(|key| self.forget(key, Ending::Abrupt, false));
        let (connected, wakes) = self.change(|state, wakes| {
            if state.phase != Phase::Open {
                return Err(ConnectError::Closed);
            }
            if self.connects_once() && state.attachments.iter().any(|other| other.leads_to(endpoint)) {
                return Ok(());
            }
            let peer = state.pipes.insert(true, endpoint.inproc().is_some());
            if let Err(error) = state.pattern.claim(peer, name) {
                state.pipes.peers.remove(peer);
                return Err(error);
            }
            let routing_id = state.pattern.name(peer).unwrap_or_default();
            if let Some(peer) = state.pipes.peers.get_mut(peer) {
                peer.remote = Remote { endpoint: Some(endpoint.clone()), routing_id, ..Remote::default() };
            }
            if self.options.immediate {
                // A name is enough for a ROUTER to send to.
                state.wake_senders(wakes);
            } else {
                state.writable(peer, wakes);
            }
            let key = match endpoint.inproc() {
                Some(name) => Key::Inproc(self.hub.dial(name, peer, self.caller())),
                None => Key::Engine(self.engine.dial(endpoint.clone(), peer, self.setup())),
            };
            let (endpoint, peer) = (endpoint.clone(), Some(peer));
            state.attachments.push(Attachment { endpoint, key, peer, deserted: false });
            Ok(())
        });
        wakes.wake();
        if let Some(name) = endpoint.inproc() {
            self.hub.meet(name);
        }
        connected
    }

    /// Ends what came of a `bind` or `connect`, at once or soon.
    pub(super) fn forget(&self, key: Key, ending: Ending, at_once: bool) {
        match key {
            Key::Inproc(key) => self.hub.forget(key),
            Key::Engine(key) if at_once => self.engine.forget_now(key, ending),
            Key::Engine(key) => self.engine.forget(key, ending),
        }
    }

    fn caller(&self) -> Caller {
        Caller { setup: self.setup(), engine: self.engine.clone() }
    }

    pub(crate) fn unbind(&self, endpoint: &Endpoint) -> Result<(), DetachError> {
        self.detach(endpoint, |attachment| attachment.peer.is_none())
    }

    pub(crate) fn disconnect(&self, endpoint: &Endpoint) -> Result<(), DetachError> {
        self.detach(endpoint, |attachment| attachment.peer.is_some())
    }

    /// Undoes one bind or connect, and takes back what its peers have not got.
    fn detach(&self, endpoint: &Endpoint, of_kind: impl Fn(&Attachment) -> bool) -> Result<(), DetachError> {
        if self.engine.is_forked() {
            return Err(DetachError::Forked);
        }
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(DetachError::Closed);
        }
        let place = state
            .attachments
            .iter()
            .position(|attachment| attachment.endpoint == *endpoint && of_kind(attachment));
        let Some(place) = place else { return Err(DetachError::Unknown(endpoint.clone())) };
        let attachment = state.attachments.remove(place);
        if let Some(peer) = attachment.peer {
            // From here on it is treated like an accepted peer: when its connection ends, it is gone.
            state.forsake(peer);
        }
        state.detaching += 1;
        drop(state);
        let _detaching = Detaching(self);
        self.forget(attachment.key, Ending::Abrupt, true);
        if let Some(peer) = attachment.peer {
            self.remove(peer).wake();
            self.flush();
        }
        Ok(())
    }

    /// Whether a second `connect` to the same endpoint changes nothing, as in libzmq: these types would only get twice
    /// what they want once.
    fn connects_once(&self) -> bool {
        use SocketType::{Dealer, Pub, Req, Sub};
        matches!(self.socket_type, Dealer | Pub | Req | Sub)
    }

    fn setup(&self) -> Arc<Setup> {
        let this: Arc<Self> = self.this.upgrade().expect("it is borrowed, so it is there");
        // What no legal peer sends need not be gathered first. An XSUB may send anything to a PUB, which throws it away.
        let wanted = self.receives || self.socket_type == SocketType::Pub;
        let message = if wanted { self.options.max_message_size } else { UNWANTED };
        let config = zmtp::Config {
            socket_type: self.socket_type,
            identity: self.options.routing_id.clone(),
            handshake_timeout: Some(self.options.handshake_timeout),
            answers: false,
            rhythm: self.options.heartbeat.rhythm(),
            max_pongs: self.options.max_pongs,
            limits: zmtp::Limits {
                frame: self.options.max_frame_size.unwrap_or(usize::MAX),
                message,
                parts: self.options.max_message_parts,
                handshake: self.options.max_handshake_size,
            },
        };
        Arc::new(Setup { host: this, options: self.options.clone(), config })
    }
}

impl State {
    /// Takes out a `connect` to the endpoint whose peer would not have us, and which so is none any more.
    fn take_dead(&mut self, endpoint: &Endpoint) -> Option<Key> {
        let Self { attachments, pipes, .. } = self;
        let is_dead = |other: &Attachment| {
            other.leads_to(endpoint) && other.peer.is_none_or(|peer| !pipes.is_dialled(peer))
        };
        let place = attachments.iter().position(is_dead)?;
        Some(attachments.remove(place).key)
    }
}

/// Octets of a message to a socket whose peers have nothing to say.
const UNWANTED: usize = 64 * 1024;
