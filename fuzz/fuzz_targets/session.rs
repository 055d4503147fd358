//! What may befall two connected sessions: stalls, cuts, full inboxes, time.
#![no_main]

use ferromq::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzzing::session(data));
