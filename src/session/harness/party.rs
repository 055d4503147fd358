//! [`Party`]: one end of a connection, moved as the engine moves a link.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::{Mock, Pipe};
use crate::endpoint::Endpoint;
use crate::peer::{Carrier, Host};
use crate::pipe::Wakes;
use crate::session::{End, Outgoing, Progress, Scratch, Session};
use crate::zmtp::Config;

pub(crate) struct Party {
    pub(crate) host: Arc<Mock>,
    pub(crate) session: Session,
    pub(crate) outgoing: Outgoing,
    /// Why the connection is over, if it is.
    pub(crate) end: Option<End>,
    /// The socket has taken messages out of its full inbox.
    pub(crate) resumed: bool,
    /// Writing has failed. What has come in is still read.
    broken: Option<io::Error>,
}

impl Party {
    pub(crate) fn new(host: Arc<Mock>, config: &Config, now: Instant) -> Self {
        let session = Session::new(config, host.clone(), None, now);
        Self { host, session, outgoing: Outgoing::default(), end: None, resumed: false, broken: None }
    }

    /// Writes what can be written.
    pub(crate) fn pump(&mut self, to: &mut Pipe) {
        let mut wakes = Wakes::default();
        if let Err(error) = self.outgoing.pump(&*self.host, &mut |slices| to.write(slices), &mut wakes) {
            wakes.append(self.outgoing.lose(&*self.host));
            self.broken = Some(error);
        }
        wakes.wake();
    }

    /// As [`Party::pump`], when the stream takes octets again.
    pub(crate) fn unblock(&mut self, to: &mut Pipe) {
        if self.end.is_some() {
            return;
        }
        self.outgoing.unblock();
        self.outgoing.offer(&mut self.session);
        self.pump(to);
    }

    /// Reads once, unless the inbox is full, and answers.
    pub(crate) fn read(
        &mut self,
        from: &mut Pipe,
        to: &mut Pipe,
        scratch: &mut Scratch,
        now: Instant,
    ) -> Result<(), End> {
        let before = self.session.peer();
        let result = self.take_in(from, scratch, now);
        scratch.take_wakes().wake();
        let newcomer = self.session.peer().filter(|_| before.is_none());
        if newcomer.is_some() || self.session.has_output() {
            let minor = self.session.minor();
            newcomer.into_iter().for_each(|peer| self.outgoing.attach(peer, minor));
            self.outgoing.offer(&mut self.session);
            self.pump(to);
        }
        result
    }

    /// Attends to a deadline that has passed. Fails if the peer is given up, which never befalls one that is not read from.
    pub(crate) fn expire(&mut self, to: &mut Pipe, now: Instant) -> Result<(), End> {
        let is_due = |deadline| deadline <= now && self.end.is_none();
        if !self.session.poll_timeout().is_some_and(is_due) {
            return Ok(());
        }
        let result = self.session.handle_timeout(now, self.outgoing.spoken());
        assert!(
            result.is_ok() || !self.session.is_paused(),
            "who does not read has judged its peer: {result:?}"
        );
        assert!(self.session.poll_timeout().is_none_or(|next| next > now || result.is_err()));
        if self.session.has_output() {
            self.outgoing.offer(&mut self.session);
            self.pump(to);
        }
        result
    }

    /// The connection is over.
    pub(crate) fn over(&mut self, end: End) {
        self.outgoing.lose(&*self.host).wake();
        if let Some(peer) = self.session.peer() {
            self.host.part(peer, &end).wake();
        }
        self.end = Some(end);
    }

    /// Gives memory back, as it is done for a peer that has nothing queued.
    pub(crate) fn trim(&mut self) {
        if self.host.queued() == 0 {
            self.outgoing.trim();
        }
    }

    /// Whether what is written next begins a frame: nothing is under way, and the handshake is over.
    pub(crate) fn is_between_frames(&self) -> bool {
        let idle = self.outgoing.flight.is_done() && self.outgoing.control.is_empty();
        idle && self.session.peer().is_some() && self.outgoing.peer.is_some() && !self.session.has_output()
    }

    fn take_in(&mut self, from: &mut Pipe, scratch: &mut Scratch, now: Instant) -> Result<(), End> {
        let carrier: Arc<dyn Carrier> = Arc::new(Mute);
        if std::mem::take(&mut self.resumed) {
            self.session.resume(scratch, &carrier, now)?;
        }
        if self.session.is_paused() {
            return Ok(());
        }
        let progress = self.session.read(from, scratch, &carrier, now)?;
        match self.broken.take_if(|_| progress == Progress::Blocked) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}

/// A carrier that nobody needs: the party is moved by hand.
struct Mute;

impl Carrier for Mute {
    fn pump(&self) {}

    fn trim(&self) {}

    fn resume(&self) {}

    fn hang_up(&self) {}

    fn address(&self) -> Endpoint {
        Endpoint::from_addr(([127, 0, 0, 1], 1).into())
    }
}
