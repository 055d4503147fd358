//! What a stranger may say before it is let in.
#![no_main]

use ferromq::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzzing::greeting(data));
