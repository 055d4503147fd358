//! NULL: each side sends a READY right behind its greeting, and that is all (37/ZMTP, The NULL Security Mechanism).

use crate::zmtp::Violation;
use crate::zmtp::command::{self, Command};
use crate::zmtp::greeting::MechanismName;
use crate::zmtp::handshake::Config;
use crate::zmtp::metadata::Metadata;

/// The name in the greeting.
pub(super) const NAME: &MechanismName = b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Appends our READY. Both sides send it without waiting, as libzmq does: 37/ZMTP lets the client go first, but if both
/// waited, neither would ever speak.
pub(super) fn start(config: &Config, out: &mut Vec<u8>) {
    command::put_ready(out, config.socket_type, &config.identity);
}

/// Takes the only command of the peer: its READY, or an ERROR.
pub(super) fn handle(command: Command<'_>) -> Result<Metadata, Violation> {
    match command.name {
        command::READY => Metadata::parse(command.data),
        command::ERROR => Err(command::parse_error(command.data)),
        _ => Err(Violation::UnexpectedCommand),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zmtp::SocketType;

    fn handle_body(body: &[u8]) -> Result<Metadata, Violation> {
        Command::parse(body).and_then(handle)
    }

    #[test]
    fn is_over_with_the_ready_of_the_peer() {
        let metadata = handle_body(b"\x05READY\x0BSocket-Type\0\0\0\x04PUSH").unwrap();
        assert_eq!(metadata.socket_type, SocketType::Push);
    }

    #[test]
    fn an_error_of_the_peer_is_told() {
        assert_eq!(handle_body(b"\x05ERROR\x03400"), Err(Violation::PeerError { reason: "400".into() }));
    }

    #[test]
    fn nothing_else_has_a_place() {
        for body in [&b"\x05ready"[..], b"\x03FOO", b"\x04PING\0\0", b"\x09SUBSCRIBEA", b"\x05HELLO\0\0"] {
            assert_eq!(handle_body(body), Err(Violation::UnexpectedCommand));
        }
    }
}
