//! The corpus of hostile input, said to a real libzmq: where the table says that it does something else than ours it does,
//! and where the table says nothing it does the same.

#[path = "../../corpus/mod.rs"]
mod corpus;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corpus::{Deed, Reaction, Row, wire};

/// What is seen of a libzmq to which a row has been done.
#[derive(Debug)]
struct Seen {
    /// How old the connection was when it was ended.
    ended: Option<Duration>,
    /// The commands it has said after its READY.
    said: Vec<u8>,
    delivered: Vec<Vec<Vec<u8>>>,
}

#[test]
fn libzmq_differs_where_the_table_says_so() {
    let rows = corpus::rows();
    let rows: Vec<&Row> = rows.iter().filter(|row| is_visible(row)).collect();
    let next = AtomicUsize::new(0);
    let mut faults = Vec::new();
    thread::scope(|scope| {
        let crowd: Vec<_> = (0..CROWD)
            .map(|_| {
                scope.spawn(|| {
                    let mut faults = Vec::new();
                    while let Some(row) = rows.get(next.fetch_add(1, Ordering::SeqCst)) {
                        let seen = observe(row);
                        if is_as_ours(row, &seen) == row.libzmq.is_some() {
                            let told = row.libzmq.unwrap_or("the same");
                            faults.push(format!("{}: {told}, says the table; {seen:?}", row.title()));
                        }
                    }
                    faults
                })
            })
            .collect();
        crowd.into_iter().for_each(|stranger| faults.append(&mut stranger.join().unwrap()));
    });
    println!("{}/{} as the table says", rows.len() - faults.len(), rows.len());
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), rows.len(), faults.join("\n"));
}

/// Whether what libzmq does about a row can be seen here.
fn is_visible(row: &Row) -> bool {
    // Names in another case are not seen, which only a comparison of names would show; and whether there is a tebibyte of
    // memory is for the machine to say.
    let is_hidden = [40, 53].contains(&row.number);
    let is_long = matches!(row.reaction, Reaction::Lapse(silence) if silence > PATIENCE);
    !is_hidden && !is_long && row.reaction != Reaction::Gone
}

/// Does a row to a socket of libzmq.
fn observe(row: &Row) -> Seen {
    let context = zmq::Context::new();
    let kind = match row.socket {
        "PULL" => zmq::PULL,
        "DEALER" => zmq::DEALER,
        "ROUTER" => zmq::ROUTER,
        "REP" => zmq::REP,
        "XPUB" => zmq::XPUB,
        "SUB" => zmq::SUB,
        other => panic!("no libzmq of type {other}"),
    };
    let socket = context.socket(kind).unwrap();
    socket.set_linger(0).unwrap();
    if row.reaction == Reaction::Timeout {
        socket.set_handshake_ivl(HANDSHAKE.as_millis() as i32).unwrap();
    }
    if let Some(octets) = row.max_message_size {
        socket.set_maxmsgsize(i64::try_from(octets).unwrap_or(-1)).unwrap();
    }
    if kind == zmq::SUB {
        socket.set_subscribe(b"81: A").unwrap();
    }
    socket.bind("tcp://127.0.0.1:*").unwrap();
    let at = socket.get_last_endpoint().unwrap().unwrap();

    let start = Instant::now();
    let mut stream = TcpStream::connect(at.strip_prefix("tcp://").unwrap()).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut heard = Vec::new();
    for deed in &row.deeds {
        match deed {
            Deed::Say(octets) => {
                for (piece, then) in pieces(octets) {
                    let _may_be_gone = stream.write_all(piece);
                    hear(&mut stream, &mut heard, |heard| heard.len() >= then);
                }
            }
            Deed::Trickle(octets) => octets.chunks(1).for_each(|octet| {
                thread::sleep(HANDSHAKE / 40);
                let _may_be_gone = stream.write_all(octet);
            }),
            Deed::Await => _ = hear(&mut stream, &mut heard, |heard| heard.ends_with(&row.answer)),
            Deed::Finish | Deed::Reset => {}
        }
    }
    let ping = wire::command("PING", b"\0\0alive?");
    let expects_life = matches!(row.reaction, Reaction::Accept | Reaction::Ignore | Reaction::Close(_));
    if expects_life {
        let _may_be_gone = stream.write_all(&ping);
    }
    let pong = wire::command("PONG", b"alive?");
    let ended = hear(&mut stream, &mut heard, |heard| heard.ends_with(&pong)).then(|| start.elapsed());
    drop(stream);
    let delivered = delivered(&socket, row.delivered.len());
    Seen { ended, said: commands(&heard), delivered }
}

/// Divides a greeting, the first command and what follows, and says how many octets are heard after each. A libzmq that
/// gets a message before it has sent its own READY takes that for a violation; ours does not.
fn pieces(octets: &[u8]) -> Vec<(&[u8], usize)> {
    let Some((greeting, rest)) = octets.split_at_checked(64).filter(|_| octets[0] == 0xFF) else {
        return vec![(octets, 0)];
    };
    let len = match rest {
        [flags, len, ..] if flags & wire::LONG == 0 => 2 + usize::from(*len),
        [_, len @ ..] => {
            len.first_chunk().map_or(0, |len| 9_usize.saturating_add(u64::from_be_bytes(*len) as usize))
        }
        [] => 0,
    };
    let (first, rest) = rest.split_at(len.min(rest.len()));
    vec![(greeting, 64), (first, 66), (rest, 0)]
}

/// Reads until enough has come or for a while, and tells whether the connection is over.
fn hear(stream: &mut TcpStream, heard: &mut Vec<u8>, is_enough: impl Fn(&[u8]) -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 4096];
    while !is_enough(heard) && Instant::now() < deadline {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(octets) => heard.extend_from_slice(&buffer[..octets]),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
            Err(_) => return true,
        }
    }
    false
}

/// The PONGs behind greeting and READY.
fn commands(heard: &[u8]) -> Vec<u8> {
    let mut rest = heard.get(64..).unwrap_or_default();
    let mut pongs = Vec::new();
    while let [flags, len, tail @ ..] = rest {
        let (body, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        if *flags == wire::COMMAND && body.starts_with(b"\x04PONG") {
            pongs.extend(wire::frame(*flags, body));
        }
        rest = tail;
    }
    pongs
}

/// The messages that come out: so many as are expected are waited for.
fn delivered(socket: &zmq::Socket, expected: usize) -> Vec<Vec<Vec<u8>>> {
    let kind = socket.get_socket_type().unwrap();
    let mut messages = Vec::new();
    loop {
        let patience = if messages.len() < expected { PATIENCE } else { Duration::from_millis(50) };
        socket.set_rcvtimeo(patience.as_millis() as i32).unwrap();
        let Ok(mut message) = socket.recv_multipart(0) else { return messages };
        if kind == zmq::ROUTER {
            message.remove(0);
        }
        if kind == zmq::REP {
            let _may_be_gone = socket.send("!", zmq::DONTWAIT);
        }
        messages.push(message);
    }
}

/// Whether libzmq has done what the table says of ours.
fn is_as_ours(row: &Row, seen: &Seen) -> bool {
    let alive = [&row.answer[..], &wire::command("PONG", b"alive?")].concat();
    let same = match row.reaction {
        Reaction::Close(_) => seen.ended.is_some(),
        Reaction::Accept | Reaction::Ignore => seen.said == alive,
        Reaction::Timeout => seen.ended.is_some_and(|age| age + TICK >= HANDSHAKE),
        Reaction::Lapse(silence) => seen.ended.is_some_and(|age| age + TICK >= silence),
        Reaction::Wait => seen.ended.is_none(),
        Reaction::Gone => true,
    };
    same && seen.delivered == row.delivered
}

/// Strangers at a time.
const CROWD: usize = 32;
/// What happens does so within this time.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a timer of libzmq may be early.
const TICK: Duration = Duration::from_millis(2);
/// The time for a handshake.
const HANDSHAKE: Duration = Duration::from_millis(300);
