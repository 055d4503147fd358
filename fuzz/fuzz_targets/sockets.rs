//! What may befall many sockets in a network: delays, cuts, partitions, corruption, killed processes, time.
#![no_main]

use ferromq::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzzing::sockets(data));
