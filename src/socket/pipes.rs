//! [`Pipes`]: the peers of a socket with their queues, and what is to be done for them once the core lock is released.

use std::sync::Arc;
use std::time::Instant;

use super::stats::Stats;
use crate::message::Message;
use crate::options::{Options, mark};
use crate::pattern;
use crate::peer::{Carrier, Peer};
use crate::pipe::{Inbox, Outbox};
use crate::slots::{Id, Slots};

/// The peers of a socket.
pub(crate) struct Pipes {
    pub(super) peers: Slots<Peer>,
    pub(super) stats: Stats,
    /// A connection to be pumped by the thread that has just sent.
    pump: Option<Arc<dyn Carrier>>,
    /// A connection to be told that its inbox has room again.
    resume: Option<Arc<dyn Carrier>>,
    /// Peers with messages that nobody will write unless reminded. Each stands here once: see [`Peer::dirty`].
    dirty: Vec<Id>,
    /// Peers that were written to in the last look, whose memory may be given back when they have fallen idle.
    recent: Vec<Id>,
    /// Nobody will pump: what is queued now goes to `dirty`.
    deferring: bool,
    send_mark: usize,
    recv_mark: usize,
    conflate: bool,
}

impl Pipes {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            peers: Slots::new(),
            stats: Stats::default(),
            pump: None,
            resume: None,
            dirty: Vec::new(),
            recent: Vec::new(),
            deferring: false,
            send_mark: mark(options.send_hwm),
            recv_mark: mark(options.recv_hwm),
            conflate: options.conflate,
        }
    }

    /// A new peer; `dialled` if `connect` made it.
    pub(super) fn insert(&mut self, dialled: bool) -> Id {
        let outbox = Outbox::new(self.send_mark, self.conflate);
        let inbox = Inbox::new(self.recv_mark, self.conflate);
        self.peers.insert(Peer::new(outbox, inbox, dialled))
    }

    /// Messages in all outbound queues.
    pub(super) fn queued(&self) -> usize {
        self.peers.iter().map(|(_, peer)| peer.outbox.queued()).sum()
    }

    /// Messages in all inbound queues.
    pub(super) fn waiting(&self) -> usize {
        self.peers.iter().map(|(_, peer)| peer.inbox.len()).sum()
    }

    /// The connection that the sending thread is to pump, once it has released the lock.
    #[inline]
    pub(super) fn take_pump(&mut self) -> Option<Arc<dyn Carrier>> {
        self.pump.take()
    }

    /// The connection that the receiving thread is to resume, once it has released the lock.
    #[inline]
    pub(super) fn take_resume(&mut self) -> Option<Arc<dyn Carrier>> {
        self.resume.take()
    }

    /// Whether anything waits for [`Pipes::take_dirty`].
    #[inline]
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The connections that have something to write which nobody writes.
    pub(super) fn take_dirty(&mut self) -> Vec<Arc<dyn Carrier>> {
        let mut carriers = Vec::new();
        for id in &self.dirty {
            let Some(peer) = self.peers.get_mut(*id) else { continue };
            peer.dirty = false;
            if peer.outbox.has_open() && !peer.outbox.is_in_flight() {
                carriers.extend(peer.carrier.clone());
            }
        }
        self.recent.clear();
        self.recent.append(&mut self.dirty);
        carriers
    }

    /// Nothing has been sent for a while: the connections that may give their memory back.
    pub(super) fn cool(&mut self) -> Vec<Arc<dyn Carrier>> {
        let mut carriers = Vec::new();
        for id in std::mem::take(&mut self.recent) {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            if peer.outbox.queued() == 0 {
                peer.outbox.trim();
                carriers.extend(peer.carrier.clone());
            }
        }
        carriers
    }

    /// While this is set, messages are queued in passing: nobody will pump.
    pub(super) fn defer(&mut self, deferring: bool) {
        self.deferring = deferring;
    }
}

impl Pipes {
    /// Sees to it that a batch is written: one that is `ripe`, or one that has just been begun.
    fn schedule(&mut self, id: Id, ripe: bool) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let Some(carrier) = peer.carrier.as_ref().filter(|_| !peer.outbox.is_in_flight()) else {
            // A wire that is at work comes back for more by itself, and a peer without one has to wait for it.
            return;
        };
        if ripe {
            peer.pace.flushed(Instant::now());
        }
        if !self.deferring && (ripe || peer.pace.at_once(Instant::now)) {
            self.pump = Some(carrier.clone());
        } else if !std::mem::replace(&mut peer.dirty, true) {
            self.dirty.push(id);
        }
    }
}

impl pattern::Pipes for Pipes {
    #[inline]
    fn push(&mut self, id: Id, message: &Message) -> bool {
        let Some(peer) = self.peers.get_mut(id) else {
            debug_assert!(false, "a message for nobody");
            return false;
        };
        let pushed = peer.outbox.push(message);
        self.stats.dropped.conflated += u64::from(pushed.replaced);
        let room = peer.outbox.has_room();
        if pushed.first || pushed.ripe {
            self.schedule(id, pushed.ripe);
        }
        room
    }

    #[inline]
    fn pop(&mut self, id: Id) -> Option<Message> {
        let peer = self.peers.get_mut(id)?;
        let message = peer.inbox.pop();
        self.stats.delivered += u64::from(message.is_some());
        if peer.inbox.resumes() {
            self.resume.clone_from(&peer.carrier);
        }
        if peer.over && peer.inbox.is_empty() {
            self.peers.remove(id);
        }
        message
    }

    #[inline]
    fn is_dry(&self, id: Id) -> bool {
        self.peers.get(id).is_none_or(|peer| peer.inbox.is_empty())
    }
}
