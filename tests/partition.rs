//! A partition as it is: packets between two machines vanish, and nobody is told. The machines are network namespaces of
//! Linux with a router between them, which stops routing. That takes the rights of root, so it is run by hand; without
//! them it is passed over:
//!
//! ```sh
//! cargo test --release --test partition -- --ignored --nocapture
//! ```
#![cfg(target_os = "linux")]

mod common;

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use common::alone;
use ferromq::{Context, End, Event, Heartbeat, Kind, Monitor, Pull, Push, Socket};

const INTERVAL: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_millis(700);
const PATIENCE: Duration = Duration::from_secs(60);

/// Two machines, `a` and `b`, and a router `r` between them.
struct Network(u32);

impl Network {
    /// None, aloud, where there is no leave to make one.
    fn new() -> Option<Self> {
        let network = Self(std::process::id());
        let probe = Command::new("ip").args(["netns", "add", &network.space("probe")]).status();
        if !probe.is_ok_and(|status| status.success()) {
            println!("passed over: there are no network namespaces to be had");
            return None;
        }
        network.ip(&["netns", "del", &network.space("probe")]);
        for name in ["a", "b", "r"] {
            network.ip(&["netns", "add", &network.space(name)]);
            network.within(name, &["ip", "link", "set", "lo", "up"]);
        }
        for (number, name) in ["a", "b"].into_iter().enumerate() {
            let (inner, outer) = (format!("fq{name}{}", network.0), format!("fr{name}{}", network.0));
            network.ip(&["link", "add", &inner, "type", "veth", "peer", "name", &outer]);
            for (link, place, host) in [(&inner, name, 2), (&outer, "r", 1)] {
                network.ip(&["link", "set", link, "netns", &network.space(place)]);
                network
                    .within(place, &["ip", "addr", "add", &format!("10.99.{number}.{host}/24"), "dev", link]);
                network.within(place, &["ip", "link", "set", link, "up"]);
            }
            network.within(name, &["ip", "route", "add", "default", "via", &format!("10.99.{number}.1")]);
        }
        network.route(true);
        Some(network)
    }

    /// Has the router route, or drop everything.
    fn route(&self, on: bool) {
        self.within("r", &["sysctl", "-qw", &format!("net.ipv4.ip_forward={}", u8::from(on))]);
    }

    fn space(&self, name: &str) -> String {
        format!("ferromq-{}-{name}", self.0)
    }

    fn within(&self, name: &str, command: &[&str]) {
        self.ip(&[&["netns", "exec", &self.space(name)], command].concat());
    }

    fn ip(&self, args: &[&str]) {
        assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {args:?}");
    }

    /// Starts a process that plays a role there.
    fn start(&self, name: &str, role: &str) -> Player {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(name)]).arg(env::current_exe().unwrap());
        command.args(["--exact", "player", "--ignored", "--nocapture"]).env("ROLE", role);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Player { input: child.stdin.take(), child, lines }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in ["a", "b", "r"] {
            let _ = Command::new("ip").args(["netns", "del", &self.space(name)]).status();
        }
    }
}

struct Player {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Player {
    /// Waits until it says this, and returns what follows.
    #[track_caller]
    fn says(&self, beginning: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never said {beginning}"));
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.trim().to_owned();
            }
        }
    }

    fn stop(&mut self) {
        self.input = None;
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: what a process of its own does on one of the machines.
#[test]
#[ignore = "it is part of the others"]
fn player() {
    let Ok(role) = env::var("ROLE") else { return };
    let ctx = Context::new().unwrap();
    let (kind, mode) = role.split_once(' ').unwrap();
    let heartbeat = match mode {
        "user-timeout" => Heartbeat::off(),
        _ => Heartbeat::new().interval(INTERVAL).timeout(TIMEOUT),
    };
    if kind == "pull" {
        let pull = ctx.socket::<Pull>().heartbeat(heartbeat).build().unwrap();
        tell(&pull);
        pull.bind("tcp://*:5555").unwrap();
        say("bound");
        until_dismissed(|| _ = pull.recv_timeout(INTERVAL));
        while pull.recv_timeout(10 * INTERVAL).is_ok() {}
        say(&format!("received {}", pull.stats().received));
    } else {
        let soon = Duration::from_millis(50);
        let push = ctx.socket::<Push>().heartbeat(heartbeat).linger(Duration::ZERO);
        let push = push.reconnect_interval(soon).reconnect_max(4 * soon).connect_timeout(Some(10 * soon));
        let user_timeout = (mode == "user-timeout").then_some(INTERVAL + TIMEOUT);
        let push = push.tcp_user_timeout(user_timeout).build().unwrap();
        tell(&push);
        push.connect("tcp://10.99.1.2:5555").unwrap();
        until_dismissed(|| match mode {
            "idle" => thread::sleep(INTERVAL),
            _ => _ = push.send_timeout(vec![7; 200], INTERVAL),
        });
        while push.stats().queued > 0 {
            thread::sleep(INTERVAL);
        }
        let stats = push.stats();
        assert_eq!(stats.accepted, stats.written + stats.dropped.total());
        say(&format!("accepted {} {}", stats.accepted, stats.unconfirmed));
    }
}

/// Past the test harness, which begins its line and does not end it.
fn say(line: &str) {
    println!("\n{line}");
    std::io::stdout().flush().unwrap();
}

fn tell<T: Kind>(socket: &Socket<T>) {
    let monitor: Monitor = socket.monitor();
    thread::spawn(move || {
        while let Ok(event) = monitor.recv() {
            match event {
                Event::Ready { .. } => say("ready"),
                Event::Disconnected { why: End::Violation(violation), .. } => {
                    say(&format!("lost {violation:?}"))
                }
                Event::Disconnected { why, .. } => say(&format!("lost {why}")),
                _ => {}
            }
        }
    });
}

fn until_dismissed(mut work: impl FnMut()) {
    static DISMISSED: AtomicBool = AtomicBool::new(false);
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        DISMISSED.store(true, SeqCst);
    });
    while !DISMISSED.load(SeqCst) {
        work();
    }
}

/// Returns after what time each side has noticed, PUSH and PULL, and why.
fn part_and_heal(mode: &str, notices: [bool; 2]) -> [Option<(Duration, String)>; 2] {
    let _turn = alone();
    let Some(network) = Network::new() else { return [None, None] };
    let mut pull = network.start("b", &format!("pull {mode}"));
    pull.says("bound");
    let mut push = network.start("a", &format!("push {mode}"));
    push.says("ready");
    pull.says("ready");
    thread::sleep(5 * INTERVAL);

    network.route(false);
    let start = Instant::now();
    let noticed = [(&push, notices[0]), (&pull, notices[1])].map(|(player, notices)| {
        let why = notices.then(|| player.says("lost "))?;
        Some((start.elapsed(), why))
    });
    println!("{mode}: {noticed:?}");

    network.route(true);
    push.says("ready");
    println!("{mode}: connected again {:?} after the partition began", start.elapsed());
    thread::sleep(3 * INTERVAL);
    push.stop();
    let line = push.says("accepted ");
    let mut numbers = line.split(' ').map(|number| number.parse::<u64>().unwrap());
    let (accepted, unconfirmed) = (numbers.next().unwrap(), numbers.next().unwrap());
    pull.stop();
    let received: u64 = pull.says("received ").parse().unwrap();
    println!("{mode}: {accepted} accepted, {received} received, {unconfirmed} unconfirmed");
    assert!(received <= accepted && accepted <= received + unconfirmed);
    noticed
}

fn assert_heartbeats(noticed: [Option<(Duration, String)>; 2]) {
    for (time, why) in noticed.into_iter().flatten() {
        assert_eq!(why, "HeartbeatTimeout");
        assert!(time <= INTERVAL + TIMEOUT + Duration::from_secs(1), "{time:?}");
    }
}

#[test]
#[ignore = "needs network namespaces, and so the rights of root"]
fn an_idle_connection_is_given_up_by_both_sides_and_heals() {
    assert_heartbeats(part_and_heal("idle", [true, true]));
}

#[test]
#[ignore = "needs network namespaces, and so the rights of root"]
fn a_busy_connection_is_given_up_by_both_sides_and_heals() {
    assert_heartbeats(part_and_heal("busy", [true, true]));
}

/// Without heartbeats only the side that sends can notice, by what is not acknowledged.
#[test]
#[ignore = "needs network namespaces, and so the rights of root"]
fn a_user_timeout_gives_up_a_busy_connection() {
    let [noticed, _] = part_and_heal("user-timeout", [true, false]);
    let Some((time, why)) = noticed else { return };
    assert!(time <= INTERVAL + TIMEOUT + Duration::from_secs(3), "{time:?}, {why}");
}
