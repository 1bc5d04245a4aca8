//! A far end whose address changes, and strangers who would like to be it.

use super::*;
use crate::plain_address;
use crate::testbed::Flight;

const INSIDE: &str = "198.51.100.7:50000";

fn outside(port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 5], port))
}

fn move_to(net: &mut Net, port: u16) {
    net.ends[1].nat = Some((addr(INSIDE), outside(port)));
}

/// Where the server sends.
fn follows(net: &Net, addr: SocketAddr) -> bool {
    net.ends[0].transport.selected().is_some_and(|path| plain_address(path.remote) == addr)
}

/// A lite server, one that checks, and one that checks and nominates, each over UDP and TCP.
fn servers() -> impl Iterator<Item = [Setup; 2]> {
    let roles = [(true, false), (false, false), (false, true)];
    [Carrier::Udp, Carrier::Tcp].into_iter().flat_map(move |carrier| {
        roles.map(|(lite, controlling)| {
            let server = Setup { lite, controlling, carrier, ..Setup::server() };
            [server, Setup { controlling: !controlling, carrier, ..Setup::browser() }]
        })
    })
}

#[test]
fn a_peer_behind_nat_is_reached_and_followed_to_a_new_port() {
    for setups in servers() {
        let what = format!("lite {} controlling {}", setups[0].lite, setups[0].controlling);
        let mut net = Net::described(8, setups);
        move_to(&mut net, 1024);
        net.connect();
        assert!(follows(&net, outside(1024)), "{what}");
        move_to(&mut net, 1025);
        net.run(&what, 10 * SECOND, |net| follows(net, outside(1025)));
        net.run_for(30 * SECOND);
        for end in &net.ends {
            let failed = end.has(|e| matches!(e, Event::Failed(_)));
            assert!(end.is_connected() && !failed, "{what}: {:?}", end.events);
        }
    }
}

#[test]
fn two_hundred_moves_in_a_row_are_followed_and_forgotten() {
    for setups in servers() {
        let what =
            format!("{:?} lite {} controlling {}", setups[0].carrier, setups[0].lite, setups[0].controlling);
        let mut net = Net::described(20, setups);
        net.connect();
        for port in 1..=200 {
            move_to(&mut net, port);
            net.run(&what, 12 * SECOND, |net| follows(net, outside(port)));
            net.run_for(SECOND);
            let lost = |e: &Event| matches!(e, Event::Failed(_) | Event::Disconnected);
            assert!(!net.ends.iter().any(|end| end.has(lost)), "{what}, port {port}");
        }
        let server = &net.ends[0];
        let added = server.events.iter().filter(|e| matches!(e, Event::AddressAdded(_))).count();
        let removed = server.events.iter().filter(|e| matches!(e, Event::AddressRemoved(_))).count();
        assert!(added >= 200 && added - removed <= 64, "{what}: {added} added, {removed} removed");
        let carrier = server.setup.carrier;
        let known = (1..=200).filter(|port| server.transport.knows(carrier.mark(outside(*port)))).count();
        assert_eq!(known, added - removed, "{what}");
    }
}

/// Hops faster than any path can be selected.
#[test]
fn a_peer_gets_in_from_the_last_of_a_thousand_addresses() {
    for setups in servers() {
        let what = format!("lite {} controlling {}", setups[0].lite, setups[0].controlling);
        let mut net = Net::described(22, setups);
        net.connect();
        for port in 1..=1000 {
            move_to(&mut net, port);
            net.run_for(Duration::from_millis(130));
        }
        net.run(&what, 12 * SECOND, |net| follows(net, outside(1000)));
        assert!(net.ends.iter().all(End::is_connected), "{what}");
    }
}

#[test]
fn who_knows_no_password_takes_nobodys_place() {
    for lite in [true, false] {
        let mut net = Net::described(23, [Setup { lite, ..Setup::server() }, Setup::browser()]);
        net.connect();
        let path = net.ends[0].transport.selected();
        net.ends[0].events.clear();
        let requests = requests(&mut net);
        for port in 1..=1000 {
            let mut bytes = requests[usize::from(port) % requests.len()].clone();
            let last = bytes.len() - 1;
            // In the message integrity, before the fingerprint.
            bytes[last - 8 - usize::from(port) % 20] ^= 1;
            stranger(&mut net, port, bytes);
            net.run_for(Duration::from_millis(5));
        }
        let server = &net.ends[0];
        assert!(server.is_connected() && server.transport.selected() == path, "lite {lite}");
        assert!(!server.has(|e| matches!(e, Event::AddressAdded(_))), "lite {lite}: {:?}", server.events);
    }
}

/// One who listens can send again what was sent; that it is heard there, too, is what it cannot show.
#[test]
fn checks_that_were_overheard_take_nobodys_place() {
    // Two networks, of which one is in reserve.
    let client = [addr(INSIDE), addr("198.51.100.8:50000")];
    let browser = Setup { addrs: client.to_vec(), ..Setup::browser() };
    let mut net = Net::described(24, [Setup { lite: false, ..Setup::server() }, browser]);
    net.connect();
    let path = net.ends[0].transport.selected();
    net.ends[0].events.clear();
    let requests = requests(&mut net);
    for port in 1..=1000 {
        stranger(&mut net, port, requests[usize::from(port) % requests.len()].clone());
        net.run_for(Duration::from_millis(20));
        let server = &net.ends[0];
        assert!(client.iter().all(|addr| server.transport.knows(*addr)), "port {port}");
        assert_eq!(server.transport.selected(), path, "port {port}");
    }
    assert!(net.ends[0].has(|e| matches!(e, Event::AddressRemoved(a) if a.port() == 1)));
    // And their rightful owner still moves.
    net.ends[1].setup.addrs.pop();
    move_to(&mut net, 2000);
    net.run("the server follows", 12 * SECOND, |net| follows(net, outside(2000)));
    assert!(net.ends.iter().all(End::is_connected));
}

#[test]
fn of_a_flood_of_candidates_the_last_are_checked() {
    let mut net = Net::new(25, [Setup { lite: false, ..Setup::server() }, Setup::browser()]);
    net.describe(1, 0);
    for port in 1..=1000 {
        net.ends[0].transport.add_candidate(net.now, &host(Carrier::Udp, outside(port)));
    }
    net.ends[0].transport.add_candidate(net.now, &host(Carrier::Udp, addr(INSIDE)));
    // Without an address of the server the browser cannot begin.
    let mut server = net.ends[0].description(0);
    server.candidates.clear();
    net.ends[1].transport.set_remote(net.now, &server);
    net.connect();
}

/// What the client asks in a while.
fn requests(net: &mut Net) -> Vec<Vec<u8>> {
    let (sender, receiver) = std::sync::mpsc::channel();
    net.tamper = Some(Box::new(move |from, bytes| {
        // A Binding request, RFC 8489 section 5.
        if from == 1 && bytes.starts_with(&[0, 1]) {
            let _ = sender.send(bytes.clone());
        }
        true
    }));
    net.run_for(20 * SECOND);
    net.tamper = None;
    let requests: Vec<_> = receiver.try_iter().collect();
    assert!(!requests.is_empty());
    requests
}

fn stranger(net: &mut Net, port: u16, bytes: Vec<u8>) {
    let from = SocketAddr::from(([192, 0, 2, 66], port));
    let to = net.ends[0].setup.addrs[0];
    net.hand_in(&Flight { due: net.now.mono, order: 0, to_end: 0, from, to, bytes });
    net.poll();
}
