//! What a peer may send once it is let in, however the stream is cut.
#![no_main]

use ferromq::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzzing::decoder(data));
