//! [`Pulse`]: whether a peer is still there (37/ZMTP, Connection Heartbeats).
//!
//! Every interval a PING goes out, whatever else goes and comes. It asks for a sign of life, and it is one. Any octet that
//! comes is one, too, so that there is nothing to be done for it but to note the time; the rest is done when a deadline
//! has come.
//!
//! Silence alone says little. A slow worker that reads no more until it has done its work does not see the PING, and must
//! not be taken for a dead one. So the silence of a peer counts only in two cases:
//!
//! - The first PING that it let pass must have reached it. All that was written before is known to be read, since a PONG
//!   has come for a PING behind it; and a peer does not stop reading without a message. Whoever has something unread
//!   before him is left to TCP, which knows whether his machine is there.
//! - It has promised to send PINGs itself, how often, and to go on with it while it does not read. Ours say so in their
//!   context, as [`Mark`] has it. Nothing that is unread excuses their absence.
//!
//! While our own side does not read, it hears nothing and so judges nobody.

use std::time::{Duration, Instant};

use super::Violation;
use super::command::Mark;

/// How often to ask a peer for a sign of life, and how long to wait for one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    /// From one PING to the next, in milliseconds.
    pub(crate) interval: u32,
    /// How long a PING may remain the last that happened, in milliseconds.
    pub(crate) timeout: u32,
    /// When the peer is to give us up, in tenths of a second; zero if it is its own affair.
    pub(crate) ttl: u16,
}

impl Rhythm {
    fn interval(self) -> Duration {
        Duration::from_millis(self.interval.into())
    }

    fn timeout(self) -> Duration {
        Duration::from_millis(self.timeout.into())
    }
}

/// What the writing half of a connection has been doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// Changes whenever something is written that a peer may put off reading: a message or a subscription.
    pub(crate) said: u32,
    /// Something stands in the way of what is said next: it will not be written at once.
    pub(crate) stuck: bool,
}

/// The heartbeat of one connection, from the end of its handshake on.
#[derive(Debug)]
pub(crate) struct Pulse {
    rhythm: Rhythm,
    /// How often the peer has promised to send PINGs, in milliseconds; zero if it has not.
    promise: u32,
    /// When the last octet came.
    heard: Instant,
    /// When the first PING was due that nothing has come after.
    asked: Option<Instant>,
    /// The peer cannot but read that one.
    in_reach: bool,
    /// When the next PING is due.
    next: Instant,
    /// When to look. Octets that come do not move it: it is found out then what has come.
    due: Instant,
    /// How many PINGs were sent. They are numbered from one on.
    pings: u32,
    /// The latest that was answered; zero for none.
    answered: u32,
    /// The first PING behind all that was said. Its answer tells that all of it is read.
    behind: u32,
    /// What [`Spoken::said`] was when we last looked.
    said: u32,
}

impl Pulse {
    pub(crate) fn new(rhythm: Rhythm, now: Instant) -> Self {
        let next = now + rhythm.interval();
        Self {
            rhythm,
            promise: 0,
            heard: now,
            asked: None,
            in_reach: false,
            next,
            due: next,
            pings: 0,
            answered: 0,
            behind: 0,
            said: 0,
        }
    }

    /// Something came from the peer.
    #[inline]
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The peer is listened to again, after a while in which it was not.
    pub(crate) fn resumed(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// A PING came that says how often there will be one.
    pub(crate) fn promised(&mut self, mark: Mark) {
        self.promise = mark.interval;
    }

    /// A PONG came that names a PING of ours. One that was never sent proves nothing.
    pub(crate) fn answered(&mut self, mark: Mark) {
        if mark.number <= self.pings {
            self.answered = self.answered.max(mark.number);
        }
    }

    /// What our PINGs say of when the peer is to give us up, in tenths of a second.
    pub(crate) fn ttl(&self) -> u16 {
        self.rhythm.ttl
    }

    /// When [`Pulse::look`] is due.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Looks at what has come since the last time, and tells with what mark to send a PING, if one is due. Fails if the
    /// peer is gone. `paused` says that nothing is read from it at present.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        spoken: Spoken,
        paused: bool,
    ) -> Result<Option<Mark>, Violation> {
        if now < self.due {
            return Ok(None);
        }
        // Who looks as late as that was asleep, or held up, and what has come meanwhile may not be read yet.
        let late = now - self.due >= self.rhythm.timeout();
        if paused || late {
            self.resumed(now);
        } else if self.asked.is_some_and(|asked| asked <= self.heard) {
            self.asked = None;
        }
        if self.is_dead(now) {
            return Err(Violation::HeartbeatTimeout);
        }
        let mut ping = None;
        if self.next <= now {
            self.next = now + self.rhythm.interval();
            ping = self.ask(now, spoken, paused);
        }
        let verdicts = self.asked.map(|asked| [asked + self.rhythm.timeout(), self.end_of_promise()]);
        let verdict = verdicts.into_iter().flatten().filter(|verdict| *verdict > now).min();
        self.due = verdict.map_or(self.next, |verdict| verdict.min(self.next));
        Ok(ping)
    }

    /// The next PING is due. There is none behind one that is stuck: the peer would only have to answer both.
    fn ask(&mut self, now: Instant, spoken: Spoken, paused: bool) -> Option<Mark> {
        if self.said != spoken.said {
            self.behind = self.pings + 1;
            self.said = spoken.said;
        }
        if !paused && self.asked.is_none() {
            self.asked = Some(now);
            self.in_reach = self.answered >= self.behind;
        }
        if spoken.stuck {
            return None;
        }
        self.pings += 1;
        Some(Mark { number: self.pings, interval: self.rhythm.interval })
    }

    fn is_dead(&self, now: Instant) -> bool {
        let Some(asked) = self.asked else { return false };
        let waited = asked + self.rhythm.timeout() <= now;
        let broke_promise = self.promise > 0 && self.end_of_promise() <= now;
        waited && (self.in_reach || broke_promise)
    }

    /// How long a peer may be silent that sends PINGs itself.
    fn end_of_promise(&self) -> Instant {
        let interval = self.promise.max(self.rhythm.interval);
        self.heard + Duration::from_millis(interval.into()) + self.rhythm.timeout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pulse, and a clock that its tests move.
    struct Clock {
        pulse: Pulse,
        start: Instant,
        now: Instant,
        spoken: Spoken,
        paused: bool,
        /// When PINGs were sent, in milliseconds.
        pings: Vec<u64>,
    }

    impl Clock {
        /// A PING every 100 ms, and 250 ms of silence after it.
        fn new() -> Self {
            let now = Instant::now();
            let pulse = Pulse::new(Rhythm { interval: 100, timeout: 250, ttl: 0 }, now);
            Self { pulse, start: now, now, spoken: Spoken::default(), paused: false, pings: Vec::new() }
        }

        /// Time goes by, up to so many milliseconds after the start, and the peer answers as it is told. Returns when it
        /// was given up, if it was.
        fn run(&mut self, until: u64, peer: Peer) -> Option<u64> {
            while self.time() < until {
                self.now += Duration::from_millis(1);
                if self.pulse.due() > self.now {
                    continue;
                }
                match self.pulse.look(self.now, self.spoken, self.paused) {
                    Err(violation) => {
                        assert_eq!(violation, Violation::HeartbeatTimeout);
                        return Some(self.time());
                    }
                    Ok(None) => {}
                    Ok(Some(mark)) => {
                        self.pings.push(self.time());
                        if peer == Answers {
                            self.pulse.heard(self.now);
                            self.pulse.answered(mark);
                        }
                    }
                }
            }
            None
        }

        fn time(&self) -> u64 {
            (self.now - self.start).as_millis() as u64
        }

        /// A message is written.
        fn say(&mut self) {
            self.spoken.said += 1;
        }

        fn promise(&mut self, interval: u32) {
            self.pulse.promised(Mark { number: 1, interval });
            self.pulse.heard(self.now);
        }
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Peer {
        Answers,
        IsSilent,
    }
    use Peer::{Answers, IsSilent};

    #[test]
    fn who_answers_stays_and_is_asked_every_interval() {
        let mut clock = Clock::new();
        assert_eq!(clock.run(10_000, Answers), None);
        assert_eq!(clock.pings, (1..=100).map(|number| number * 100).collect::<Vec<_>>());
    }

    #[test]
    fn who_is_silent_from_the_start_is_given_up_after_interval_and_timeout() {
        let mut clock = Clock::new();
        assert_eq!(clock.run(10_000, IsSilent), Some(350));
        assert_eq!(clock.pings, [100, 200, 300]);
    }

    #[test]
    fn who_falls_silent_is_given_up_within_interval_and_timeout() {
        for last in 1000..1100 {
            let mut clock = Clock::new();
            clock.run(last, Answers);
            clock.pulse.heard(clock.now);
            let end = clock.run(10_000, IsSilent).unwrap();
            assert!((last + 250..=last + 350).contains(&end), "heard at {last}, given up at {end}");
        }
    }

    #[test]
    fn any_octet_is_a_sign_of_life_and_moves_no_deadline() {
        let mut clock = Clock::new();
        for time in 1..1000 {
            assert_eq!(clock.run(time * 10, IsSilent), None);
            let due = clock.pulse.due();
            clock.pulse.heard(clock.now);
            assert_eq!(clock.pulse.due(), due);
        }
        assert_eq!(clock.pings.len(), 99);
    }

    #[test]
    fn who_has_something_unread_before_him_is_not_given_up() {
        let mut clock = Clock::new();
        clock.run(1000, Answers);
        clock.say();
        assert_eq!(clock.run(100_000, IsSilent), None);
    }

    #[test]
    fn an_answer_tells_that_all_before_is_read() {
        let mut clock = Clock::new();
        clock.say();
        clock.run(1000, Answers);
        assert!(clock.run(10_000, IsSilent).unwrap() <= 1350);
    }

    #[test]
    fn an_answer_to_a_ping_before_a_message_tells_nothing_of_it() {
        let mut clock = Clock::new();
        clock.run(150, IsSilent);
        clock.say(); // behind the first PING
        clock.pulse.heard(clock.now);
        clock.pulse.answered(Mark { number: 1, interval: 0 });
        assert_eq!(clock.run(10_000, IsSilent), None);
        clock.pulse.answered(Mark { number: 2, interval: 0 });
        clock.pulse.heard(clock.now);
        assert!(clock.run(20_000, IsSilent).unwrap() <= 10_350);
    }

    #[test]
    fn a_message_behind_a_ping_is_no_excuse_for_not_answering_it() {
        let mut clock = Clock::new();
        clock.run(1000, Answers);
        clock.run(1105, IsSilent);
        clock.say();
        assert_eq!(clock.run(10_000, IsSilent), Some(1350));
    }

    #[test]
    fn an_answer_to_a_ping_that_was_never_sent_proves_nothing() {
        let mut clock = Clock::new();
        clock.say();
        clock.run(150, IsSilent);
        clock.pulse.answered(Mark { number: 1000, interval: 0 });
        assert_eq!(clock.run(10_000, IsSilent), None);
    }

    #[test]
    fn who_promised_to_send_pings_is_held_to_it_whatever_is_unread() {
        let mut clock = Clock::new();
        clock.say();
        clock.promise(100);
        assert_eq!(clock.run(10_000, IsSilent), Some(350));
    }

    #[test]
    fn who_keeps_its_promise_stays_without_an_answer() {
        let mut clock = Clock::new();
        for round in 1..100 {
            clock.say();
            clock.promise(700);
            assert_eq!(clock.run(round * 700, IsSilent), None);
        }
        let end = clock.run(100_000, IsSilent).unwrap();
        assert_eq!(end, 98 * 700 + 700 + 250);
    }

    #[test]
    fn who_does_not_read_judges_nobody_and_goes_on_sending_pings() {
        let mut clock = Clock::new();
        clock.promise(100);
        clock.paused = true;
        assert_eq!(clock.run(10_000, IsSilent), None);
        assert_eq!(clock.pings.len(), 100);

        // From then on the peer has as much time as ever.
        (clock.paused, clock.now) = (false, clock.now + Duration::from_millis(50));
        clock.pulse.resumed(clock.now);
        assert_eq!(clock.run(20_000, IsSilent), Some(10_350));
    }

    #[test]
    fn a_pause_between_two_looks_counts_too() {
        let mut clock = Clock::new();
        clock.run(340, IsSilent);
        clock.pulse.resumed(clock.now);
        assert_eq!(clock.run(10_000, IsSilent), Some(650));
    }

    #[test]
    fn nothing_piles_up_behind_what_is_stuck() {
        let mut clock = Clock::new();
        clock.run(1000, Answers);
        clock.say();
        clock.spoken.stuck = true;
        assert_eq!(clock.run(10_000, IsSilent), None);
        assert_eq!(clock.pings.len(), 10);
        clock.spoken.stuck = false;
        assert_eq!(clock.run(11_000, Answers), None);
        assert_eq!(clock.pings.len(), 20);
    }

    #[test]
    fn being_stuck_is_no_excuse_with_nothing_to_be_read() {
        let mut clock = Clock::new();
        clock.run(1000, Answers);
        clock.spoken.stuck = true;
        assert_eq!(clock.run(10_000, IsSilent), Some(1350));
    }

    #[test]
    fn who_was_asleep_itself_does_not_blame_the_peer() {
        let mut clock = Clock::new();
        clock.run(1000, Answers);
        clock.run(1105, IsSilent);
        clock.now += Duration::from_secs(60);
        let end = clock.run(100_000, IsSilent).unwrap();
        assert!((61_350..61_460).contains(&end), "{end}");
    }

    #[test]
    fn costs_no_more_than_it_has_to() {
        assert!(size_of::<Pulse>() <= 104, "{} octets", size_of::<Pulse>());
    }
}
