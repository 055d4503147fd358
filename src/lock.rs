//! How the library takes its locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whatever happened to other holders of the lock.
///
/// No waker is called, cloned or dropped under a lock of ours, and no other foreign code runs there but the destructors
/// of message bodies that own something of the user's, which are shielded. So a panic cannot have left half-changed state
/// behind, and a panicking thread of one user must not take down those of others.
#[inline]
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
