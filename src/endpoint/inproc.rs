//! What follows `inproc://` in an endpoint.

use std::fmt;
use std::str::FromStr;

use super::EndpointError;

/// A name within a context.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inproc(Box<str>);

impl FromStr for Inproc {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        match text.len() {
            0 => Err(EndpointError::MissingInprocName),
            1..=MAX_NAME => Ok(Self(text.into())),
            _ => Err(EndpointError::InprocNameTooLong),
        }
    }
}

impl fmt::Display for Inproc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest name, in octets, as in libzmq.
const MAX_NAME: usize = 256;

#[cfg(test)]
mod tests {
    use EndpointError::*;

    use super::*;
    use crate::endpoint::Endpoint;
    use crate::endpoint::tests::refused;

    #[test]
    fn any_name_is_printed_as_it_is_spelt() {
        for name in ["a", "A", "a b/c:*", "*", "@", "inproc://", "\u{fc}", &"x".repeat(MAX_NAME)] {
            let endpoint: Endpoint = format!("inproc://{name}").parse().unwrap();
            assert_eq!(endpoint.to_string(), format!("inproc://{name}"));
        }
        assert_ne!("inproc://a".parse::<Endpoint>(), "inproc://A".parse::<Endpoint>());
    }

    #[test]
    fn a_name_is_neither_empty_nor_too_long() {
        refused(&[
            ("inproc://", MissingInprocName),
            ("inproc://\0", Nul),
            (&format!("inproc://{}", "x".repeat(MAX_NAME + 1)), InprocNameTooLong),
        ]);
    }
}
