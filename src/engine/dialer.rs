//! A connected endpoint, as the reactor keeps it: it dials until it gets through, and again when the peer is lost.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Setup;
use super::backoff::Backoff;
use crate::endpoint::Endpoint;
use crate::monitor::Event;
use crate::pipe::Wakes;
use crate::session::End;
use crate::slots::Id;
use crate::transport::{Stream, Target};
use crate::zmtp::Retry;

/// Where one `connect` stands.
///
/// ```text
///            names only                    refused: the next target
///   begin ──▶ Resolving ──▶ Connecting ◀──┐
///     ▲           │           │  │ └──────┘
///     │           ▼           ▼  └──▶ Linked ──▶ Waiting, or Dead when the peer will not have us
///     └──────── Waiting ◀─────┘
/// ```
pub(crate) struct Dialer {
    pub(crate) endpoint: Endpoint,
    pub(crate) setup: Arc<Setup>,
    /// The peer that `connect` made.
    pub(crate) peer: Id,
    pub(crate) stage: Stage,
    backoff: Backoff,
    /// Since when there is a peer.
    ready: Option<Instant>,
}

pub(crate) enum Stage {
    /// The name service is asked.
    Resolving,
    /// A connection is being made; further targets are left to try.
    Connecting { stream: Stream, address: Endpoint, left: VecDeque<Target>, until: Option<Instant> },
    /// There is a connection.
    Linked(Id),
    /// It is too early to try again.
    Waiting(Option<Instant>),
    /// The peer will not have us, and is not tried again.
    Dead,
}

impl Dialer {
    pub(crate) fn new(endpoint: Endpoint, setup: Arc<Setup>, peer: Id) -> Self {
        let backoff = Backoff::new(setup.options.reconnect_interval, setup.options.reconnect_max);
        Self { endpoint, setup, peer, stage: Stage::Waiting(None), backoff, ready: None }
    }

    /// Begins to connect to the first target that can be tried. Afterwards a stream is [`Stage::Connecting`], or none
    /// of the targets was any good.
    pub(crate) fn connect(&mut self, mut left: VecDeque<Target>, now: Instant) -> io::Result<()> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        while let Some(target) = left.pop_front() {
            match target.dial(&self.setup.options) {
                Ok(stream) => {
                    let until =
                        self.setup.options.connect_timeout.and_then(|timeout| now.checked_add(timeout));
                    self.stage = Stage::Connecting { stream, address: target.endpoint(), left, until };
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// When the reactor is to look at this again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Connecting { until, .. } => *until,
            Stage::Waiting(until) => *until,
            Stage::Resolving | Stage::Linked(_) | Stage::Dead => None,
        }
    }

    /// A handshake was completed.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        self.ready = Some(now);
    }

    /// An attempt to connect has come to nothing.
    pub(crate) fn failed(&mut self, error: io::Error, now: Instant, random: u64) -> Wakes {
        log::debug!("cannot connect to {}: {error}", self.endpoint);
        let error = Arc::new(error);
        let mut wakes = self.setup.host.report(&|| {
            let endpoint = self.endpoint.clone();
            Event::ConnectFailed { endpoint, error: error.clone() }
        });
        let pause = self.backoff.next(random);
        wakes.append(self.pause(pause, now));
        wakes
    }

    /// The connection is over.
    pub(crate) fn lost(&mut self, end: &End, now: Instant, random: u64) -> Wakes {
        // A peer that does not want us may say so behind the handshake, and must not be asked over and over again.
        let interval = self.setup.options.reconnect_interval;
        let lasted = self.ready.take().is_some_and(|ready| now.saturating_duration_since(ready) >= interval);
        if lasted || matches!(end, End::HungUp) {
            self.backoff.reset();
        }
        let pause = match retry(end) {
            Retry::Soon => self.backoff.next(random),
            Retry::Slowly => self.backoff.next_slow(random),
            Retry::Never => {
                log::error!("{} will not have us, and is not tried again: {end}", self.endpoint);
                self.stage = Stage::Dead;
                let endpoint = &self.endpoint;
                let mut wakes = self.setup.host.abandon(self.peer);
                wakes.append(self.setup.host.report(&|| Event::Abandoned { endpoint: endpoint.clone() }));
                return wakes;
            }
        };
        self.pause(pause, now)
    }

    /// It is too early to try again.
    fn pause(&mut self, pause: Duration, now: Instant) -> Wakes {
        self.stage = Stage::Waiting(now.checked_add(pause));
        let endpoint = &self.endpoint;
        self.setup.host.report(&|| Event::Retrying { endpoint: endpoint.clone(), after: pause })
    }
}

fn retry(end: &End) -> Retry {
    match end {
        End::Closed | End::Broken(_) | End::HungUp => Retry::Soon,
        End::Refused(_) => Retry::Slowly,
        End::Violation(violation) => violation.retry(),
    }
}
