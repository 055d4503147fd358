//! Where the cases are tried that are no row of the table.

/// A case, the file and the tests in it.
pub type Elsewhere = (u8, &'static str, &'static [&'static str]);

/// What is no matter of octets, or of very many.
pub const ELSEWHERE: &[Elsewhere] = &[];
