//! [`Header`]: what stands in front of every body on the wire, read and written.
//!
//! A flags octet, then the size of the body: one octet, or eight if LONG is set (37/ZMTP, Framing).

use super::Violation;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The flags octet, free of reserved bits.
    flags: u8,
    /// How many octets of body the peer declares. Not to be trusted with memory.
    pub(crate) len: u64,
    /// How many octets the header itself takes.
    pub(crate) size: usize,
}

impl Header {
    /// Reads the header at the start of `input`; `None` if more octets are needed.
    ///
    /// A long size for a short body is accepted, as the specification asks. Reserved bits and a command that claims
    /// to be followed by more are not: libzmq overlooks both, so nothing sends them but an attacker or a bug.
    #[inline]
    pub(crate) fn parse(input: &[u8]) -> Result<Option<Self>, Violation> {
        let Some((&flags, size)) = input.split_first() else { return Ok(None) };
        if flags & RESERVED != 0 {
            return Err(Violation::ReservedBits);
        }
        if flags & (COMMAND | MORE) == COMMAND | MORE {
            return Err(Violation::CommandWithMore);
        }
        if flags & LONG == 0 {
            return Ok(size.first().map(|&len| Self { flags, len: len.into(), size: SHORT_HEADER }));
        }
        let Some(&len) = size.first_chunk() else { return Ok(None) };
        match u64::from_be_bytes(len) {
            len if len > MAX_LEN => Err(Violation::BadFrameSize),
            len => Ok(Some(Self { flags, len, size: LONG_HEADER })),
        }
    }

    /// How long the body is, if that is no more than `limit`.
    pub(crate) fn len_within(self, limit: usize) -> Option<usize> {
        usize::try_from(self.len).ok().filter(|&len| len <= limit)
    }

    /// Whether another frame of the same message follows.
    pub(crate) const fn is_more(self) -> bool {
        self.flags & MORE != 0
    }

    /// Whether the body is a command, not a part of a message.
    pub(crate) const fn is_command(self) -> bool {
        self.flags & COMMAND != 0
    }
}

/// How many octets the header takes in front of a body of `len` octets.
#[inline]
pub(crate) const fn header_len(len: usize) -> usize {
    if len <= SHORT_MAX { SHORT_HEADER } else { LONG_HEADER }
}

/// Appends the header of a message frame: one part of `len` octets, behind which `more` parts follow.
#[inline]
pub(crate) fn put_header(out: &mut Vec<u8>, more: bool, len: usize) {
    put(out, if more { MORE } else { 0 }, len);
}

/// Appends the header of a command frame with a body of `len` octets.
pub(super) fn put_command_header(out: &mut Vec<u8>, len: usize) {
    put(out, COMMAND, len);
}

/// Appends a header in the shortest form, as the specification asks of senders.
#[inline]
fn put(out: &mut Vec<u8>, flags: u8, len: usize) {
    if len <= SHORT_MAX {
        out.extend_from_slice(&[flags, len as u8]);
    } else {
        let mut header = [flags | LONG; LONG_HEADER];
        header[1..].copy_from_slice(&(len as u64).to_be_bytes());
        out.extend_from_slice(&header);
    }
}

/// Another frame of the same message follows.
const MORE: u8 = 0b001;
/// The size takes eight octets.
const LONG: u8 = 0b010;
/// The body is a command.
const COMMAND: u8 = 0b100;
/// The octets of a header with a one-octet size.
const SHORT_HEADER: usize = 2;
/// The octets of a header with an eight-octet size.
pub(super) const LONG_HEADER: usize = 9;

/// The longest body whose size fits in one octet.
const SHORT_MAX: usize = u8::MAX as usize;
/// Bits that must be zero.
const RESERVED: u8 = !(MORE | LONG | COMMAND);
/// The largest size; its topmost bit must be zero.
const MAX_LEN: u64 = u64::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_legal_first_octet() {
        for (flags, more, command) in [(0, false, false), (1, true, false), (4, false, true)] {
            let short = Header::parse(&[flags, 200]).unwrap().unwrap();
            assert_eq!((short.len, short.size, short.is_more(), short.is_command()), (200, 2, more, command));

            let long = Header::parse(&[flags | LONG, 0, 0, 0, 0, 0, 1, 2, 3]).unwrap().unwrap();
            assert_eq!(
                (long.len, long.size, long.is_more(), long.is_command()),
                (0x1_0203, 9, more, command)
            );
        }
    }

    #[test]
    fn refuses_every_other_first_octet_at_once() {
        for flags in 8..=255 {
            assert_eq!(Header::parse(&[flags]), Err(Violation::ReservedBits));
        }
        assert_eq!(Header::parse(&[5]), Err(Violation::CommandWithMore));
        assert_eq!(Header::parse(&[7]), Err(Violation::CommandWithMore));
    }

    #[test]
    fn waits_for_the_whole_header() {
        assert_eq!(Header::parse(&[]), Ok(None));
        assert_eq!(Header::parse(&[1]), Ok(None));
        assert_eq!(Header::parse(&[2, 0, 0, 0, 0, 0, 0, 0]), Ok(None));
    }

    #[test]
    fn accepts_a_long_size_for_a_short_body() {
        let header = Header::parse(b"\x02\0\0\0\0\0\0\0\x05hello").unwrap().unwrap();
        assert_eq!((header.len, header.size), (5, 9));
    }

    #[test]
    fn refuses_a_size_with_the_topmost_bit() {
        assert_eq!(Header::parse(&[2, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(Violation::BadFrameSize));
        assert_eq!(Header::parse(&[0xFF; 9]), Err(Violation::ReservedBits));
        let largest = Header::parse(&[2, 0x7F, 255, 255, 255, 255, 255, 255, 255]).unwrap().unwrap();
        assert_eq!(largest.len, u64::MAX / 2);
    }

    #[test]
    fn up_to_255_octets_take_the_short_form() {
        let mut out = Vec::new();
        put_header(&mut out, false, 0);
        put_header(&mut out, true, 255);
        put_header(&mut out, false, 256);
        put_header(&mut out, true, 65536);
        assert_eq!(out, *b"\x00\x00\x01\xFF\x02\0\0\0\0\0\0\x01\0\x03\0\0\0\0\0\x01\0\0");
    }

    #[test]
    fn headers_come_back() {
        quickcheck::quickcheck(round_trip as fn(bool, u32));

        fn round_trip(more: bool, len: u32) {
            for len in [len as usize, len as usize % 600] {
                let mut out = Vec::new();
                put_header(&mut out, more, len);
                assert_eq!(out.len(), header_len(len));
                let header = Header::parse(&out).unwrap().unwrap();
                assert_eq!((header.len, header.size), (len as u64, out.len()));
                assert_eq!((header.is_more(), header.is_command()), (more, false));
            }
        }
    }

    #[test]
    fn commands_are_marked() {
        let mut out = Vec::new();
        put_command_header(&mut out, 26);
        put_command_header(&mut out, 256);
        assert_eq!(out, *b"\x04\x1A\x06\0\0\0\0\0\0\x01\0");
    }
}
