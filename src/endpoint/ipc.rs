//! What follows `ipc://` in an endpoint.

use std::fmt;
use std::str::FromStr;

use super::EndpointError;

/// Where a Unix domain socket is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ipc {
    /// A file in a directory of its own, both of them new.
    Any,
    /// A file.
    Path(Box<str>),
    /// A name that is in no directory, known to Linux only.
    Abstract(Box<str>),
}

impl Ipc {
    pub(super) fn check_bind(&self) -> Result<(), EndpointError> {
        match self {
            Self::Abstract(_) if !ABSTRACT => Err(EndpointError::AbstractName),
            _ => Ok(()),
        }
    }

    pub(super) fn check_connect(&self) -> Result<(), EndpointError> {
        match self {
            Self::Any => Err(EndpointError::ConnectToAnyPath),
            _ => self.check_bind(),
        }
    }
}

impl FromStr for Ipc {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        // The NUL that an abstract name begins with takes the place of the @.
        if text.len() > MAX_PATH {
            return Err(EndpointError::PathTooLong);
        }
        match text.strip_prefix('@') {
            Some("") => Err(EndpointError::MissingPath),
            Some(name) => Ok(Self::Abstract(name.into())),
            None if text.is_empty() => Err(EndpointError::MissingPath),
            None if text == "*" => Ok(Self::Any),
            None => Ok(Self::Path(text.into())),
        }
    }
}

impl fmt::Display for Ipc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Path(path) => f.write_str(path),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// The longest path, in octets: what the address of a socket has room for, without the NUL at its end. On Linux that is a
/// little more than elsewhere.
pub(super) const MAX_PATH: usize = if ABSTRACT { 107 } else { 103 };

/// Whether the system knows abstract names.
const ABSTRACT: bool = cfg!(any(target_os = "linux", target_os = "android"));

#[cfg(all(test, unix))]
mod tests {
    use EndpointError::*;

    use super::*;
    use crate::endpoint::Endpoint;
    use crate::endpoint::tests::refused;

    #[test]
    fn every_form_prints_as_it_is_spelt() {
        let table = [
            ("/tmp/a", Ipc::Path("/tmp/a".into())),
            ("a", Ipc::Path("a".into())),
            ("./*", Ipc::Path("./*".into())),
            ("./@a", Ipc::Path("./@a".into())),
            ("/Tmp//B c/../\u{fc}:*", Ipc::Path("/Tmp//B c/../\u{fc}:*".into())),
            ("@a", Ipc::Abstract("a".into())),
            ("@/A b", Ipc::Abstract("/A b".into())),
            ("@@", Ipc::Abstract("@".into())),
            ("@*", Ipc::Abstract("*".into())),
            ("*", Ipc::Any),
        ];
        for (text, ipc) in table {
            assert_eq!(text.parse(), Ok(ipc.clone()), "{text}");
            assert_eq!(ipc.to_string(), text);
            let endpoint: Endpoint = format!("ipc://{text}").parse().unwrap();
            assert_eq!(endpoint.to_string(), format!("ipc://{text}"));
        }
    }

    #[test]
    fn a_path_is_not_empty_and_fits_into_an_address() {
        refused(&[("ipc://", MissingPath), ("ipc://@", MissingPath), ("ipc:///tmp/\0", Nul)]);
        let longest = "x".repeat(MAX_PATH);
        for first in ["", "/", "@", "\u{fc}"] {
            let text = format!("{first}{}", &longest[first.len()..]);
            assert!(text.parse::<Ipc>().is_ok(), "{text}");
            assert_eq!((text + "x").parse::<Ipc>(), Err(PathTooLong));
        }
    }
}
