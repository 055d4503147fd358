//! Numbered messages, and keeping count of them.

use ferromq::Message;

/// A message that says who sent it and which of theirs it is, followed by `padding` more bytes.
pub fn numbered(sender: u32, number: u32, padding: usize) -> Message {
    let mut body = vec![sender as u8 ^ number as u8; 8 + padding];
    body[..4].copy_from_slice(&sender.to_be_bytes());
    body[4..8].copy_from_slice(&number.to_be_bytes());
    Message::from(body)
}

/// Sender and number of a [`numbered`] message, its bytes checked.
#[track_caller]
pub fn number_of(message: &Message) -> (u32, u32) {
    assert_eq!(message.len(), 1, "numbered messages have one part");
    let body = message.part(0).unwrap();
    let (head, padding) = body.split_at(8);
    let sender = u32::from_be_bytes(head[..4].try_into().unwrap());
    let number = u32::from_be_bytes(head[4..].try_into().unwrap());
    assert!(padding.iter().all(|byte| *byte == sender as u8 ^ number as u8), "bytes changed on the way");
    (sender, number)
}

/// What one receiver got, in the order it got it.
#[derive(Default)]
pub struct Tally(pub Vec<(u32, u32)>);

impl Tally {
    /// Notes a [`numbered`] message.
    #[track_caller]
    pub fn note(&mut self, message: &Message) {
        self.0.push(number_of(message));
    }

    /// The numbers of each sender only ever rise.
    #[track_caller]
    pub fn assert_in_order(&self) {
        let mut last = std::collections::HashMap::new();
        for &(sender, number) in &self.0 {
            if let Some(before) = last.insert(sender, number) {
                assert!(before < number, "sender {sender}: {number} came after {before}");
            }
        }
    }

    /// Checks that nothing came twice, over all receivers, and returns how many different messages came.
    #[track_caller]
    pub fn assert_no_duplicates(tallies: &[Self]) -> usize {
        let mut all: Vec<_> = tallies.iter().flat_map(|tally| &tally.0).collect();
        let received = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), received, "some messages came twice");
        received
    }

    /// Checks that `senders` sent `each` messages each, all of which came once.
    #[track_caller]
    pub fn assert_complete(tallies: &[Self], senders: u32, each: u32) {
        let mut all: Vec<_> = tallies.iter().flat_map(|tally| tally.0.iter().copied()).collect();
        all.sort_unstable();
        let expected = (0..senders).flat_map(|sender| (0..each).map(move |number| (sender, number)));
        let wrong = all.iter().copied().zip(expected).find(|(got, expected)| got != expected);
        assert_eq!(wrong, None, "(came, expected): one of them came twice or never");
        assert_eq!(all.len(), (senders * each) as usize);
    }
}

/// Small and repeatable randomness (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
