//! Numbered messages: who sent them and which they are, proof against corruption, and found again in a stream of octets.

use bytes::Bytes;

/// Names a message: the number of the socket that sent it, and its serial number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    pub(super) sender: u16,
    pub(super) serial: u32,
}

impl Name {
    /// A part that names a message, for an answer to it.
    pub(super) fn to_part(self) -> Bytes {
        [&self.sender.to_be_bytes()[..], &self.serial.to_be_bytes()].concat().into()
    }
}

/// The body of a message: a head, and filler up to the size.
pub(super) fn make(name: Name, size: usize) -> Bytes {
    let filler = size.saturating_sub(HEAD);
    let mut body = Vec::with_capacity(HEAD + filler);
    body.extend(MAGIC);
    body.extend(name.sender.to_be_bytes());
    body.extend(name.serial.to_be_bytes());
    body.extend((filler as u32).to_be_bytes());
    body.extend([0; 8]);
    body.extend((0..filler).map(|at| ((name.serial as usize + at) % 97) as u8));
    let sum = checksum(&body);
    body[HEAD - 8..HEAD].copy_from_slice(&sum.to_be_bytes());
    body.into()
}

/// The name of a message whose body this is; none if it is not as it was made.
pub(super) fn read(body: &[u8]) -> Option<Name> {
    let (name, len) = read_head(body)?;
    let mut plain = body.to_vec();
    let sum = plain[HEAD - 8..HEAD].to_vec();
    plain[HEAD - 8..HEAD].fill(0);
    (body.len() == len && sum == checksum(&plain).to_be_bytes()).then_some(name)
}

/// The name, and the length of the whole body.
fn read_head(body: &[u8]) -> Option<(Name, usize)> {
    let head: &[u8; HEAD] = body.first_chunk()?;
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let name = Name { sender: u16::from_be_bytes([head[4], head[5]]), serial: number(6) };
    head.starts_with(&MAGIC).then_some((name, HEAD + number(10) as usize))
}

/// FNV-1a.
pub(super) fn checksum(octets: &[u8]) -> u64 {
    octets
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |sum, octet| (sum ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01B3))
}

/// Finds messages in a stream, as soon as they are whole. Bodies are the last part of their messages.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// The beginning of a head, or of what looks like one.
    held: Vec<u8>,
    /// Octets of a body that are still to come, and whose it is.
    body: Option<(Name, usize)>,
}

impl Scanner {
    /// The messages that these octets complete.
    pub(super) fn feed(&mut self, octets: &[u8]) -> Vec<Name> {
        let octets = [&std::mem::take(&mut self.held), octets].concat();
        let (mut rest, mut found) = (&octets[..], Vec::new());
        loop {
            if let Some((name, missing)) = self.body.take() {
                let step = rest.len().min(missing);
                rest = &rest[step..];
                if step < missing {
                    self.body = Some((name, missing - step));
                    return found;
                }
                found.push(name);
            }
            let start = rest.iter().position(|octet| *octet == MAGIC[0]).unwrap_or(rest.len());
            rest = &rest[start..];
            if rest.len() < HEAD {
                self.held = rest.to_vec();
                return found;
            }
            let head = read_head(rest);
            rest = &rest[head.map_or(1, |_| HEAD)..];
            self.body = head.map(|(name, len)| (name, len - HEAD));
        }
    }
}

/// What a body begins with. Neither filler nor anything that is said around bodies has such octets.
const MAGIC: [u8; 4] = [0xF7, 0xE3, 0xD9, 0xC1];

/// Magic, sender, serial number, length of the filler, checksum.
const HEAD: usize = 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_back_and_corruption_is_noticed() {
        let name = Name { sender: 7, serial: 123_456 };
        for size in [0, 22, 23, 300] {
            let body = make(name, size);
            assert_eq!(body.len(), size.max(HEAD));
            assert_eq!(read(&body), Some(name));
            for at in 0..body.len() {
                let mut spoilt = body.to_vec();
                spoilt[at] ^= 4;
                assert_eq!(read(&spoilt), None, "octet {at}");
            }
            assert_eq!(read(&body[..body.len() - 1]), None);
        }
    }

    #[test]
    fn bodies_are_found_however_the_stream_is_cut() {
        let names: Vec<Name> = (0..30).map(|serial| Name { sender: 1, serial }).collect();
        let mut stream = b"\xFFa greeting\xF7\xE3".to_vec();
        let mut ends = Vec::new();
        for (at, name) in names.iter().enumerate() {
            stream.extend([0, (at * 3) as u8]);
            stream.extend(make(*name, at * at));
            ends.push(stream.len());
        }
        for cut in [1, 2, 5, 21, 22, 23, 64, 1000, stream.len()] {
            let mut scanner = Scanner::default();
            let mut found = Vec::new();
            let mut fed = 0;
            for piece in stream.chunks(cut) {
                found.extend(scanner.feed(piece));
                fed += piece.len();
                assert_eq!(found.len(), ends.iter().filter(|end| **end <= fed).count(), "after {fed}");
            }
            assert_eq!(found, names);
        }
    }
}
