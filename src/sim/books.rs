//! [`Books`]: where every message was seen, and what must hold of that.
//!
//! A message is seen when its sender accepts it, when its last octet is given to a connection, and when an application
//! receives it. What is not so is told by a panic.

use std::collections::BTreeMap;

use super::body::{Name, Scanner};
use crate::transport::memory::{Internet, View};

/// All that was seen.
#[derive(Debug, Default)]
pub(super) struct Books {
    messages: BTreeMap<Name, Seen>,
    connections: Vec<Record>,
    accepted: u64,
    /// What became of whole messages that came from connections which were spoiled.
    pub(super) garbled: usize,
}

/// What was seen of a message.
#[derive(Debug, Default)]
struct Seen {
    /// It is for all who want it.
    published: bool,
    /// Which of all messages it was, in the order in which they were accepted.
    accepted: Option<u64>,
    /// Where it was wholly written.
    carried: Vec<Place>,
    received: usize,
}

/// The connection, the side that wrote, and which of the messages from there it is.
type Place = (usize, usize, usize);

/// What was seen of a connection.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The applications that it joins.
    pub(super) ends: [Option<usize>; 2],
    pub(super) ways: [Way; 2],
    pub(super) spoiled: bool,
    /// How many octets from each side were read, and how many were not.
    pub(super) read: [usize; 2],
    pub(super) load: [usize; 2],
    /// Which ends are still there.
    pub(super) open: [bool; 2],
    /// Both are gone, and all is seen.
    closed: bool,
}

/// What was seen of one direction.
#[derive(Debug, Default)]
pub(super) struct Way {
    scanner: Scanner,
    scanned: usize,
    /// The messages that were wholly written, in this order.
    pub(super) carried: Vec<Name>,
    /// Which of them were received.
    received: Vec<bool>,
    /// Another connection joins the same two, and carries the same.
    mixed: bool,
    /// What comes next is not before this.
    next: usize,
}

impl Books {
    /// A sender is about to offer a message. Whether it is accepted may show later than that it is written.
    pub(super) fn offer(&mut self, name: Name, published: bool) {
        let before = self.messages.insert(name, Seen { published, ..Seen::default() });
        assert!(before.is_none(), "the simulation has used {name:?} twice");
    }

    /// It was accepted.
    pub(super) fn accept(&mut self, name: Name) {
        let seen = self.messages.get_mut(&name).expect("it was offered");
        seen.accepted = Some(self.accepted);
        self.accepted += 1;
    }

    /// It was not accepted after all, and came back.
    pub(super) fn refuse(&mut self, name: Name) {
        let seen = self.messages.remove(&name).expect("it was offered");
        assert!(seen.carried.is_empty(), "{name:?} was refused, and sent");
    }

    /// Takes note of what connections there are and what was written to them. `find` tells which applications the ends
    /// of a connection belong to.
    pub(super) fn watch(&mut self, internet: &Internet, find: impl Fn(&View) -> [Option<usize>; 2]) {
        self.connections.resize_with(internet.connections(), Record::default);
        for number in 0..self.connections.len() {
            let record = &mut self.connections[number];
            if record.closed {
                continue;
            }
            let view = internet.view(number);
            let ends = find(&view);
            record.ends[0] = record.ends[0].or(ends[0]);
            record.ends[1] = record.ends[1].or(ends[1].filter(|_| view.reached));
            (record.spoiled, record.open) = (view.spoiled, view.open);
            (record.read, record.load) = (view.read, view.load);
            for side in [0, 1] {
                let octets = internet.sent(number, side, self.connections[number].ways[side].scanned);
                self.write(number, side, &octets);
            }
            self.connections[number].closed = view.open == [false; 2];
        }
    }

    /// Takes note of octets that were written to a connection.
    fn write(&mut self, connection: usize, side: usize, octets: &[u8]) {
        let record = &mut self.connections[connection];
        let way = &mut record.ways[side];
        way.scanned += octets.len();
        for name in way.scanner.feed(octets) {
            way.carried.push(name);
            way.received.push(false);
            let seen = self.messages.get_mut(&name).expect("what is written was offered, and not refused");
            let from = record.ends[side].map(|app| app as u16);
            assert_eq!(from, Some(name.sender), "{name:?} is written by another");
            seen.carried.push((connection, side, way.carried.len() - 1));
            assert!(
                seen.published || seen.carried.len() == 1,
                "{name:?} was wholly written twice: {:?}",
                seen.carried
            );
        }
    }

    /// An application has received a message. `gapless` if its socket passes on all that comes.
    pub(super) fn receive(&mut self, name: Name, app: usize, gapless: bool) {
        let seen = self.messages.get_mut(&name).unwrap_or_else(|| panic!("{name:?} came, and was not sent"));
        seen.received += 1;
        assert!(seen.published || seen.received == 1, "{name:?} came twice, the second time to {app}");
        let here = |(connection, side, at): &&Place| {
            let record = &self.connections[*connection];
            record.ends[1 - side] == Some(app) && !record.ways[*side].received[*at]
        };
        let here: Vec<Place> = seen.carried.iter().filter(here).copied().collect();
        let Some(&(connection, side, at)) = here.first() else {
            panic!("{name:?} came to {app}, to which it was not wholly sent")
        };
        if here.len() > 1 {
            // A publisher may have several connections to a subscriber, and who can tell which has brought it?
            here.iter()
                .for_each(|(connection, side, _)| self.connections[*connection].ways[*side].mixed = true);
        }
        let record = &mut self.connections[connection];
        let way = &mut record.ways[side];
        way.received[at] = true;
        if !record.spoiled && !way.mixed {
            let next = way.next;
            assert!(at >= next, "{name:?} came to {app} out of order: it is {at}, and {next} comes next");
            assert!(at == next || !gapless, "{app} got {name:?}, which is {at}, and not {next} before it");
            way.next = at + 1;
        }
    }

    /// An application has received something that nobody has sent as it is: only corruption excuses that.
    pub(super) fn receive_garbled(&mut self, app: usize) {
        let spoiled = self.connections.iter().any(|it| it.spoiled && it.ends.contains(&Some(app)));
        assert!(spoiled, "{app} received what nobody has sent, and nothing was corrupted");
        self.garbled += 1;
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = (usize, &Record)> {
        self.connections.iter().enumerate()
    }

    /// How many messages this application has wholly written: on all its connections, and on those that it has ended.
    pub(super) fn written(&self, app: usize) -> (u64, u64) {
        let (mut all, mut ended) = (0, 0);
        for record in &self.connections {
            for side in [0, 1] {
                if record.ends[side] == Some(app) {
                    let carried = record.ways[side].carried.len() as u64;
                    all += carried;
                    ended += if record.open[side] { 0 } else { carried };
                }
            }
        }
        (all, ended)
    }

    /// How often a message of this application was written behind one that was accepted later.
    pub(super) fn belated(&self, app: usize) -> u64 {
        self.ways_of(app).map(|way| self.late(&way.carried)).sum()
    }

    /// Whether this application has written everything in order, over all its connections, of which there was one at a time.
    pub(super) fn writes_in_order(&self, app: usize) -> bool {
        let carried: Vec<Name> = self.ways_of(app).flat_map(|way| &way.carried).copied().collect();
        self.late(&carried) == 0
    }

    /// What an application has written to its connections, the oldest first.
    fn ways_of(&self, app: usize) -> impl Iterator<Item = &Way> {
        let ends = self.connections.iter().flat_map(|record| record.ways.iter().zip(record.ends));
        ends.filter(move |(_, end)| *end == Some(app)).map(|(way, _)| way)
    }

    /// How many of these messages come behind one that was accepted later.
    fn late(&self, names: &[Name]) -> u64 {
        let (mut last, mut late) = (None, 0);
        for name in names {
            let accepted = self.messages[name].accepted;
            assert!(accepted.is_some(), "{name:?} was written, and never accepted");
            late += u64::from(last > accepted);
            last = last.max(accepted);
        }
        late
    }

    /// How many applications have received a message.
    pub(super) fn received(&self, name: Name) -> usize {
        self.messages.get(&name).map_or(0, |seen| seen.received)
    }
}

impl Way {
    /// How many of the messages were received.
    pub(super) fn received(&self) -> usize {
        self.received.iter().filter(|received| **received).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::body::make;

    const A: Name = Name { sender: 0, serial: 1 };
    const B: Name = Name { sender: 0, serial: 2 };

    /// The application 0 has written both to 1 on the first of two connections, and to 2 on the other.
    fn books() -> Books {
        let mut books = Books::default();
        for name in [A, B] {
            books.offer(name, false);
            books.accept(name);
        }
        let record = |peer| Record { ends: [Some(0), Some(peer)], open: [true; 2], ..Record::default() };
        books.connections = vec![record(1), record(2)];
        books.write(0, 0, &[make(A, 30), make(B, 40)].concat());
        books
    }

    #[test]
    fn what_is_in_order_passes() {
        let mut books = books();
        books.receive(A, 1, true);
        books.receive(B, 1, true);
        assert_eq!((books.written(0), books.belated(0), books.received(A)), ((2, 0), 0, 1));
        assert_eq!(books.connections[0].ways[0].received(), 2);
        books.connections[0].open = [false; 2];
        assert_eq!(books.written(0), (2, 2));
    }

    #[test]
    #[should_panic(expected = "came twice")]
    fn a_second_delivery_is_found() {
        let mut books = books();
        books.receive(A, 1, true);
        books.receive(A, 1, true);
    }

    #[test]
    #[should_panic(expected = "not wholly sent")]
    fn a_delivery_to_somebody_else_is_found() {
        books().receive(A, 2, true);
    }

    #[test]
    #[should_panic(expected = "was not sent")]
    fn a_delivery_of_what_was_never_offered_is_found() {
        books().receive(Name { sender: 3, serial: 1 }, 1, true);
    }

    #[test]
    #[should_panic(expected = "out of order")]
    fn a_delivery_out_of_order_is_found() {
        let mut books = books();
        books.receive(B, 1, false);
        books.receive(A, 1, false);
    }

    #[test]
    #[should_panic(expected = "not 0 before it")]
    fn a_gap_is_found() {
        books().receive(B, 1, true);
    }

    #[test]
    #[should_panic(expected = "wholly written twice")]
    fn a_message_on_two_connections_is_found() {
        books().write(1, 0, &make(B, 40));
    }

    #[test]
    #[should_panic(expected = "refused, and sent")]
    fn a_refused_message_that_is_sent_is_found() {
        books().refuse(A);
    }

    #[test]
    #[should_panic(expected = "nothing was corrupted")]
    fn a_changed_message_is_found() {
        books().receive_garbled(1);
    }

    #[test]
    fn a_message_behind_a_later_one_is_counted() {
        let mut books = books();
        let [early, late] = [3, 4].map(|serial| Name { sender: 0, serial });
        for name in [early, late] {
            books.offer(name, false);
            books.accept(name);
        }
        books.write(0, 0, &[make(late, 22), make(early, 22)].concat());
        assert_eq!((books.belated(0), books.writes_in_order(0)), (1, false));
    }
}
