//! [`Mechanism`]: how two peers come to trust each other. One file each.

mod null;

use super::Violation;
use super::command::Command;
use super::greeting::MechanismName;
use super::handshake::Config;
use super::metadata::Metadata;

/// The security mechanism of a connection, in the state its part of the handshake has reached.
#[derive(Debug)]
pub(crate) enum Mechanism {
    /// None: whoever asks is let in.
    Null,
}

impl Mechanism {
    /// The name in the greeting. Both sides must name the same; there is no list to fall back on (RFC 37, Security
    /// Considerations), so nobody in between can talk a peer down.
    pub(crate) const fn name(&self) -> &'static MechanismName {
        match self {
            Self::Null => null::NAME,
        }
    }

    /// Appends what we say right behind the greeting.
    pub(crate) fn start(&mut self, config: &Config, out: &mut Vec<u8>) {
        match self {
            Self::Null => null::start(config, out),
        }
    }

    /// Takes a command of the peer. The handshake is over once the peer has introduced itself.
    pub(crate) fn handle(&mut self, command: Command<'_>) -> Result<Option<Metadata>, Violation> {
        match self {
            Self::Null => null::handle(command).map(Some),
        }
    }
}
