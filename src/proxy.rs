//! [`Proxy`]: joins two sockets, so that what one receives the other sends.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::clock;
use crate::context::{Attendance, Engine, left_behind};
use crate::error::{ProxyError, RecvError, Refusal, Unmet};
use crate::lock::lock;
use crate::message::Message;
use crate::socket::{Closing, End, Receives, Receiving, Room, Sends, Socket};

/// Joins two sockets: what the front receives the back sends, and the other way round.
///
/// | front | back | |
/// |---|---|---|
/// | [`Router`](crate::Router) | [`Dealer`](crate::Dealer) | spreads the requests of many REQ over many REP, and takes the answers back |
/// | [`XSub`](crate::XSub) | [`XPub`](crate::XPub) | many publishers for many subscribers, whose subscriptions pass to the publishers |
/// | [`Pull`](crate::Pull) | [`Push`](crate::Push) | collects work and spreads it, with [`one_way`](Self::one_way) |
///
/// Messages pass whole, in the order in which they come. One socket may be both ends: it sends back what it receives.
///
/// It borrows its sockets. A thread that is not scoped takes them over and makes the proxy itself, and hands the
/// [`Control`] out, through a channel for example.
///
/// ```
/// use ferromq::{Context, Dealer, Proxy, Rep, Req, Router};
///
/// let context = Context::new()?;
/// let front = context.socket::<Router>().build()?;
/// let back = context.socket::<Dealer>().build()?;
/// let client = context.socket::<Req>().build()?;
/// client.connect(front.bind("tcp://127.0.0.1:0")?)?;
/// let service = context.socket::<Rep>().build()?;
/// service.connect(back.bind("tcp://127.0.0.1:0")?)?;
///
/// let mut proxy = Proxy::new(&front, &back);
/// let control = proxy.control();
/// let stats = std::thread::scope(|scope| {
///     let running = scope.spawn(|| proxy.run());
///     client.send("question").unwrap();
///     assert_eq!(service.recv().unwrap(), "question");
///     service.send("answer").unwrap();
///     assert_eq!(client.recv().unwrap(), "answer");
///     control.stop();
///     running.join().unwrap()
/// })?;
/// assert_eq!((stats.to_back.messages, stats.to_front.messages), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What holds up what
///
/// A direction receives its next message when the last one is sent. So a back that has no room is felt by the peers of
/// the front, through the [high-water marks](crate::Builder::recv_hwm) of both, while answers pass on; and nothing is
/// queued in between. The two directions take turns and neither keeps the other waiting.
///
/// A ROUTER that is [`mandatory`](crate::Builder::mandatory), as it is by default, waits for room at the very peer that
/// an answer is for. A client that does not read its answers then holds up those of all others; with
/// `mandatory(false)` it loses its own instead. An answer for a client that is gone is dropped, and counted.
///
/// # What is never lost
///
/// A message that is received and not yet sent stays with the proxy, however a run ends: stopped, by an error, or
/// because its future is dropped. The next run begins with it, and [`held`](Self::held) takes it out. Dropping the
/// proxy sends it if there is room; if not it is lost, and the [log] says so.
///
/// # Sockets that take turns
///
/// A [`Req`](crate::Req) and a [`Rep`](crate::Rep) cannot receive while it is their turn to send, and end the proxy with
/// an error. A REP can still be both ends.
#[must_use = "a proxy passes nothing on before it is run"]
pub struct Proxy<'a> {
    to_back: Lane<'a>,
    /// None if there is only one direction.
    to_front: Option<Lane<'a>>,
    capture: Capture<'a>,
    desk: Arc<Desk>,
}

impl<'a> Proxy<'a> {
    /// Joins two sockets that both send and receive.
    pub fn new<F, B>(front: &'a Socket<F>, back: &'a Socket<B>) -> Self
    where
        F: Sends + Receives,
        B: Sends + Receives,
    {
        let (front, back) = (End::from(front), End::from(back));
        // Two directions of one socket would be the same one twice.
        Self::of(Lane::new(front, back), (!front.is(back)).then(|| Lane::new(back, front)))
    }

    /// Passes on what one socket receives to another one, and nothing back, such as from a PULL to a PUSH or from a SUB
    /// to a PUB. The first is the front, the second the back.
    pub fn one_way<F: Receives, B: Sends>(from: &'a Socket<F>, to: &'a Socket<B>) -> Self {
        Self::of(Lane::new(from.into(), to.into()), None)
    }

    fn of(to_back: Lane<'a>, to_front: Option<Lane<'a>>) -> Self {
        Self { to_back, to_front, capture: Capture::default(), desk: Arc::default() }
    }

    /// Has a copy of each message that is passed on, in either direction, sent on a third socket: as a rule a PUB, PUSH,
    /// PAIR or DEALER.
    ///
    /// The capture never holds up the proxy. A copy that it refuses, because it has no room or is closed, is missed and
    /// counted in [`capture_missed`](ProxyStats::capture_missed).
    pub fn capture<C: Sends>(mut self, socket: &'a Socket<C>) -> Self {
        self.capture.socket = Some(socket.into());
        self
    }

    /// A handle by which other threads pause, resume and stop the proxy, and see what it has done.
    pub fn control(&self) -> Control {
        Control(self.desk.clone())
    }

    /// Passes messages on, and blocks until [`Control::stop`].
    ///
    /// # Errors
    ///
    /// When one of the two sockets is closed, or fails for a reason that no waiting helps.
    pub fn run(&mut self) -> Result<ProxyStats, ProxyError> {
        let engine = self.to_back.from.engine();
        let _attendance = self.attend(Some(engine));
        let mut running = Running { closing: self.closing(), proxy: self };
        loop {
            match engine.block_on(&mut running, None) {
                Ok(Step::Ended(result)) => return result,
                Err(Unmet::Forked) => return Err(FORKED),
                // In a waker nothing can be waited for.
                Err(unmet) if engine.is_driven_here() => return Err(ProxyError::Receive(unmet.into())),
                // There is more to do; but others live on this reactor, too, and so do the sockets themselves.
                Ok(Step::Busy) | Err(Unmet::TimedOut) => {
                    let _never = engine.block_on(std::future::pending::<()>(), Some(clock::now()));
                }
            }
        }
    }

    /// Passes messages on until [`Control::stop`]. Runs under any executor.
    ///
    /// Dropping the future loses nothing: what it holds stays with the proxy.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_async(&mut self) -> impl Future<Output = Result<ProxyStats, ProxyError>> + Send + Unpin {
        Attended { attendances: Vec::new(), running: Running { closing: self.closing(), proxy: self } }
    }

    /// Takes out what was received and could not be passed on: at most one message for each direction. There can be some
    /// after any run.
    pub fn held(&mut self) -> Held {
        Held {
            to_back: self.to_back.held.take(),
            to_front: self.to_front.as_mut().and_then(|lane| lane.held.take()),
        }
    }

    fn lanes(&mut self) -> impl Iterator<Item = &mut Lane<'a>> {
        std::iter::once(&mut self.to_back).chain(&mut self.to_front)
    }

    /// Passes on what there is, in each direction up to its share. Tells whether there may be more.
    fn pump(&mut self, context: &mut Context<'_>) -> Result<bool, ProxyError> {
        let mut busy = self.to_back.pump(&mut self.capture, &self.desk, context)?;
        if let Some(lane) = &mut self.to_front {
            busy |= lane.pump(&mut self.capture, &self.desk, context)?;
        }
        Ok(busy)
    }

    fn stats(&self) -> ProxyStats {
        ProxyStats {
            to_back: self.to_back.flow,
            to_front: self.to_front.as_ref().map(|lane| lane.flow).unwrap_or_default(),
            captured: self.capture.taken,
            capture_missed: self.capture.missed,
        }
    }

    fn closing(&self) -> [Closing<'a>; 2] {
        [self.to_back.from.closing(), self.to_back.to.closing()]
    }

    /// Has the reactors run by others, but for the one that the caller runs.
    fn attend(&self, own: Option<&Engine>) -> Vec<Attendance> {
        [Some(self.to_back.from), Some(self.to_back.to), self.capture.socket]
            .into_iter()
            .flatten()
            .filter(|end| !own.is_some_and(|own| own.is(end.engine())))
            .map(|end| end.engine().attendance())
            .collect()
    }
}

impl Drop for Proxy<'_> {
    fn drop(&mut self) {
        for lane in self.lanes() {
            if let Some(Err(reason)) = lane.held.take().map(|message| lane.to.try_send(&message)) {
                log::warn!("a dropped proxy gives up a message it held: {reason}");
            }
        }
    }
}

impl fmt::Debug for Proxy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Steers a [`Proxy`] from anywhere; made by [`Proxy::control`].
///
/// All of this may be done before the proxy runs, too. A clone is another handle to the same proxy, which it does not
/// keep alive.
#[derive(Clone, Debug)]
pub struct Control(Arc<Desk>);

impl Control {
    /// Has the proxy receive nothing more for now, so that its peers feel its high-water marks. What it has received is
    /// still sent, which is one message for each direction at most.
    pub fn pause(&self) {
        self.0.paused.store(true, Ordering::SeqCst);
        self.0.wake();
    }

    /// Has the proxy go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.0.paused.store(false, Ordering::SeqCst);
        self.0.wake();
    }

    /// Ends the run of the proxy, paused or not; if it does not run, the next run ends at once. Messages for which there
    /// was no room are [held](Proxy::held).
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.0.wake();
    }

    /// What the proxy has done so far, in all its runs. A proxy that is busy counts up to a thousand messages
    /// at a time.
    pub fn stats(&self) -> ProxyStats {
        lock(&self.0.notice).stats
    }
}

/// What a [`Proxy`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyStats {
    /// From the front to the back.
    pub to_back: Flow,
    /// From the back to the front.
    pub to_front: Flow,
    /// Copies that the [capture](Proxy::capture) has taken.
    pub captured: u64,
    /// Copies that it has refused.
    pub capture_missed: u64,
}

/// What has passed through a [`Proxy`] in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flow {
    /// Messages that were received and sent.
    pub messages: u64,
    /// Bytes of all their parts, without any framing.
    pub bytes: u64,
    /// Messages that were received and dropped, because nobody has the routing id they begin with.
    pub dropped: u64,
}

/// What a [`Proxy`] has received and not passed on; taken out by [`Proxy::held`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// From the front, for the back.
    pub to_back: Option<Message>,
    /// From the back, for the front.
    pub to_front: Option<Message>,
}

/// Where a proxy and those who steer it meet.
#[derive(Debug, Default)]
struct Desk {
    paused: AtomicBool,
    stopped: AtomicBool,
    notice: Mutex<Notice>,
}

#[derive(Debug, Default)]
struct Notice {
    /// As the proxy last wrote it down.
    stats: ProxyStats,
    /// Whom to wake for a new order.
    waker: Option<Waker>,
}

impl Desk {
    fn halts(&self) -> bool {
        self.paused.load(Ordering::SeqCst) || self.stopped.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        let waker = lock(&self.notice).waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whom to wake from now on. The orders are to be looked at after this, lest one is missed.
    fn attach(&self, waker: Option<Waker>) {
        let before = std::mem::replace(&mut lock(&self.notice).waker, waker);
        drop(before);
    }
}

/// One direction.
struct Lane<'a> {
    from: End<'a>,
    to: End<'a>,
    /// Received and not sent yet.
    held: Option<Message>,
    /// Its place among those who wait for a message, while it waits for one.
    receiving: Option<Receiving<'a>>,
    /// Its place among those who wait for room.
    room: Option<Room<'a>>,
    flow: Flow,
}

impl<'a> Lane<'a> {
    fn new(from: End<'a>, to: End<'a>) -> Self {
        Self { from, to, held: None, receiving: None, room: None, flow: Flow::default() }
    }

    /// Passes on what there is, up to its share. Tells whether there may be more.
    fn pump(
        &mut self,
        capture: &mut Capture<'_>,
        desk: &Desk,
        context: &mut Context<'_>,
    ) -> Result<bool, ProxyError> {
        let enough = self.flow.bytes + SHARE_BYTES;
        for _ in 0..SHARE {
            if self.held.is_none() {
                if desk.halts() {
                    // It does not want to be woken for what others could have.
                    self.receiving = None;
                    return Ok(false);
                }
                if self.receive(context)?.is_pending() {
                    return Ok(false);
                }
            }
            if self.send(capture, context)?.is_pending() {
                return Ok(false);
            }
            if self.flow.bytes >= enough {
                break;
            }
        }
        Ok(true)
    }

    /// Receives what is then held.
    fn receive(&mut self, context: &mut Context<'_>) -> Result<Poll<()>, ProxyError> {
        let receiving = self.receiving.get_or_insert_with(|| self.from.receiving());
        match Pin::new(receiving).poll(context) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(message)) => self.held = Some(message),
            Poll::Ready(Err(RecvError::Closed)) => return Err(ProxyError::Closed),
            Poll::Ready(Err(reason)) => return Err(ProxyError::Receive(reason)),
        }
        Ok(Poll::Ready(()))
    }

    /// Sends what is held.
    fn send(&mut self, capture: &mut Capture<'_>, context: &mut Context<'_>) -> Result<Poll<()>, ProxyError> {
        let Some(message) = &self.held else { return Ok(Poll::Ready(())) };
        let sent = match self.to.try_send(message) {
            // Only who waits takes a place, and needs a waker for it.
            Err(refusal) if refusal.is_full() => {
                self.room.get_or_insert_with(|| self.to.room()).poll_send(message, context)
            }
            result => Poll::Ready(result),
        };
        match sent {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(())) => {
                self.flow.messages += 1;
                self.flow.bytes += message.byte_len() as u64;
                capture.send(message);
            }
            Poll::Ready(Err(Refusal::Unroutable)) => self.flow.dropped += 1,
            Poll::Ready(Err(Refusal::Closed)) => return Err(ProxyError::Closed),
            Poll::Ready(Err(reason)) => return Err(ProxyError::Send(reason)),
        }
        self.held = None;
        Ok(Poll::Ready(()))
    }

    /// Waits no longer.
    fn rest(&mut self) {
        self.receiving = None;
        self.room = None;
    }
}

/// Who gets a copy of everything, if anybody does.
#[derive(Default)]
struct Capture<'a> {
    socket: Option<End<'a>>,
    taken: u64,
    missed: u64,
}

impl Capture<'_> {
    fn send(&mut self, message: &Message) {
        match self.socket.map(|socket| socket.try_send(message)) {
            Some(Ok(())) => self.taken += 1,
            Some(Err(_)) => self.missed += 1,
            None => {}
        }
    }
}

/// A run of a proxy, which comes back from time to time while it is busy.
struct Running<'p, 'a> {
    closing: [Closing<'a>; 2],
    proxy: &'p mut Proxy<'a>,
}

enum Step {
    /// There may be more to do at once, but others are to have their turn.
    Busy,
    Ended(Result<ProxyStats, ProxyError>),
}

impl Running<'_, '_> {
    /// Whether a socket is closed, also if nothing is wanted of it at present.
    fn is_closed(&mut self, context: &mut Context<'_>) -> bool {
        self.closing.iter_mut().any(|closing| Pin::new(closing).poll(context).is_ready())
    }
}

impl Future for Running<'_, '_> {
    type Output = Step;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Step> {
        let this = &mut *self;
        this.proxy.desk.attach(Some(context.waker().clone()));
        let pumped = this.proxy.pump(context);
        let stats = this.proxy.stats();
        lock(&this.proxy.desk.notice).stats = stats;
        // Help before you wait: what was sent must not lie about while this sleeps.
        left_behind::flush();
        match pumped {
            Err(error) => Poll::Ready(Step::Ended(Err(error))),
            Ok(_) if this.proxy.desk.stopped.swap(false, Ordering::SeqCst) => {
                Poll::Ready(Step::Ended(Ok(stats)))
            }
            Ok(true) => Poll::Ready(Step::Busy),
            Ok(false) if this.is_closed(context) => Poll::Ready(Step::Ended(Err(ProxyError::Closed))),
            Ok(false) => Poll::Pending,
        }
    }
}

impl Drop for Running<'_, '_> {
    fn drop(&mut self) {
        self.proxy.lanes().for_each(Lane::rest);
        self.proxy.desk.attach(None);
    }
}

/// A run under somebody else's executor: while it lasts, the I/O threads run the reactors.
struct Attended<'p, 'a> {
    attendances: Vec<Attendance>,
    running: Running<'p, 'a>,
}

impl Future for Attended<'_, '_> {
    type Output = Result<ProxyStats, ProxyError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match Pin::new(&mut this.running).poll(context) {
            Poll::Ready(Step::Ended(result)) => {
                this.attendances.clear();
                return Poll::Ready(result);
            }
            Poll::Ready(Step::Busy) => context.waker().wake_by_ref(),
            Poll::Pending => {}
        }
        if this.attendances.is_empty() {
            if this.running.proxy.to_back.from.engine().is_forked() {
                return Poll::Ready(Err(FORKED));
            }
            this.attendances = this.running.proxy.attend(None);
        }
        Poll::Pending
    }
}

/// The sockets belong to another process.
const FORKED: ProxyError = ProxyError::Receive(RecvError::Forked);

/// Messages, and bytes, that one direction passes on before the other one and the reactor have their turn: as many as
/// are worth a system call to send them, and few enough to take less than a millisecond.
const SHARE: usize = 1024;
const SHARE_BYTES: u64 = 256 * 1024;
