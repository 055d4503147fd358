//! What one process of a measurement does, and what it says of it.

use std::fs;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The part that a process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// PULL; binds, and is measured.
    Pull,
    /// PUSH; connects.
    Push,
    /// REP; binds.
    Rep,
    /// REQ; connects, and is measured.
    Req,
    /// PUB; binds, waits for its subscribers, and sends END at last until it is dismissed.
    Pub,
    /// SUB; connects, and is measured until END comes.
    Sub,
    /// As PUB, for workers.
    FanPush,
    /// As SUB.
    FanPull,
    /// Both ends in one process.
    Inproc,
}

const ROLES: [(&str, Role); 9] = [
    ("pull", Role::Pull),
    ("push", Role::Push),
    ("rep", Role::Rep),
    ("req", Role::Req),
    ("pub", Role::Pub),
    ("sub", Role::Sub),
    ("fan-push", Role::FanPush),
    ("fan-pull", Role::FanPull),
    ("inproc", Role::Inproc),
];

/// One end of a measurement.
#[derive(Clone, Debug)]
pub struct Job {
    pub role: Role,
    pub endpoint: String,
    pub size: usize,
    pub count: u64,
    /// How many peers to wait for.
    pub peers: usize,
}

impl Job {
    /// The job that the command line names behind the peer, if it names one.
    pub fn from_args(args: &[String]) -> Option<Self> {
        let [_, role, endpoint, size, count, peers] = args else { return None };
        let role = ROLES.iter().find(|(name, _)| name == role)?.1;
        let (size, count, peers) = (size.parse().ok()?, count.parse().ok()?, peers.parse().ok()?);
        Some(Self { role, endpoint: endpoint.clone(), size, count, peers })
    }

    /// As [`Job::from_args`] reads it.
    pub fn args(&self) -> Vec<String> {
        let name = ROLES.iter().find(|(_, role)| *role == self.role).map_or("", |(name, _)| name);
        let numbers = [self.size as u64, self.count, self.peers as u64].map(|number| number.to_string());
        [name.to_owned(), self.endpoint.clone()].into_iter().chain(numbers).collect()
    }
}

/// Counts what comes, from the first message on.
pub struct Meter {
    size: usize,
    count: u64,
    received: u64,
    start: Instant,
}

impl Meter {
    pub fn new(job: &Job) -> Self {
        Self { size: job.size, count: job.count, received: 0, start: Instant::now() }
    }

    /// One more message. True if it is the last.
    #[inline]
    pub fn is_last(&mut self, body: &[u8]) -> bool {
        if body.len() != self.size {
            assert_eq!(body, END, "a message of {} bytes came", body.len());
            return true;
        }
        if self.received == 0 {
            self.start = Instant::now();
        }
        self.received += 1;
        self.received == self.count
    }

    pub fn report(&self) {
        println!("rate {}", self.received as f64 / self.start.elapsed().as_secs_f64());
        println!("received {}", self.received);
    }
}

/// Says how long half a round trip took.
pub fn report_trips(count: u64, elapsed: Duration) {
    println!("latency {}", elapsed.as_secs_f64() * 1e6 / 2.0 / count as f64);
}

/// Says how much processor time this process has taken, in hundredths of a second, as far as the system tells.
pub fn report_processor_time() {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_the_name: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |field: usize| behind_the_name.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    println!("ticks {}", ticks(11) + ticks(12));
}

/// Sends END markers, for nobody knows which peer gets which, until the driver has seen all peers end.
pub fn send_ends(mut send: impl FnMut(&[u8])) {
    let dismissed = Arc::new(AtomicBool::new(false));
    let set = dismissed.clone();
    thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        set.store(true, Ordering::Release);
    });
    while !dismissed.load(Ordering::Acquire) {
        send(END);
        thread::sleep(Duration::from_millis(5));
    }
}

pub const END: &[u8] = b"END";

/// How long to wait for peers, and for the last messages to leave.
pub const PATIENCE: Duration = Duration::from_secs(20);
