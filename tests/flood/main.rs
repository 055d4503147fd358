//! A port that strangers can reach: thousands of hostile connections cost neither memory nor descriptors, and do not take
//! an honest peer's turn.
#![cfg(target_os = "linux")] // which has an address for each stranger, and tells what a process uses

#[path = "../common/mod.rs"]
mod common;
#[path = "../corpus/mod.rs"]
mod corpus;
mod strangers;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::process::{orders, say, task};
use common::{PATIENCE, Process, eventually, open_descriptors, raw, resident, within};
use ferromq::{Context, Endpoint, Message, Pull, Push, RecvError, Socket};
use strangers::{CROWD, Strangers, manners};

#[test]
fn a_listener_serves_honest_peers_under_a_thousand_hostile_connections() {
    within(4 * PATIENCE, || flood(5));
}

#[test]
#[ignore = "ten thousand connections"]
fn a_listener_serves_honest_peers_under_ten_thousand_hostile_connections() {
    within(20 * PATIENCE, || flood(50));
}

fn flood(rounds: usize) {
    let ctx = Context::new().unwrap();
    let pull = Arc::new(ctx.socket::<Pull>().build().unwrap());
    let at = &pull.bind("tcp://127.0.0.1:0").unwrap();
    let mut honest = Process::start("the_honest_peer", at);
    let mut crowds = Crowds { strangers: Strangers::start(at), at, come: 0, peak: 0 };
    pull.wait_connected(1, PATIENCE).unwrap();
    let files = open_descriptors();
    let intake = Arc::new(Intake::default());
    let receiver = thread::spawn({
        let (intake, pull) = (intake.clone(), pull.clone());
        move || intake.run(&pull)
    });

    crowds.come(); // so that everything is warm
    let memory = resident();
    crowds.peak = memory;
    // Others may use the machine for a moment: one of three attempts has to hold.
    let kept = (0..3).any(|_| compare(&intake, &mut crowds, rounds));
    assert!(kept, "an honest peer keeps at least half of its throughput");
    let grown = crowds.peak - memory;
    println!("{} hostile connections took {} KiB at most", crowds.come * CROWD, grown / 1024);
    assert!(grown < 32 << 20, "{memory} octets of memory grew by {grown}");
    eventually("all descriptors of strangers are given back", || open_descriptors() == files);

    honest.tell("enough");
    let sent: u64 = honest.hear().parse().unwrap();
    eventually("all is received that the honest peer has sent", || intake.honest.load(SeqCst) == sent);
    drop(pull.close(Duration::ZERO));
    receiver.join().unwrap();
    assert_eq!(intake.newcomers.load(SeqCst), crowds.come, "who comes in the middle of a flood is served");
    intake.check_strange();
}

/// Whether at least half as much comes from the honest peer under a flood as when it is quiet. The two take turns, so that
/// whatever else the machine does slows both alike.
fn compare(intake: &Intake, crowds: &mut Crowds, rounds: usize) -> bool {
    let (mut quiet, mut flooded) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        quiet.push(intake.rate(|| thread::sleep(QUIET)));
        flooded.push(intake.rate(|| crowds.come()));
    }
    let (quiet, flooded) = (median(quiet), median(flooded));
    println!("{quiet:.0} messages in a second when it is quiet, {flooded:.0} under a flood");
    2.0 * flooded > quiet
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// The strangers, one crowd after the other.
struct Crowds<'a> {
    strangers: Strangers,
    at: &'a Endpoint,
    /// How many there have been.
    come: usize,
    /// The most memory that this process has been seen to use meanwhile.
    peak: usize,
}

impl Crowds<'_> {
    /// Another one comes and goes. In the midst of it somebody comes with an honest message.
    fn come(&mut self) {
        self.strangers.come(self.come as u64, || {
            let mut newcomer = raw::Peer::dial(self.at, "PUSH");
            newcomer.send(&[NEWCOMER.as_bytes()]);
            newcomer.sync();
            self.peak = self.peak.max(resident());
        });
        self.come += 1;
        self.peak = self.peak.max(resident());
    }
}

/// What the listening socket receives.
#[derive(Default)]
struct Intake {
    honest: AtomicU64,
    newcomers: AtomicUsize,
    strange: Mutex<Vec<Message>>,
}

impl Intake {
    /// Receives until the socket is closed. What the honest peer sends comes whole and in order.
    fn run(&self, pull: &Socket<Pull>) {
        loop {
            match pull.recv() {
                Ok(message) if message == NEWCOMER => _ = self.newcomers.fetch_add(1, SeqCst),
                Ok(message) => match number(&message) {
                    Some(number) => assert_eq!(self.honest.fetch_add(1, SeqCst), number, "lost or doubled"),
                    None => self.strange.lock().unwrap().push(message),
                },
                Err(error) => return assert_eq!(error, RecvError::Closed),
            }
        }
    }

    /// How many honest messages come in a second of what is going on meanwhile.
    fn rate(&self, meanwhile: impl FnOnce()) -> f64 {
        let (before, start) = (self.honest.load(SeqCst), Instant::now());
        meanwhile();
        (self.honest.load(SeqCst) - before) as f64 / start.elapsed().as_secs_f64()
    }

    /// Nothing else came but what sound strangers have sent.
    fn check_strange(&self) {
        let sound: Vec<Vec<Vec<u8>>> = manners().into_iter().flat_map(|row| row.delivered).collect();
        for strange in self.strange.lock().unwrap().iter() {
            assert!(sound.iter().any(|parts| parts.iter().eq(strange.parts())), "delivered: {strange:?}");
        }
    }
}

#[test]
#[ignore = "the process that the other tests start for somebody to serve"]
fn the_honest_peer() {
    let Some(at) = task() else { return };
    let push = &Context::new().unwrap().socket::<Push>().build().unwrap();
    push.connect(at).unwrap();
    let enough = &AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut sent: u64 = 0;
            while !enough.load(SeqCst) {
                match push.send_timeout(numbered(sent), PATIENCE) {
                    Ok(()) => sent += 1,
                    Err(error) => panic!("nobody takes what is sent: {error}"),
                }
            }
            say(sent);
        });
        orders().next();
        enough.store(true, SeqCst);
    });
    orders().next(); // until the other has received everything, and goes
}

fn numbered(number: u64) -> Message {
    Message::from([HONEST, &number.to_be_bytes(), &[7; 48]].concat())
}

fn number(message: &Message) -> Option<u64> {
    let body = message.part(0).filter(|_| message.len() == 1)?;
    let number = body.strip_prefix(HONEST)?.first_chunk()?;
    Some(u64::from_be_bytes(*number))
}

/// The time between two crowds.
const QUIET: Duration = Duration::from_millis(150);

const HONEST: &[u8] = b"honest: ";
const NEWCOMER: &str = "somebody new";
