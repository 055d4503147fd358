//! Running out of file descriptors: accepting pauses, and recovers.
#![cfg(unix)]

mod common;

use std::io::{BufRead, BufReader, Write};
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
        println!("\nreceived {message:?} at {:?} of processor time", processor_time());
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
        for round in 0..3 {
            let crowd: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
            // Those who were let in have been sent the greeting; the last one is kept waiting.
            crowd[0].set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(crowd[0].peek(&mut [0]).unwrap(), 1);
            crowd[59].set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            assert!(crowd[59].peek(&mut [0]).is_err(), "the limit was not reached");
            drop(crowd);
            let mut good = Peer::dial(&bound, "PUSH");
            good.send(&[format!("round {round}").as_bytes()]);
            let got = lines.find(|line| line.starts_with("received ")).expect("the victim lives");
            assert!(got.contains(&format!("round {round}")), "{got}");
            let spent: f64 =
                got.split_once(" at ").unwrap().1.split('s').next().unwrap().parse().unwrap_or(0.0);
            assert!(spent < 2.0, "it spins: {got}");
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        std::io::stdout().flush().unwrap();
    });
}

/// What this process has used so far, where that is easily known.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.split(' ').skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}
