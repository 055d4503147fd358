//! Running out of file descriptors: accepting pauses, and recovers.
#![cfg(unix)]

mod common;

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::raw::Peer;
use common::{PATIENCE, within};
use ferromq::{Context, Pull};

/// A PULL with few descriptors, in a process of its own: says where it is bound, then echoes what it receives.
#[test]
#[ignore = "the process that the other test starts, with few descriptors"]
fn the_victim() {
    let pull = Context::new().unwrap().socket::<Pull>().build().unwrap();
    println!("\nbound {}", pull.bind("tcp://127.0.0.1:0").unwrap());
    for message in &pull {
        println!("\nreceived {message:?}, milliseconds of processor time: {}", processor_time());
    }
}

#[test]
fn a_listener_that_ran_out_of_descriptors_recovers_and_does_not_spin() {
    within(2 * PATIENCE, || {
        let me = std::env::current_exe().unwrap();
        let mut victim = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -n 40; exec {} --ignored --nocapture the_victim", me.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
        let bound = lines.find_map(|line| line.strip_prefix("bound ").map(str::to_owned)).unwrap();
        let address = bound.strip_prefix("tcp://").unwrap();
        let mut served = |round: &str| {
            let mut good = Peer::dial(&bound, "PUSH");
            good.send(&[round.as_bytes()]);
            let line = lines.find(|line| line.starts_with("received ")).expect("the victim lives");
            assert!(line.contains(round), "{line}");
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };

        // More than it can take: some wait to be accepted.
        let mut crowd: Vec<TcpStream> = Vec::new();
        while crowd.last().is_none_or(is_greeted) {
            crowd.push(TcpStream::connect(address).unwrap());
        }
        let room = crowd.len() - 1;
        assert!(room < 40, "the limit was not reached");
        drop(crowd);
        let before = served("after a crowd");

        // Exactly as many as it can take: nobody waits when a descriptor comes free.
        let mut crowd: Vec<TcpStream> = (0..room - 1).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert!(crowd.iter().all(is_greeted));
        for _ in 0..3 {
            crowd.push(TcpStream::connect(address).unwrap());
            is_greeted(crowd.last().unwrap());
            crowd.pop();
            std::thread::sleep(WINDOW);
        }
        drop(crowd);
        let spent = served("after a full house") - before;
        assert!(
            spent < WINDOW.as_millis() as u64,
            "{spent} ms of processor time in {:?}: it spins",
            3 * WINDOW
        );
        victim.kill().unwrap();
        victim.wait().unwrap();
    });
}

/// Whether the other side has accepted the connection, which it shows by its greeting.
fn is_greeted(stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.peek(&mut [0]).is_ok_and(|octets| octets == 1)
}

/// The milliseconds that this process has used so far, where that is easily known.
fn processor_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    10 * stat.split(' ').skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>()
}

/// How long the victim is watched doing nothing. A span to measure over, not a wait for anything.
const WINDOW: Duration = Duration::from_millis(300);
