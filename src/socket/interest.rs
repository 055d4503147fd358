//! [`Interest`]: what a socket is watched for, and [`Ready`]: what it is ready for.

/// What to watch a socket, or another file descriptor, for.
///
/// It is [`READABLE`](Self::READABLE), [`WRITABLE`](Self::WRITABLE) or [`BOTH`](Self::BOTH). There is no interest in nothing:
/// what is not to be watched is [removed](crate::Poller::remove).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interest {
    readable: bool,
    writable: bool,
}

impl Interest {
    /// `recv` would have something to tell: a message or, for a REQ, that the peer it asked is lost.
    pub const READABLE: Self = Self { readable: true, writable: false };
    /// `send` would take a message.
    pub const WRITABLE: Self = Self { readable: false, writable: true };
    /// Both, each for itself.
    pub const BOTH: Self = Self { readable: true, writable: true };

    /// Whether this includes [`READABLE`](Self::READABLE).
    pub fn is_readable(self) -> bool {
        self.readable
    }

    /// Whether this includes [`WRITABLE`](Self::WRITABLE).
    pub fn is_writable(self) -> bool {
        self.writable
    }
}

/// What a socket is ready for, of what somebody is interested in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) closed: bool,
}

impl Ready {
    /// Whether there is anything to tell.
    pub(crate) fn is_any(self) -> bool {
        self.readable || self.writable
    }
}
