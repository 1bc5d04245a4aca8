use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

const LOCAL: &str = "127.0.0.1:0";

/// A service on ports of its own, and where it takes connections.
async fn service() -> (Service, SocketAddr, watch::Sender<bool>) {
    // The service has no word for the port of a listener: one that is free now is free a moment later.
    let tcp = std::net::TcpListener::bind(LOCAL).unwrap().local_addr().unwrap();
    let config = Config {
        udp: vec![LOCAL.parse().unwrap()],
        tcp: vec![tcp],
        tls: Vec::new(),
        acceptor: None,
        relay_v4: Some([127, 0, 0, 1].into()),
        relay_v6: None,
        relay_ports: 43_000..=43_999,
        own: vec![Own {
            told: "203.0.113.9:7882".parse().unwrap(),
            inside: "10.0.0.5:7882".parse().unwrap(),
        }],
        connections: 1000,
        turn: turn::Config::default(),
    };
    let (stop, stopped) = watch::channel(false);
    let service =
        Service::start(config, Access::default(), Policy::default(), [1; 32], stopped).await.unwrap();
    (service, tcp, stop)
}

#[tokio::test]
async fn anybody_learns_their_address_over_udp_and_tcp() {
    let (service, tcp, _stop) = service().await;
    let socket = UdpSocket::bind(LOCAL).await.unwrap();
    let mut room = [0; 1500];
    // The first answers may come before the socket is known to be writable.
    let mapped = loop {
        socket.send_to(&turn::binding_request([1; 12]), service.udp_addresses()[0]).await.unwrap();
        if let Ok(received) = tokio::time::timeout(Duration::from_secs(1), socket.recv(&mut room)).await {
            break turn::mapped_address(&room[..received.unwrap()], [1; 12]);
        }
    };
    assert_eq!(mapped, Some(socket.local_addr().unwrap()));

    let mut stream = TcpStream::connect(tcp).await.unwrap();
    // In two parts, and another one behind.
    let request = turn::binding_request([2; 12]);
    stream.write_all(&request[..7]).await.unwrap();
    stream.write_all(&request[7..]).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut answer = [0; 32];
    for _ in 0..2 {
        // Header, an IPv4 address, and the fingerprint that was asked with: 20, 12 and 8 bytes.
        stream.read_exact(&mut answer).await.unwrap();
        let mut whole = answer.to_vec();
        let mut rest = [0; 8];
        stream.read_exact(&mut rest).await.unwrap();
        whole.extend(rest);
        assert_eq!(turn::mapped_address(&whole, [2; 12]), Some(stream.local_addr().unwrap()));
    }
}

#[tokio::test]
async fn what_is_no_turn_is_closed_at_once_and_an_address_has_so_many_strangers() {
    let (service, tcp, stop) = service().await;
    let mut junk = TcpStream::connect(tcp).await.unwrap();
    junk.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    assert_eq!(junk.read(&mut [0; 8]).await.unwrap_or(0), 0);
    // A message that never ends.
    let mut endless = TcpStream::connect(tcp).await.unwrap();
    endless.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    endless.write_all(&[b'x'; 4096]).await.unwrap();
    assert_eq!(endless.read(&mut [0; 8]).await.unwrap_or(0), 0);

    let mut crowd = Vec::new();
    while service.stats().refused == 0 {
        assert!(crowd.len() < 1000);
        crowd.push(TcpStream::connect(tcp).await.unwrap());
        tokio::task::yield_now().await;
    }
    // Then: when the crowd goes, there is room again, and at the end everybody goes.
    drop(crowd);
    let mut last = loop {
        let mut stream = TcpStream::connect(tcp).await.unwrap();
        let _ = stream.write_all(&turn::binding_request([3; 12])).await;
        if stream.read(&mut [0; 64]).await.unwrap_or(0) > 0 {
            break stream;
        }
    };
    stop.send_replace(true);
    assert_eq!(last.read(&mut [0; 8]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn this_server_has_two_names() {
    let (service, ..) = service().await;
    let shared = &service.0;
    for (told, inside) in [
        ("203.0.113.9:7882", "10.0.0.5:7882"),
        // Another client's relay address.
        ("203.0.113.9:43001", "10.0.0.5:43001"),
        ("203.0.113.9:80", "203.0.113.9:80"),
        ("8.8.8.8:7882", "8.8.8.8:7882"),
    ] {
        let (told, inside): (SocketAddr, SocketAddr) = (told.parse().unwrap(), inside.parse().unwrap());
        assert_eq!((shared.inside(told), shared.told(inside)), (inside, told));
    }
}
