//! Sound frames that make no sense to the type of socket they are sent to.

use super::Deed::Finish;
use super::Reaction::{Accept, Close, Gone, Ignore};
use super::wire::{COMMAND, cancel, command, message, subscribe};
use super::{Row, ready};

pub(super) fn rows() -> Vec<Row> {
    [subscriptions(), publications(), requests()].concat()
}

/// To an XPUB that tells of each change; what is left of a subscriber's topics ends with it.
fn subscriptions() -> Vec<Row> {
    let declared = [&[COMMAND | 2][..], &(64_u64 << 20).to_be_bytes()].concat();
    let long = [&b"\x0177: "[..], &[b't'; 1 << 20]].concat();
    let ended = [&b"\x0077: "[..], &[b't'; 1 << 20]].concat();
    let twice = [cancel(b"78: A"), subscribe(b"78: B"), cancel(b"78: B"), cancel(b"78: B")].concat();
    let row = |number, name, octets: &[u8], reaction| {
        Row::new(number, name, ready("SUB", octets), reaction).to("XPUB")
    };
    vec![
        row(77, "SUBSCRIBE of a mebibyte", &subscribe(&[b't'; 1 << 20]), Close("CommandTooLarge"))
            .libzmq("accepts it"),
        row(77, "SUBSCRIBE of 64 MiB", &declared, Close("CommandTooLarge"))
            .libzmq("takes memory for it, and waits"),
        row(77, "an old subscription of a mebibyte", &message(&[&long]), Gone)
            .then(Finish)
            .delivers(&[&long])
            .delivers(&[&ended]),
        row(78, "CANCEL of nothing, and twice", &twice, Accept)
            .delivers(&[b"\x0178: B"])
            .delivers(&[b"\x0078: B"])
            .libzmq("tells also of the end of what nobody had"),
        row(79, "an empty message", b"\x00\x00", Accept).delivers(&[b""]),
        row(79, "old subscription to all, and its end", b"\x00\x01\x01\x00\x01\x00", Accept)
            .delivers(&[b"\x01"])
            .delivers(&[b"\x00"]),
        row(79, "neither on nor off", b"\x00\x01\x02", Accept).delivers(&[b"\x02"]),
        row(79, "on and off in one message", &message(&[b"\x0179: A", b"\x0079: A"]), Accept)
            .delivers(&[b"\x0179: A"])
            .delivers(&[b"\x0079: A"]),
        row(74, "JOIN to a publisher", &command("JOIN", b"A"), Ignore),
    ]
}

/// To a SUB that wants what begins with `81: A`.
fn publications() -> Vec<Row> {
    let unasked = [message(&[b"81: B"]), message(&[b"81: A", b"wanted"]), message(&[b"", b"81: A"])].concat();
    vec![
        Row::new(81, "publications that nobody has asked for", ready("PUB", &unasked), Accept)
            .to("SUB")
            .delivers(&[b"81: A", b"wanted"]),
    ]
}

fn requests() -> Vec<Row> {
    let to_rep =
        |name, octets: &[u8], reaction| Row::new(83, name, ready("DEALER", octets), reaction).to("REP");
    let pipelined = [message(&[b"", b"85: first"]), message(&[b"", b"85: second"])].concat();
    vec![
        to_rep("a question without a delimiter", b"\x00\x05hello", Ignore),
        to_rep("two parts without a delimiter", b"\x01\x01A\x00\x01B", Ignore),
        to_rep("a delimiter and the end", b"\x01\x00", Gone).then(Finish),
        to_rep("a delimiter and nothing", b"\x00\x00", Ignore),
        Row::new(85, "two questions at once", ready("DEALER", &pipelined), Accept)
            .to("REP")
            .delivers(&[b"85: first"])
            .delivers(&[b"85: second"]),
        Row::new(90, "an empty message", ready("DEALER", b"\x00\x00"), Accept).to("ROUTER").delivers(&[b""]),
    ]
}
