//! No library: what the system gives. Frames with a length, written and read 64 KiB at a time; a ping-pong of blocking calls.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::role::{Job, Meter, Role, report_trips};

const BUFFER: usize = 64 * 1024;

trait Stream: Read + Write {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

pub fn run(job: &Job) {
    match job.role {
        Role::Pull => receive(accept(&job.endpoint), job),
        Role::Push => send(connect(&job.endpoint), job),
        Role::Rep => {
            let (mut stream, mut body) = (accept(&job.endpoint), vec![0; job.size]);
            for _ in 0..job.count {
                stream.read_exact(&mut body).unwrap();
                stream.write_all(&body).unwrap();
            }
        }
        Role::Req => {
            let (mut stream, mut body) = (connect(&job.endpoint), vec![0; job.size]);
            let start = Instant::now();
            for _ in 0..job.count {
                stream.write_all(&body).unwrap();
                stream.read_exact(&mut body).unwrap();
            }
            report_trips(job.count, start.elapsed());
        }
        _ => unreachable!("bare sockets have no such pattern"),
    }
}

fn accept(endpoint: &str) -> Box<dyn Stream> {
    match endpoint.split_once("://") {
        Some(("ipc", path)) => Box::new(UnixListener::bind(path).unwrap().accept().unwrap().0),
        Some((_, address)) => with_no_delay(TcpListener::bind(address).unwrap().accept().unwrap().0),
        None => unreachable!("an endpoint has a scheme"),
    }
}

fn connect(endpoint: &str) -> Box<dyn Stream> {
    for _ in 0..2000 {
        match endpoint.split_once("://") {
            Some(("ipc", path)) => {
                if let Ok(stream) = UnixStream::connect(path) {
                    return Box::new(stream);
                }
            }
            Some((_, address)) => {
                if let Ok(stream) = TcpStream::connect(address) {
                    return with_no_delay(stream);
                }
            }
            None => {}
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("nobody is bound to {endpoint}");
}

fn with_no_delay(stream: TcpStream) -> Box<dyn Stream> {
    stream.set_nodelay(true).unwrap();
    Box::new(stream)
}

fn send(mut stream: Box<dyn Stream>, job: &Job) {
    let payload = vec![b'x'; job.size];
    let header = (job.size as u32).to_le_bytes();
    let mut buffer = Vec::with_capacity(BUFFER.max(job.size + 4));
    for _ in 0..job.count {
        if buffer.len() + 4 + job.size > BUFFER && !buffer.is_empty() {
            stream.write_all(&buffer).unwrap();
            buffer.clear();
        }
        buffer.extend_from_slice(&header);
        buffer.extend_from_slice(&payload);
    }
    stream.write_all(&buffer).unwrap();
    let _ = stream.read(&mut [0]); // until the receiver has done
}

fn receive(mut stream: Box<dyn Stream>, job: &Job) {
    let mut meter = Meter::new(job);
    let mut buffer = vec![0; BUFFER.max(2 * (job.size + 4))];
    let (mut from, mut to) = (0, 0);
    loop {
        while let Some((header, rest)) = buffer[from..to].split_first_chunk() {
            let Some(body) = rest.get(..u32::from_le_bytes(*header) as usize) else { break };
            from += 4 + body.len();
            if meter.is_last(body) {
                return meter.report();
            }
        }
        if buffer.len() - from < job.size + 4 || from == to {
            buffer.copy_within(from..to, 0);
            (from, to) = (0, to - from);
        }
        to += stream.read(&mut buffer[to..]).unwrap();
    }
}
