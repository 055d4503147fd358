//! A connected endpoint, as the reactor keeps it: it dials until it gets through, and again when the peer is lost.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Setup;
use super::backoff::Backoff;
use crate::endpoint::{Address, Endpoint};
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
///
/// Where an endpoint is to be given up ([`reconnect_stop`](crate::options::Options)) it is Dead instead of Waiting.
pub(crate) struct Dialer {
    pub(crate) endpoint: Endpoint,
    pub(crate) setup: Arc<Setup>,
    /// The peer that `connect` made.
    pub(crate) peer: Id,
    pub(crate) stage: Stage,
    backoff: Backoff,
    /// Since when there is a peer.
    ready: Option<Instant>,
    /// Nobody listens at any of the targets that this attempt has tried so far.
    refused: bool,
}

pub(crate) enum Stage {
    /// The name service is asked, unless this is gone by then.
    Resolving { _waits: Arc<()> },
    /// A connection is being made; further targets are left to try.
    Connecting { stream: Stream, address: Endpoint, left: VecDeque<Target>, until: Option<Instant> },
    /// There is a connection.
    Linked(Id),
    /// It is too early to try again.
    Waiting(Option<Instant>),
    /// The endpoint is given up, and not tried again.
    Dead,
}

impl Dialer {
    pub(crate) fn new(endpoint: Endpoint, setup: Arc<Setup>, peer: Id) -> Self {
        let backoff = Backoff::new(setup.options.reconnect_interval, setup.options.reconnect_max);
        Self { endpoint, setup, peer, stage: Stage::Waiting(None), backoff, ready: None, refused: true }
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
                Err(error) => last = self.missed(error),
            }
        }
        Err(last)
    }

    /// One target is no good.
    pub(crate) fn missed(&mut self, error: io::Error) -> io::Error {
        self.refused &= is_refusal(&error, &self.endpoint);
        error
    }

    /// When the reactor is to look at this again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Connecting { until, .. } => *until,
            Stage::Waiting(until) => *until,
            Stage::Resolving { .. } | Stage::Linked(_) | Stage::Dead => None,
        }
    }

    /// A handshake was completed.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        self.ready = Some(now);
    }

    /// An attempt to connect has come to nothing.
    pub(crate) fn failed(&mut self, error: io::Error, now: Instant, random: u64) -> Wakes {
        log::debug!("cannot connect to {}: {error}", self.endpoint);
        let last = Arc::new(error);
        let mut wakes = self.setup.host.report(&|| {
            let endpoint = self.endpoint.clone();
            Event::ConnectFailed { endpoint, error: last.clone() }
        });
        let stops = self.setup.options.reconnect_stop.refused;
        wakes.append(if stops && self.refused && is_refusal(&last, &self.endpoint) {
            self.give_up()
        } else {
            let pause = self.backoff.next(random);
            self.pause(pause, now)
        });
        wakes
    }

    /// The connection is over, and was that of a peer if it was ready.
    pub(crate) fn lost(&mut self, end: &End, was_ready: bool, now: Instant, random: u64) -> Wakes {
        // A peer that does not want us may say so behind the handshake, and must not be asked over and over again.
        let interval = self.setup.options.reconnect_interval;
        let lasted = self.ready.take().is_some_and(|ready| now.saturating_duration_since(ready) >= interval);
        if lasted || matches!(end, End::HungUp) {
            self.backoff.reset();
        }
        let stop = self.setup.options.reconnect_stop;
        let stops = if was_ready { stop.disconnected } else { stop.handshake_failed };
        match retry(end) {
            Retry::Never => {
                log::error!("{} will not have us, and is not tried again: {end}", self.endpoint);
                self.give_up()
            }
            // What we have ended ourselves says nothing of the peer.
            _ if stops && !matches!(end, End::HungUp) => self.give_up(),
            Retry::Soon => {
                let pause = self.backoff.next(random);
                self.pause(pause, now)
            }
            Retry::Slowly => {
                let pause = self.backoff.next_slow(random);
                self.pause(pause, now)
            }
        }
    }

    /// The endpoint is not tried again.
    fn give_up(&mut self) -> Wakes {
        self.stage = Stage::Dead;
        let endpoint = &self.endpoint;
        let mut wakes = self.setup.host.abandon(self.peer);
        wakes.append(self.setup.host.report(&|| Event::Abandoned { endpoint: endpoint.clone() }));
        wakes
    }

    /// It is too early to try again.
    fn pause(&mut self, pause: Duration, now: Instant) -> Wakes {
        self.stage = Stage::Waiting(now.checked_add(pause));
        self.refused = true;
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

/// Whether the system says that nobody listens there.
fn is_refusal(error: &io::Error, endpoint: &Endpoint) -> bool {
    let no_file = error.kind() == io::ErrorKind::NotFound && matches!(endpoint.address(), Address::Ipc(_));
    error.kind() == io::ErrorKind::ConnectionRefused || no_file
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::{SocketAddr, TcpListener};

    use bytes::Bytes;

    use super::*;
    use crate::clock;
    use crate::options::{Options, ReconnectStop};
    use crate::session::harness::Mock;
    use crate::slots::Slots;
    use crate::zmtp::{Config, Limits, SocketType, Violation};

    const MS: Duration = Duration::from_millis(1);

    /// A dialer whose pauses begin with 100 ms and have no random part, so that 2500 ms is the longest.
    fn dialer(endpoint: &str, stop: ReconnectStop) -> Dialer {
        let options = Options {
            reconnect_interval: 100 * MS,
            reconnect_max: 5000 * MS,
            reconnect_stop: stop,
            ..Options::default()
        };
        Dialer::new(endpoint.parse().expect("an endpoint"), setup(options), Slots::new().insert(()))
    }

    /// What a socket that only keeps books gives to its connections.
    pub(in crate::engine) fn setup(options: Options) -> Arc<Setup> {
        let config = Config {
            socket_type: SocketType::Push,
            identity: Bytes::new(),
            handshake_timeout: None,
            answers: false,
            rhythm: None,
            max_pongs: 1,
            limits: Limits { frame: 1, message: 1, parts: 1, handshake: 1 },
        };
        Arc::new(Setup { host: Mock::new(1), options: Arc::new(options), config })
    }

    fn patient() -> Dialer {
        dialer("tcp://name.invalid:1", ReconnectStop::new())
    }

    /// The pause that comes of a change, or none if the endpoint is given up.
    fn pause(dialer: &mut Dialer, change: impl FnOnce(&mut Dialer, Instant) -> Wakes) -> Option<Duration> {
        let now = clock::now();
        change(dialer, now).wake();
        match dialer.stage {
            Stage::Waiting(until) => Some(until.expect("there is an end to it") - now),
            Stage::Dead => None,
            _ => panic!("it neither waits nor is given up"),
        }
    }

    fn fail(dialer: &mut Dialer, kind: io::ErrorKind) -> Option<Duration> {
        pause(dialer, |dialer, now| {
            let error = dialer.missed(kind.into());
            dialer.failed(error, now, 0)
        })
    }

    fn lose(dialer: &mut Dialer, end: &End, was_ready: bool) -> Option<Duration> {
        pause(dialer, |dialer, now| dialer.lost(end, was_ready, now, 0))
    }

    #[test]
    fn pauses_double_until_a_connection_has_lasted() {
        let mut dialer = patient();
        for expected in [100, 200, 400, 800, 1600, 2500, 2500] {
            assert_eq!(fail(&mut dialer, io::ErrorKind::TimedOut), Some(expected * MS));
        }
        let now = clock::now();
        for (lasted, expected) in [(99 * MS, 2500 * MS), (100 * MS, 100 * MS)] {
            dialer.succeeded(now);
            dialer.lost(&End::Closed, true, now + lasted, 0).wake();
            assert_eq!(dialer.deadline(), Some(now + lasted + expected));
        }
    }

    #[test]
    fn a_connection_that_we_have_ended_ourselves_is_made_anew_at_once() {
        let mut dialer = dialer("tcp://name.invalid:1", ReconnectStop::new().disconnected(true));
        (0..5).for_each(|_| _ = fail(&mut dialer, io::ErrorKind::TimedOut));
        assert_eq!(lose(&mut dialer, &End::HungUp, true), Some(100 * MS));
    }

    #[test]
    fn who_breaks_the_protocol_is_left_alone_for_long_and_who_sends_an_error_for_ever() {
        let mut dialer = patient();
        assert_eq!(lose(&mut dialer, &Violation::NotZmtp.into(), false), Some(2500 * MS));
        assert_eq!(lose(&mut dialer, &Violation::ReservedBits.into(), true), Some(2500 * MS));
        assert_eq!(lose(&mut dialer, &Violation::PeerError { reason: "400".into() }.into(), false), None);
        assert_eq!(dialer.deadline(), None);
    }

    #[test]
    fn an_endpoint_is_given_up_after_what_it_is_to_be_given_up_for() {
        let stop = ReconnectStop::new();
        let cases: [(ReconnectStop, [bool; 3]); 4] = [
            (stop, [false; 3]),
            (stop.refused(true), [true, false, false]),
            (stop.handshake_failed(true), [false, true, false]),
            (stop.disconnected(true), [false, false, true]),
        ];
        for (stop, expected) in cases {
            let new = || dialer("tcp://name.invalid:1", stop);
            let given_up = [
                fail(&mut new(), io::ErrorKind::ConnectionRefused).is_none(),
                lose(&mut new(), &End::Closed, false).is_none(),
                lose(&mut new(), &End::Closed, true).is_none(),
            ];
            assert_eq!(given_up, expected, "{stop:?}");
        }
    }

    #[test]
    fn only_who_is_refused_by_every_address_is_refused() {
        let stop = ReconnectStop::new().refused(true);
        let mut dialer = dialer("tcp://name.invalid:1", stop);
        let no_such_name = io::Error::from(io::ErrorKind::NotFound);
        assert!(pause(&mut dialer, |dialer, now| dialer.failed(no_such_name, now, 0)).is_some());
        dialer.missed(io::ErrorKind::TimedOut.into());
        assert!(fail(&mut dialer, io::ErrorKind::ConnectionRefused).is_some());
        dialer.missed(io::ErrorKind::ConnectionRefused.into());
        assert!(fail(&mut dialer, io::ErrorKind::ConnectionRefused).is_none());
        let mut dialer = self::dialer("ipc:///nowhere", stop);
        assert!(fail(&mut dialer, io::ErrorKind::NotFound).is_none(), "no file, no listener");
    }

    #[test]
    fn a_target_that_cannot_be_dialled_is_passed_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        // No source address is of both families.
        let bad = Target::Tcp { addr: "[::1]:1".parse().unwrap(), source: Some(good) };
        let [first, last] = [good, SocketAddr::from(([127, 0, 0, 1], 1))];
        let targets =
            [bad, Target::Tcp { addr: first, source: None }, Target::Tcp { addr: last, source: None }];
        let mut dialer = patient();
        dialer.connect(targets.into(), clock::now()).unwrap();
        let Stage::Connecting { address, left, .. } = &dialer.stage else { panic!("it connects") };
        assert_eq!((address.socket_addr(), left.len()), (Some(good), 1));
    }
}
