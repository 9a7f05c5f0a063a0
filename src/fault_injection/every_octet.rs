//! A unary exchange, cut at each of its octets.

use std::time::Duration;

use bytes::Bytes;

use super::world::{World, is_loss};
use crate::Request;
use crate::net::simulation::{Blow, Fault, Weather};

/// The first call of a fresh channel, and what can be said of it and of those after it.
fn exchange(weather: Weather, fault: Option<Fault>) -> (bool, (u64, u64)) {
    let world = World::new(7, weather, fault.into_iter().collect());
    let name = Bytes::from_static(b"the first call");
    let request = Request::new(name.clone()).with_timeout(Duration::from_secs(5));
    let outcome = world.run(world.echo(request));
    let runs = world.ledger.runs(&name);
    assert!(runs <= 1, "the handler ran {runs} times, {fault:?}");
    match &outcome {
        Ok(response) => {
            assert_eq!(*response.message(), name, "{fault:?}");
            assert_eq!(runs, 1, "answered by nobody, {fault:?}");
        }
        Err(status) => assert!(is_loss(status), "{status}, {fault:?}"),
    }
    let sent = world.network.sent(0);
    // The wire that failed is replaced: at the latest when its keepalive PING is not answered.
    let again = (0..3).find_map(|_| {
        let request = Request::new(Bytes::from_static(b"again")).with_timeout(Duration::from_secs(40));
        world.run(world.echo(request.with_wait_for_ready(true))).ok()
    });
    assert_eq!(
        again.map(|response| response.into_message()),
        Some(Bytes::from_static(b"again")),
        "{fault:?}"
    );
    world.end();
    (outcome.is_ok(), sent)
}

fn cut_everywhere(blow: Blow) {
    let (succeeded, sent) = exchange(Weather::CALM, None);
    assert!(succeeded);
    let (mut answered, mut lost) = (0, 0);
    for (of_client, octets) in [(true, sent.0), (false, sent.1)] {
        for offset in 0..octets {
            let fault = Fault { wire: 0, of_client, offset, blow };
            let (succeeded, _) = exchange(Weather::CALM, Some(fault));
            *if succeeded { &mut answered } else { &mut lost } += 1;
        }
    }
    // A cut behind the request may leave the answer its way; most cuts cannot.
    assert!(lost > answered, "{answered} answered, {lost} lost");
}

#[test]
fn a_reset_at_any_octet_ends_the_call_once_and_leaves_nothing() {
    cut_everywhere(Blow::Reset);
}

#[test]
fn an_end_at_any_octet_ends_the_call_once_and_leaves_nothing() {
    cut_everywhere(Blow::Truncate);
}

#[test]
fn a_stall_at_any_octet_ends_the_call_at_its_deadline_and_leaves_nothing() {
    cut_everywhere(Blow::Stall);
}

#[test]
fn a_delay_at_any_octet_does_no_harm() {
    let (_, sent) = exchange(Weather::CALM, None);
    for (of_client, octets) in [(true, sent.0), (false, sent.1)] {
        for offset in 0..octets {
            let fault = Fault { wire: 0, of_client, offset, blow: Blow::Delay(Duration::from_secs(1)) };
            let (succeeded, _) = exchange(Weather::CALM, Some(fault));
            assert!(succeeded, "{fault:?}");
        }
    }
}
