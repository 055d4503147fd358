//! [`Ledger`]: what becomes of the messages of each endpoint while their socket is closed.

use std::collections::HashMap;

use super::stats::Stats;
use crate::endpoint::Endpoint;
use crate::error::{Closed, ClosedEndpoint};
use crate::message::Message;
use crate::peer::Peer;
use crate::zmtp::SocketType;

/// An account of a close: one line for each endpoint, and one for what is with no endpoint.
pub(super) struct Ledger {
    socket: SocketType,
    lines: Vec<Line>,
    places: HashMap<Place, usize>,
    /// What the socket had counted when the close began.
    before: Stats,
}

/// What became of the messages of one endpoint.
pub(super) struct Line {
    pub(super) figures: ClosedEndpoint,
    /// What is handed back.
    unsent: Vec<Message>,
}

/// An endpoint, and whether the socket was bound to it; none for messages that are with no peer.
pub(super) type Place = Option<(Endpoint, bool)>;

impl Ledger {
    pub(super) fn new(socket: SocketType, before: Stats) -> Self {
        Self { socket, lines: Vec::new(), places: HashMap::new(), before }
    }

    /// The line of an endpoint, which is added if there is none.
    pub(super) fn line(&mut self, place: Place) -> &mut Line {
        let next = self.lines.len();
        let at = *self.places.entry(place.clone()).or_insert(next);
        if at == next {
            let (endpoint, bound) = place.unzip();
            let bound = bound.unwrap_or(false);
            let (flushed, returned, dropped, discarded) = (0, 0, 0, 0);
            let socket = self.socket;
            let figures = ClosedEndpoint { socket, endpoint, bound, flushed, returned, dropped, discarded };
            self.lines.push(Line { figures, unsent: Vec::new() });
        }
        &mut self.lines[at]
    }

    /// What was to be handed back.
    pub(super) fn into_unsent(self) -> Vec<Message> {
        self.lines.into_iter().flat_map(|line| line.unsent).collect()
    }

    /// The account, and what is handed back, in the order of the endpoints. The socket has counted the same.
    pub(super) fn close(self, after: &Stats) -> Closed {
        let sum = |figure: fn(&ClosedEndpoint) -> u64| -> u64 {
            self.lines.iter().map(|line| figure(&line.figures)).sum()
        };
        debug_assert_eq!(
            [sum(|at| at.flushed), sum(|at| at.returned), sum(|at| at.dropped), sum(|at| at.discarded)],
            [
                after.written - self.before.written,
                after.returned - self.before.returned,
                (after.dropped - self.before.dropped).total(),
                after.discarded - self.before.discarded,
            ],
            "the account of a {} is not what it has counted",
            self.socket,
        );
        let mut closed = Closed::default();
        for line in self.lines {
            closed.unsent.extend(line.unsent);
            closed.endpoints.push(line.figures);
        }
        closed
    }
}

impl Line {
    /// Messages go back to the caller.
    pub(super) fn hand_back(&mut self, unsent: Vec<Message>) {
        self.figures.returned += unsent.len() as u64;
        self.unsent.extend(unsent);
    }
}

/// Where a peer came from.
pub(super) fn place_of(peer: &Peer) -> Place {
    match &peer.listener {
        Some(listener) => Some((listener.clone(), true)),
        None => peer.remote.endpoint.clone().map(|endpoint| (endpoint, false)),
    }
}
