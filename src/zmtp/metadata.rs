//! [`Metadata`]: the properties by which two peers introduce themselves (37/ZMTP, Connection Metadata).

use bytes::Bytes;

use super::command::split_short;
use super::{SocketType, Violation};

/// The properties of a peer that we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The type of its socket.
    pub(crate) socket_type: SocketType,
    /// How it wants to be known to a ROUTER; empty if it does not care.
    pub(crate) identity: Bytes,
}

impl Metadata {
    /// Reads a list of properties. Those we do not know are skipped; names are compared without regard to case.
    ///
    /// libzmq takes the last of two identities and does without a socket type. We are strict where leniency would let
    /// two readers of the same octets disagree about who the peer is.
    pub(crate) fn parse(input: &[u8]) -> Result<Self, Violation> {
        let (mut socket_type, mut identity) = (None, None);
        let mut rest = input;
        while !rest.is_empty() {
            let (name, value, tail) = split_property(rest).ok_or(Violation::MalformedMetadata)?;
            if name.eq_ignore_ascii_case(SOCKET_TYPE) {
                let known = SocketType::from_wire(value).ok_or(Violation::UnknownSocketType)?;
                set_once(&mut socket_type, known)?;
            } else if name.eq_ignore_ascii_case(IDENTITY) {
                set_once(&mut identity, parse_identity(value)?)?;
            }
            rest = tail;
        }
        let socket_type = socket_type.ok_or(Violation::MissingSocketType)?;
        Ok(Self { socket_type, identity: identity.unwrap_or_default() })
    }
}

/// Our own properties. libzmq compares names with regard to case and expects them in this order.
pub(crate) fn encode(socket_type: SocketType, identity: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_property(&mut out, SOCKET_TYPE, socket_type.as_str().as_bytes());
    if socket_type.tells_identity() {
        put_property(&mut out, IDENTITY, identity);
    }
    out
}

/// Appends one property.
fn put_property(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    out.extend_from_slice(value);
}

/// Splits the first property into its name, its value and what follows; `None` if it is malformed.
fn split_property(input: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = split_short(input).filter(|(name, _)| !name.is_empty())?;
    let (&len, rest) = rest.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(len).try_into().ok()?)?;
    Some((name, value, rest))
}

/// Identities that start with a zero octet are reserved for those a ROUTER makes up, so that no peer can claim one.
fn parse_identity(value: &[u8]) -> Result<Bytes, Violation> {
    if value.len() > IDENTITY_MAX || value.first() == Some(&0) {
        return Err(Violation::BadIdentity);
    }
    Ok(Bytes::copy_from_slice(value))
}

/// Sets a property that may stand in the list only once.
fn set_once<T>(property: &mut Option<T>, value: T) -> Result<(), Violation> {
    match property.replace(value) {
        None => Ok(()),
        Some(_) => Err(Violation::DuplicateProperty),
    }
}

const SOCKET_TYPE: &[u8] = b"Socket-Type";
const IDENTITY: &[u8] = b"Identity";
/// The longest identity of a peer.
const IDENTITY_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(properties: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in properties {
            put_property(&mut out, name.as_bytes(), value);
        }
        out
    }

    fn parse(properties: &[(&str, &[u8])]) -> Result<Metadata, Violation> {
        Metadata::parse(&list(properties))
    }

    #[test]
    fn comes_back() {
        let encoded = encode(SocketType::Dealer, b"me");
        assert_eq!(encoded, b"\x0BSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x02me");
        let metadata = Metadata::parse(&encoded).unwrap();
        assert_eq!((metadata.socket_type, &metadata.identity[..]), (SocketType::Dealer, &b"me"[..]));
    }

    #[test]
    fn identity_is_told_by_those_who_are_addressed_by_it() {
        assert_eq!(encode(SocketType::Push, b"me"), b"\x0BSocket-Type\0\0\0\x04PUSH");
        assert!(encode(SocketType::Router, b"").ends_with(b"\x08Identity\0\0\0\0"));
        assert!(encode(SocketType::Req, b"").ends_with(b"\x08Identity\0\0\0\0"));
    }

    #[test]
    fn names_match_in_any_case() {
        for (socket_type, identity) in [("socket-type", "IDENTITY"), ("SOCKET-TYPE", "iDeNtItY")] {
            let metadata = parse(&[(socket_type, b"REQ"), (identity, b"x")]).unwrap();
            assert_eq!((metadata.socket_type, &metadata.identity[..]), (SocketType::Req, &b"x"[..]));
        }
    }

    #[test]
    fn unknown_properties_are_skipped() {
        let properties: [(&str, &[u8]); 4] =
            [("Resource", b"/a"), ("X-Key", b"\xFF\0"), ("Socket-Type", b"PUSH"), ("X-Key", b"")];
        assert_eq!(parse(&properties).unwrap().socket_type, SocketType::Push);
    }

    #[test]
    fn names_need_not_be_text() {
        let push = list(&[("Socket-Type", b"PUSH")]);
        for name in [&b"\0"[..], b" ", b"\xC3\x28"] {
            let mut input = vec![name.len() as u8];
            input.extend_from_slice(name);
            input.extend_from_slice(&[0; 4]);
            input.extend_from_slice(&push);
            assert!(Metadata::parse(&input).is_ok());
        }
    }

    #[test]
    fn values_must_lie_inside() {
        for len in [5_u32, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF] {
            let mut input = b"\x0BSocket-Type".to_vec();
            input.extend_from_slice(&len.to_be_bytes());
            input.extend_from_slice(b"PUSH");
            assert_eq!(Metadata::parse(&input), Err(Violation::MalformedMetadata));
        }
    }

    #[test]
    fn what_is_cut_off_is_malformed() {
        let whole = list(&[("Socket-Type", b"PUSH")]);
        for len in 1..whole.len() {
            assert_eq!(Metadata::parse(&whole[..len]), Err(Violation::MalformedMetadata));
        }
        for tail in [&b"\x0B"[..], b"\xFFabc", b"\0", b"\0\0\0\0\0"] {
            assert_eq!(Metadata::parse(&[&whole, tail].concat()), Err(Violation::MalformedMetadata));
        }
    }

    #[test]
    fn the_socket_type_is_required_and_exact() {
        assert_eq!(parse(&[]), Err(Violation::MissingSocketType));
        assert_eq!(parse(&[("Identity", b"x")]), Err(Violation::MissingSocketType));
        for name in [&b""[..], b"BANANA", b"dealer", b"DEALER\0", b"STREAM"] {
            assert_eq!(parse(&[("Socket-Type", name)]), Err(Violation::UnknownSocketType));
        }
    }

    #[test]
    fn socket_type_and_identity_stand_only_once() {
        let twice = parse(&[("Socket-Type", b"PUSH"), ("socket-type", b"PUSH")]);
        assert_eq!(twice, Err(Violation::DuplicateProperty));
        let twice = parse(&[("Identity", b""), ("Socket-Type", b"PUSH"), ("Identity", b"")]);
        assert_eq!(twice, Err(Violation::DuplicateProperty));
    }

    #[test]
    fn identities_have_up_to_255_octets_and_no_zero_in_front() {
        let identity = |value: &[u8]| parse(&[("Socket-Type", b"REQ"), ("Identity", value)]);
        assert_eq!(identity(&[9; 255]).unwrap().identity.len(), 255);
        assert_eq!(identity(&[9; 256]), Err(Violation::BadIdentity));
        assert_eq!(identity(b"\0\0\0\0\x01"), Err(Violation::BadIdentity));
        assert_eq!(identity(b"").unwrap().identity, "");
    }

    #[test]
    fn garbage_never_panics() {
        quickcheck::quickcheck(feed as fn(Vec<u8>));

        fn feed(input: Vec<u8>) {
            let _ = Metadata::parse(&input);
        }
    }
}
