//! [`shielded`]: calls of code that is not ours.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls what may run somebody else's code: a waker, or the destructor of what a message body owns. None if that panics,
/// which the panic hook has reported: it is nothing to the thread that happens to make the call, or to others who use the
/// same socket.
///
/// What the call changes must be as good as done at any moment.
#[inline]
pub(crate) fn shielded<T>(call: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(call));
    if result.is_err() {
        report();
    }
    result.ok()
}

#[cold]
fn report() {
    log::error!("a waker, or what a message owned, has panicked");
}
