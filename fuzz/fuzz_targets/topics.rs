//! What subscribers may do to a publisher.
#![no_main]

use ferromq::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzzing::topics(data));
