//! The greeting: the first 64 octets in both directions (37/ZMTP, Version Negotiation).
//!
//! ```text
//! 0    1          9    10     11     12           32         33        64
//! | FF | padding | 7F | major | minor | mechanism | as-server | filler |
//! ```

use super::Violation;

/// What the peer's greeting says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// The dialect to speak with the peer: 0 for ZMTP 3.0, 1 for 3.1 and anything higher.
    pub(crate) minor: u8,
    /// The name of the security mechanism, padded with zeros.
    pub(crate) mechanism: MechanismName,
}

/// The name of a security mechanism as it stands in the greeting.
pub(crate) type MechanismName = [u8; 20];

impl Greeting {
    /// Reads the greeting at the start of `input`; `None` if it is sound so far and more octets are needed.
    ///
    /// Each field is judged as soon as it is there, so that a stranger is turned away by its first octet. The padding
    /// must not be looked at: libzmq fills it. Nor do we look at as-server, which libzmq never sets, and the filler.
    pub(crate) fn parse(input: &[u8]) -> Result<Option<Self>, Violation> {
        if input.first().is_some_and(|&octet| octet != SIGNATURE_START) {
            return Err(Violation::NotZmtp);
        }
        // Only bit 0 tells: where it is zero, ZMTP 1.0 has put the flags of a frame (libzmq tests just this bit).
        if input.get(SIGNATURE_END_AT).is_some_and(|&octet| octet & 1 == 0) {
            return Err(Violation::NotZmtp);
        }
        if let Some(&major) = input.get(MAJOR_AT).filter(|&&major| major < MAJOR) {
            return Err(Violation::OldVersion { major });
        }
        let Some(greeting) = input.first_chunk::<LEN>() else { return Ok(None) };
        let mut mechanism = MechanismName::default();
        mechanism.copy_from_slice(&greeting[MECHANISM_AT..AS_SERVER_AT]);
        let minor = u8::from(greeting[MAJOR_AT] > MAJOR || greeting[MINOR_AT] >= MINOR);
        Ok(Some(Self { minor, mechanism }))
    }
}

/// Our own greeting.
pub(crate) fn ours(mechanism: &MechanismName) -> [u8; LEN] {
    let mut greeting = [0; LEN];
    greeting[0] = SIGNATURE_START;
    greeting[SIGNATURE_END_AT] = SIGNATURE_END;
    greeting[MAJOR_AT] = MAJOR;
    greeting[MINOR_AT] = MINOR;
    greeting[MECHANISM_AT..AS_SERVER_AT].copy_from_slice(mechanism);
    greeting
}

/// How much of our greeting may go out once `received` octets of the peer's are there.
///
/// It goes out in stages, as libzmq's does: a 2.0 peer reads the version octet before it sends its own. And libzmq
/// waits for our signature before it sends anything more, so the first stage waits for nothing.
pub(crate) const fn due(received: usize) -> usize {
    if received <= SIGNATURE_END_AT {
        MAJOR_AT
    } else if received <= MAJOR_AT {
        MINOR_AT
    } else {
        LEN
    }
}

/// The octets of a greeting.
pub(crate) const LEN: usize = 64;

const SIGNATURE_START: u8 = 0xFF;
const SIGNATURE_END: u8 = 0x7F;
const SIGNATURE_END_AT: usize = 9;
const MAJOR: u8 = 3;
const MAJOR_AT: usize = 10;
const MINOR: u8 = 1;
const MINOR_AT: usize = 11;
const MECHANISM_AT: usize = 12;
const AS_SERVER_AT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const NULL: MechanismName = *b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    #[test]
    fn ours_is_that_of_the_specification() {
        let mut expected = b"\xFF\0\0\0\0\0\0\0\0\x7F\x03\x01NULL".to_vec();
        expected.resize(64, 0);
        assert_eq!(ours(&NULL), *expected);
        assert_eq!(Greeting::parse(&ours(&NULL)), Ok(Some(Greeting { minor: 1, mechanism: NULL })));
    }

    #[test]
    fn goes_out_in_three_stages() {
        assert_eq!([0, 1, 9, 10, 11, 12, 64].map(due), [10, 10, 10, 11, 64, 64, 64]);
    }

    #[test]
    fn strangers_are_turned_away_by_their_first_octet() {
        for first in [&b"\0"[..], b"\x01\0\x08\0sneaky\0", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\0"] {
            assert_eq!(Greeting::parse(&first[..1]), Err(Violation::NotZmtp));
        }
    }

    #[test]
    fn the_end_of_the_signature_is_odd() {
        for (octet, sound) in [(0x7F, true), (0x01, true), (0xFF, true), (0x7E, false), (0x00, false)] {
            let mut greeting = ours(&NULL);
            greeting[9] = octet;
            assert_eq!(Greeting::parse(&greeting[..9]), Ok(None));
            assert_eq!(Greeting::parse(&greeting[..10]).is_ok(), sound, "{octet:02X}");
        }
    }

    #[test]
    fn versions_from_3_0_are_accepted() {
        for ([major, minor], dialect) in [([3, 0], 0), ([3, 1], 1), ([3, 7], 1), ([4, 0], 1), ([255, 255], 1)]
        {
            let mut greeting = ours(&NULL);
            greeting[10..12].copy_from_slice(&[major, minor]);
            assert_eq!(Greeting::parse(&greeting).unwrap().unwrap().minor, dialect, "{major}.{minor}");
        }
    }

    #[test]
    fn older_versions_are_refused_at_the_version_octet() {
        for major in 0..3 {
            let mut greeting = ours(&NULL);
            greeting[10] = major;
            assert_eq!(Greeting::parse(&greeting[..10]), Ok(None));
            assert_eq!(Greeting::parse(&greeting[..11]), Err(Violation::OldVersion { major }));
        }
    }

    #[test]
    fn padding_server_flag_and_filler_mean_nothing() {
        let mut greeting = ours(&NULL);
        greeting[1..9].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        greeting[32..].fill(0xAA);
        assert_eq!(Greeting::parse(&greeting), Greeting::parse(&ours(&NULL)));
    }

    #[test]
    fn a_part_of_it_is_not_enough() {
        for len in 0..LEN {
            assert_eq!(Greeting::parse(&ours(&NULL)[..len]), Ok(None));
        }
    }
}
