//! [`Arrivals`]: the connections that came in at one listener, counted against its limits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limit::Limit;
use crate::options::Options;
use crate::slots::Id;

/// Which connections came in at a listener and are still there, how many from where, and whose handshake is not over.
///
/// Strangers decide how often all of this is asked and changed, so nothing here takes longer than the logarithm of how
/// many they are.
#[derive(Debug)]
pub(crate) struct Arrivals {
    max: usize,
    max_per_address: usize,
    max_handshakes: usize,
    links: BTreeMap<Id, Arrival>,
    /// How many come from each place that any comes from.
    places: HashMap<Place, usize>,
    /// Those whose handshake is not over, oldest first.
    handshakes: BTreeSet<(Instant, Id)>,
}

/// What is known of one connection.
#[derive(Debug)]
struct Arrival {
    place: Option<Place>,
    /// Since when it is in its handshake.
    greeting: Option<Instant>,
}

/// As much of an address as one stranger has to himself: of IPv6 the network, in which he has 2^64 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    V4(u32),
    V6(u64),
}

impl Place {
    fn of(address: IpAddr) -> Self {
        // An IPv4 address that comes in the guise of an IPv6 one would share its network with all others.
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl Arrivals {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            max: options.max_connections,
            max_per_address: options.max_connections_per_address,
            max_handshakes: options.max_handshakes,
            links: BTreeMap::new(),
            places: HashMap::new(),
            handshakes: BTreeSet::new(),
        }
    }

    /// The limit that one more connection from this address would break. That of the address comes first: it holds also if
    /// another connection is to give way.
    pub(crate) fn refuses(&self, address: Option<IpAddr>) -> Option<Limit> {
        let from_there = address.and_then(|address| self.places.get(&Place::of(address)));
        if from_there.is_some_and(|&count| count >= self.max_per_address) {
            Some(Limit::ConnectionsPerAddress)
        } else if self.links.len() >= self.max {
            Some(Limit::Connections)
        } else {
            None
        }
    }

    /// A connection has come in, and begins its handshake.
    pub(crate) fn add(&mut self, link: Id, address: Option<IpAddr>, now: Instant) {
        let place = address.map(Place::of);
        if let Some(place) = place {
            *self.places.entry(place).or_default() += 1;
        }
        self.links.insert(link, Arrival { place, greeting: Some(now) });
        self.handshakes.insert((now, link));
    }

    /// The handshake of a connection is over.
    pub(crate) fn greeted(&mut self, link: Id) {
        let since = self.links.get_mut(&link).and_then(|arrival| arrival.greeting.take());
        if let Some(since) = since {
            self.handshakes.remove(&(since, link));
        }
    }

    /// A connection is over.
    pub(crate) fn remove(&mut self, link: Id) {
        self.greeted(link);
        let Some(Arrival { place: Some(place), .. }) = self.links.remove(&link) else { return };
        if let Some(count) = self.places.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                self.places.remove(&place);
            }
        }
    }

    /// Whether no further handshake may begin.
    pub(crate) fn is_full_of_handshakes(&self) -> bool {
        self.handshakes.len() >= self.max_handshakes
    }

    /// The connection whose handshake goes on for longest, and when it has had its time: from then on it gives way if
    /// others need its place.
    pub(crate) fn oldest(&self) -> Option<(Instant, Id)> {
        let (since, link) = *self.handshakes.first()?;
        since.checked_add(FAIR).map(|until| (until, link))
    }

    pub(crate) fn into_links(self) -> Vec<Id> {
        self.links.into_keys().collect()
    }
}

/// How long a handshake may take while others wait for its place. An honest one takes a round trip or two.
const FAIR: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;
    use crate::slots::Slots;

    fn arrivals(max: usize, max_per_address: usize, max_handshakes: usize) -> Arrivals {
        let options = Options {
            max_connections: max,
            max_connections_per_address: max_per_address,
            max_handshakes,
            ..Options::default()
        };
        Arrivals::new(&options)
    }

    fn ip(address: &str) -> Option<IpAddr> {
        Some(address.parse().expect("an address"))
    }

    #[test]
    fn connections_are_counted_in_all_and_by_address() {
        let (mut slots, now) = (Slots::new(), Instant::now());
        let [a, b, c] = [slots.insert(()), slots.insert(()), slots.insert(())];
        let mut arrivals = arrivals(3, 2, 9);
        arrivals.add(a, ip("192.0.2.1"), now);
        assert_eq!(arrivals.refuses(ip("192.0.2.1")), None);
        arrivals.add(b, ip("192.0.2.1"), now);
        assert_eq!(arrivals.refuses(ip("192.0.2.1")), Some(Limit::ConnectionsPerAddress));
        assert_eq!(arrivals.refuses(ip("192.0.2.2")), None);
        arrivals.add(c, None, now);
        assert_eq!(arrivals.refuses(ip("192.0.2.2")), Some(Limit::Connections));
        assert_eq!(arrivals.refuses(None), Some(Limit::Connections));
        arrivals.remove(a);
        arrivals.remove(a);
        assert_eq!(arrivals.refuses(ip("192.0.2.1")), None);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address_and_an_ipv4_address_in_ipv6_form_as_itself() {
        let mut slots = Slots::new();
        let mut arrivals = arrivals(9, 1, 9);
        arrivals.add(slots.insert(()), ip("2001:db8:0:1::1"), Instant::now());
        assert_eq!(arrivals.refuses(ip("2001:db8:0:1:ffff::2")), Some(Limit::ConnectionsPerAddress));
        assert_eq!(arrivals.refuses(ip("2001:db8:0:2::1")), None);
        arrivals.add(slots.insert(()), ip("::ffff:192.0.2.1"), Instant::now());
        assert_eq!(arrivals.refuses(ip("192.0.2.1")), Some(Limit::ConnectionsPerAddress));
        assert_eq!(arrivals.refuses(ip("::ffff:192.0.2.2")), None);
    }

    #[test]
    fn the_oldest_handshake_that_is_not_over_gives_way_first() {
        let (mut slots, now) = (Slots::new(), Instant::now());
        let ids: Vec<Id> = (0..3).map(|_| slots.insert(())).collect();
        let mut arrivals = arrivals(9, 9, 3);
        for (age, id) in (0..3).zip(&ids) {
            assert!(!arrivals.is_full_of_handshakes());
            arrivals.add(*id, None, now + Duration::from_millis(age));
        }
        assert!(arrivals.is_full_of_handshakes());
        assert_eq!(arrivals.oldest(), Some((now + FAIR, ids[0])));
        arrivals.greeted(ids[0]);
        assert!(!arrivals.is_full_of_handshakes());
        arrivals.remove(ids[1]);
        assert_eq!(arrivals.oldest(), Some((now + FAIR + Duration::from_millis(2), ids[2])));
        arrivals.greeted(ids[2]);
        assert_eq!(arrivals.oldest(), None);
    }

    quickcheck! {
        fn nothing_is_left_of_connections_that_are_over(steps: Vec<(u8, u8)>) -> bool {
            let (mut slots, now) = (Slots::new(), Instant::now());
            let mut arrivals = arrivals(usize::MAX, usize::MAX, usize::MAX);
            let mut here = Vec::new();
            for (step, address) in steps {
                match step % 3 {
                    0 => {
                        here.push(slots.insert(()));
                        let address = (address > 9).then(|| IpAddr::from([10, 0, 0, address % 4]));
                        arrivals.add(here[here.len() - 1], address, now);
                    }
                    1 => here.get(usize::from(address)).into_iter().for_each(|&id| arrivals.greeted(id)),
                    _ => here.pop().into_iter().for_each(|id| arrivals.remove(id)),
                }
                assert_eq!(arrivals.links.len(), here.len());
                assert!(arrivals.handshakes.len() <= here.len());
                assert!(arrivals.places.values().sum::<usize>() <= here.len());
            }
            here.drain(..).for_each(|id| arrivals.remove(id));
            arrivals.links.is_empty() && arrivals.places.is_empty() && arrivals.handshakes.is_empty()
        }
    }
}
