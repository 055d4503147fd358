//! Endpoints of any spelling.

use crate::endpoint::Endpoint;

/// Takes the text for an endpoint, and for what follows each transport.
pub(super) fn run(text: &str) {
    check(text);
    for transport in ["tcp://", "ipc://", "inproc://"] {
        check(&format!("{transport}{text}"));
    }
}

fn check(text: &str) {
    let endpoint: Endpoint = match text.parse() {
        Ok(endpoint) => endpoint,
        Err(error) => return assert!(!error.to_string().is_empty(), "{text:?} is refused without a word"),
    };
    let printed = endpoint.to_string();
    assert_eq!(printed.parse().as_ref(), Ok(&endpoint), "{text:?} is printed as something else");
    assert_eq!(endpoint.check_bind(), printed.parse().and_then(|again: Endpoint| again.check_bind()));
    assert_eq!(endpoint.check_connect(), printed.parse().and_then(|again: Endpoint| again.check_connect()));
    if let Some(addr) = endpoint.socket_addr() {
        // The source address before a `;` is not part of where it leads.
        let destination = Endpoint::from(addr).to_string();
        let rest = printed.strip_suffix(destination.strip_prefix("tcp://").unwrap_or_default());
        assert!(
            rest.is_some_and(|rest| rest == "tcp://" || rest.ends_with(';')),
            "{printed} leads to {addr}"
        );
    }
}
