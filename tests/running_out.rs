//! Running out of file descriptors: accepting pauses and recovers, who is there is served, nothing spins and nothing
//! panics.
#![cfg(unix)]

mod common;

use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::process::{TASK, task};
use common::raw::Peer;
use common::{PATIENCE, alone, eventually, eventually_within, processor_time_of, raw, resident_of, within};
use ferromq::{Context, Dealer, Event, Interest, Limit, Poller, Pull, Push, Router, Socket};

/// The role of a process that a test starts: sends back what it receives, and says what befalls it.
#[test]
#[ignore = "a process that other tests start, with few descriptors"]
fn the_server() {
    let Some(_) = task() else { return };
    let router = Context::new().unwrap().socket::<Router>().build().unwrap();
    let monitor = router.monitor();
    let listeners = env::var(LISTENERS).map_or(1, |count| count.parse::<usize>().unwrap());
    let bound = (0..listeners).map(|_| router.bind("tcp://127.0.0.1:0").unwrap().to_string());
    println!("\nbound {}", bound.collect::<Vec<_>>().join(" "));
    thread::spawn(move || {
        for event in monitor {
            match event {
                Event::AcceptPaused { error, .. } => println!("\npaused: {error}"),
                Event::AcceptResumed { .. } => println!("\nresumed"),
                Event::LimitReached { limit, .. } => println!("\nreached {limit:?}"),
                _ => {}
            }
        }
    });
    for message in &router {
        drop(router.try_send(message));
    }
}

/// At how many endpoints it is bound, if not at one.
const LISTENERS: &str = "FERROMQ_TEST_LISTENERS";

/// A process of that role.
struct Server {
    process: Child,
    at: String,
    /// Where else it is bound.
    elsewhere: Vec<String>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(descriptors: u32) -> Self {
        Self::start_at(1, descriptors)
    }

    fn start_at(listeners: usize, descriptors: u32) -> Self {
        let mut command = run_with(descriptors, "the_server");
        let mut process =
            command.env(LISTENERS, listeners.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let bound = lines.find_map(|line| line.strip_prefix("bound ").map(str::to_owned));
        let said = Arc::new(Mutex::new(Vec::new()));
        let saying = said.clone();
        thread::spawn(move || lines.for_each(|line| saying.lock().unwrap().push(line)));
        let bound = bound.expect("the process says where it is bound");
        let mut places = bound.split(' ').map(str::to_owned);
        let (at, elsewhere) = (places.next().unwrap(), places.collect());
        Self { process, at, elsewhere, said }
    }

    /// How often it has said something that begins like this.
    fn says(&self, what: &str) -> usize {
        self.said.lock().unwrap().iter().filter(|line| line.starts_with(what)).count()
    }

    /// A newcomer gets its answer.
    #[track_caller]
    fn assert_serves_a_newcomer(&self) {
        Self::newcomer(&self.at);
    }

    /// A newcomer that has got its answer.
    #[track_caller]
    fn newcomer(at: &str) -> Peer {
        let mut peer = Peer::dial(at, "DEALER");
        peer.send(&[b"hello"]);
        assert_eq!(peer.single(), b"hello");
        peer
    }

    /// What it spends of the processor in the given time, in per cent of one core.
    fn load(&self, window: Duration) -> f64 {
        let used = || processor_time_of(self.process.id());
        let (before, start) = (used(), Instant::now());
        thread::sleep(window); // a span to measure over, not a wait for anything
        100.0 * (used() - before).as_secs_f64() / start.elapsed().as_secs_f64()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.process.try_wait();
        drop(self.process.kill());
        drop(self.process.wait());
        if !thread::panicking() {
            assert!(matches!(ended, Ok(None)), "the server did not live to the end: {ended:?}");
        }
    }
}

/// Runs one of the tests of this file in a process of its own with so many descriptors.
fn run_with(descriptors: u32, role: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {descriptors}; exec \"$0\" --exact {role} --ignored --nocapture");
    command.arg("-c").arg(script).arg(env::current_exe().unwrap()).env(TASK, role);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn a_listener_that_ran_out_of_descriptors_recovers_and_does_not_spin() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        let server = Server::start(40);
        let address = raw::address(&server.at);

        // More than it can take: some wait to be accepted.
        let mut crowd: Vec<TcpStream> = Vec::new();
        while crowd.last().is_none_or(is_greeted) {
            crowd.push(TcpStream::connect(address).unwrap());
        }
        let room = crowd.len() - 1;
        assert!(room < 40, "the limit was not reached");
        drop(crowd);
        server.assert_serves_a_newcomer();

        // Exactly as many as it can take: nobody waits when a descriptor comes free.
        let mut crowd: Vec<TcpStream> = (0..room - 1).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert!(crowd.iter().all(is_greeted));
        for _ in 0..3 {
            crowd.push(TcpStream::connect(address).unwrap());
            is_greeted(crowd.last().unwrap());
            crowd.pop();
            let load = server.load(Duration::from_millis(300));
            assert!(load < 30.0, "{load:.0} % of a core: it spins");
        }
        drop(crowd);
        server.assert_serves_a_newcomer();
    });
}

/// Whether the other side has accepted the connection, which it shows by its greeting.
fn is_greeted(stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.peek(&mut [0]).is_ok_and(|octets| octets == 1)
}

#[test]
fn strangers_who_hold_all_descriptors_give_way_to_who_speaks() {
    let _turn = alone();
    within(PATIENCE, || {
        let server = Server::start(40);
        let address = raw::address(&server.at);
        let _silent: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
        let context = Context::new().unwrap();
        let dealer = context.socket::<Dealer>().build().unwrap();
        dealer.connect(&server.at).unwrap(); // again and again, where the system ends connections that it cannot hand out
        dealer.send("hello").unwrap();
        let answer =
            dealer.recv_timeout(PATIENCE / 2).expect("it comes long before a handshake has timed out");
        assert_eq!(answer, "hello");
        eventually("it is told", || server.says("paused") > 0 && server.says("reached Handshakes") > 0);
        assert!(server.says("reached Descriptors") <= server.says("paused"));
    });
}

/// Peers that all dial the same server, some of which it has room for.
struct Crowd {
    peers: Vec<Socket<Dealer>>,
    _context: Context,
}

impl Crowd {
    fn of(count: usize, at: &str) -> Self {
        let context = Context::new().unwrap();
        let dial = |_| {
            let peer = context.socket::<Dealer>().linger(Duration::ZERO).immediate(true).build().unwrap();
            peer.connect(at).unwrap();
            peer
        };
        Self { peers: (0..count).map(dial).collect(), _context: context }
    }

    fn inside(&self) -> impl Iterator<Item = &Socket<Dealer>> {
        self.peers.iter().filter(|peer| peer.stats().peers == 1)
    }

    /// Everybody who is in gets an answer.
    #[track_caller]
    fn assert_all_inside_are_served(&self) {
        for peer in self.inside() {
            peer.send_timeout("hello", PATIENCE).unwrap();
            assert_eq!(peer.recv_timeout(PATIENCE).unwrap(), "hello");
        }
    }

    /// Some of those who are in leave.
    fn leave(&mut self, mut count: usize) {
        self.peers.retain(|peer| {
            let leaves = count > 0 && peer.stats().peers == 1;
            count -= usize::from(leaves);
            !leaves
        });
    }
}

#[test]
fn with_more_peers_than_descriptors_those_inside_are_served_and_others_follow_when_they_leave() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        let server = Server::start(64);
        let mut crowd = Crowd::of(200, &server.at);
        eventually("it is full", || server.says("paused") > 0);
        let mut full = 0;
        eventually("nobody else gets in", || {
            let before = std::mem::replace(&mut full, crowd.inside().count());
            thread::sleep(Duration::from_millis(200));
            before == full && full >= 32
        });
        assert!(full < 64, "the limit was not reached");

        crowd.assert_all_inside_are_served();
        let load = server.load(Duration::from_secs(1));
        assert!(load < 5.0, "{load} % of a core while it is full");
        crowd.assert_all_inside_are_served();
        assert_eq!((server.says("paused"), server.says("reached Descriptors")), (1, 1), "told once");

        let mut pauses = Vec::new();
        for _ in 0..4 {
            crowd.leave(10);
            let left = Instant::now();
            eventually_within(PATIENCE, "others follow", || crowd.inside().count() >= full);
            pauses.push(left.elapsed());
            crowd.assert_all_inside_are_served();
        }
        let best = pauses.iter().min().unwrap();
        assert!(*best < Duration::from_secs(1), "{pauses:?}");
        println!("{full} inside, {load:.1} % of a core, others followed after {pauses:?}");

        drop(crowd);
        server.assert_serves_a_newcomer();
        eventually("the end of the pause is told", || server.says("resumed") >= server.says("paused"));
        (0..3).for_each(|_| server.assert_serves_a_newcomer());
        assert_eq!(server.says("resumed"), server.says("paused"), "and told once");
    });
}

#[test]
fn many_listeners_that_pause_at_once_cost_little_and_all_go_on() {
    let _turn = alone();
    within(PATIENCE, || {
        let server = Server::start_at(50, 100);
        let mut inside = Vec::new();
        while server.says("paused") == 0 {
            let waits = TcpStream::connect(raw::address(&server.at)).unwrap();
            if is_greeted(&waits) {
                inside.push(Peer::new(waits).shake_hands("DEALER"));
            }
        }
        assert!(inside.len() < 50, "the limit was not reached");
        let connect = |at| TcpStream::connect(raw::address(at)).unwrap();
        let waiting: Vec<TcpStream> = server.elsewhere.iter().map(connect).collect();
        eventually("all of them pause", || server.says("paused") == 50);
        let load = server.load(Duration::from_secs(1));
        assert!(load < 5.0, "{load} % of a core while it is full");
        for peer in &mut inside {
            peer.send(&[b"hello"]);
            assert_eq!(peer.single(), b"hello");
        }
        drop((inside, waiting));
        server.elsewhere.iter().for_each(|at| drop(Server::newcomer(at)));
        server.assert_serves_a_newcomer();
        eventually("the end of each pause is told", || server.says("resumed") == server.says("paused"));
    });
}

#[test]
fn a_connection_that_says_nothing_takes_little_memory() {
    let _turn = alone();
    within(PATIENCE, || {
        let server = Server::start(8000);
        let address = raw::address(&server.at);
        // One after the other, so that none finds the backlog full.
        let connect = |_| {
            let stream = TcpStream::connect(address).unwrap();
            assert!(is_greeted(&stream));
            stream
        };
        let _warm: Vec<TcpStream> = (0..100).map(connect).collect();
        let before = resident_of(server.process.id());
        let silent: Vec<TcpStream> = (0..1000).map(connect).collect();
        let each = resident_of(server.process.id()).saturating_sub(before) / silent.len();
        println!("{each} bytes for each connection that says nothing");
        assert!(each < 4096, "{each} bytes for each connection that says nothing");
    });
}

#[test]
#[ignore = "a process that another test starts, with few descriptors"]
fn nothing_panics_without_descriptors() {
    let Some(_) = task() else { return };
    let context = Context::new().unwrap();
    let pull = context.socket::<Pull>().build().unwrap();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    let push = context.socket::<Push>().reconnect_interval(Duration::from_millis(20)).build().unwrap();
    let monitor = push.monitor();
    let file = env::temp_dir().join(format!("ferromq-running-out-{}", std::process::id()));
    let path = format!("ipc://{}", file.display());

    let mut hoard = hoard();
    for left in (0..6).rev() {
        // Whatever it has, and whatever it needs, it has too little or succeeds.
        for _ in 0..3 {
            drop(Context::new());
            drop(context.socket::<Pull>().build().unwrap().bind("tcp://127.0.0.1:0"));
            drop(context.socket::<Pull>().build().unwrap().bind("ipc://*"));
            drop(context.socket::<Pull>().build().unwrap().bind(&*path));
            drop(context.socket::<Push>().build().unwrap().readiness(Interest::WRITABLE));
            let mut poller = Poller::new();
            drop(poller.add_fd(&hoard[0], 1, Interest::READABLE));
        }
        hoard.truncate(hoard.len() - usize::from(left > 0));
    }
    eventually("what dropped sockets had is taken, too", || {
        hoard.extend(self::hoard());
        thread::sleep(Duration::from_millis(50));
        self::hoard().is_empty()
    });
    assert!(Context::new().is_err());
    assert!(context.socket::<Pull>().build().unwrap().bind("tcp://127.0.0.1:0").is_err());
    assert!(context.socket::<Push>().build().unwrap().readiness(Interest::WRITABLE).is_err());

    // Dialling fails, is told and tried again; a name cannot be looked up either.
    push.connect(&at).unwrap();
    for _ in 0..3 {
        match monitor.recv_timeout(PATIENCE).unwrap() {
            Event::ConnectFailed { error, .. } => assert_eq!(error.raw_os_error(), Some(24), "{error}"),
            Event::Retrying { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let other = context.socket::<Push>().linger(Duration::ZERO).build().unwrap();
    let others = other.monitor();
    other.connect("tcp://localhost:1").unwrap();
    while !matches!(others.recv_timeout(PATIENCE).unwrap(), Event::Retrying { .. }) {}
    drop(hoard);
    push.send_timeout("hello", PATIENCE).unwrap();
    assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "hello");
    assert_eq!(pull.stats().limits.of(Limit::Connections), 0);
}

/// All descriptors there are.
fn hoard() -> Vec<File> {
    let mut hoard = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => hoard.push(file),
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::NotFound);
                assert!(hoard.len() < 60, "there is no limit");
                return hoard;
            }
        }
    }
}

#[test]
fn without_descriptors_calls_fail_and_dialling_is_told_and_tried_again() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        let output = run_with(64, "nothing_panics_without_descriptors")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    });
}
