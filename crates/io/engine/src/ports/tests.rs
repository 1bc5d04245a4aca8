use super::*;

fn interface(name: &str, ip: &str, loopback: bool) -> Interface {
    Interface { name: name.into(), ip: ip.parse().unwrap(), loopback }
}

fn machine() -> Vec<Interface> {
    vec![
        interface("lo", "127.0.0.1", true),
        interface("lo", "::1", true),
        interface("eth0", "10.0.0.5", false),
        interface("eth0", "2001:db8::5", false),
        interface("eth0", "fe80::5", false),
        interface("docker0", "172.17.0.1", false),
    ]
}

fn addrs(config: &Config, interfaces: &[Interface], bound: &[&str]) -> Vec<String> {
    let bound: Vec<SocketAddr> = bound.iter().map(|b| b.parse().unwrap()).collect();
    candidates(config, interfaces, &bound, &[]).iter().map(|c| c.addr.to_string()).collect()
}

const ANY: &[&str] = &["0.0.0.0:7", "[::]:7"];

#[test]
fn every_interface_is_told_but_loopback_and_link_local() {
    let config = Config::default();
    assert_eq!(addrs(&config, &machine(), ANY), ["10.0.0.5:7", "172.17.0.1:7", "[2001:db8::5]:7"]);
    let all = candidates(&config, &machine(), &["0.0.0.0:7".parse().unwrap()], &[]);
    assert!(all[0].priority > all[1].priority && all[0].foundation != all[1].foundation);
    // RFC 8445 section 5.1.2.1: 2^24 * 126 + 2^8 * 65535 + 255.
    assert_eq!(all[0].priority, 2_130_706_431);
}

#[test]
fn filters_and_loopback_as_configured() {
    let mut config = Config::default();
    config.interfaces.exclude = vec!["docker*".into()];
    config.loopback_candidate = true;
    assert_eq!(addrs(&config, &machine(), &ANY[..1]), ["10.0.0.5:7", "127.0.0.1:7"]);
    // Nothing but loopback is left: it is told unasked.
    config.loopback_candidate = false;
    config.interfaces.include = vec!["wlan0".into()];
    assert_eq!(addrs(&config, &machine(), ANY), ["127.0.0.1:7", "[::1]:7"]);
    assert!(addrs(&config, &[], ANY).is_empty());
}

#[test]
fn a_node_ip_stands_for_its_family_and_a_loopback_one_comes_on_top() {
    let mut config = Config { node_ips: vec!["203.0.113.9".parse().unwrap()], ..Config::default() };
    assert_eq!(addrs(&config, &machine(), ANY), ["203.0.113.9:7", "[2001:db8::5]:7"]);
    assert_eq!(addrs(&config, &machine(), &["10.0.0.5:7"]), ["203.0.113.9:7"]);
    config.internal_candidates = true;
    assert_eq!(addrs(&config, &machine(), &ANY[..1]), ["203.0.113.9:7", "10.0.0.5:7", "172.17.0.1:7"]);
    config.node_ips = vec!["127.0.0.1".parse().unwrap()];
    assert_eq!(addrs(&config, &machine(), &ANY[..1]), ["10.0.0.5:7", "172.17.0.1:7", "127.0.0.1:7"]);
}

#[test]
fn an_address_listened_on_is_told_as_it_is() {
    assert_eq!(
        addrs(&Config::default(), &machine(), &["127.0.0.1:9", "[::1]:9"]),
        ["127.0.0.1:9", "[::1]:9"]
    );
}

fn local(ports: Ports) -> Config {
    Config { bind: vec!["127.0.0.1".parse().unwrap()], ports, socket_buffer: 0, ..Config::default() }
}

fn opened(sets: &[Vec<Socket>]) -> Vec<u16> {
    sets.iter().flatten().map(|s| s.local_addr().port()).collect()
}

/// A port that is taken as long as the socket lives.
fn taken() -> (std::net::UdpSocket, u16) {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

#[test]
fn workers_share_a_port_and_nobody_else_does() {
    let sets = open(&local(Ports::Shared(0)), 3).unwrap();
    let ports = opened(&sets);
    assert!(ports.len() == 3 && ports.iter().all(|port| *port == ports[0]));
    // Another engine, which shares among its own workers too.
    let error = open(&local(Ports::Shared(ports[0])), 2).unwrap_err();
    assert!(matches!(error, StartError::PortInUse { .. }), "{error}");
    assert_eq!(error.to_string(), format!("UDP 127.0.0.1:{} is in use by another process", ports[0]));
}

#[test]
fn both_families_get_the_same_port() {
    let config = Config { bind: vec![], ..local(Ports::Shared(0)) };
    let ports = opened(&open(&config, 2).unwrap());
    assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
}

#[test]
fn a_range_skips_what_is_taken() {
    let (_held, port) = taken();
    let last = port.saturating_add(50);
    let ports = opened(&open(&local(Ports::Range { first: port, last }), 2).unwrap());
    assert!(ports[0] > port && ports[1] > ports[0], "{ports:?}");
}

#[test]
fn a_range_that_is_short_is_shared_and_one_that_is_taken_is_an_error() {
    let (held, port) = taken();
    let range = Ports::Range { first: port, last: port };
    let error = open(&local(range), 2).unwrap_err();
    assert_eq!(error.to_string(), format!("every UDP port from {port} to {port} is in use"));
    drop(held);
    assert_eq!(opened(&open(&local(range), 2).unwrap()), [port, port]);
    assert!(open(&local(Ports::Range { first: 9, last: 8 }), 1).is_err());
}

#[test]
fn an_address_of_another_machine_is_named() {
    let config = Config { bind: vec!["192.0.2.77".parse().unwrap()], ..local(Ports::Shared(0)) };
    let error = open(&config, 1).unwrap_err().to_string();
    assert!(error.contains("192.0.2.77") && error.contains("does not have that address"), "{error}");
}
