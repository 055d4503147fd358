//! Nothing but tests, in `tests/`: [ferromq](../ferromq) and a real libzmq as each other's peer.
//!
//! They stand in a package of their own so that building the library, or running one of its examples, never needs the
//! C++ compiler that libzmq asks for.
