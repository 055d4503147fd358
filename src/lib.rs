//! Messages between processes, without a broker in the middle.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(unnameable_types)]

mod context;
mod endpoint;
mod engine;
mod error;
mod lock;
mod message;
mod options;
mod pattern;
mod peer;
mod pipe;
mod session;
mod slots;
mod socket;
mod transport;
mod zmtp;

pub use context::{Context, ContextBuilder};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{
    BindError, BuildError, Closed, ConnectError, ContextError, DetachError, OptionError, RecvError, Refusal,
    SendError, WaitError,
};
pub use message::{Message, Parts};
pub use options::Keepalive;
pub use socket::{Builder, Dropped, Iter, Kind, Pull, Push, Receives, Sends, Socket, Stats};
pub use zmtp::SocketType;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("ferromq packs the names of its connections into 64 bits");
